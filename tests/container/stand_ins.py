"""Servers for the containers on the address of Docker's bridge: a real Chroma, a scripted Ollama."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx

from infra.local.ports import free_port

MODEL = "scripted:1b"
ANSWER = "Every 14 weeks [1]."


def bridge_address() -> str:
    """Return the address of this machine on Docker's bridge, which only its containers reach."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    return subprocess.check_output(command, text=True).strip()


def wait_until_answers(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} gave no answer in {seconds} s")


@contextmanager
def chroma_server(address: str, folder: Path) -> Iterator[str]:
    port = free_port(host=address)
    program = Path(sys.executable).with_name("chroma")
    arguments = ["run", "--host", address, "--port", str(port), "--path", str(folder / "chroma")]
    with (folder / "chroma.log").open("w") as log:
        server = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            url = f"http://{address}:{port}"
            wait_until_answers(f"{url}/api/v2/heartbeat")
            yield url
        finally:
            server.terminate()
            server.wait(20)


class ScriptedOllama(BaseHTTPRequestHandler):
    """The part of Ollama's protocol for one answer, with fixed text that a test can compare."""

    def do_GET(self) -> None:
        self._send({"version": "0.12.0", "models": [{"name": MODEL, "model": MODEL}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/api/chat":
            self._send({"capabilities": ["completion"], "model_info": {}, "details": {}})
            return
        prompt = sum(len(message["content"]) for message in request["messages"]) // 3
        counts = {"done_reason": "stop", "prompt_eval_count": prompt, "eval_count": 6}
        self._send(
            {"model": MODEL, "message": {"role": "assistant", "content": ANSWER}, "done": False},
            {"model": MODEL, "message": {"role": "assistant", "content": ""}, "done": True, **counts},
        )

    def _send(self, *lines: dict[str, object]) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def ollama_server(address: str) -> Iterator[str]:
    server = ThreadingHTTPServer((address, 0), ScriptedOllama)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
