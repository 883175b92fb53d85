"""A model server that speaks the part of Ollama's HTTP protocol that docwell uses.

    DOCWELL_OLLAMA_TOKEN=… python -m infra.local.ollama_server --model smollm2:135m=model.gguf --port 11434

It serves `/api/chat`, `/api/show` and `/api/tags` for one model, to clients with the token. It rejects a prompt
that exceeds `num_ctx`, which Ollama cuts, and it accepts `keep_alive` but unloads the model after 30 idle minutes
whatever the value. It logs no text of a prompt or an answer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.emf import every_minute, print_model_hosts
from infra.local.language_model import LanguageModel, ModelError
from infra.local.names import HOST
from runtime.answers import run_until_gone
from runtime.emf import print_line
from runtime.guard import Guarded
from runtime.http_server import config_of
from runtime.process import end_with_any_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from infra.local.language_model import Piece

log = logging.getLogger("ollama_server")


class Options(BaseModel):
    """Sampling options with Ollama's defaults. Unknown options are ignored, as in Ollama."""

    num_ctx: int | None = Field(None, ge=4)
    num_predict: int = -1
    seed: int = -1
    temperature: float = 0.8
    stop: list[str] = []


class ShowRequest(BaseModel):
    """The body of `POST /api/show`."""

    model: str


class ChatRequest(ShowRequest):
    """The body of `POST /api/chat`."""

    # Each has a role and a content.
    messages: list[dict[str, str]]
    # JSON: any, or by a schema.
    format: Literal["", "json"] | dict[str, Any] = ""
    options: Options = Options()

    def sampling(self) -> dict[str, Any]:
        """Return the options under llama.cpp's names."""
        options = self.options.model_dump(exclude={"num_ctx", "num_predict"})
        schema = {"schema": self.format} if isinstance(self.format, dict) else {}
        form = {"response_format": {"type": "json_object", **schema}} if self.format else {}
        return options | {"max_tokens": self.options.num_predict} | form


class ChatResponse(Response):
    """An answer, sent as it is generated. A client that disconnects stops the generation."""

    def __init__(self, pieces: AsyncGenerator[Piece, None], request: ChatRequest) -> None:
        super().__init__(media_type="application/x-ndjson")
        self._pieces = pieces
        self._request = request
        self._started = False
        self._outcome = "closed by the client"

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer until the client disconnects."""
        begun = time.perf_counter()
        try:
            await run_until_gone(receive, self._answer(send))
        finally:
            log.info("%s %.2fs %s", self._request.model, time.perf_counter() - begun, self._outcome)

    async def _answer(self, send: Send) -> None:
        try:
            async with aclosing(self._pieces):
                async for piece in self._pieces:
                    message = {"role": "assistant", "content": piece.text}
                    reply = {"model": self._request.model, "message": message, "done": bool(piece.figures)}
                    await self._send(send, reply | piece.figures, more=not piece.figures)
                    if piece.figures:
                        self._outcome = f"{piece.figures['done_reason']} {piece.figures['eval_count']} tokens"
        except ModelError as error:
            self._outcome = f"error {error.status}"
            if not self._started:
                self.status_code = error.status
            await self._send(send, {"error": str(error)}, more=False)

    async def _send(self, send: Send, value: dict[str, Any], *, more: bool) -> None:
        if not self._started:
            self._started = True
            headers = [(b"content-type", str(self.media_type).encode())]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        line = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": more})


def application(name: str, model: LanguageModel, num_ctx: int) -> Starlette:
    """Return the ASGI application over one model. `num_ctx` is for requests that send none."""

    def check(model_name: str) -> None:
        if model_name not in {name, f"{name}:latest"}:
            raise ModelError(404, f"model '{model_name}' not found")

    async def tags(_: Request) -> Response:
        entry = {"name": name, "model": name, "digest": await model.sha256()}
        return JSONResponse({"models": [entry]})

    async def show(request: Request) -> Response:
        check(ShowRequest.model_validate_json(await request.body()).model)
        # llama.cpp does not report the architecture, so send its own name.
        info = {"general.architecture": "llama.cpp", "llama.cpp.context_length": model.context_length}
        return JSONResponse({"model_info": info, "capabilities": ["completion"]})

    async def chat(request: Request) -> Response:
        body = ChatRequest.model_validate_json(await request.body())
        check(body.model)
        context = min(body.options.num_ctx or num_ctx, model.context_length)
        return ChatResponse(model.chat(body.messages, context, body.sampling()), body)

    routes = [
        Route("/", lambda _: PlainTextResponse("Ollama is running")),
        Route("/api/tags", tags),
        Route("/api/show", show, methods=["POST"]),
        Route("/api/chat", chat, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={ModelError: _refuse, ValidationError: _refuse})


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, ModelError):
        return JSONResponse({"error": str(error)}, error.status)
    errors = error.errors(include_input=False) if isinstance(error, ValidationError) else []  # quote no question
    text = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in errors)
    return JSONResponse({"error": text}, 400)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then exit with status 0."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(prog="ollama_server", description="Ollama's protocol over llama.cpp.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--model", required=True, metavar="NAME=FILE", help="the model's name and its GGUF file")
    parser.add_argument("--port", type=int, default=11434, help="0 chooses a free port and prints it")
    parser.add_argument("--stack", default="")
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--num-ctx", type=int, default=4096, help="context length for requests that send none")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    name, _, path = arguments.model.partition("=")
    try:
        listener = socket.create_server((HOST, arguments.port), backlog=128)
        model = LanguageModel(Path(path), num_ctx=arguments.num_ctx, threads=arguments.threads)
    except (ModelError, OSError) as error:
        sys.exit(f"ollama_server: {error}")
    print_line(f"listening on http://{HOST}:{listener.getsockname()[1]}")
    every_minute(partial(print_model_hosts, desired=1, serving=1))
    served = application(name, model, arguments.num_ctx)
    app = Guarded(served, arguments.stack, os.environ["DOCWELL_OLLAMA_TOKEN"])
    config = config_of(app, log_config=None, log_level="warning", timeout_graceful_shutdown=2)
    # uvicorn raises the signal again after its shutdown.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: model.exit())
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
