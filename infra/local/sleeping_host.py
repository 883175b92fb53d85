"""The model server of the local stack behind a port that sleeps and wakes by the rules of infra/ollama.yaml.

``python -m infra.local.sleeping_host --model NAME=FILE --port 11435 --idle-s 1200``

Like a load balancer without hosts, it answers 503 with an HTML page while the server sleeps. A question starts the
server, but a health check does not: in AWS the query function's metric tells them apart, here the path. After
`idle-s` seconds without a question the server stops, which frees its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from infra.local.emf import print_model_hosts
from infra.local.names import HOST, NOTICE
from infra.local.ports import answers, free_port
from runtime.answers import run_until_gone
from runtime.emf import print_line
from runtime.guard import READY_PATH, Guarded
from runtime.http_server import config_of
from runtime.process import Child, end_with_any_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

QUESTIONS = frozenset({"/api/chat", "/api/generate"})
# The answer of an ALB for an empty target group.
NO_HOST_PAGE = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n</html>\r\n"
_TICK_S = 0.2
_STOP_S = 3.0
_HOP = {b"connection", b"transfer-encoding", b"date", b"server"}


class SleepingHost:
    """One server that `start` starts on a port, asleep at first."""

    def __init__(
        self, start: Callable[[int], Child], idle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._start = start
        self._idle_s = idle_s
        self._clock = clock
        self._used_at = 0.0
        self._child: Child | None = None
        self._url = ""
        self._ready = False
        self.questions = 0  # in progress

    @property
    def url(self) -> str | None:
        """The URL of the server; None while it sleeps or starts."""
        return self._url if self._ready else None

    def ask(self) -> None:
        """Take a question: start the server if it sleeps."""
        self._used_at = self._clock()
        if self._child is None:
            port = free_port()
            self._child, self._url = self._start(port), f"http://{HOST}:{port}"
            print_line(f"{NOTICE}a question wakes the model server")
            print_model_hosts(desired=1, serving=0)

    def tick(self) -> None:
        """Check whether the server answers, has ended, or is idle."""
        child = self._child
        if child is None:
            return
        if self.questions or not self._ready:
            self._used_at = self._clock()
        if not child.running:
            self._sleep()
        elif self._clock() - self._used_at >= self._idle_s:
            print_line(f"{NOTICE}the model server is idle: it sleeps")
            self._sleep()
            child.stop(_STOP_S)
        elif not self._ready:
            self._ready = answers(f"{self._url}{READY_PATH}")

    def _sleep(self) -> None:
        self._child, self._ready = None, False
        print_model_hosts(desired=0, serving=0)


class _Forwarded(Response):
    """The server's answer, passed on as it comes. A client that disconnects ends it."""

    def __init__(self, host: SleepingHost, url: str, request: Request, body: bytes) -> None:
        super().__init__()
        self._host, self._url, self._request, self._content = host, url, request, body

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        counts = self._request.url.path in QUESTIONS
        self._host.questions += counts
        try:
            await run_until_gone(receive, self._pass_on(send))
        finally:
            self._host.questions -= counts

    async def _pass_on(self, send: Send) -> None:
        request, token = self._request, {"authorization": self._request.headers["authorization"]}
        url = f"{self._url}{request.url.path}"
        async with (
            httpx.AsyncClient(timeout=None, trust_env=False) as client,  # noqa: S113 - the caller has a deadline
            client.stream(request.method, url, content=self._content, headers=token) as answer,
        ):
            headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _HOP]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async with aclosing(answer.aiter_raw()) as pieces:  # type: ignore[type-var] # a generator
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def application(host: SleepingHost) -> Starlette:
    """Return the ASGI application."""

    async def answer(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=499)
        if request.url.path in QUESTIONS:
            host.ask()
        if host.url is None:
            return Response(NO_HOST_PAGE, 503, {"server": "awselb/2.0"}, "text/html")
        return _Forwarded(host, host.url, request, body)

    async def watch() -> None:
        while True:
            await to_thread.run_sync(host.tick)
            await asyncio.sleep(_TICK_S)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        watching = asyncio.create_task(watch())
        yield
        watching.cancel()

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])], lifespan=lifespan)


def main() -> None:
    """Serve until SIGTERM. The server, a child of this process, ends with it."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(prog="sleeping_host", description="A model server that sleeps while unused.")
    parser.add_argument("--model", required=True, metavar="NAME=FILE")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stack", default="")
    parser.add_argument("--idle-s", type=float, required=True)
    options = parser.parse_args()

    def start(port: int) -> Child:
        command = [sys.executable, "-m", "infra.local.ollama_server", "--model", options.model]
        command += ["--port", str(port), "--stack", options.stack]
        return Child(command, os.environ, print_line, lambda _: None)

    print_model_hosts(desired=0, serving=0)
    served = application(SleepingHost(start, options.idle_s))
    app = Guarded(served, options.stack, os.environ["DOCWELL_OLLAMA_TOKEN"])
    config = config_of(app, host=HOST, port=options.port, log_config=None, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
