"""The particulars of OpenAI's protocol: usage on request, comments in a stream, a list of models."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.adapters.openai_model import OpenAiModel
from docwell.deadline import run
from docwell.errors import ModelMissing, Unavailable

from .model_hosts import OPENAI, answer, stream, whole

_LAST = OPENAI.last("stop", 40, 2)
_ANSWER = stream(OPENAI.piece("Nine"), _LAST)


def test_every_request_asks_for_usage_and_one_reproducible_answer() -> None:
    with OPENAI.playing(_ANSWER) as (host, model):
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
