"""Scripted model hosts on loopback, in the protocols of Ollama and of OpenAI."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from docwell.adapters.model_hosts import OllamaModel, OpenAiModel
from docwell.answers import Completion, Message
from docwell.deadline import run

SECRET = "the vault opens at nine"
ASK = [Message("system", "Be brief."), Message("user", SECRET)]
DEADLINE = 1.5
SLACK = 2.0

Model = OllamaModel | OpenAiModel
# What a host does with a connection, once it has read the request.
Script = Callable[[socket.socket], None]


class Host:
    """A server that plays one script for each connection in turn, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[dict[str, Any]] = []
        self.closed_by_client = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # Closing alone would leave it open for the thread in accept.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            threading.Thread(target=self._play, args=(connection, script), daemon=True).start()

    def _play(self, connection: socket.socket, script: Script) -> None:
        with connection:
            self.requests.append(read_request(connection))
            try:
                script(connection)
            except OSError:
                self.closed_by_client.set()


def read_request(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    ]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    request: dict[str, Any] = json.loads(body or b"{}")
    return {"path": head.split()[1].decode()} | request


def whole(status: str, value: object) -> Script:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def stream(*lines: bytes, end: bool = True) -> Script:
    """Return a script that sends lines in chunks, without the last chunk unless `end`."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in lines:
            chunk(connection, line)
        if end:
            connection.sendall(b"0\r\n\r\n")

    return script


def chunk(connection: socket.socket, data: bytes) -> None:
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def then(*scripts: Script) -> Script:
    def script(connection: socket.socket) -> None:
        for part in scripts:
            part(connection)

    return script


def stall(connection: socket.socket) -> None:
    """Send nothing until the client closes the connection."""
    connection.settimeout(20)
    if connection.recv(1) == b"":
        raise ConnectionResetError


def trickle(connection: socket.socket) -> None:
    """Send a byte of an endless line now and then: no read ever times out."""
    while True:
        chunk(connection, b" ")
        time.sleep(0.05)


def balancer_without_hosts(connection: socket.socket) -> None:
    """Answer as an ALB whose target group is empty."""
    head = "HTTP/1.1 503 Service Temporarily Unavailable\r\nServer: awselb/2.0\r\nContent-Type: text/html\r\n"
    connection.sendall(f"{head}Content-Length: 13\r\n\r\n<html></html>".encode())


@dataclass(frozen=True)
class Protocol:
    """How a host of one protocol answers."""

    name: str
    make: Callable[..., Model]
    piece: Callable[[str], bytes]
    # The end of an answer, with its reason, tokens read and tokens written.
    last: Callable[[str, int, int], bytes]
    error_line: bytes
    # Lines that are no part of an answer.
    wrong_lines: tuple[bytes, ...]

    def endless(self, connection: socket.socket) -> None:
        """Send tokens without end."""
        while True:
            chunk(connection, self.piece("x"))
            time.sleep(0.05)

    @contextmanager
    def playing(self, *scripts: Script, sleeps: bool = False) -> Iterator[tuple[Host, Model]]:
        host = Host(*scripts)
        try:
            yield host, self.make(host.url, sleeps=sleeps)
        finally:
            host.close()


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _ollama_piece(text: str, **more: Any) -> bytes:
    return _line({"model": "m", "message": {"role": "assistant", "content": text}, "done": False} | more)


def _openai_piece(text: str) -> bytes:
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def _openai_last(reason: str, read: int, written: int) -> bytes:
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    end = _event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return end + _event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n"


OLLAMA = Protocol(
    name="ollama",
    make=lambda url, sleeps=False: OllamaModel(
        url, "m", num_ctx=2048, num_predict=99, keep_alive="9m", sleeps=sleeps
    ),
    piece=_ollama_piece,
    last=lambda reason, read, written: _ollama_piece(
        "", done=True, done_reason=reason, prompt_eval_count=read, eval_count=written
    ),
    error_line=_line({"error": f"answer-text {SECRET}"}),
    wrong_lines=(
        b'{"message": "answer-text\n',
        _line(["answer-text"]),
        _line({"message": {"role": "assistant", "content": ["answer-text"]}}),
    ),
)
OPENAI = Protocol(
    name="openai",
    make=lambda url, sleeps=False: OpenAiModel(f"{url}/v1", "m", num_predict=99, sleeps=sleeps),
    piece=_openai_piece,
    last=_openai_last,
    error_line=_event({"error": {"message": f"answer-text {SECRET}", "code": 500}}),
    wrong_lines=(
        b'data: {"choices": "answer-text\n\n',
        _event(["answer-text"]),
        _event({"choices": [{"delta": {"content": ["answer-text"]}}]}),
        _event({"choices": [{"text": "answer-text"}]}),
        _event({"choices": [], "usage": {"prompt_tokens": "answer-text"}}),
    ),
)


def answer(model: Model, timeout_s: float = DEADLINE) -> tuple[list[str], Completion]:
    """Return the pieces and the completion of a chat."""

    async def pieces() -> list[str | Completion]:
        return [piece async for piece in model.chat(ASK, timeout_s)]

    *texts, completion = run(pieces())
    assert isinstance(completion, Completion)
    return [text for text in texts if isinstance(text, str)], completion
