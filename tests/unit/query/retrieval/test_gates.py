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


def test_the_fit_is_the_best_sum_of_cosine_and_shared_words() -> None:
    assert fit_of(INSPECTED, [DESK, BOILER]) == pytest.approx(0.5 + 0.5)
    assert fit_of("How often is the boiler cleaned?", [BOILER]) == pytest.approx(0.5 + 0.5 / 3)


def gain(question: str, text: str) -> float:
    """Return what the question's words add to the fit."""
    fit = fit_of(question, [passage(text, 0.5)])
    assert fit is not None
    return fit - 0.5


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
        assert 0.0 <= gain(question, text) <= 0.5


@pytest.mark.parametrize(("question", "answers", "other"), rows("scripts"))
def test_the_words_of_a_question_count_in_any_script(question: str, answers: str, other: str) -> None:
    assert gain(question, answers) > gain(question, other) == 0
