"""The adapters of model hosts against scripted hosts on loopback: every failure has its type, in time."""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from docwell.adapters.model_hosts import OllamaModel, OpenAiModel
from docwell.answers import Completion
from docwell.deadline import run
from docwell.errors import Corrupt, DeadlineExceeded, DocwellError, ModelMissing, ModelWaking, Unavailable

from .model_hosts import (
    ASK,
    DEADLINE,
    OLLAMA,
    OPENAI,
    SECRET,
    SLACK,
    Model,
    Protocol,
    Script,
    answer,
    balancer_without_hosts,
    stall,
    stream,
    then,
    trickle,
    whole,
)


@pytest.fixture(params=[OLLAMA, OPENAI], ids=lambda protocol: protocol.name)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


def failure(model: Model) -> DocwellError:
    """Return the error of a chat; it must come within the deadline and quote no text."""
    begun = time.monotonic()
    with pytest.raises(DocwellError) as caught:
        answer(model)
    assert time.monotonic() - begun < DEADLINE + SLACK
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "answer-text" not in shown
    return caught.value


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_answer_is_joined_and_its_figures_are_kept(protocol: Protocol, reason: str) -> None:
    pieces = (protocol.piece("Nine"), protocol.piece(" [1]"), protocol.last(reason, 40, 2))
    with protocol.playing(stream(*pieces)) as (host, model):
        seen, completion = answer(model)
    assert completion == Completion("Nine [1]", 40, 2, reason)
    assert seen == ["Nine", " [1]"]
    assert model.name == "m"
    (request,) = host.requests
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}
    ]  # fmt: skip


def test_a_missing_model_is_not_retried(protocol: Protocol) -> None:
    with protocol.playing(whole("404 Not Found", {"error": f"model 'm' not found {SECRET}"})) as (host, model):
        error = failure(model)
    assert isinstance(error, ModelMissing)
    assert "'m'" in error.detail
    assert error.retry_after is None
    assert len(host.requests) == 1


@pytest.mark.parametrize(
    ("script", "sleeps"),
    [
        *((whole(f"{status} Error", {"error": f"answer-text {SECRET}"}), False) for status in (429, 500, 503)),
        (whole("503 Service Unavailable", {"error": "busy"}), True),
        (balancer_without_hosts, False),
        (lambda _: None, False),  # the connection closes
    ],
    ids=["429", "500", "503", "busy", "balancer", "closed"],
)
def test_a_server_error_may_be_retried(protocol: Protocol, script: Script, *, sleeps: bool) -> None:
    with protocol.playing(script, sleeps=sleeps) as (host, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert error.dependency == protocol.name
    assert error.retry_after
    assert len(host.requests) == 1


def test_a_load_balancer_without_hosts_means_that_they_sleep(protocol: Protocol) -> None:
    with protocol.playing(balancer_without_hosts, sleeps=True) as (_, model):
        assert isinstance(failure(model), ModelWaking)
        for call in (model.check, model.context_length):
            with pytest.raises(ModelWaking):
                run(call())


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "307 Temporary Redirect"])
def test_a_refused_request_is_not_sent_again(protocol: Protocol, status: str) -> None:
    with protocol.playing(whole(status, {"error": SECRET})) as (host, model):
        error = failure(model)
    assert type(error) is Unavailable
    assert error.retry_after is None
    assert len(host.requests) == 1


def test_an_answer_that_breaks_off_is_unavailable(protocol: Protocol) -> None:
    piece = protocol.piece("answer-text")
    broken = [stream(piece), stream(piece, end=False), stream(piece, protocol.error_line)]
    for script in [*broken, *(stream(piece, line) for line in protocol.wrong_lines)]:
        with protocol.playing(script) as (host, model):
            error = failure(model)
        assert type(error) is Unavailable
        assert len(host.requests) == 1


# Each takes a protocol: its piece of an answer, or its tokens without end.
Slow = Callable[[Protocol], Script]
SLOW: dict[str, Slow] = {
    "no header": lambda _: stall,
    "no text": lambda _: then(stream(end=False), stall),
    "half a text": lambda protocol: then(stream(protocol.piece("answer-text"), end=False), stall),
    "bytes of a line": lambda _: then(stream(end=False), trickle),
    "endless text": lambda protocol: then(stream(end=False), protocol.endless),
}


@pytest.mark.parametrize("slow", ["no header", "half a text", "endless text"])
def test_a_cancelled_answer_closes_its_connection_at_once(protocol: Protocol, slow: str) -> None:
    async def leave(model: Model) -> None:
        chat = asyncio.create_task(_read(model))
        await asyncio.sleep(0.3)
        chat.cancel()
        with pytest.raises(asyncio.CancelledError):
            await chat

    with protocol.playing(SLOW[slow](protocol)) as (host, model):
        begun = time.monotonic()
        run(leave(model))
        assert time.monotonic() - begun < 0.3 + SLACK
        assert host.closed_by_client.wait(SLACK)


async def _read(model: Model) -> None:
    async for _ in model.chat(ASK, 20):
        pass


@pytest.mark.parametrize("slow", SLOW)
def test_a_slow_answer_ends_at_the_deadline_and_closes_its_connection(protocol: Protocol, slow: str) -> None:
    with protocol.playing(SLOW[slow](protocol)) as (host, model):
        error = failure(model)
        assert isinstance(error, DeadlineExceeded)
        assert host.closed_by_client.wait(SLACK)
    assert len(host.requests) == 1


