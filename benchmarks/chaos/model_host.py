"""A model host that speaks Ollama's protocol, and fails byte by byte on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

from infra.local.names import HOST

MODEL = "chaos:1b"
# So long that one environment of the function never answers two questions at once.
_ANSWER_S = 0.3
_TOKENS_BEFORE = 5
# Longer than any deadline of a run.
_HANG_S = 600.0
_LINES = "application/x-ndjson"


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


class ModelHost:
    """Listens on a free port of this machine. `says` is its answer while it is well."""

    def __init__(self, says: str) -> None:
        self.misdeed = Misdeed.NONE
        self.chats = 0
        self.says = says
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}"

    def behave(self, misdeed: Misdeed) -> None:
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

    def wait(self, seconds: float) -> None:
        self._closed.wait(seconds)

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
        with suppress(OSError), connection:
            path = _request_path(connection)
            if path is not None:
                _Exchange(connection, self).answer(path)
        with self._lock:
            self._open.discard(connection)

    def _cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Exchange:
    """One request on one connection, which then closes."""

    def __init__(self, connection: socket.socket, host: ModelHost) -> None:
        self._send = connection.sendall
        self._connection = connection
        self._host = host

    def answer(self, path: str) -> None:
        asked = path in {"/api/chat", "/api/generate"}
        self._host.chats += asked
        misdeed = self._host.misdeed
        if not asked and misdeed not in _WHOLE_HOST:
            self._small(path)
            return
        match misdeed:
            case Misdeed.NOT_FOUND:
                self._whole(404, {"error": f"model '{MODEL}' not found"})
            case Misdeed.BUSY:
                self._whole(503, {"error": "server busy, please try again"})
            case Misdeed.HTML:
                self._head(200, "text/html", b"<html><h1>Sign in to the network</h1></html>")
            case Misdeed.EMPTY:
                self._head(200, _LINES, b"")
            case Misdeed.WRONG_JSON:
                self._head(200, _LINES, b'{"choices":[{"text":7}]}\n[1]\n')
            case Misdeed.HANG:
                self._host.wait(_HANG_S)
            case Misdeed.HEADER_DRIP:
                self._send(b"HTTP/1.1 200 OK\r\n")
                self._forever(lambda: b"X-Wait: more\r\n", drip=True)
            case _:
                self._stream(misdeed)

    def _small(self, path: str) -> None:
        card = {"model_info": {"general.architecture": "llama", "llama.context_length": 8192}}
        tag = {"name": MODEL, "model": MODEL, "digest": "c" * 64, "size": 1}
        answers: dict[str, dict[str, Any]] = {
            "/api/show": card | {"details": {"family": "llama"}, "capabilities": ["completion"]},
            "/api/tags": {"models": [tag]},
            "/api/ps": {"models": [tag]},
            "/api/version": {"version": "0.12.0"},
        }
        self._whole(200, answers.get(path, {}))

    def _stream(self, misdeed: Misdeed) -> None:
        self._head(200, _LINES)
        self._host.wait({Misdeed.SLOW: 1.0, Misdeed.TOO_SLOW: _HANG_S}.get(misdeed, _ANSWER_S))
        match misdeed:
            case Misdeed.NONE | Misdeed.SLOW | Misdeed.TOO_SLOW:
                words = self._host.says.split(" ")
                for word in words:
                    self._chunk(_line(f"{word} "))
                self._chunk(_line("", done=True, done_reason="stop", prompt_eval_count=900, eval_count=len(words)))
                self._end()
            case Misdeed.BODY_DRIP | Misdeed.ENDLESS_LINE:
                self._chunk(b'{"message":{"content":"')
                drip = misdeed is Misdeed.BODY_DRIP
                self._forever(lambda: _framed(b"x" if drip else b"x" * 65_536), pause_s=0.1 if drip else 0.05)
            case Misdeed.FLOOD:
                self._forever(lambda: _framed(_line("more ")), pause_s=0.002)
            case _:
                self._broken(misdeed)

    def _broken(self, misdeed: Misdeed) -> None:
        for number in range(_TOKENS_BEFORE):
            self._chunk(_line(f"word{number} "))
        match misdeed:
            case Misdeed.STALL:
                self._host.wait(_HANG_S)
            case Misdeed.MALFORMED:
                self._chunk(b'{"message": {"content": "abc\n')
                self._end()
            case Misdeed.ERROR_LINE:
                self._chunk(b'{"error": "an error was encountered while running the model"}\n')
                self._end()
            case Misdeed.ENDS_EARLY:
                self._end()
            case _:
                # With this option, closing sends RST.
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _forever(self, piece: Callable[[], bytes], pause_s: float = 0.1, *, drip: bool = False) -> None:
        """Send until the client leaves or the next row begins: then sending fails. `drip` sends bytes."""
        while True:
            content = piece()
            for part in [content[i : i + 1] for i in range(len(content))] if drip else [content]:
                self._send(part)
                time.sleep(pause_s)

    def _whole(self, status: int, body: dict[str, Any]) -> None:
        self._head(status, "application/json", json.dumps(body).encode())

    def _head(self, status: int, kind: str, body: bytes | None = None) -> None:
        """Send status and headers, and the body; chunks follow where the body is None."""
        length = "Transfer-Encoding: chunked" if body is None else f"Content-Length: {len(body)}"
        head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nConnection: close\r\n{length}\r\n\r\n"
        self._send(head.encode() + (body or b""))

    def _chunk(self, data: bytes) -> None:
        self._send(_framed(data))

    def _end(self) -> None:
        self._send(b"0\r\n\r\n")


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _line(content: str, *, done: bool = False, **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": MODEL, "message": message, "done": done, **more}).encode() + b"\n"


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
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
