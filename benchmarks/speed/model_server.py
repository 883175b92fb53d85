"""A model host that speaks Ollama's protocol and thinks for as long as it is told: none at all, or at a set pace.

``python -m benchmarks.speed.model_server [--first-s 0] [--pace-s 0] [--tokens 0]``

It answers with sentences of the first passage of the prompt, each cited as `[1]`, so that every question goes the
whole way. Unlike `benchmarks.chaos.model_host` it is well, keeps connections open, and is a process of its own,
so that it takes no time from whoever measures. `/-/held` gives, and forgets, how long it held each chat,
`/-/last` the body of the last one; after `/-/reword` its sentences are not the passage's own, until `/-/quote`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from infra.local.names import HOST

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

MODEL = "bench:1b"
_CONTEXT = 8192
_PASSAGE = re.compile(r"^\[1\] (.+?)(?=^\[2\] |^</passages>|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"\w[^.!?]{20,300}[.!?]")
_CARD = {
    "model_info": {"general.architecture": "llama", "llama.context_length": _CONTEXT},
    "details": {"family": "llama"},
    "capabilities": ["completion"],
}
_TAGS = {"models": [{"name": MODEL, "model": MODEL, "digest": "b" * 64, "size": 1}]}


class ModelServer:
    """The ASGI application. `tokens` 0 is one sentence."""

    def __init__(self, first_s: float, pace_s: float, tokens: int) -> None:
        self._first_s = first_s
        self._pace_s = pace_s
        self._tokens = tokens
        self._held: list[float] = []
        self._last: bytes = b"{}"
        self._reword = False

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        body = bytearray()
        while True:
            message: Any = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        if path == "/api/chat":
            self._last = bytes(body)
            await self._chat(send)
            self._held.append(time.perf_counter() - began)
        elif path == "/-/held":
            held, self._held = self._held, []
            await _whole(send, held)
        elif path in {"/-/reword", "/-/quote"}:
            self._reword = path == "/-/reword"
            await _whole(send, self._reword)
        else:
            known: dict[str, Any] = {"/api/show": _CARD, "/api/tags": _TAGS, "/-/last": json.loads(self._last)}
            await _whole(send, known.get(path, {"version": "0.12.0"}))

    async def _chat(self, send: ASGISendCallable) -> None:
        pieces = answer_to(json.loads(self._last)["messages"][-1]["content"], self._tokens)
        if self._reword:
            pieces = ["Reportedly, ", *pieces]
        await _start(send, b"application/x-ndjson")
        due = time.perf_counter() + self._first_s
        for piece in pieces:
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            due += self._pace_s
            await _send(send, _line({"content": piece}, done=False), more=True)
        figures = {"done_reason": "stop", "prompt_eval_count": 900, "eval_count": len(pieces)}
        await _send(send, _line({"content": ""}, done=True, **figures), more=False)


def answer_to(prompt: str, tokens: int) -> list[str]:
    r"""Words of the first passage's first sentence, or of all in turns up to `tokens`, each sentence cited.

    >>> answer_to("<passages>\n[1] The boiler was inspected in May.\n[2] No.\n</passages>", 0)
    ['The ', 'boiler ', 'was ', 'inspected ', 'in ', 'May ', '[1]. ']
    """
    passage = _PASSAGE.search(prompt)
    text = passage[1] if passage else prompt
    sentences = [" ".join(found.split()) for found in _SENTENCE.findall(text)] or [" ".join(text.split()[:30])]
    cited = [f"{sentence.rstrip('.!?')} [1]. " for sentence in sentences]
    words = [[f"{word} " for word in sentence.split()] for sentence in cited]
    if not tokens:
        return words[0]
    return list(islice((word for sentence in cycle(words) for word in sentence), tokens))


def _line(message: dict[str, str], **fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "message": {"role": "assistant", **message}, **fields}).encode() + b"\n"


async def _start(send: ASGISendCallable, kind: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})


async def _send(send: ASGISendCallable, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _whole(send: ASGISendCallable, document: object) -> None:
    await _start(send, b"application/json")
    await _send(send, json.dumps(document).encode(), more=False)


@contextmanager
def model_server(first_s: float = 0.0, pace_s: float = 0.0, tokens: int = 0) -> Iterator[str]:
    """The URL of one for the time of the block."""
    command = [sys.executable, "-m", __spec__.name, "--first-s", str(first_s), "--pace-s", str(pace_s)]
    with subprocess.Popen([*command, "--tokens", str(tokens)], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the model server has no output")
            url = process.stdout.readline().strip()
            _wait_ready(url)
            yield url
        finally:
            process.kill()


def _wait_ready(url: str) -> None:
    for _ in range(100):
        try:
            httpx.get(url, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the model server does not answer")


def main() -> None:
    """Serve until killed; prints its URL."""
    parser = argparse.ArgumentParser(description="Ollama's protocol, at a set pace.")
    parser.add_argument("--first-s", type=float, default=0.0)
    parser.add_argument("--pace-s", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=0)
    options = parser.parse_args()
    application = ModelServer(options.first_s, options.pace_s, options.tokens)
    config = uvicorn.Config(application, HOST, 0, log_level="error", access_log=False, lifespan="off")
    listener = config.bind_socket()
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
