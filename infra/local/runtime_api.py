"""The Lambda Runtime API of one execution environment, on a loopback port.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from infra.local.names import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "/2018-06-01/runtime"
# Lambda's limit for a buffered answer.
MAX_RESPONSE_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event for the function. `deadline_ms` is in milliseconds since the epoch."""

    id: str
    event: bytes
    deadline_ms: int
    arn: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The runtime asks for work: its initialisation, or the invocation before, is over."""


@dataclass(frozen=True, slots=True)
class Result:
    """The function's answer to one invocation."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """The function raised. `id` is None when it did so while it was being imported."""

    id: str | None
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process has ended."""

    status: int


Happening = Ready | Result | Failure | Exited


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A function that was killed leaves its connection half-way: no news, `Exited` says it."""


class RuntimeApi:
    """Hands invocations to the runtime and puts what it says into `happenings`."""

    def __init__(self) -> None:
        self.happenings: queue.Queue[Happening] = queue.Queue()
        self._work: queue.Queue[Invocation | None] = queue.Queue()
        self._server = _Server((HOST, 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """`host:port`, for AWS_LAMBDA_RUNTIME_API."""
        return f"{HOST}:{self._server.server_address[1]}"

    def give(self, invocation: Invocation) -> None:
        """The next event for the function."""
        self._work.put(invocation)

    def close(self) -> None:
        """Let go of the port, in the background: the server looks only twice a second whether to stop."""
        self._work.put(None)
        threading.Thread(target=self._shut, daemon=True).start()

    def _shut(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(_RuntimeHandler):
            def next(self) -> Invocation | None:
                api.happenings.put(Ready())
                return api._work.get()

            def happened(self, happening: Happening) -> None:
                api.happenings.put(happening)

        return Handler


class _RuntimeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: two small writes wait 40 ms for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def next(self) -> Invocation | None:
        raise NotImplementedError

    def happened(self, happening: Happening) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
        """Requests of the runtime interest nobody."""

    def do_GET(self) -> None:
        if self.path != f"{VERSION}/invocation/next":
            self._answer(404, {"errorMessage": "no such path", "errorType": "NotFound"})
            return
        invocation = self.next()
        if invocation is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(invocation.event)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", invocation.arn)
        trace = invocation.id.replace("-", "")
        self.send_header("Lambda-Runtime-Trace-Id", f"Root=1-{trace[:8]}-{trace[8:]};Sampled=0")
        self.end_headers()
        self.wfile.write(invocation.event)

    def do_POST(self) -> None:
        # A streamed answer (Lambda-Runtime-Function-Response-Mode: streaming) comes in chunks: `_chunks`
        # yields them as they arrive, so passing them on is a matter of who consumes them.
        body = b"".join(self._chunks())
        parts = self.path.removeprefix(VERSION).strip("/").split("/")
        match parts:
            case ["invocation", id_, "response"] if len(body) <= MAX_RESPONSE_BYTES:
                self.happened(Result(id_, body))
            case ["invocation", id_, "response"]:
                self.happened(Failure(id_, "Function.ResponseSizeTooLarge", f"the answer has {len(body)} bytes"))
            case ["invocation", id_, "error"]:
                self.happened(_failure(id_, body))
            case ["init", "error"]:
                self.happened(_failure(None, body))
            case _:
                self._answer(404, {"errorMessage": "no such path", "errorType": "NotFound"})
                return
        self._answer(202, {"status": "OK"})

    def _chunks(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass

    def _answer(self, status: int, document: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _failure(id_: str | None, body: bytes) -> Failure:
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    return Failure(id_, str(document.get("errorType", "Unknown")), str(document.get("errorMessage", "")))
