"""Refusals before the model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from docwell.models import Chunk, Passage
from docwell.query.retrieval.ranking import OPEN, Gate, background, fit_of
from tests.unit.query.query_world import rows


def passage(text: str, score: float) -> Passage:
    return Passage("id", "a/b.pdf", "generation", "v1", Chunk(text, 1, 0, len(text), 1), score)


def others(count: int, score: float) -> Iterator[Passage]:
    """Yield passages with different texts."""
    return (passage(f"Room {number} is empty.", score) for number in range(count))


BOILER = passage("The boiler of Ostra Works is inspected every March.", 0.5)
DESK = passage("Visitors leave their badges at the desk.", 0.2)
INSPECTED = "When is the boiler inspected?"
GATE = Gate(0.3)


def refuses(question: str, passages: Sequence[Passage], behind: Sequence[Passage]) -> bool:
    return GATE.refuses(fit_of(question, passages, background(behind)))


def test_the_fit_is_cosine_and_shared_words_less_the_background() -> None:
    assert fit_of(INSPECTED, [DESK, BOILER], 0.0) == pytest.approx(0.5 + 0.5)
    assert fit_of("How often is the boiler cleaned?", [BOILER], 0.0) == pytest.approx(0.5 + 0.5 / 3)
    assert fit_of(INSPECTED, [BOILER], 0.4) == pytest.approx(1.0 - 0.75 * 0.4)


def test_copies_are_one_candidate_so_that_the_right_passage_can_stand_out() -> None:
    copies = [replace(BOILER, document=f"a/{number}.pdf") for number in range(150)]
    assert background(copies) == background([BOILER])
    assert not refuses("How warm is the ocean?", copies, copies)


def test_a_scope_of_few_chunks_is_judged_by_the_cosine_itself() -> None:
    few = [BOILER, *others(2, 0.45)]
    assert background(few) < 0.02
    assert not refuses("How warm is the ocean?", few, few)


def test_the_gate_of_a_model_without_calibration_is_open() -> None:
    assert not OPEN.refuses(-2.0)


def test_the_gate_refuses_only_a_fit_under_its_threshold() -> None:
    assert GATE.refuses(0.2999)
    assert not GATE.refuses(0.3)


def test_a_question_without_passages_is_refused_by_any_gate() -> None:
    assert OPEN.refuses(None)
    assert GATE.refuses(None)


LONG = {
    "one word": "boiler " * 570,
    "no blanks": "x" * 4000,
    "signs": "\u0301" * 4000,
    "symbols": "?!… €%& 🙂" * 400,
    "function words": "who is it and what was that" * 140,
    "control": "\x00\u202e" * 2000,
    "a ligature of 18 letters": "ﷺ" * 4000,
}


@pytest.mark.parametrize("question", LONG.values(), ids=LONG)
def test_the_words_of_any_question_count_up_to_a_half_and_never_less_than_nothing(question: str) -> None:
    for text in (BOILER.chunk.text, question):
        gained = fit_of(question, [passage(text, 0.5)], 0.0) - 0.5
        assert 0.0 <= gained <= 0.5


@pytest.mark.parametrize(("question", "answers", "other"), rows("scripts"))
def test_the_words_of_a_question_count_in_any_script(question: str, answers: str, other: str) -> None:
    gained = [fit_of(question, [passage(text, 0.5)], 0.0) - 0.5 for text in (answers, other)]
    assert gained[0] > gained[1] == 0
