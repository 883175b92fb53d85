"""A proxy in front of Chroma that makes its answers go wrong in every way that a network and a server can."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from enum import StrEnum
from http.server import BaseHTTPRequestHandler

from benchmarks.listening import listen
from infra.local.names import HOST

_BACKEND_TIMEOUT_S = 60.0


class Fault(StrEnum):
    """What can happen to a request."""

    NONE = "none"
    RESET_REQUEST = "reset while the request was sent"
    RESET_ANSWER = "reset in the middle of the answer"
    ERROR_BEFORE = "503 before anything was done"
    ERROR_AFTER = "500 after it was done"
    STALL = "stall, and never done"
    LATE = "stall, and done long after the client went away"
    TRICKLE = "an answer of some bytes at a time"


class FaultProxy:
    """HTTP in front of one port. `probability` of a fault for each request while `faults` is not empty."""

    def __init__(self, backend_port: int, seed: str, *, stall_s: float) -> None:
        """Listen on a free port; a stall lasts `stall_s` seconds."""
        self.faults: tuple[Fault, ...] = ()
        self.probability = 0.3
        self.seen: Counter[str] = Counter()
        self._backend_port = backend_port
        self._random = random.Random(seed)
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._at_work = 0
        self._server = listen(0, self.handle)
        self.port = self._server.server_port
        self.url = f"http://{HOST}:{self.port}"

    def refuse(self, seconds: float) -> None:
        """Refuse every connection for a while."""
        self._server.shutdown()
        self._server.server_close()
        self.seen["connection refused"] += 1
        time.sleep(seconds)
        self._server = listen(self.port, self.handle)

    def quiet(self, timeout_s: float = 30.0) -> None:
        """Wait until no request is under way: late writes are done then."""
        self.faults = ()
        deadline = time.monotonic() + timeout_s
        while self._at_work and time.monotonic() < deadline:
            time.sleep(0.05)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request with its fault."""
        with self._lock:
            drawn = self._random.random() < self.probability and bool(self.faults)
            fault = self._random.choice(self.faults) if drawn else Fault.NONE
            self.seen[fault.value] += 1
            self._at_work += 1
        try:
            self._handle(handler, fault)
        except (OSError, http.client.HTTPException):
            _reset(handler)
        finally:
            with self._lock:
                self._at_work -= 1

    def _handle(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        if fault is Fault.RESET_REQUEST:
            handler.rfile.read(length // 2)
            _reset(handler)
            return
        body = handler.rfile.read(length)
        if fault is Fault.ERROR_BEFORE:
            _answer(handler, 503, b"{}")
            return
        if fault in (Fault.STALL, Fault.LATE):
            time.sleep(self._stall_s)
        if fault is Fault.STALL:
            _reset(handler)
            return
        status, answer = self._forward(handler, body)
        match fault:
            case Fault.ERROR_AFTER:
                _answer(handler, 500, b'{"error":"InternalError","message":"made to fail"}')
            case Fault.RESET_ANSWER:
                _head(handler, status, len(answer) + 1)
                handler.wfile.write(answer[: len(answer) // 2])
                handler.wfile.flush()
                _reset(handler)
            case Fault.TRICKLE:
                _head(handler, status, len(answer))
                for start in range(0, len(answer), max(1, len(answer) // 20)):
                    handler.wfile.write(answer[start : start + max(1, len(answer) // 20)])
                    handler.wfile.flush()
                    time.sleep(0.05)
            case _:
                _answer(handler, status, answer)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self._backend_port, timeout=_BACKEND_TIMEOUT_S)
        with contextlib.closing(connection):
            kept = {name: handler.headers[name] for name in ("Content-Type", "Accept") if name in handler.headers}
            connection.request(handler.command, handler.path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()


def _head(handler: BaseHTTPRequestHandler, status: int, length: int) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    _head(handler, status, len(body))
    handler.wfile.write(body)
    handler.wfile.flush()


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection with RST."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
