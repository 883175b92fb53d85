"""A door in front of Chroma or DynamoDB that can be closed, made slow, or made to throttle."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from enum import StrEnum
from http.server import BaseHTTPRequestHandler

from benchmarks.listening import listen
from infra.local.names import HOST

_BACKEND_TIMEOUT_S = 60.0
# Longer than any deadline of a run.
_HANG_S = 600.0
_SLOW_S = 1.0
# Hop by hop, or made anew for the answer that is sent on.
_NOT_FORWARDED = {"connection", "content-length", "transfer-encoding", "host", "date", "server"}


class Trouble(StrEnum):
    """What happens to a request."""

    NONE = "well"
    DOWN = "down: connections refused"
    HANG = "accepts, and never answers"
    SLOW = "each request takes 1 s more"
    THROTTLED = "throttled"
    BROKEN = "500 to everything"


class TroubledDoor:
    """HTTP in front of one port. `backend_port` may be given later, before the first request."""

    def __init__(self) -> None:
        """Listening on a free port, and well."""
        self.backend_port = 0
        self.trouble = Trouble.NONE
        self._over = threading.Event()
        self._server = listen(0, self.handle)
        self.port = self._server.server_port
        self.url = f"http://{HOST}:{self.port}"

    def behave(self, trouble: Trouble) -> None:
        """From now on do this; requests that hang are let go."""
        was_down = self.trouble is Trouble.DOWN
        self.trouble = trouble
        self._over.set()
        self._over = threading.Event()
        if trouble is Trouble.DOWN and not was_down:
            self._server.shutdown()
            self._server.server_close()
        elif was_down and trouble is not Trouble.DOWN:
            self._server = listen(self.port, self.handle)

    def close(self) -> None:
        """Answer no more."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request with its trouble."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        trouble, over = self.trouble, self._over
        if trouble is Trouble.DOWN:  # on a connection from before
            handler.close_connection = True
            return
        if trouble in (Trouble.HANG, Trouble.SLOW):
            over.wait(_HANG_S if trouble is Trouble.HANG else _SLOW_S)
        if trouble is Trouble.HANG:
            handler.close_connection = True
        elif trouble is Trouble.THROTTLED:
            error = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"}
            _answer(handler, 400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(error).encode())
        elif trouble is Trouble.BROKEN:
            _answer(handler, 500, {"Content-Type": "application/json"}, b'{"error":"InternalError"}')
        else:
            _answer(handler, *self._forward(handler, body))

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(HOST, self.backend_port, timeout=_BACKEND_TIMEOUT_S)
        with contextlib.closing(connection):
            # The host is signed: it must arrive as it was sent.
            kept = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request(handler.command, handler.path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in _NOT_FORWARDED:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()
