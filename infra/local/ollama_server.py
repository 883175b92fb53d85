"""A model server that speaks Ollama's HTTP protocol over llama.cpp, for one machine without Ollama.

    python -m infra.local.ollama_server --model smollm2:135m=model.gguf --port 11434

Works with Ollama's own clients for show, tags, ps, chat and generate; it pulls no models, makes no
embeddings and runs no tools. Unlike Ollama it keeps one model loaded, runs one request at a time and
says busy (503) when more than `--queue` wait. It logs no text of a prompt or an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.disconnect import until_gone
from infra.local.ollama_engine import Engine
from infra.local.ollama_gguf import GgufError
from infra.local.ollama_protocol import (
    RequestError,
    model_of,
    parse_body,
    parse_chat,
    parse_generate,
    reply,
    timestamp,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from infra.local.ollama_engine import Model
    from infra.local.ollama_protocol import Generation

# The version whose behaviour is followed; the suffix tells it from Ollama.
VERSION = "0.12.0-docwell"
# A client that takes nothing for so long is as good as gone, and others wait behind it.
_SEND_TIMEOUT_S = 30.0

log = logging.getLogger("ollama_server")


class GenerationResponse(Response):
    """One answer, sent as it comes. It ends when the client goes: waiting, loading or half way."""

    def __init__(self, engine: Engine, generation: Generation) -> None:
        super().__init__()
        self._engine = engine
        self._generation = generation
        self._status = 0  # nothing sent yet
        self._outcome = "closed by the client"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer and watch the connection, whichever ends first."""
        begun = time.perf_counter()
        work = asyncio.create_task(self._answer(send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            gone.cancel()
            results = await asyncio.gather(work, gone, return_exceptions=True)
            seconds = time.perf_counter() - begun
            log.info("%s %s %d %.2fs %s", scope["path"], self._generation.model, self._status, seconds,
                     self._outcome)  # fmt: skip
        if isinstance(results[0], Exception):
            raise results[0]

    async def _answer(self, send: Send) -> None:
        try:
            await (self._stream(send) if self._generation.stream else self._collect(send))
        except RequestError as error:
            self._outcome = f"error {error.status}"
            if self._status:  # too late for a status: a line under the one sent
                await self._line(send, {"error": error.text})
                await _send(send, b"", more=False)
            else:
                await self._whole(send, error.status, {"error": error.text})
        except TimeoutError:
            # Returning with the answer unfinished makes uvicorn close the connection.
            self._outcome = "dropped: the client reads nothing"

    async def _stream(self, send: Send) -> None:
        outcome = _outcome(None)
        async with aclosing(self._engine.answer(self._generation)) as pieces:
            async for piece in pieces:
                outcome = _outcome(piece.last)
                await self._line(send, reply(self._generation, piece.text, piece.last))
        await self._start(send, 200)
        await _send(send, b"", more=False)
        self._outcome = outcome

    async def _collect(self, send: Send) -> None:
        texts, last = [], None
        async with aclosing(self._engine.answer(self._generation)) as pieces:
            async for piece in pieces:
                texts.append(piece.text)
                last = piece.last
        await self._whole(send, 200, reply(self._generation, "".join(texts), last))
        self._outcome = _outcome(last)

    async def _start(self, send: Send, status: int, kind: bytes = b"application/x-ndjson") -> None:
        if not self._status:
            self._status = status
            headers = [(b"content-type", kind)]
            await send({"type": "http.response.start", "status": status, "headers": headers})

    async def _line(self, send: Send, value: dict[str, Any]) -> None:
        await self._start(send, 200)
        await _send(send, _json(value) + b"\n", more=True)

    async def _whole(self, send: Send, status: int, value: dict[str, Any]) -> None:
        await self._start(send, status, b"application/json; charset=utf-8")
        await _send(send, _json(value), more=False)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    message = {"type": "http.response.body", "body": body, "more_body": more}
    await asyncio.wait_for(send(message), _SEND_TIMEOUT_S)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _outcome(last: dict[str, Any] | None) -> str:
    if last is None:
        return "given up: one token repeated"
    counts = f"prompt {last.get('prompt_eval_count', 0)} answer {last.get('eval_count', 0)}"
    return f"{last['done_reason']} {counts}"


class Api:
    """The routes over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def application(self) -> Starlette:
        """The ASGI application; the engine is closed when it ends."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            try:
                yield
            finally:
                await self._engine.close()

        routes = [
            Route("/", self._root),
            Route("/api/version", self._version),
            Route("/api/tags", self._tags),
            Route("/api/ps", self._processes),
            Route("/api/show", self._show, methods=["POST"]),
            Route("/api/chat", self._chat, methods=["POST"]),
            Route("/api/generate", self._generate, methods=["POST"]),
            Route("/api/embed", self._embed, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={RequestError: _refuse}, lifespan=lifespan)

    async def _root(self, _: Request) -> Response:
        return PlainTextResponse("Ollama is running")

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": VERSION})

    async def _tags(self, _: Request) -> Response:
        entries = [await _entry(self._engine, model) for model in self._engine.models.values()]
        return JSONResponse({"models": entries})

    async def _processes(self, _: Request) -> Response:
        running = self._engine.running()
        if running is None:
            return JSONResponse({"models": []})
        model, num_ctx, expires_at = running
        entry = await _entry(self._engine, model)
        entry |= {"expires_at": timestamp(expires_at), "size_vram": 0, "context_length": num_ctx}
        return JSONResponse({"models": [entry]})

    async def _show(self, request: Request) -> Response:
        return JSONResponse(_card(self._engine.find(model_of(parse_body(await request.body())))))

    async def _chat(self, request: Request) -> Response:
        return GenerationResponse(self._engine, parse_chat(parse_body(await request.body())))

    async def _generate(self, request: Request) -> Response:
        return GenerationResponse(self._engine, parse_generate(parse_body(await request.body())))

    async def _embed(self, request: Request) -> Response:
        self._engine.find(model_of(parse_body(await request.body())))
        raise RequestError(501, "this server does not support embeddings")


async def _refuse(_: Request, error: Exception) -> Response:
    status, text = (error.status, error.text) if isinstance(error, RequestError) else (500, "failed")
    return JSONResponse({"error": text}, status)


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.card.architecture,
        "families": [model.card.architecture],
        "parameter_size": model.card.parameter_size,
        "quantization_level": model.card.quantization,
    }


async def _entry(engine: Engine, model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": timestamp(model.modified_at),
        "size": model.card.file_bytes,
        "digest": await engine.digest(model),
        "details": _details(model),
    }


def _card(model: Model) -> dict[str, Any]:
    metadata = model.card.metadata
    # The vocabulary and the merges are megabytes; Ollama leaves them out as null too.
    info = {key: None if isinstance(value, list) else value for key, value in metadata.items()}
    template = info.pop("tokenizer.chat_template", "")
    return {
        "modelfile": "",
        "parameters": "",
        "template": template,
        "license": metadata.get("general.license", ""),
        "details": _details(model),
        "model_info": info | {"general.parameter_count": model.card.parameters},
        "capabilities": ["completion"],
        "modified_at": timestamp(model.modified_at),
    }


def _named_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).is_file()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE with a file that exists")
    return name, Path(path)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ollama_server", description="Ollama's protocol over llama.cpp.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--model", action="append", required=True, type=_named_path, metavar="NAME=FILE",
                        help="a model's name and its GGUF file; may be given again")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434, help="0 takes a free one and prints it")
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--queue", type=int, default=512, help="requests that may wait; more get 503")
    parser.add_argument("--num-ctx", type=int, default=4096, help="context length where a request names none")
    parser.add_argument("--no-prompt-cache", action="store_true",
                        help="read each prompt anew: slower, and answers are repeatable")  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, then exit with status 0."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        engine = Engine(
            dict(arguments.model),
            num_ctx=arguments.num_ctx,
            threads=arguments.threads,
            queue=arguments.queue,
            prompt_cache=not arguments.no_prompt_cache,
        )
        listener = socket.create_server((arguments.host, arguments.port), backlog=128)
    except (GgufError, OSError) as error:
        sys.exit(f"ollama_server: {error}")
    # uvicorn raises the signal again once it has shut down: then this decides the exit status.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on http://{arguments.host}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        Api(engine).application(), log_config=None, access_log=False, log_level="warning",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
