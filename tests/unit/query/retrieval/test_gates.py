"""Refusals before the model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from docwell.errors import Corrupt
from docwell.models import Chunk, Passage
from docwell.query.retrieval.gates import OPEN, Gate, background, fit


def passage(text: str, score: float) -> Passage:
    return Passage("id", "a/b.pdf", "generation", "v1", Chunk(text, 1, 0, len(text), 1), score)


def others(count: int, score: float) -> Iterator[Passage]:
    """Yield passages with different texts."""
    return (passage(f"Room {number} is empty.", score) for number in range(count))


BOILER = passage("The boiler of Ostra Works is inspected every March.", 0.5)
DESK = passage("Visitors leave their badges at the desk.", 0.2)
INSPECTED = "When is the boiler inspected?"
GATE = Gate(0.3)


def test_the_fit_is_cosine_and_shared_words_less_the_background() -> None:
    assert fit(INSPECTED, [DESK, BOILER], 0.0) == pytest.approx(0.5 + 0.5)
    assert fit("How often is the boiler cleaned?", [BOILER], 0.0) == pytest.approx(0.5 + 0.5 / 3)
    assert fit(INSPECTED, [BOILER], 0.4) == pytest.approx(1.0 - 0.75 * 0.4)


def test_a_passage_that_stands_out_less_from_the_candidates_is_refused() -> None:
    question = "How warm is the ocean?"
    assert not GATE.refuses(question, [BOILER], background([BOILER, *others(109, 0.2)]))
    assert GATE.refuses(question, [BOILER], background([BOILER, *others(109, 0.45)]))


def test_the_background_is_of_the_nearest_candidates_however_many_there_are() -> None:
    near = list(others(110, 0.4))
    far = [replace(one, chunk=replace(one.chunk, text=f"{one.chunk.text} Far.")) for one in others(1000, 0.1)]
    assert background([*far, *near]) == background(near) == pytest.approx(0.4)


def test_copies_are_one_candidate_so_that_the_right_passage_can_stand_out() -> None:
    copies = [replace(BOILER, document=f"a/{number}.pdf") for number in range(150)]
    assert background(copies) == background([BOILER])
    assert not GATE.refuses("How warm is the ocean?", copies, background(copies))


def test_a_scope_of_few_chunks_is_judged_by_the_cosine_itself() -> None:
    few = [BOILER, *others(2, 0.45)]
    assert background(few) < 0.02
    assert not GATE.refuses("How warm is the ocean?", few, background(few))


@pytest.mark.parametrize(
    "question", ["What happens in July?", "Who sets the Market price in 1884?", "Real Email?"]
)
def test_a_capital_or_a_year_refuses_nothing_by_itself(question: str) -> None:
    assert not GATE.refuses(question, [BOILER], background([BOILER]))


def test_the_gate_of_a_model_without_calibration_is_open() -> None:
    assert Gate.of({}) == OPEN
    assert not OPEN.refuses("How warm is the ocean?", [DESK], 0.9)


def test_a_question_without_passages_is_refused_by_any_gate() -> None:
    assert OPEN.refuses(INSPECTED, [], 0.0)
    assert GATE.refuses(INSPECTED, [], 0.0)


def test_a_number_that_the_gate_does_not_know_is_corrupt() -> None:
    assert Gate.of({"min_fit": 0.2}) == Gate(0.2)
    with pytest.raises(Corrupt, match="min_score"):
        Gate.of({"min_score": 0.35})


@pytest.mark.parametrize("value", [22.0, -2.1, float("nan")])
def test_a_threshold_that_would_refuse_all_questions_or_none_by_mistake_is_corrupt(value: float) -> None:
    with pytest.raises(Corrupt, match="min_fit"):
        Gate.of({"min_fit": value})
