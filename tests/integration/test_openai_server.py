"""The adapter of OpenAI's protocol on a real server of it: llama.cpp, with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import xllamacpp

from docwell.adapters.model_hosts import OpenAiModel
from docwell.answers import Message
from docwell.deadline import run
from docwell.errors import Unavailable
from docwell.query.model_host import whole

from .test_ollama_server import gguf

__all__ = ["gguf"]
pytestmark = pytest.mark.integration

CONTEXT = 512
ASK = [Message("user", "Name three colours.")]


@pytest.fixture(scope="module")
def url(gguf: Path) -> Iterator[str]:
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(gguf), {"small"}
    params.n_ctx, params.n_parallel, params.n_gpu_layers = CONTEXT, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup, params.verbosity = False, 0
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server  # stops it


def test_an_answer_has_its_text_and_the_servers_own_count(url: str) -> None:
    model = OpenAiModel(url, "small", num_predict=8)
    run(model.check())
    first, again = run(whole(model.chat(ASK, 60))), run(whole(model.chat(ASK, 60)))
    assert first.text == again.text != ""
    assert (first.completion_tokens, first.done_reason) == (8, "length")
    # llama.cpp counts the tokens that it kept from the first time, too.
    assert again.prompt_tokens == first.prompt_tokens > len(ASK[0].content.split())


def test_a_prompt_that_is_too_long_is_refused_and_not_cut(url: str) -> None:
    prompt = [Message("user", " ".join(f"apple{number}" for number in range(CONTEXT)))]
    with pytest.raises(Unavailable) as caught:
        run(whole(OpenAiModel(url, "small", num_predict=8).chat(prompt, 60)))
    assert caught.value.retry_after is None
    assert "exceeds the available context size" in caught.value.detail
    assert "apple" not in caught.value.detail
