"""The particulars of Ollama: the options of every request, the card of a model and its digest."""

from __future__ import annotations

import pytest

from docwell.adapters.ollama import OllamaModel
from docwell.deadline import run
from docwell.errors import Corrupt, Unavailable

from .model_hosts import OLLAMA, answer, stream, whole

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


def test_a_card_without_a_context_length_is_corrupt() -> None:
    with OLLAMA.playing(whole("200 OK", {"model_info": {}})) as (_, model), pytest.raises(Corrupt):
        run(model.context_length())


@pytest.mark.parametrize("listed", ["m", "m:latest"])
def test_the_digest_is_what_the_host_lists_and_asked_once(listed: str) -> None:
    tags = {"models": [{"model": "other", "digest": "00"}, {"model": listed, "digest": "ab12"}]}
    with OLLAMA.playing(whole("200 OK", tags)) as (host, model):
        assert [run(model.digest()), run(model.digest())] == ["ab12", "ab12"]
        assert len(host.requests) == 1


def test_facts_of_a_host_that_failed_are_asked_for_again() -> None:
    tags = {"models": [{"model": "m", "digest": "ab12"}]}
    with OLLAMA.playing(whole("503 Service Unavailable", {"error": "busy"}), whole("200 OK", tags)) as (_, model):
        with pytest.raises(Unavailable):
            run(model.digest())
        assert run(model.digest()) == "ab12"
