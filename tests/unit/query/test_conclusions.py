"""The order of figures or dates that ends a comparison, and the cases without one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.answers import Sentence
from docwell.query.conclusions import Row, conclusion

ASKED = "How many people do Acme and Bolt employ?"
WHEN = "When were Acme and Bolt founded?"


def rows(*texts: str) -> list[Row]:
    """Return rows of one supported sentence each, cited with their numbers."""
    names = ("Acme", "Bolt", "Cora")
    return [
        Row(name, (Sentence(f"{text} [{number}].", (number,), 1.0, supported=True),))
        for number, (name, text) in enumerate(zip(names, texts, strict=False), 1)
    ]


@pytest.mark.parametrize(
    ("question", "texts", "concluded"),
    [
        (
            ASKED,
            ("It employs 310 people", "It employs 42 people"),
            "Largest first: Acme (310 people) [1]; Bolt (42 people) [2].",
        ),
        (
            ASKED,
            ("It employs 950 people", "It employs 3,700 people"),
            "Largest first: Bolt (3,700 people) [2]; Acme (950 people) [1].",
        ),
        (
            "What were the sales?",
            ("Sales are $900 million", "Sales are $1.2 billion"),
            "Largest first: Bolt ($1.2 billion) [2]; Acme ($900 million) [1].",
        ),
        (
            "Wie hoch war die Quote?",
            ("Die Quote war 5,5 %", "Die Quote war 12%"),
            "Largest first: Bolt (12%) [2]; Acme (5,5%) [1].",
        ),
        (
            "Combien de postes ?",
            ("Acme a 12 postes", "Bolt a 12 postes"),
            "Equal: Acme (12 postes) [1] = Bolt (12 postes) [2].",
        ),
        (
            ASKED,
            ("It has 7 people", "It has 42 people", "It has 7 people"),
            "Largest first: Bolt (42 people) [2]; Acme (7 people) [1] = Cora (7 people) [3].",
        ),
        (
            ASKED,
            ("It employs 310 people in 3 plants", "It employs 42 people in 1 workshop"),
            "Largest first: Acme (310 people) [1]; Bolt (42 people) [2].",
        ),
        (
            ASKED,
            ("In 2022 it employed 310 people", "In 2020 it employed 42 people"),
            "Largest first: Acme (310 people) [1]; Bolt (42 people) [2].",
        ),
        (
            WHEN,
            ("It was founded in 1911", "It was founded in 1884"),
            "Earliest first: Bolt (1884) [2]; Acme (1911) [1].",
        ),
        (
            WHEN,
            ("It was founded on 5 May 1911", "Es wurde am 03.04.1911 gegründet"),
            "Earliest first: Bolt (03.04.1911) [2]; Acme (5 May 1911) [1].",
        ),
        (
            "Quand ?",
            ("Fondée en mai 1911", "Fondée le 3 juin 1911"),
            "Earliest first: Acme (mai 1911) [1]; Bolt (3 juin 1911) [2].",
        ),
    ],
)  # fmt: skip
def test_figures_of_one_unit_and_dates_have_an_order(
    question: str, texts: tuple[str, ...], concluded: str
) -> None:
    found = conclusion(question, rows(*texts))
    assert found is not None
    assert found.text == concluded
    assert sorted(found.markers) == [*range(1, len(texts) + 1)]
    assert found.supported


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ("How tall are they?", ("It is 38 metres tall", "It is 120 feet tall")),
        ("How long is the term?", ("The term is 18 months", "The term is 2 years")),
        ("What were the sales?", ("Sales are $900 million", "Sales are €1.2 billion")),
        ("What were the sales?", ("Sales are $900 million", "Sales grew by 5%")),
        ("What is the score?", ("The score is 55.7", "The score is 61.2")),  # no unit
        ("What were the sales?", ("Sales were $900 (in thousands)", "Sales were $1,200")),
        ("Wie schwer?", ("Acme wiegt 1.234 Kilo", "Bolt wiegt 900 Kilo")),  # 1234 or 1.234
        ("How do they do?", ("It employs 310 people in 3 plants", "It employs 42 people in 5 plants")),
        (ASKED, ("It employs 310 people", "It employs 42 people, later 50 people")),
        (ASKED, ("It employs 310 people", "It sells candles")),
        ("Who employs over 300 people?", ("It employs over 300 people", "It employs 42 people")),
        ("Who leads Acme and Bolt?", ("Ada Holt, since 1911", "Oskar Lind, since 1884")),
        (WHEN, ("It was founded in 1911", "It was founded on 5 May 1911")),
        (WHEN, ("It was founded on 3/4/1911", "It was founded on 4/5/1911")),
        (WHEN, ("It was founded in 1911 and moved in 1920", "It was founded in 1884")),
        (WHEN, ("It was founded on 5 May", "It was founded on 6 May")),
        (ASKED, ("It employs 310 people",)),
        ("What was the margin?", ("The margin was -5%", "The margin was 3%")),
        ("What was the margin?", ("The margin was (5%)", "The margin was 3%")),
        ("How did sales change?", ("Sales fell by 5%", "Sales rose by 3%")),
        ("What was the result?", ("The net loss was $640 million", "The net income was $12 million")),
        ("Wie hoch war das Ergebnis?", ("Der Verlust war 640 Euro", "Der Gewinn war 12 Euro")),
    ],
)
def test_nothing_is_concluded_in_doubt(question: str, texts: tuple[str, ...]) -> None:
    assert conclusion(question, rows(*texts)) is None


def test_nothing_is_concluded_from_a_row_without_an_answer_or_with_an_unsupported_sentence() -> None:
    table = rows("It employs 310 people", "It employs 42 people")
    assert conclusion(ASKED, [table[0], Row("Bolt", ())]) is None
    (sentence,) = table[1].sentences
    for wrong in (replace(sentence, supported=False), replace(sentence, missing=("42",))):
        assert conclusion(ASKED, [table[0], Row("Bolt", (wrong,))]) is None
    assert conclusion(ASKED, table)


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ("Which is cheaper?", ("The fee is $120 per month", "The fee is $1,200 per year")),
        ("Which is cheaper?", ("The fee is 120 euros a month", "The fee is 1,200 euros")),
        ("Which interest is higher?", ("Interest is 1.5% per month", "Interest is 9% p.a.")),
        ("Which warranty is longer?", ("It is at least 2 years", "It is up to 5 years")),
        ("Which has more staff?", ("It has over 500 people", "It has 510 people")),
        ("Which is cheaper?", ("It costs €5-10", "It costs €7")),
        (WHEN, ("It was founded before 2024", "It was founded in 2023")),
        (WHEN, ("It was founded after March 2024", "It was founded in May 2024")),
    ],
)
def test_rates_bounds_and_ranges_are_compared_with_no_other_figures(question: str, texts: tuple[str, ...]) -> None:
    assert conclusion(question, rows(*texts)) is None


def test_rates_of_one_span_of_time_and_equal_bounds_are_compared() -> None:
    told = conclusion("Which is cheaper?", rows("The fee is $120 a month", "The fee is $90 per month"))
    assert told is not None
    assert told.text == "Largest first: Acme ($120) [1]; Bolt ($90) [2]."
    told = conclusion("Which is longer?", rows("It is at least 3 months", "It is no less than 6 months"))
    assert told is not None
    assert told.text == "Largest first: Bolt (6 months) [2]; Acme (3 months) [1]."


def test_amounts_are_compared_in_any_spelling_of_one_currency() -> None:
    told = conclusion("Which is cheaper?", rows("The fee is EUR 120", "The fee is 90 euros", "The fee is €30"))
    assert told is not None
    assert told.text == "Largest first: Acme (€120) [1]; Bolt (90 euros) [2]; Cora (€30) [3]."
    assert conclusion("Which is cheaper?", rows("The fee is EUR 120", "The fee is 90 dollars")) is None


def test_an_amount_with_a_full_stop_can_be_copied_from_another_language() -> None:
    assert conclusion("Which rent is higher?", rows("The rent is 1.200 Euro", "The rent is 900 Euro")) is None
    told = conclusion("Which rent is higher?", rows("The rent is 1,200 Euro", "The rent is 900 Euro"))
    assert told is not None
    assert told.text == "Largest first: Acme (1,200 Euro) [1]; Bolt (900 Euro) [2]."
