"""A model host that speaks Ollama's protocol as long as it is well, and misbehaves byte by byte when told to."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

from infra.local.names import HOST

MODEL = "chaos:1b"
CONTEXT = 8192
# Long enough that two questions at once are never answered by one environment of the function.
_ANSWER_S = 0.3
_TOKENS_BEFORE = 5
# Longer than any deadline of a run: "ten minutes" to those who ask, and nobody waits for them.
HANG_S = 600.0


class Misdeed(StrEnum):
    """What the host does to a question."""

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


# These meet every request; the others only what is asked of the model.
_WHOLE_HOST = {Misdeed.NOT_FOUND, Misdeed.BUSY, Misdeed.HTML, Misdeed.HEADER_DRIP, Misdeed.HANG}


class ModelHost:
    """Listens on a free port of this machine. `says` is its answer while it is well."""

    def __init__(self, says: str) -> None:
        """Listening, and well."""
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
        """From now on do this. What is under way is cut off, so that nothing of the last row is left."""
        was_down = self.misdeed is Misdeed.DOWN
        self.misdeed = misdeed
        self._cut_all()
        if misdeed is Misdeed.DOWN and not was_down:
            _close(self._listener)
        elif was_down and misdeed is not Misdeed.DOWN:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        """Answer no more."""
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

    def reply(self) -> Iterator[bytes]:
        """The lines of a good answer."""
        for word in self._says.split(" "):
            yield _token(word + " ")
        yield _line(
            {
                "model": MODEL,
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 900,
                "eval_count": len(self._says.split(" ")),
            }
        )

    def wait(self, seconds: float) -> None:
        """Sleep, unless the host is closed meanwhile."""
        self._closed.wait(seconds)


class _Exchange:
    """One request on one connection; the connection is closed after it."""

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
        whole = {
            Misdeed.NOT_FOUND: lambda: self._whole(404, {"error": f"model '{MODEL}' not found"}),
            Misdeed.BUSY: lambda: self._whole(503, {"error": "server busy, please try again"}),
            Misdeed.HTML: lambda: self._head(200, "text/html", b"<html><h1>Sign in to the network</h1></html>"),
            Misdeed.EMPTY: lambda: self._head(200, "application/x-ndjson", b""),
            Misdeed.WRONG_JSON: lambda: self._head(
                200, "application/x-ndjson", b'{"choices":[{"text":7}]}\n[1]\n'
            ),
            Misdeed.HANG: lambda: self._host.wait(HANG_S),
            Misdeed.HEADER_DRIP: self._drip_headers,
        }
        if misdeed in whole:
            whole[misdeed]()
        else:
            self._stream(misdeed)

    def _small(self, path: str) -> None:
        """What is asked of the host itself."""
        card = {"model_info": {"general.architecture": "llama", "llama.context_length": CONTEXT}}
        tag = {"name": MODEL, "model": MODEL, "digest": "c" * 64, "size": 1}
        answers: dict[str, dict[str, Any]] = {
            "/api/show": card | {"details": {"family": "llama"}, "capabilities": ["completion"]},
            "/api/tags": {"models": [tag]},
            "/api/ps": {"models": [tag]},
            "/api/version": {"version": "0.12.0"},
        }
        self._whole(200, answers.get(path, {}))

    def _stream(self, misdeed: Misdeed) -> None:
        waits = {Misdeed.SLOW: 1.0, Misdeed.TOO_SLOW: HANG_S}
        self._head(200, "application/x-ndjson")
        self._host.wait(waits.get(misdeed, _ANSWER_S))
        if misdeed is Misdeed.BODY_DRIP:
            self._forever(lambda: b"x", 0.1, start=b'{"message":{"content":"')
        elif misdeed is Misdeed.ENDLESS_LINE:
            self._forever(lambda: b"x" * 65_536, 0.05, start=b'{"message":{"content":"')
        elif misdeed is Misdeed.FLOOD:
            self._forever(lambda: _token("more "), 0.002)
        elif misdeed in {Misdeed.NONE, Misdeed.SLOW}:
            for line in self._host.reply():
                self._chunk(line)
            self._send(b"0\r\n\r\n")
        else:
            self._broken(misdeed)

    def _broken(self, misdeed: Misdeed) -> None:
        """Some tokens, then what the row is about."""
        for number in range(_TOKENS_BEFORE):
            self._chunk(_token(f"word{number} "))
        match misdeed:
            case Misdeed.STALL:
                self._host.wait(HANG_S)
            case Misdeed.MALFORMED:
                self._chunk(b'{"message": {"content": "abc\n')
                self._send(b"0\r\n\r\n")
            case Misdeed.ERROR_LINE:
                self._chunk(_line({"error": "an error was encountered while running the model"}))
                self._send(b"0\r\n\r\n")
            case Misdeed.ENDS_EARLY:
                self._send(b"0\r\n\r\n")
            case _:
                # Closing with this set sends RST.
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _drip_headers(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\n")
        while True:  # until the client goes away, or the next row begins: then sending fails
            for byte in b"X-Wait: more\r\n":
                self._send(bytes([byte]))
                self._host.wait(0.1)

    def _forever(self, piece: Callable[[], bytes], pause_s: float, start: bytes = b"") -> None:
        """Until the client goes away, or the next row begins."""
        if start:
            self._chunk(start)
        while True:
            self._chunk(piece())
            time.sleep(pause_s)

    def _whole(self, status: int, body: dict[str, Any]) -> None:
        self._head(status, "application/json", json.dumps(body).encode())

    def _head(self, status: int, kind: str, body: bytes | None = None) -> None:
        """Status and headers, and the body where it is known; without one, chunks follow."""
        length = "Transfer-Encoding: chunked" if body is None else f"Content-Length: {len(body)}"
        head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nConnection: close\r\n{length}\r\n\r\n"
        self._send(head.encode() + (body or b""))

    def _chunk(self, data: bytes) -> None:
        self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _token(text: str) -> bytes:
    return _line({"model": MODEL, "message": {"role": "assistant", "content": text}, "done": False})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _request_path(connection: socket.socket) -> str | None:
    """Read one request to its end; None where the client goes away first."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        if not piece:
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    request, *headers = head.decode("latin-1").split("\r\n")
    lengths = [line.split(":", 1)[1] for line in headers if line.lower().startswith("content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        piece = connection.recv(65_536)
        if not piece:
            return None
        missing -= len(piece)
    return request.split(" ")[1].partition("?")[0]


def _close(listener: socket.socket) -> None:
    """Wakes the thread that accepts, which closing alone does not."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