def test_an_address_that_does_not_answer_ends_at_the_deadline(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_lookup(*_: object, **__: object) -> None:
        time.sleep(4)
        raise OSError

    model = protocol.make("http://model.invalid:11434")
    monkeypatch.setattr(socket, "getaddrinfo", slow_lookup)
    assert isinstance(failure(model), DeadlineExceeded)


def test_check_finds_a_missing_model_and_a_dead_host(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    with protocol.playing(whole("404 Not Found", {"error": "no"})) as (host, model):
        with pytest.raises(ModelMissing):
            run(model.check())
        host.close()
        with pytest.raises(Unavailable):
            run(model.check())
        error = failure(model)
    assert isinstance(error, Unavailable)
    assert error.retry_after
    monkeypatch.setattr(f"{type(model).__module__}.CHECK_TIMEOUT_S", 0.3)
    with protocol.playing(stall) as (_, model), pytest.raises(DeadlineExceeded):
        run(model.check())


_ANSWER = stream(OLLAMA.piece("Nine"), OLLAMA.last("stop", 40, 2))


def test_every_request_has_the_options_that_keep_the_model_loaded() -> None:
    with OLLAMA.playing(_ANSWER) as (host, model):
        assert isinstance(model, OllamaModel)
        answer(model.writing_at_most(12))
        answer(model)
    short, long = host.requests
    assert long["keep_alive"] == "9m"
    assert long["options"] == {"num_ctx": 2048, "num_predict": 99, "temperature": 0.0, "seed": 7} == model.options
    assert short["options"] == long["options"] | {"num_predict": 12}


def test_check_and_context_length_read_the_models_card() -> None:
    card = {"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}}
    with OLLAMA.playing(whole("200 OK", card)) as (host, model):
        run(model.check())
        assert run(model.context_length()) == 32768
        assert run(model.context_length()) == 32768  # asked once
    assert [request["path"] for request in host.requests] == ["/api/show", "/api/show"]
    with OLLAMA.playing(whole("200 OK", {"model_info": {}})) as (_, model), pytest.raises(Corrupt):
        run(model.context_length())


@pytest.mark.parametrize("listed", ["m", "m:latest"])
def test_the_digest_is_read_once_from_the_list_of_models(listed: str) -> None:
    tags = {"models": [{"model": "other", "digest": "00"}, {"model": listed, "digest": "ab12"}]}
    with OLLAMA.playing(whole("200 OK", tags)) as (host, model):
        assert [run(model.digest()), run(model.digest())] == ["ab12", "ab12"]
        assert len(host.requests) == 1


_LAST = OPENAI.last("stop", 40, 2)
_OPENAI_ANSWER = stream(OPENAI.piece("Nine"), _LAST)


def test_every_request_asks_for_usage_and_one_reproducible_answer() -> None:
    with OPENAI.playing(_OPENAI_ANSWER) as (host, model):
        assert isinstance(model, OpenAiModel)
        answer(model.writing_at_most(12))
        answer(model)
    short, long = host.requests
    assert long["path"] == "/v1/chat/completions"
    assert (long["model"], long["stream"], long["stream_options"]) == ("m", True, {"include_usage": True})
    assert {name: long[name] for name in model.options} == {"max_tokens": 99, "temperature": 0.0, "seed": 7}
    assert short == long | {"max_tokens": 12}


@pytest.mark.parametrize(
    "lines",
    [
        (b": keep the connection\n\n", OPENAI.piece("Nine"), _LAST),
        (OPENAI.piece("Nine").replace(b"\n\n", b"\r\n\r\n"), _LAST),
        (OPENAI.piece("Nine").replace(b"data: ", b"data:"), _LAST),
        (
            b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n',
            OPENAI.piece("Nine"),
            _LAST,
        ),
        (OPENAI.piece("Nine"), _LAST.removesuffix(b"data: [DONE]\n\n")),
        (OPENAI.piece("Nine"), _LAST, OPENAI.piece("after the end")),
        (OPENAI.piece("Nine")[:9], OPENAI.piece("Nine")[9:], _LAST),
    ],
    ids=["comment", "CRLF", "no blank", "role first", "no DONE", "text after DONE", "line in two chunks"],
)
def test_a_stream_may_take_the_forms_that_servers_send(lines: tuple[bytes, ...]) -> None:
    with OPENAI.playing(stream(*lines)) as (_, model):
        seen, completion = answer(model)
    assert seen == ["Nine"]
    assert (completion.prompt_tokens, completion.completion_tokens) == (40, 2)


def test_an_answer_without_usage_has_no_cost_and_is_refused() -> None:
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    refused = pytest.raises(Unavailable, match="include_usage")
    with OPENAI.playing(stream(OPENAI.piece("Nine"), end)) as (_, model), refused as caught:
        answer(model)
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    "card", [{"max_model_len": 32768}, {"meta": {"n_ctx_train": 32768}}], ids=["vLLM", "llama.cpp"]
)
def test_check_and_context_length_read_the_list_of_models(card: dict[str, Any]) -> None:
    cards = {"object": "list", "data": [{"id": "other", "max_model_len": 9}, {"id": "m", **card}]}
    with OPENAI.playing(whole("200 OK", cards)) as (host, model):
        run(model.check())
        assert run(model.context_length()) == 32768
        assert run(model.context_length()) == 32768  # asked once
        assert run(model.digest()) is None
    assert [request["path"] for request in host.requests] == ["/v1/models", "/v1/models"]


def test_a_model_that_is_not_listed_is_missing() -> None:
    with OPENAI.playing(whole("200 OK", {"data": [{"id": "other"}]})) as (_, model), pytest.raises(ModelMissing):
        run(model.check())
