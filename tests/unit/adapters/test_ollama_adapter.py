"""The Ollama adapter against a scripted host on loopback: every failure has its type, in time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import traceback
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from docwell.adapters.ollama import OllamaModel
from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import Corrupt, DeadlineExceeded, DocwellError, ModelMissing, ModelWaking, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "the vault opens at nine"
ASK = [Message("system", "Be brief."), Message("user", SECRET)]
DEADLINE = 1.5
SLACK = 0.5


class Host:
    """A server that plays one script for each connection in turn, the last one again and again."""

    def __init__(self, *scripts: Callable[[socket.socket], None]) -> None:
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

    def _play(self, connection: socket.socket, script: Callable[[socket.socket], None]) -> None:
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


def whole(status: str, value: object) -> Callable[[socket.socket], None]:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def stream(*lines: object, end: bool = True) -> Callable[[socket.socket], None]:
    """Return a script that sends JSON lines (bytes as they are) in chunks, without the last chunk unless `end`."""

    def script(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head)
        for line in lines:
            chunk(connection, line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        if end:
            connection.sendall(b"0\r\n\r\n")

    return script


def chunk(connection: socket.socket, data: bytes) -> None:
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def then(*scripts: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
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


def endless(connection: socket.socket) -> None:
    """Send tokens without end."""
    while True:
        chunk(connection, json.dumps(piece("x")).encode() + b"\n")
        time.sleep(0.05)


def piece(text: str) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", "content": text}, "done": False}


def last(**figures: Any) -> dict[str, Any]:
    return piece("") | {"done": True, "done_reason": "stop"} | figures


def balancer_without_hosts(connection: socket.socket) -> None:
    """Answer as an ALB whose target group is empty."""
    head = "HTTP/1.1 503 Service Temporarily Unavailable\r\nServer: awselb/2.0\r\nContent-Type: text/html\r\n"
    connection.sendall(f"{head}Content-Length: 13\r\n\r\n<html></html>".encode())


@contextmanager
def playing(*scripts: Callable[[socket.socket], None], sleeps: bool = False) -> Iterator[tuple[Host, OllamaModel]]:
    host = Host(*scripts)
    try:
        yield host, OllamaModel(host.url, "m", num_ctx=2048, num_predict=99, keep_alive="9m", sleeps=sleeps)
    finally:
        host.close()


def answer(model: OllamaModel, timeout_s: float = DEADLINE) -> tuple[list[str], Completion]:
    """Return the pieces and the completion of a chat."""

    async def pieces() -> list[str | Completion]:
        return [piece async for piece in model.chat(ASK, timeout_s)]

    *texts, completion = run(pieces())
    assert isinstance(completion, Completion)
    return [text for text in texts if isinstance(text, str)], completion


def failure(model: OllamaModel) -> DocwellError:
    """Return the error of a chat; it must come within the deadline and quote nothing."""
    begun = time.monotonic()
    with pytest.raises(DocwellError) as caught:
        answer(model)
    assert time.monotonic() - begun < DEADLINE + SLACK
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "answer-text" not in shown
    return caught.value


def test_an_answer_is_joined_and_its_figures_are_kept() -> None:
    script = stream(piece("Nine"), piece(" [1]"), last(prompt_eval_count=40, eval_count=2))
    with playing(script) as (host, model):
        seen, completion = answer(model)
    assert completion.text == "Nine [1]"
    assert seen == ["Nine", " [1]"]
    assert (completion.prompt_tokens, completion.completion_tokens) == (40, 2)
    assert completion.done_reason == "stop"
    assert model.name == "m"
    (request,) = host.requests
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}
    ]  # fmt: skip
    assert request["keep_alive"] == "9m"
    assert request["options"] == {"num_ctx": 2048, "num_predict": 99, "temperature": 0.0, "seed": 7}


def test_an_answer_that_was_cut_off_says_so() -> None:
    with playing(stream(piece("Nine"), last(done_reason="length"))) as (_, model):
        assert answer(model)[1].done_reason == "length"


def test_a_missing_model_is_told_how_to_get_it_and_not_asked_for_again() -> None:
    with playing(whole("404 Not Found", {"error": f"model 'm' not found {SECRET}"})) as (host, model):
        error = failure(model)
    assert isinstance(error, ModelMissing)
    assert "ollama pull m" in error.detail
    assert error.retry_after is None
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_host_with_an_error_may_be_asked_again(status: str) -> None:
    with playing(whole(status, {"error": f"answer-text {SECRET}"})) as (host, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert error.dependency == "ollama"
    assert error.retry_after
    assert len(host.requests) == 1


def test_a_load_balancer_without_hosts_means_that_they_sleep() -> None:
    with playing(balancer_without_hosts, sleeps=True) as (_, model):
        assert isinstance(failure(model), ModelWaking)
        for call in (model.check, model.context_length, model.digest):
            with pytest.raises(ModelWaking):
                run(call())


def test_a_503_of_ollama_or_of_hosts_that_never_sleep_is_a_failure() -> None:
    busy = whole("503 Service Unavailable", {"error": "server busy"})
    for script, sleeps in ((balancer_without_hosts, False), (busy, True)):
        with playing(script, sleeps=sleeps) as (_, model):
            assert type(failure(model)) is Unavailable


def test_a_refused_request_is_not_sent_again() -> None:
    with playing(whole("400 Bad Request", {"error": SECRET})) as (host, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert error.retry_after is None
    assert len(host.requests) == 1


def test_no_host_is_unavailable() -> None:
    with playing(stall) as (host, model):
        host.close()
        error = failure(model)
    assert type(error) is Unavailable
    assert error.retry_after


@pytest.mark.parametrize(
    "broken",
    [
        stream(piece("answer-text"), b'{"message": "answer-text\n'),
        stream(piece("answer-text"), ["answer-text"]),
        stream(piece("answer-text"), {"message": {"role": "assistant", "content": ["answer-text"]}}),
        stream(piece("answer-text")),
        stream(piece("answer-text"), end=False),
        stream(piece("answer-text"), {"error": f"answer-text {SECRET}"}),
    ],
    ids=["no JSON", "no object", "wrong type", "no last line", "cut off", "error line"],
)
def test_an_answer_that_breaks_off_is_unavailable(
    broken: Callable[[socket.socket], None],
) -> None:
    with playing(broken) as (host, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert len(host.requests) == 1


def test_a_connection_that_closes_before_any_text_may_be_tried_again() -> None:
    with playing(lambda _: None) as (_, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert error.retry_after


@pytest.mark.parametrize(
    "slow", [stall, then(stream(piece("answer-text"), end=False), stall), then(stream(end=False), endless)],
    ids=["no header", "half a text", "endless text"],
)  # fmt: skip
def test_an_answer_that_is_given_up_ends_at_once_and_the_host_is_let_go(
    slow: Callable[[socket.socket], None],
) -> None:
    async def leave(model: OllamaModel) -> None:
        chat = asyncio.create_task(_read(model))
        await asyncio.sleep(0.3)
        chat.cancel()
        with pytest.raises(asyncio.CancelledError):
            await chat

    with playing(slow) as (host, model):
        begun = time.monotonic()
        run(leave(model))
        assert time.monotonic() - begun < 0.3 + SLACK
        assert host.closed_by_client.wait(SLACK)


async def _read(model: OllamaModel) -> None:
    async for _ in model.chat(ASK, 20):
        pass


def test_a_reader_that_stops_early_lets_the_host_go() -> None:
    async def first_piece(model: OllamaModel) -> str | Completion:
        async with aclosing(model.chat(ASK, 20)) as pieces:
            return await anext(pieces)

    with playing(then(stream(end=False), endless)) as (host, model):
        assert run(first_piece(model)) == "x"
        assert host.closed_by_client.wait(SLACK)
    assert len(host.requests) == 1


def test_another_limit_to_the_answer_changes_nothing_else() -> None:
    with playing(stream(piece("Nine"), last())) as (host, model):
        answer(model.writing_at_most(12))
        answer(model)
    short, long = host.requests
    assert short["options"] == long["options"] | {"num_predict": 12}
    assert long["options"] == model.options


@pytest.mark.parametrize(
    "slow",
    [stall, then(stream(end=False), stall), then(stream(piece("answer-text"), end=False), stall),
     then(stream(end=False), trickle), then(stream(end=False), endless)],
    ids=["no header", "no text", "half a text", "bytes of a line", "endless text"],
)  # fmt: skip
def test_a_slow_host_ends_at_the_deadline_and_is_let_go(slow: Callable[[socket.socket], None]) -> None:
    with playing(slow) as (host, model):
        error = failure(model)
        assert isinstance(error, DeadlineExceeded)
        assert host.closed_by_client.wait(SLACK)
    assert len(host.requests) == 1


def test_an_address_that_does_not_answer_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_lookup(*_: object, **__: object) -> None:
        time.sleep(4)
        raise OSError

    model = OllamaModel("http://model.invalid:11434", "m", num_ctx=2048, num_predict=9)
    monkeypatch.setattr(socket, "getaddrinfo", slow_lookup)
    assert isinstance(failure(model), DeadlineExceeded)


def test_check_and_context_length_read_the_models_card() -> None:
    card = {"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}}
    with playing(whole("200 OK", card)) as (host, model):
        run(model.check())
        assert run(model.context_length()) == 32768
        assert run(model.context_length()) == 32768  # asked once
    assert [request["path"] for request in host.requests] == ["/api/show", "/api/show"]


def test_a_card_without_a_context_length_is_corrupt() -> None:
    with playing(whole("200 OK", {"model_info": {}})) as (_, model), pytest.raises(Corrupt):
        run(model.context_length())


@pytest.mark.parametrize("listed", ["m", "m:latest"])
def test_the_digest_is_what_the_host_lists_and_asked_once(listed: str) -> None:
    tags = {"models": [{"model": "other", "digest": "00"}, {"model": listed, "digest": "ab12"}]}
    with playing(whole("200 OK", tags)) as (host, model):
        assert [run(model.digest()), run(model.digest())] == ["ab12", "ab12"]
        assert len(host.requests) == 1


def test_a_host_that_lists_no_digest_has_none() -> None:
    with playing(whole("200 OK", {"models": [{"model": "other", "digest": "00"}]})) as (_, model):
        assert run(model.digest()) is None


def test_facts_of_a_host_that_failed_are_asked_for_again() -> None:
    tags = {"models": [{"model": "m", "digest": "ab12"}]}
    with playing(whole("503 Service Unavailable", {"error": "busy"}), whole("200 OK", tags)) as (_, model):
        with pytest.raises(Unavailable):
            run(model.digest())
        assert run(model.digest()) == "ab12"


def test_check_finds_a_missing_model_and_a_dead_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with playing(whole("404 Not Found", {"error": "no"})) as (host, model):
        with pytest.raises(ModelMissing):
            run(model.check())
        host.close()
        with pytest.raises(Unavailable):
            run(model.check())
    monkeypatch.setattr("docwell.adapters.ollama._CHECK_TIMEOUT_S", 0.3)
    with playing(stall) as (_, model), pytest.raises(DeadlineExceeded):
        run(model.check())
