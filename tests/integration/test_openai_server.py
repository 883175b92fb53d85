"""The adapter of OpenAI's protocol on a real server of it: llama.cpp, with a small model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import xllamacpp

from docwell.adapters.openai_model import OpenAiModel
from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import DeadlineExceeded, ModelMissing, Unavailable
from docwell.query.model_host import whole

from .test_ollama_server import gguf

__all__ = ["gguf"]
pytestmark = pytest.mark.integration

CONTEXT = 512
ASK = [Message("user", "Name three colours.")]
LONG_STORY = [Message("user", "Tell me a very long story about a tree.")]


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


@pytest.mark.slow
def test_an_abandoned_answer_frees_the_server(url: str) -> None:
    async def first_piece() -> str | Completion:
        async with aclosing(OpenAiModel(url, "small", num_predict=400).chat(LONG_STORY, 60)) as pieces:
            return await anext(pieces)

    begun = time.process_time()  # the server is a thread of this process
    run(whole(OpenAiModel(url, "small", num_predict=100).chat(LONG_STORY, 60)))
    hundred_tokens = time.process_time() - begun
    assert isinstance(run(first_piece()), str)
    with pytest.raises(DeadlineExceeded):
        run(whole(OpenAiModel(url, "small", num_predict=400).chat(LONG_STORY, 0.5)))
    begun = time.process_time()
    run(whole(OpenAiModel(url, "small", num_predict=1).chat(ASK, 60)))
    assert time.process_time() - begun < hundred_tokens


def test_another_model_is_missing(url: str) -> None:
    with pytest.raises(ModelMissing):
        run(OpenAiModel(url, "absent", num_predict=8).check())
