"""What people would use instead, as its documentation shows, in an environment of its own (`.venv-peers`).

A peer is a script that runs there, knows nothing of docwell, takes one JSON object as its argument and
prints one as its last line. `run` runs it. Each script says which page of which documentation it follows.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import PeerError, model, python

__all__ = ["FOLDER", "PeerError", "model", "python", "run", "variables"]

FOLDER = Path(__file__).resolve().parent


def run(name: str, timeout_s: float = 3600.0, **arguments: object) -> dict[str, Any]:
    """What `NAME.py` prints. `threads` among the arguments is for every library in it. Raises `PeerError`."""
    threads = arguments.get("threads")
    command = [str(python()), str(FOLDER / f"{name}.py"), json.dumps(arguments)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, **variables(int(threads) if isinstance(threads, int) else None)},
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


def variables(threads: int | None = None) -> Mapping[str, str]:
    """The environment variables of a peer: no hub is asked for what is there, and nobody is told of it."""
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "LANGSMITH_TRACING": "false",
        "CUDA_VISIBLE_DEVICES": "",  # docwell is measured on the processor, and so are they
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # .venv-peers has its own packages and nobody else's.
        "PYTHONPATH": "",
    }
    return offline | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
