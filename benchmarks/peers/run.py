"""Runs the peers: other pipelines as their documentation shows them, in a separate environment.

A peer is a script in this folder that knows nothing of docwell. It takes one JSON object as its argument and
prints one as its last line.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docwell.errors import Unavailable
from infra.local.stack import Stack
from infra.progress import CONSOLE
from infra.report import ROOT
from layers.embedder.download.environment import python_of
from layers.embedder.download.fetch import fetch

FOLDER = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv-peers"
_REQUIREMENTS = ROOT / "requirements" / "peers.txt"
_NAMED = (
    "langchain-core",
    "llama-index-core",
    "sentence-transformers",
    "torch",
    "openvino",
    "pypdf",
    "pymupdf",
    "fastapi",
)
# The frameworks with their defaults, and with their best documented settings.
DEFAULTS: dict[str, dict[str, Any]] = {
    "LangChain": {"framework": "langchain", "best": False},
    "LlamaIndex": {"framework": "llamaindex", "best": False},
}
BEST = {f"{name}, best settings": {**one, "best": True} for name, one in DEFAULTS.items()}
FRAMEWORKS = {**DEFAULTS, **BEST}


class PeerError(Exception):
    """A peer failed; the message has the end of its output."""


def python() -> Path:
    """Return the environment's Python; make the environment when it is missing. Raises `PeerError`."""
    try:
        return python_of(ENVIRONMENT, _REQUIREMENTS, lambda text: CONSOLE.print(f"{text} (skip: ARGS=--no-peers)"))
    except Unavailable as error:
        raise PeerError(error.detail) from None


def model() -> Path:
    """Return the folder of docwell's embedding model in the format of sentence-transformers."""
    return fetch("all-minilm-l6-v2")["modules.json"].parent


def versions() -> str:
    """Return a line with the versions of the peers, and the day when they were the newest."""
    lock = _REQUIREMENTS.read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE))
    day = re.search(r"\d{4}-\d\d-\d\d", lock)
    return f"Peers of {day[0] if day else 'no date'}: " + ", ".join(f"{name} {pins[name]}" for name in _NAMED)


def run_framework(stack: Stack, way: str, collection: str, **arguments: Any) -> dict[str, Any]:
    """Run one of `FRAMEWORKS` on a collection of the stack's Chroma server. Raises `PeerError`."""
    chroma = urlsplit(stack.chroma)
    asked: dict[str, Any] = {
        "chroma_host": chroma.hostname,
        "chroma_port": chroma.port,
        "chroma_token": stack.chroma_token,
        "collection": collection,
        "model": str(model()),
    }
    return run("frameworks", **asked, **FRAMEWORKS[way], **arguments)


def run(name: str, timeout_s: float = 3600.0, *, threads: int = 2, **arguments: object) -> dict[str, Any]:
    """Return the JSON that `NAME.py` prints. Raises `PeerError`."""
    command = [str(python()), str(FOLDER / f"{name}.py"), json.dumps({"threads": threads, **arguments})]
    environment = {**os.environ, **variables(), "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"{name}: not done within {timeout_s:,.0f} s") from None
    try:
        if done.returncode == 0:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
            return answer
    except (ValueError, IndexError):
        pass
    raise PeerError(f"{name}: {(done.stderr or done.stdout)[-2000:]}")


def variables() -> Mapping[str, str]:
    """Return the environment variables of a peer: no network, no telemetry, no GPU, no packages but its own."""
    return {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "LANGSMITH_TRACING": "false",
        "CUDA_VISIBLE_DEVICES": "",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONPATH": "",
    }
