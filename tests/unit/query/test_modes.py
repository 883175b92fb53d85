"""The choice of a mode, on vectors with known cosines; tests/integration has its errors with real models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.models import Chunk, Passage
from docwell.query.ask import Basis, Searched
from docwell.query.modes import Modes, Router, example_texts
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger
from tests.unit.query.query_world import EVERYTHING, World

# Questions about a document are near the first axis, ordinary ones near the second.
OVERVIEW, ORDINARY = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
OVERVIEWS = 65  # the first of the examples


class Axes(FakeEmbedder):
    calls = 0

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        overviews = set(example_texts()[:OVERVIEWS])
        return np.array([OVERVIEW if text in overviews else ORDINARY for text in texts], dtype=np.float32)


def passage(score: float, text: str = "text") -> Passage:
    return Passage("id", "a.pdf", "g", "v", Chunk(text, 1, 0, len(text), 1), score)


def searched(
    text: str, vector: Sequence[float] = ORDINARY, passages: tuple[Passage, ...] = (passage(0.5),)
) -> Searched:
    return Searched(Mode.AUTO, text, Scope(EVERYTHING), vector, passages, (), 5)


RETRIEVAL = Retrieval(FakeLedger(), FakeIndex())
BASIS = Basis(Mode.OVERVIEW, (passage(0.5),), load_prompt("overview"))


@dataclass
class FixedWay:
    refuses: bool = False

    def basis(self, searched: Searched) -> Basis | None:
        if self.refuses:
            raise BadInput("several documents")
        return BASIS


@pytest.mark.parametrize(
    ("vector", "score", "mode"),
    [
        ((0.95, 0.1, 0.3), 0.3, Mode.OVERVIEW),
        ((0.8, 0.1, 0.6), 0.3, None),  # not near an example
        ((0.1, 0.8, 0.6), 0.3, None),  # nearer to ordinary questions
        ((0.5, 0.1, 0.86), 0.7, None),  # nearer to a passage
        ((0.5, 0.5, 0.7), 0.2, None),  # in doubt
    ],
)
def test_the_nearest_of_examples_and_passages_decides(
    vector: Sequence[float], score: float, mode: Mode | None
) -> None:
    assert Router(Axes()).mode(searched("?", vector, (passage(score), passage(-1.0)))) is mode


def test_a_question_whose_words_ask_for_a_list_gets_one_whatever_it_is_near() -> None:
    question = searched("Which documents mention Ada Holt?", OVERVIEW, (passage(0.99),))
    assert Router(Axes()).mode(question) is Mode.LIST


def test_the_examples_are_embedded_once_and_not_before_they_are_needed() -> None:
    embedder = Axes()
    router = Router(embedder)
    assert embedder.calls == 0
    for _ in range(3):
        router.mode(searched("?", OVERVIEW, (passage(0.1),)))
    assert embedder.calls == 1


@pytest.mark.parametrize(
    ("question", "text", "mode"),
    [
        ("Resumé?", "Ein Text", None),
        ("Fasse die Datei zusammen", "Ein Text", Mode.OVERVIEW),  # words of examples
        ("Fasse zusammen, wie alt die Pumpe ist", "Wie die Pumpe, so ist alles alt.", None),
    ],
)
def test_words_decide_where_meanings_are_equal(question: str, text: str, mode: Mode | None) -> None:
    assert Router(Axes()).mode(searched(question, (0.5, 0.5, 0.7), (passage(0.5, text),))) is mode


@pytest.mark.parametrize(
    ("question", "mode"),
    [
        ("Combien pesait cette capsule ?", None),
        ("\u041a\u0442\u043e \u043f\u043e\u0441\u0442\u0440\u043e\u0438\u043b \u043c\u043e\u0441\u0442?", None),
        ("De quoi parle ce document ?", Mode.OVERVIEW),
        ("What weighs the capsule?", Mode.OVERVIEW),  # the model knows the language
    ],
)
def test_to_an_english_model_the_words_of_a_foreign_question_show_more_than_its_vector(
    question: str, mode: Mode | None
) -> None:
    near = searched(question, OVERVIEW, (passage(0.1),))
    assert Router(Axes(), language="en").mode(near) is mode
    assert Router(Axes()).mode(near) is Mode.OVERVIEW


@pytest.mark.parametrize(
    ("mode", "vector", "basis"),
    [
        (Mode.AUTO, OVERVIEW, BASIS),
        (Mode.AUTO, ORDINARY, None),
        (Mode.OVERVIEW, ORDINARY, BASIS),
        (Mode.PASSAGES, OVERVIEW, None),
    ],
)
def test_the_caller_chooses_the_mode_and_otherwise_the_router(
    mode: Mode, vector: Sequence[float], basis: Basis | None
) -> None:
    modes = Modes(Router(Axes()), {Mode.OVERVIEW: FixedWay()}, RETRIEVAL)
    assert modes.basis(replace(searched("boiler", vector), mode=mode)) is basis


def test_a_question_that_names_several_documents_in_their_own_words_compares_them() -> None:
    modes = Modes(Router(Axes()), {Mode.COMPARE: FixedWay()}, RETRIEVAL)
    rivals = replace(searched("Acme or Bolt?"), documents=("a/ACME_2022.pdf", "a/BOLT_2022.pdf"))
    assert modes.basis(rivals) is BASIS
    for changed in ({"text": "Acme?"}, {"documents": ("a/ACME_1.pdf", "a/ACME_2.pdf")}, {"mode": Mode.PASSAGES}):
        assert modes.basis(replace(rivals, **changed)) is None


def test_a_document_that_the_search_has_not_found_can_be_named() -> None:
    world, text = World(), "List all dates in far-rules.pdf"
    world.add("a/far-rules.pdf", "On 22 March 2025.")
    assert replace(world.query.modes, sources={Mode.LIST: FixedWay()}).basis(searched(text)) is BASIS


def test_a_mode_that_does_not_suit_the_question_is_an_error_of_the_caller_and_not_of_the_router() -> None:
    modes = Modes(Router(Axes()), {Mode.OVERVIEW: FixedWay(refuses=True)}, RETRIEVAL)
    assert modes.basis(searched("boiler", OVERVIEW)) is None
    with pytest.raises(BadInput):
        modes.basis(replace(searched("boiler"), mode=Mode.OVERVIEW))
