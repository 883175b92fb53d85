"""A model host that speaks Ollama's protocol at a set pace: at once, or so many tokens a second.

``python -m benchmarks.speed.model_server [--first-s 0] [--pace-s 0] [--tokens 0]``

It answers with sentences of the prompt's first passage, each cited as `[1]`, so that every question takes the
whole path. It is a separate process, so that it takes no time from the benchmark. `/-/held` returns, and forgets,
the seconds of each chat; `/-/last` returns the body of the last one.
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
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from infra.local.names import HOST
from infra.local.stack import answers

MODEL = "bench:1b"
_PASSAGE = re.compile(r"^\[1\] (.+?)(?=^\[2\] |^</passages>|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"\w[^.!?]{20,300}[.!?]")
_CARD = {
    "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
    "details": {"family": "llama"},
    "capabilities": ["completion"],
}
_TAGS = {"models": [{"name": MODEL, "model": MODEL, "digest": "b" * 64, "size": 1}]}


class ModelServer:
    """The application. `tokens` 0 means one sentence."""

    def __init__(self, first_s: float, pace_s: float, tokens: int) -> None:
        self._first_s, self._pace_s, self._tokens = first_s, pace_s, tokens
        self._held: list[float] = []
        self._last: Any = {}
        self.application = Starlette(
            routes=[
                Route("/api/chat", self._chat, methods=["POST"]),
                Route("/{path:path}", self._small, methods=["GET", "POST"]),
            ]
        )

    async def _chat(self, request: Request) -> StreamingResponse:
        began = time.perf_counter()
        self._last = await request.json()
        return StreamingResponse(self._lines(began), media_type="application/x-ndjson")

    async def _small(self, request: Request) -> JSONResponse:
        match f"/{request.path_params['path']}":
            case "/-/held":
                held, self._held = self._held, []
                return JSONResponse(held)
            case "/-/last":
                return JSONResponse(self._last)
            case path:
                return JSONResponse({"/api/show": _CARD, "/api/tags": _TAGS}.get(path, {"version": "0.12.0"}))

    async def _lines(self, began: float) -> Any:
        pieces = answer_to(self._last["messages"][-1]["content"], self._tokens)
        due = time.perf_counter() + self._first_s
        for piece in pieces:
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            due += self._pace_s
            yield _line(piece, done=False)
        self._held.append(time.perf_counter() - began)
        yield _line("", done=True, done_reason="stop", prompt_eval_count=900, eval_count=len(pieces))


def answer_to(prompt: str, tokens: int) -> list[str]:
    r"""Return the words of the first passage's first sentence, or of all in turns up to `tokens`, each cited.

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


def _line(content: str, **fields: Any) -> bytes:
    return (
        json.dumps({"model": MODEL, "message": {"role": "assistant", "content": content}, **fields}).encode()
        + b"\n"
    )


@contextmanager
def model_server(first_s: float = 0.0, pace_s: float = 0.0, tokens: int = 0) -> Iterator[str]:
    """Run a server during the block; yields its URL. Raises `RuntimeError` where it does not start."""
    command = [sys.executable, "-m", __spec__.name, "--first-s", str(first_s), "--pace-s", str(pace_s)]
    with subprocess.Popen([*command, "--tokens", str(tokens)], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not any(answers(url) for _ in range(20)):
                raise RuntimeError("the model server does not answer")
            yield url
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Ollama's protocol, at a set pace.")
    parser.add_argument("--first-s", type=float, default=0.0)
    parser.add_argument("--pace-s", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=0)
    options = parser.parse_args()
    application = ModelServer(options.first_s, options.pace_s, options.tokens).application
    config = uvicorn.Config(application, HOST, 0, log_level="error", access_log=False, lifespan="off")
    listener = config.bind_socket()
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
