"""The router on vectors of which the cosines are known; tests/integration has its errors with real models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.models import Chunk, Passage
from docwell.query import subject
from docwell.query.examples import examples
from docwell.query.routing import Router
from tests.unit.fakes import FakeEmbedder

# Questions about a document are near the first axis, ordinary ones near the second, lists near the last.
OVERVIEW, ORDINARY, LIST = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)


class Axes(FakeEmbedder):
    calls = 0

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        known = {
            text: axis
            for subject in (r"\1", "X")
            for mode, axis in ((Mode.OVERVIEW, OVERVIEW), (Mode.LIST, LIST))
            for text in examples(subject)[mode]
        }
        return np.array([known.get(text, ORDINARY) for text in texts], dtype=np.float32)


def passage(score: float) -> Passage:
    return Passage("id", "a.pdf", "g", "v", Chunk("text", 1, 0, 4, 1), score)


@pytest.mark.parametrize(
    ("vector", "score", "mode"),
    [
        ((0.8, 0.1, 0.6, 0.0), 0.3, Mode.OVERVIEW),
        ((0.1, 0.8, 0.6, 0.0), 0.3, Mode.PASSAGES),  # nearer to ordinary questions
        ((0.5, 0.1, 0.86, 0.0), 0.7, Mode.PASSAGES),  # nearer to a passage
        ((0.5, 0.5, 0.7, 0.0), 0.2, Mode.PASSAGES),  # in doubt
    ],
)
def test_the_nearest_of_examples_and_passages_decides(vector: Sequence[float], score: float, mode: Mode) -> None:
    assert Router(Axes()).choose("?", vector, [passage(score), passage(-1.0)]) is mode


def test_a_question_that_reads_like_a_list_without_its_subject_is_one_beside_near_passages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject, "asked_list", lambda _: None)  # as in a language without words for lists
    router, near = Router(Axes()), [passage(0.9)]
    assert router.choose("Which documents mention Ada Holt?", LIST, near) is Mode.LIST
    assert router.choose("Who is Ada Holt?", LIST, near) is Mode.PASSAGES
    assert router.choose("quarterly revenue", LIST, near) is Mode.PASSAGES
    assert router.choose("Which documents mention Ada Holt?", OVERVIEW, [passage(0.3)]) is Mode.OVERVIEW


def test_a_question_whose_words_ask_for_a_list_is_one_whatever_it_is_near() -> None:
    asked = "Which documents mention Ada Holt?"
    assert Router(Axes()).choose(asked, OVERVIEW, [passage(0.99)]) is Mode.LIST


def test_the_examples_are_embedded_once_and_not_before_they_are_needed() -> None:
    embedder = Axes()
    router = Router(embedder)
    assert embedder.calls == 0
    for _ in range(3):
        router.choose("?", OVERVIEW, [passage(0.1)])
    assert embedder.calls == 1


@pytest.mark.parametrize(
    ("question", "vector", "calls"),
    [
        ("Which documents mention Ada Holt?", LIST, 3),  # the examples, one part, and all of them
        ("Who is Ada Holt?", LIST, 2),  # no list without the name
        ('Who is "Ada Holt"?', LIST, 2),  # has only that part
        ("Who is Ada Holt?", ORDINARY, 1),
        ("\u041a\u0442\u043e \u043f\u043e\u0441\u0442\u0440\u043e\u0438\u043b \u043c\u043e\u0441\u0442?", LIST, 1),
        ("C\u00f3 bao nhi\u00eau ng\u01b0\u1eddi s\u1ed1ng \u1edf \u0111\u00f3?", LIST, 1),
    ],
)
def test_the_parts_of_a_question_are_embedded_only_if_it_can_be_for_a_list(
    question: str, vector: Sequence[float], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "asked_list", lambda _: None)  # as in a language without words for lists
    embedder = Axes()
    Router(embedder, language="en").choose(question, vector, [passage(0.9)])
    assert embedder.calls == calls


@pytest.mark.parametrize(
    ("question", "text", "mode"),
    [
        ("Resumé?", "Ein Text", Mode.PASSAGES),
        ("Fasse die Datei zusammen", "Ein Text", Mode.OVERVIEW),  # words of examples
        ("Fasse zusammen, wie alt die Pumpe ist", "Wie die Pumpe, so ist alles alt.", Mode.PASSAGES),
    ],
)
def test_words_decide_where_meanings_are_equal(question: str, text: str, mode: Mode) -> None:
    said = Passage("id", "a.pdf", "g", "v", Chunk(text, 1, 0, len(text), 1), 0.5)
    assert Router(Axes()).choose(question, (0.5, 0.5, 0.7, 0.0), [said]) is mode


@pytest.mark.parametrize(
    ("question", "mode"),
    [
        ("Combien pesait cette capsule ?", Mode.PASSAGES),
        (
            "\u041a\u0442\u043e \u043f\u043e\u0441\u0442\u0440\u043e\u0438\u043b \u043c\u043e\u0441\u0442?",
            Mode.PASSAGES,
        ),
        ("De quoi parle ce document ?", Mode.OVERVIEW),
        ("What weighs the capsule?", Mode.OVERVIEW),  # the model knows what it is near
    ],
)
def test_to_an_english_model_the_words_of_a_foreign_question_tell_more_than_its_vector(
    question: str, mode: Mode
) -> None:
    found = [passage(0.1)]
    assert Router(Axes(), language="en").choose(question, OVERVIEW, found) is mode
    assert Router(Axes()).choose(question, OVERVIEW, found) is Mode.OVERVIEW


def test_each_mode_has_examples_in_as_many_languages_and_none_is_in_two() -> None:
    found = examples()
    assert {Mode.PASSAGES, Mode.OVERVIEW, Mode.LIST} <= set(found)
    assert Mode.AUTO not in found
    assert not any(len(questions) % 5 for questions in found.values())
    every = [question for questions in found.values() for question in questions]
    assert len(every) == len(set(every))
