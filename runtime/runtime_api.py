"""The Lambda Runtime API of one execution environment, on a Unix socket in a folder of this user alone.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "/2018-06-01/runtime"
RESPONSE_MODE = "Lambda-Runtime-Function-Response-Mode"
# Lambda's limit of a buffered answer.
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
    """The runtime asks for an event: its initialisation or the previous invocation is over."""


@dataclass(frozen=True, slots=True)
class Result:
    """The function's answer to one invocation."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """The function raised. `id` is None for a failed import."""

    id: str | None
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class StreamBegan:
    """The function began a streamed answer."""

    id: str


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """The next piece of a streamed answer."""

    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A streamed answer is complete. A broken one ends in a `Failure`."""

    id: str


@dataclass(frozen=True, slots=True)
class ClientGone:
    """The client of a streamed answer left: `RuntimeApi.hang_up` was called."""

    id: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended."""

    status: int


Happening = Ready | Result | Failure | StreamBegan | StreamPiece | StreamEnded | ClientGone | Exited


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(api.address, _RuntimeHandler)

    def handle_error(self, *_: object) -> None:
        """Ignore the broken connection of a killed function: `Exited` reports that."""


class RuntimeApi:
    """Give invocations to the runtime and put its requests into `happenings`."""

    def __init__(self) -> None:
        self.happenings: queue.Queue[Happening] = queue.Queue()
        self._work: queue.Queue[Invocation | None] = queue.Queue()
        self._streams: dict[str, socket.socket] = {}
        self._folder = TemporaryDirectory(prefix="docwell-")  # mode 0700
        # The path of the socket, for AWS_LAMBDA_RUNTIME_API.
        self.address = str(Path(self._folder.name) / "api")
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def give(self, invocation: Invocation) -> None:
        """Queue an event for the function."""
        self._work.put(invocation)

    def hang_up(self, id_: str) -> None:
        """Break the connection of the streamed answer to an invocation."""
        self.happenings.put(ClientGone(id_))
        connection = self._streams.get(id_)
        if connection is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket in the background, because the server takes up to half a second to stop."""
        self._work.put(None)
        threading.Thread(target=self._shut, daemon=True).start()

    def _shut(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def next_invocation(self) -> Invocation | None:
        """Return the next event for the runtime, or None when the API closes. Blocks."""
        self.happenings.put(Ready())
        return self._work.get()

    def happened(self, happening: Happening, connection: socket.socket) -> None:
        """Record a request of the runtime."""
        match happening:
            case StreamBegan():
                self._streams[happening.id] = connection
            case StreamEnded() | Failure() if happening.id is not None:
                self._streams.pop(happening.id, None)
        self.happenings.put(happening)


class _RuntimeHandler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # send headers and body in one write

    def happened(self, happening: Happening) -> None:
        self.server.api.happened(happening, self.connection)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        if self.path == f"{VERSION}/restore/next":  # SnapStart: restored at once
            self._answer(200, {})
            return
        if self.path != f"{VERSION}/invocation/next":
            self._answer(404, {"errorMessage": "no such path", "errorType": "NotFound"})
            return
        invocation = self.server.api.next_invocation()
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
        parts = self.path.removeprefix(VERSION).strip("/").split("/")
        match parts:
            case ["invocation", id_, "response"] if self.headers.get(RESPONSE_MODE, "").lower() == "streaming":
                self._stream(id_)
                return
            case ["invocation", id_, "response"]:
                body = b"".join(self._chunks())
                too_large = Failure(id_, "Function.ResponseSizeTooLarge", f"the answer has {len(body)} bytes")
                self.happened(Result(id_, body) if len(body) <= MAX_RESPONSE_BYTES else too_large)
            case ["invocation", id_, "error"]:
                self.happened(_failure(id_, b"".join(self._chunks())))
            case ["init", "error"]:
                self.happened(_failure(None, b"".join(self._chunks())))
            case _:
                self.close_connection = True  # the body is unread
                self._answer(404, {"errorMessage": "no such path", "errorType": "NotFound"})
                return
        self._answer(202, {"status": "OK"})

    def _stream(self, id_: str) -> None:
        """Report each piece of a streamed answer as it arrives."""
        self.happened(StreamBegan(id_))
        try:
            for piece in self._chunks():
                self.happened(StreamPiece(id_, piece))
        except (OSError, ValueError):  # the process died, or `hang_up` was called
            self.happened(Failure(id_, "Runtime.TruncatedResponse", "the answer broke off"))
            self.close_connection = True
            return
        self.happened(StreamEnded(id_))
        self._answer(202, {"status": "OK"})

    def _chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises `OSError` or `ValueError` for an incomplete body."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            piece = self.rfile.read(size)
            if len(piece) < size:
                raise ConnectionError("a chunk broke off")
            yield piece
            self.rfile.readline()
        self.rfile.readline()

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
