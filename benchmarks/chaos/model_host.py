"""A model host that speaks Ollama's protocol, and fails byte by byte on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from itertools import repeat
from typing import Any

from infra.local.names import HOST

MODEL = "chaos:1b"
# So long that one environment of the function never answers two questions at once.
_ANSWER_S = 0.3
# Longer than any deadline of a run.
_HANG_S = 600.0


class Misdeed(StrEnum):
    """The host's failures."""

    NONE = "well"
    DOWN = "down: connections refused"
    NOT_FOUND = "404: no such model"
    BUSY = "503"
    SLOW = "1 s to the first token"
    TOO_SLOW = "no first token in time"
    STALL = "stall in mid-stream"
    MALFORMED = "malformed line"
    CUT = "connection reset in mid-stream"
    ENDS_EARLY = "stream ends without its last line"
    ERROR_LINE = "error line in mid-stream"
    WRONG_JSON = "JSON of another shape"
    HTML = "an HTML page under 200"
    EMPTY = "200 and nothing"
    HEADER_DRIP = "headers without end, a byte at a time"
    BODY_DRIP = "a line without end, a byte at a time"
    HANG = "10-minute hang"
    FLOOD = "tokens without end"
    ENDLESS_LINE = "a line without end, fast"


# These meet every request; the others only questions to the model.
_WHOLE_HOST = {Misdeed.NOT_FOUND, Misdeed.BUSY, Misdeed.HTML, Misdeed.HEADER_DRIP, Misdeed.HANG}
_CARD = {
    "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
    "details": {"family": "llama"},
}
_TAGS = {"models": [{"name": MODEL, "model": MODEL, "digest": "c" * 64, "size": 1}]}
_SMALL: dict[str, Any] = {
    "/api/show": _CARD | {"capabilities": ["completion"]},
    "/api/tags": _TAGS,
    "/api/ps": _TAGS,
    "/api/version": {"version": "0.12.0"},
}

# The steps of an answer: bytes to send, or seconds to wait.
Steps = Iterator[bytes | float]


def _head(status: int, kind: str, body: bytes | None = None) -> bytes:
    """Return status and headers, and the body; chunks follow where the body is None."""
    length = "Transfer-Encoding: chunked" if body is None else f"Content-Length: {len(body)}"
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nConnection: close\r\n{length}\r\n\r\n"
    return head.encode() + (body or b"")


def _json(status: int, body: Any) -> bytes:
    return _head(status, "application/json", json.dumps(body).encode())


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _token(content: str, *, done: bool = False, **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    return _chunk(json.dumps({"model": MODEL, "message": message, "done": done, **more}).encode() + b"\n")


def _steps(misdeed: Misdeed, says: str) -> Steps:
    """Yield the answer to a question."""
    match misdeed:
        case Misdeed.NOT_FOUND:
            yield _json(404, {"error": f"model '{MODEL}' not found"})
        case Misdeed.BUSY:
            yield _json(503, {"error": "server busy, please try again"})
        case Misdeed.HTML:
            yield _head(200, "text/html", b"<html><h1>Sign in to the network</h1></html>")
        case Misdeed.EMPTY:
            yield _head(200, "application/x-ndjson", b"")
        case Misdeed.WRONG_JSON:
            yield _head(200, "application/x-ndjson", b'{"choices":[{"text":7}]}\n[1]\n')
        case Misdeed.HANG:
            yield _HANG_S
        case Misdeed.HEADER_DRIP:
            yield b"HTTP/1.1 200 OK\r\n"
            for header in repeat(b"X-Wait: more\r\n"):
                for i in range(len(header)):
                    yield header[i : i + 1]
                    yield 0.1
        case _:
            yield _head(200, "application/x-ndjson")
            yield {Misdeed.SLOW: 1.0, Misdeed.TOO_SLOW: _HANG_S}.get(misdeed, _ANSWER_S)
            yield from _stream(misdeed, says)


def _stream(misdeed: Misdeed, says: str) -> Steps:
    endless = {
        Misdeed.BODY_DRIP: (_chunk(b"x"), 0.1),
        Misdeed.ENDLESS_LINE: (_chunk(b"x" * 65_536), 0.05),
        Misdeed.FLOOD: (_token("more "), 0.002),
    }
    if misdeed in endless:
        piece, pause_s = endless[misdeed]
        yield b"" if misdeed is Misdeed.FLOOD else _chunk(b'{"message":{"content":"')
        while True:
            yield piece
            yield pause_s
    well = misdeed in {Misdeed.NONE, Misdeed.SLOW}
    for word in says.split(" ") if well else ["word"] * 5:
        yield _token(f"{word} ")
    last = {
        Misdeed.MALFORMED: _chunk(b'{"message": {"content": "abc\n'),
        Misdeed.ERROR_LINE: _chunk(b'{"error": "an error was encountered while running the model"}\n'),
        Misdeed.ENDS_EARLY: b"",
    }
    if misdeed is Misdeed.STALL:
        yield _HANG_S
    elif well:
        yield _token("", done=True, done_reason="stop", prompt_eval_count=900, eval_count=len(says.split(" ")))
        yield b"0\r\n\r\n"
    elif misdeed in last:
        yield last[misdeed] + b"0\r\n\r\n"


class ModelHost:
    """Listens on a free port of this machine. `says` is its answer while it is well."""

    def __init__(self, says: str) -> None:
        self.misdeed = Misdeed.NONE
        self.chats = 0
        self._says = says
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}"

    def behave(self, misdeed: Misdeed) -> None:
        """Fail like this from now on, and cut off what is under way."""
        was_down = self.misdeed is Misdeed.DOWN
        self.misdeed = misdeed
        self._cut_all()
        if misdeed is Misdeed.DOWN and not was_down:
            _close(self._listener)
        elif was_down and misdeed is not Misdeed.DOWN:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        self._closed.set()
        _close(self._listener)
        self._cut_all()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((HOST, port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            # Sending fails when the client leaves, or when the next row begins.
            with suppress(OSError), connection:
                self._answer(connection)
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket) -> None:
        path, misdeed = _request_path(connection), self.misdeed
        if path is None:
            return
        asked = path in {"/api/chat", "/api/generate"}
        self.chats += asked
        if not asked and misdeed not in _WHOLE_HOST:
            connection.sendall(_json(200, _SMALL.get(path, {})))
            return
        for step in _steps(misdeed, self._says):
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                self._closed.wait(step)
        if misdeed is Misdeed.CUT:  # with this option, closing sends RST
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _request_path(connection: socket.socket) -> str | None:
    """Read one request to its end; None where the client leaves first."""
    with connection.makefile("rb") as lines:
        request = lines.readline().decode("latin-1").split(" ")
        length = 0
        while (header := lines.readline().decode("latin-1").strip().lower()) != "":
            if header.startswith("content-length:"):
                length = int(header.partition(":")[2])
        body = lines.read(length)
    return request[1].partition("?")[0] if len(request) > 1 and len(body) == length else None


def _close(listener: socket.socket) -> None:
    with suppress(OSError):  # wakes the thread that accepts
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
