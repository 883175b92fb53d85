"""An HTTP proxy that fails on purpose, like a network or a server."""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from infra.local.names import HOST

_BACKEND_TIMEOUT_S = 60.0
# Headers of one hop, and headers that the proxy writes itself.
_NOT_FORWARDED = {"connection", "content-length", "transfer-encoding", "date", "server"}
_JSON = {"Content-Type": "application/json"}
_XML = {"Content-Type": "application/xml"}


class Fault(StrEnum):
    """The ways in which a request can fail."""

    NONE = "well"
    DOWN = "down: connections refused"
    HANG = "accepts, and never answers"
    SLOW = "each request takes 1 s more"
    THROTTLED = "throttled"
    GONE = "404: no such version"
    FORBIDDEN = "403: access denied"
    UNAVAILABLE = "503 before the work was done"
    ERROR_AFTER = "500 after the work was done"
    RESET_REQUEST = "reset while the request was sent"
    RESET_ANSWER = "reset in the middle of the answer"
    LATE = "no answer, and the work is done long after the client left"


# The faults that answer in place of the server: status, body and headers.
_RESPONSES: Mapping[Fault, tuple[int, bytes, Mapping[str, str]]] = {
    Fault.UNAVAILABLE: (503, b"{}", _JSON),
    Fault.THROTTLED: (
        400,
        b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"}',
        {"Content-Type": "application/x-amz-json-1.0"},
    ),
    Fault.GONE: (404, b"<Error><Code>NoSuchVersion</Code></Error>", _XML),
    Fault.FORBIDDEN: (403, b"<Error><Code>AccessDenied</Code></Error>", _XML),
}


class HttpDoor:
    """An HTTP server on a free port until `close`; subclasses answer in `_handle`."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self._down = False
        self._server = listen(0, self._handle)
        self.port = self._server.server_port
        self.url = f"http://{HOST}:{self.port}"

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _change(self, *, down: bool) -> None:
        """Release the requests that hang; while `down`, refuse connections."""
        self._released.set()
        self._released = threading.Event()
        if down and not self._down:
            self.close()
        elif self._down and not down:
            self._server = listen(self.port, self._handle)
        self._down = down

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        raise NotImplementedError


class Proxy(HttpDoor):
    """HTTP in front of one port. Each request draws one of `faults` with `probability`.

    `stall_s` is how long HANG and LATE hold a request; `behave` releases them. `backend_port` may be set later.
    """

    def __init__(self, backend_port: int = 0, *, seed: str = "", stall_s: float = 600.0) -> None:
        self.backend_port = backend_port
        self.faults: tuple[Fault, ...] = ()
        self.probability = 1.0
        self.drawn: Counter[Fault] = Counter()
        self._random = random.Random(seed)
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._at_work = 0
        super().__init__()

    def behave(self, *faults: Fault) -> None:
        """Draw from these faults from now on, and release requests that hang."""
        self.faults = tuple(fault for fault in faults if fault is not Fault.NONE)
        self._change(down=Fault.DOWN in faults)

    def wait_idle(self) -> None:
        """Stop the faults and wait, 30 s at most, until no request is running: late writes are then done."""
        self.faults = ()
        deadline = time.monotonic() + 30.0
        while self._at_work and time.monotonic() < deadline:
            time.sleep(0.05)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            drawn = bool(self.faults) and self._random.random() < self.probability
            fault = self._random.choice(self.faults) if drawn else Fault.NONE
            if fault is Fault.GONE and request.command == "HEAD":
                fault = Fault.NONE  # not here: a version may vanish, but a bucket does not deny its own object
            self.drawn[fault] += 1
            self._at_work += 1
        try:
            self._answer(request, fault)
        except (OSError, http.client.HTTPException):
            reset(request)
        finally:
            with self._lock:
                self._at_work -= 1

    def _answer(self, request: BaseHTTPRequestHandler, fault: Fault) -> None:
        released = self._released
        length = int(request.headers.get("Content-Length") or 0)
        if fault is Fault.RESET_REQUEST:
            request.rfile.read(length // 2)
            reset(request)
            return
        body = request.rfile.read(length)
        match fault:
            case Fault.DOWN:  # a connection that was opened before
                reset(request)
            case Fault.HANG:
                released.wait(self._stall_s)
                reset(request)
            case fault if fault in _RESPONSES:
                answer(request, *_RESPONSES[fault])
            case _:
                if fault in (Fault.LATE, Fault.SLOW):
                    released.wait(self._stall_s if fault is Fault.LATE else 1.0)
                self._forward(request, body, fault)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
        connection = http.client.HTTPConnection(HOST, self.backend_port, timeout=_BACKEND_TIMEOUT_S)
        with contextlib.closing(connection):
            # The Host header is signed, so it must arrive as the client sent it.
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            connection.request(request.command, request.path, body or None, headers)
            response = connection.getresponse()
            status, headers, content = response.status, dict(response.getheaders()), response.read()
        if request.command == "HEAD" and fault is not Fault.ERROR_AFTER:
            _head(request, status, int(headers.get("content-length", 0)), headers)
            return
        match fault:
            case Fault.ERROR_AFTER:
                answer(request, 500, b'{"error":"InternalError","message":"made to fail"}', _JSON)
            case Fault.RESET_ANSWER:
                _head(request, status, len(content) + 1, headers)
                request.wfile.write(content[: len(content) // 2])
                request.wfile.flush()
                reset(request)
            case _:
                answer(request, status, content, headers)


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Ignore broken connections: this server breaks them on purpose."""


def listen(port: int, handle: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    """Serve HTTP in threads on this machine and give each request to `handle`. Port 0 means a free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            handle(self)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    server = _Server((HOST, port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def answer(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    _head(request, status, len(body), headers)
    if request.command != "HEAD":
        request.wfile.write(body)
    request.wfile.flush()


def _head(request: BaseHTTPRequestHandler, status: int, length: int, headers: Mapping[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        if name.lower() not in _NOT_FORWARDED:
            request.send_header(name, value)
    request.send_header("Content-Length", str(length))
    request.end_headers()


def reset(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
