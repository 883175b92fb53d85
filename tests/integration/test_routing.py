"""The router with real models, on questions that are not among its examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.answers import Mode
from docwell.identity import Principal
from docwell.models import Chunk, Passage
from docwell.query.ask import Searched
from docwell.query.modes import Modes, Router, example_texts
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.query.subject import find_subject
from tests.unit.fakes import FakeIndex, FakeLedger

pytestmark = pytest.mark.integration
HERE = Path(__file__)
# By mode and language; each ordinary question has the text that answers it, and each list its subject.
QUESTIONS: dict[str, dict[str, list[Any]]] = json.loads(HERE.with_name("router_questions.json").read_text("utf-8"))
# Lists in other words, and ordinary questions that begin as lists do: "Which documents does Acme ask for?"
REWORDED: dict[str, dict[str, list[Any]]] = json.loads(HERE.with_name("router_lists.json").read_text("utf-8"))
BUILT = HERE.parents[2] / "layers/embedder/model"
# A missed question about a document is answered from passages; another question taken for one is answered wrong.
MOST_MISSED, MOST_WRONG = 1 / 8, 1 / 16
# The share of ordinary questions that begin as lists do and are taken for lists.
MOST_TAKEN_FOR_LISTS = 1 / 6
# The router has examples in these languages. Other tests use languages without examples.
WITH_EXAMPLES = ("en", "de", "fr", "es", "zh")


class Errors(NamedTuple):
    """The errors on the questions of a language, as (wrong, of): missed, or taken for another mode."""

    overviews: tuple[int, int]
    collection: tuple[int, int]
    lists: tuple[int, int]
    ordinary: tuple[int, int]
    subjects: tuple[int, int]


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    return OnnxEmbedder(BUILT, 1, OnnxruntimeSession, for_questions=True)


def errors(
    embedder: OnnxEmbedder, questions: Mapping[str, Mapping[str, list[Any]]], language: str | None = "en"
) -> dict[str, Errors]:
    router = Router(embedder, language=language)
    figures = {}
    for name, ordinary in questions["passages"].items():
        texts = [text for _, text in ordinary]
        overviews = questions.get("overview", {}).get(name, [])
        lists = questions["list"].get(name, [])

        def wrong(mode: Mode | None, asked: Sequence[str], texts: Sequence[str] = texts) -> tuple[int, int]:
            keys = [f"{0 if mode is Mode.OVERVIEW else number}.pdf" for number in range(len(texts))]
            modes = [router.mode(searched(embedder, text, keys, texts)) for text in asked]
            return len(asked) - modes.count(mode), len(asked)

        def wrong_topic(asked: Sequence[str], texts: Sequence[str] = texts) -> tuple[int, int]:
            keys = [f"{number}.pdf" for number in range(len(texts))]
            topics = [router.topic(searched(embedder, text, keys, texts)) for text in asked]
            return len(asked) - topics.count("collection"), len(asked)

        collection = questions.get("collection", {}).get(name, [])
        subjects = [(find_subject(question), subject) for question, subject in lists]
        figures[name] = Errors(
            wrong(Mode.OVERVIEW, overviews),
            wrong_topic(collection),
            wrong(Mode.LIST, [question for question, _ in lists]),
            wrong(None, [question for question, _ in ordinary]),
            (sum(read is None or read.terms[0].text != subject for read, subject in subjects), len(lists)),
        )
    print(figures)  # noqa: T201 - docs/develop/modes.md has these figures
    return figures


@lru_cache
def _vectors(embedder: OnnxEmbedder, texts: tuple[str, ...]) -> NDArray[np.float32]:
    return embedder.embed_passages(texts)


def searched(embedder: OnnxEmbedder, text: str, keys: Sequence[str], texts: Sequence[str]) -> Searched:
    (vector,) = embedder.embed_queries([text])
    passages = tuple(
        Passage(key, key, "g", "v", Chunk(content, 1, 0, len(content), 0), float(score))
        for key, content, score in zip(keys, texts, _vectors(embedder, tuple(texts)) @ vector, strict=True)
    )
    scope = Scope(Principal("key:a", collections=None))
    return Searched(Mode.AUTO, text, scope, vector.tolist(), passages, tuple(dict.fromkeys(keys)), 5)


def share(figures: Mapping[str, Errors], kind: str, languages: Iterable[str]) -> float:
    """Return the share of errors among the questions of a kind in these languages."""
    wrong, asked = zip(*(getattr(figures[language], kind) for language in languages), strict=True)
    return float(sum(wrong) / sum(asked))


def test_no_question_is_an_example() -> None:
    overviews = [q for mode in ("overview", "collection") for group in QUESTIONS[mode].values() for q in group]
    pairs = [
        question
        for questions in (QUESTIONS, REWORDED)
        for mode in ("passages", "list")
        for group in questions[mode].values()
        for question, _ in group
    ]
    assert (len(overviews), len(pairs)) == (138, 246)
    assert not {*example_texts()} & {*overviews, *pairs}


def test_the_english_model_routes_questions_in_languages_with_examples(embedder: OnnxEmbedder) -> None:
    figures = errors(embedder, QUESTIONS)
    assert share(figures, "overviews", ["en"]) <= MOST_MISSED
    assert share(figures, "overviews", WITH_EXAMPLES) <= 2 * MOST_MISSED
    assert share(figures, "collection", ["en"]) <= MOST_MISSED
    assert share(figures, "ordinary", figures) <= MOST_WRONG
    assert share(figures, "lists", WITH_EXAMPLES) <= MOST_MISSED
    assert share(figures, "subjects", ["en"]) <= MOST_MISSED
    reworded = errors(embedder, REWORDED)
    assert share(reworded, "lists", WITH_EXAMPLES) <= MOST_MISSED
    assert share(reworded, "ordinary", WITH_EXAMPLES) <= MOST_TAKEN_FOR_LISTS


# Files with their first lines, and questions that name one: about all of it, or with the text that answers it.
NAMED: dict[str, Any] = json.loads(HERE.with_name("router_files.json").read_text("utf-8"))


def test_a_question_that_names_a_file_is_for_its_overview_only_if_it_is_about_all_of_it(
    embedder: OnnxEmbedder,
) -> None:
    asked = list[Searched]()

    class Overviews:
        def basis(self, searched: Searched) -> None:
            asked.append(searched)

    modes = Modes(Router(embedder), {Mode.OVERVIEW: Overviews()}, Retrieval(FakeLedger(), FakeIndex()))

    def is_overview(question: str, text: str = "") -> bool:
        pairs = [(key, part) for key, line in NAMED["files"].items() for part in (line, text) if part]
        keys, texts = zip(*pairs, strict=True)
        before = len(asked)
        modes.basis(searched(embedder, question, keys, texts))
        return len(asked) > before

    assert [question for question in NAMED["overview"] if not is_overview(question)] == []
    assert all(len(question.documents) == 1 for question in asked)
    assert [question for question, text in NAMED["passages"] if is_overview(question, text)] == []
