"""A figure of a sheet counts in its own row, also where a code or a number names the rows."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.checking.check import check
from docwell.query.checking.support import MeaningScale

BATCHES = """batch: C-01 | apples kg: 420 | litres: 260 | pressed on: 2025-09-14
batch: C-02 | apples kg: 515 | litres: 318 | pressed on: 2025-09-28
batch: C-03 | apples kg: 388 | litres: 231 | pressed on: 2025-10-05"""
ITEMS = "Nummer: 1002 | Preis: 12,50 | Lager: 7\nNummer: 1003 | Preis: 8,90 | Lager: 31"
BOATS = "boat: Heron | length: 7 m | note: Leaks. Repair in May.\nboat: Teal | length: 9 m | note: Sound."

# The first column has no head.
LENGTHS = (
    "Heron | length: 7 m | note: Leaks. Repair in May. | price: 1240\n\n"
    "Teal | length: 9 m | note: Sound. New mast. | price: 1450"
)
SALES = "North | 2024: 510 | 2025: 620\n\nSouth | 2024: 730 | 2025: 840"


def passes(question: str, answer: str, text: str) -> bool:
    """Return whether an answer reaches the reader without a mark."""
    passage = Passage("id", "a.csv", "g", "v", Chunk(text, 1, 0, len(text), 50), 0.5)
    grounded, sentences = check(answer, [passage], question, None, 0.5, MeaningScale())
    return grounded is not None and all(one.supported for one in sentences)


@pytest.mark.parametrize(
    ("question", "right", "wrong", "text"),
    [
        ("How many litres did batch C-02 give?", "318 litres [1].", "231 litres [1].", BATCHES),
        ("How many litres did batch C-03 give?", "It gave 231 litres [1].", "It gave 260 litres [1].", BATCHES),
        ("How many kg of apples were in C-01?", "420 kg [1].", "515 kg [1].", BATCHES),
        ("Welcher Preis gilt f\u00fcr Nummer 1003?", "Der Preis ist 8,90 [1].", "Der Preis ist 12,50 [1].", ITEMS),
        ("How long is the boat Teal?", "9 m [1].", "7 m [1].", BOATS),
        ("How long is the Heron?", "The Heron is 7 m long [1].", "The Heron is 9 m long [1].", BOATS),
        ("Which price has the Teal?", "The Teal has the price 1450 [1].", "It has the price 1240 [1].", LENGTHS),
        ("What did the South sell in 2024?", "It sold 730 in 2024 [1].", "It sold 840 in 2024 [1].", SALES),
    ],
)
def test_a_figure_of_another_row_is_marked(question: str, right: str, wrong: str, text: str) -> None:
    assert passes(question, right, text)
    assert not passes(question, wrong, text)
