"""Refusals before the model is asked."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.retrieval.ranking import fit_of
from tests.unit.query.query_world import rows


def passage(text: str, score: float) -> Passage:
    return Passage("id", "a/b.pdf", "generation", "v1", Chunk(text, 1, 0, len(text), 1), score)


BOILER = passage("The boiler of Ostra Works is inspected every March.", 0.5)
DESK = passage("Visitors leave their badges at the desk.", 0.2)
INSPECTED = "When is the boiler inspected?"


def test_the_fit_is_cosine_and_shared_words_less_the_background() -> None:
    assert fit_of(INSPECTED, [DESK, BOILER], []) == pytest.approx(0.5 + 0.5)
    assert fit_of("How often is the boiler cleaned?", [BOILER], []) == pytest.approx(0.5 + 0.5 / 3)
    near = [passage(f"Room {number} is empty.", 0.4) for number in range(110)]
    assert fit_of(INSPECTED, [BOILER], near) == pytest.approx(1.0 - 0.75 * 0.4)


def test_a_scope_of_few_chunks_is_judged_by_the_cosine_itself() -> None:
    few = [BOILER, *(passage(f"Room {number} is empty.", 0.45) for number in range(2))]
    assert fit_of("How warm is the ocean?", few, few) > 0.48


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
        gained = fit_of(question, [passage(text, 0.5)], []) - 0.5
        assert 0.0 <= gained <= 0.5


@pytest.mark.parametrize(("question", "answers", "other"), rows("scripts"))
def test_the_words_of_a_question_count_in_any_script(question: str, answers: str, other: str) -> None:
    gained = [fit_of(question, [passage(text, 0.5)], []) - 0.5 for text in (answers, other)]
    assert gained[0] > gained[1] == 0
