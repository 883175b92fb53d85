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
TESTS = (
    "Test: Blood count | Fee: 35 | Result after: 4 hours | Sample: 5 ml\n"
    "Test: Thyroid panel | Fee: 88 | Result after: 2 days | Sample: 8 ml"
)
SHIPS = """Ship: Eider | Built: 1998 | Passengers: 600 | Cars: 90
Ship: Tern | Built: 2011 | Passengers: 850 | Cars: 140"""
SPANS = """Labour | 2018\u20132020: 41,300 | 2021\u20132023: 47,850
Trees | 2018\u20132020: 18,760 | 2021\u20132023: 1,240"""
VISITS = """Visit | Weekday | Weekend | Length (minutes)
Visit: First | Weekday: 180 | Weekend: 240 | Length (minutes): 45"""
YEARS = "Year: 2023 | Income: 4100 | Staff: 12\nYear: 2024 | Income: 4300 | Staff: 14"
SCALED = """Sales | 2023 (in thousands): 16,950 | 2024 (in thousands): 18,210
Rent | 2023 (in thousands): 70 | 2024 (in thousands): 75"""


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
        ("What is the fee of a thyroid panel?", "It is 88 [1].", "It is 35 [1].", TESTS),
        ("What was the income in 2023?", "It was 4100 [1].", "It was 4300 [1].", YEARS),
        ("What is the fee of a thyroid panel?", "88 [1].", "2 [1].", TESTS),
        (
            "After how many days is the result of a thyroid panel there?",
            "After 2 days [1].",
            "After 88 days [1].",
            TESTS,
        ),
        ("How many passengers fit on the Tern?", "850 [1].", "140 [1].", SHIPS),
        ("How many cars does the ship Eider take?", "90 cars [1].", "600 [1].", SHIPS),
        ("When was the Tern built?", "In 2011 [1].", "850 [1].", SHIPS),
        ("How large was the staff in 2024?", "14 [1].", "4300 [1].", YEARS),
        ("What was spent on trees in 2021-2023?", "1,240 was spent [1].", "18,760 was spent [1].", SPANS),
        ("What did trees cost from 2018 to 2020?", "18,760 [1].", "1,240 [1].", SPANS),
        (
            "What does the first visit cost at the weekend?",
            "It costs 240 [1].",
            "It costs 240 minutes [1].",
            VISITS,
        ),
        ("How long is the first visit?", "It takes 45 minutes [1].", "It takes 180 minutes [1].", VISITS),
    ],
)
def test_a_figure_of_another_row_column_or_period_is_marked(
    question: str, right: str, wrong: str, text: str
) -> None:
    assert passes(question, right, text)
    assert not passes(question, wrong, text)


def test_a_figure_has_the_scale_of_its_head() -> None:
    passage = Passage("id", "a.csv", "g", "v", Chunk(SCALED, 1, 0, len(SCALED), 50), 0.5)
    grounded, _ = check("Rent was 75 [1].", [passage], "What was the rent in 2024?", None, 0.5, MeaningScale())
    assert grounded is not None
    assert grounded.text == "Rent was 75 (in thousands) [1]."
