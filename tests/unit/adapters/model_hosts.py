"""Scripted model hosts on loopback that speak as Ollama, vLLM, llama.cpp and LM Studio do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from docwell.adapters.model_hosts import ModelServer, OllamaModel, OpenAiModel
from docwell.answers import Completion, Message
from docwell.deadline import run

SECRET = "the vault opens at nine"
ASK = [Message("system", "Be brief."), Message("user", f"Say:\n{SECRET}")]
DEADLINE = 1.0
SLACK = 2.0
FIXED, USAGE = {"temperature": 0.0, "seed": 7}, {"include_usage": True}

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
    headers = dict(line.partition(b":")[::2] for line in head.lower().split(b"\r\n"))
    length = int(headers.get(b"content-length", 0))
    while len(body) < length:
        body += connection.recv(65536)
    request: dict[str, Any] = json.loads(body or b"{}")
    return {"path": head.split()[1].decode()} | request


def whole(status: str, value: object, *headers: str) -> Script:
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def stream(*lines: bytes, end: bool = True) -> Script:
    """Return a script that sends lines in chunks, without the last chunk unless `end`."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in lines:
            chunk(connection, line)
        if end:
            connection.sendall(b"0\r\n\r\n")

    return script


def raw(text: str, head: str, cut: int) -> Script:
    """Return a script that sends a text, in packets of `cut` bytes, chunked unless there is a `head`."""
    data = text.encode().replace("ÿ".encode(), b"\xff")  # a byte that is no UTF-8
    data = gzip.compress(data) if "gzip" in head else data
    size = cut or len(data) or 1
    packets = [data[start : start + size] for start in range(0, len(data), size)]
    return (lambda connection: connection.sendall(f"{head}\r\n\r\n".encode() + data)) if head else stream(*packets)


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
class Dialect:
    """How a kind of host answers."""

    name: str
    # A part of an answer, and a part of thinking in a separate field.
    piece: Callable[[str], bytes]
    thought: Callable[[str], bytes]
    # The end of an answer: its reason, then tokens read and written, or none.
    last: Callable[..., bytes]
    # The body of an error with a reason.
    error: Callable[[str], object]
    # What the host says about the model `m`, which can read 32,768 tokens.
    card: object
    # Fields of each request, and its path.
    sends: dict[str, Any]

    @property
    def protocol(self) -> str:
        return "ollama" if self.name == "ollama" else "openai"

    def model(self, url: str, name: str = "m", **settings: Any) -> ModelServer:
        settings = {"num_predict": 99, **settings}
        if self.protocol == "openai":
            return OpenAiModel(f"{url}/v1", name, **settings)
        return OllamaModel(url, name, num_ctx=2048, keep_alive="9m", **settings)

    def endless(self, connection: socket.socket) -> None:
        """Send tokens without end."""
        while True:
            chunk(connection, self.piece("x"))
            time.sleep(0.05)

    @contextmanager
    def playing(self, *scripts: Script, **settings: Any) -> Iterator[tuple[Host, ModelServer]]:
        host = Host(*scripts)
        try:
            yield host, self.model(host.url, **settings)
        finally:
            host.close()


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _ollama(message: dict[str, Any], **more: Any) -> bytes:
    message = {"role": "assistant", "content": "", **message}
    return _line({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more})


def _ollama_last(reason: str, read: int = 0, written: int = 0) -> bytes:
    counts = {"prompt_eval_count": read, "eval_count": written}
    return _ollama({}, done=True, done_reason=reason, **{name: count for name, count in counts.items() if count})


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _choices(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return _event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def _openai_last(reason: str, read: int = 0, written: int = 0) -> bytes:
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    figures = _event({"id": "c", "choices": [], "usage": usage}) if read else b""
    return _choices({}, reason) + figures + b"data: [DONE]\n\n"


def _openai(name: str, thinking: str, error: Callable[[str], object], **card: Any) -> Dialect:
    return Dialect(
        name=name,
        piece=lambda text: _choices({"content": text}),
        thought=lambda text: _choices({thinking: text, "content": None}),
        last=_openai_last,
        error=error,
        card={"object": "list", "data": [{"id": "other", "max_model_len": 9}, {"id": "m", **card}]},
        sends={"path": "/v1/chat/completions", "stream_options": USAGE, "max_tokens": 99, **FIXED},
    )


OLLAMA = Dialect(
    name="ollama",
    piece=lambda text: _ollama({"content": text}),
    thought=lambda text: _ollama({"thinking": text}),
    last=_ollama_last,
    error=lambda text: {"error": text},
    card={"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}},
    sends={"path": "/api/chat", "keep_alive": "9m", "options": {"num_ctx": 2048, "num_predict": 99, **FIXED}},
)
VLLM = _openai(
    "vLLM",
    "reasoning",
    lambda text: {"error": {"message": text, "type": "BadRequestError", "param": None, "code": 400}},
    max_model_len=32768,
)
LLAMA_CPP = _openai(
    "llama.cpp",
    "reasoning_content",
    lambda text: {"error": {"code": 400, "message": text, "type": "invalid_request_error"}},
    meta={"n_ctx_train": 32768},
)
LM_STUDIO = _openai("LM Studio", "reasoning", lambda text: {"error": text}, max_model_len=32768)


def answer(
    model: ModelServer, timeout_s: float = DEADLINE, ask: Sequence[Message] = ASK
) -> tuple[list[str], Completion]:
    """Return the pieces and the completion of a chat."""

    async def pieces() -> list[str | Completion]:
        return [piece async for piece in model.chat(ask, timeout_s)]

    *texts, completion = run(pieces())
    assert isinstance(completion, Completion)
    return [text for text in texts if isinstance(text, str)], completion
