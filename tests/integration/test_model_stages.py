"""The stages that ask the model host, on a small real model: structure and charges, not sense."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docwell.adapters.ollama import OllamaModel
from docwell.answers import Usage
from docwell.deadline import run
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.expansion import WORDINGS_TOKENS, Expansion
from docwell.query.retrieval.reranking import ORDER_TOKENS, RERANKED, ListwiseReranker

from .test_ollama_server import MODEL, gguf, running

pytestmark = pytest.mark.integration
__all__ = ["gguf"]  # a fixture of this module too

CONTEXT = 2048
QUESTION = "How often is the boiler inspected?"
TEXTS = ["The boiler is inspected every March. " * 40, "日本語の文章です。" * 40, "Bicycles stand outside."] * 7


@pytest.fixture(scope="module")
def host(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaModel]:
    with running(gguf, tmp_path_factory.mktemp("ollama") / "log", CONTEXT) as (_, address):
        yield OllamaModel(address, MODEL, num_ctx=CONTEXT, num_predict=400)


def test_twenty_passages_fit_the_hosts_context_in_one_call(host: OllamaModel) -> None:
    model = host.writing_at_most(ORDER_TOKENS)
    reranker = ListwiseReranker(model, load_prompt("rerank"), CONTEXT - ORDER_TOKENS)
    reranking = run(reranker.rerank(QUESTION, TEXTS[:RERANKED], 120))
    # The server rejects a prompt over its context.
    assert 0 < reranking.usage.prompt_tokens <= CONTEXT - ORDER_TOKENS
    assert 0 < reranking.usage.completion_tokens <= ORDER_TOKENS
    assert len(reranking.scores) in {0, RERANKED}


def test_wordings_are_short_lines_and_are_charged_once(host: OllamaModel) -> None:
    model = host.writing_at_most(WORDINGS_TOKENS)
    expansion = Expansion(model, load_prompt("expand"), CONTEXT - WORDINGS_TOKENS)
    first = run(expansion.expand("ann", QUESTION, 120))
    assert 0 < first.usage.completion_tokens <= WORDINGS_TOKENS
    assert all(re.fullmatch(r"\S.{0,119}", text) for text in first.texts)
    assert 0 < len(first.texts) <= 3
    again = run(expansion.expand("ann", QUESTION, 120))
    assert (again.texts, again.usage) == (first.texts, Usage())


def test_a_stage_without_enough_time_gives_nothing_and_is_charged_its_prompt(host: OllamaModel) -> None:
    reranker = ListwiseReranker(host.writing_at_most(ORDER_TOKENS), load_prompt("rerank"), CONTEXT - ORDER_TOKENS)
    reranking = run(reranker.rerank(QUESTION, TEXTS[:RERANKED], 0.05))
    assert (reranking.scores, reranking.usage) == ((), reranker.reading(QUESTION, TEXTS[:RERANKED]))
