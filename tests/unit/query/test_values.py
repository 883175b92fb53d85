"""The values that a text has, and the kinds of values that a question asks for."""

from __future__ import annotations

import re
import time

import pytest

from docwell.media_types import MEDIA_TYPES
from docwell.query.values import (
    AMOUNTS,
    DATES,
    DEADLINES,
    EMAILS,
    KINDS,
    PERCENTAGES,
    YEARS,
    ValueKind,
    wanted_values,
    wanted_values_alone,
)


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        (DATES, "Signed on 31 March 2024, due March 31st, 2025.", ["31 March 2024", "March 31st, 2025"]),
        (DATES, "2024-05-01, 01.06.2024, 3/31/2024", ["2024-05-01", "01.06.2024", "3/31/2024"]),
        (DATES, "01/02/24", ["01/02/24"]),
        (DATES, "am 1. Januar 2025, le 1er mai 2025", ["1. Januar 2025", "1er mai 2025"]),
        (DATES, "el 5 de mayo de 2020", ["5 de mayo de 2020"]),
        (DATES, "签署于2024年3月31日到5月2日到期", ["2024年3月31日", "5月2日"]),
        (DATES, "since 2 May 2019 until June 30, 2020", ["2 May 2019", "June 30, 2020"]),
        (DATES, "paid by 5 June, in May 2024", ["5 June", "May 2024"]),
        (DATES, "31\nMarch 2024", ["31\nMarch 2024"]),
        (DATES, "in 2019, Q3 2019, in March, may 5 people go, section 3.1.12, 99/99/2020, 10.12.2020.1", []),
        (DATES, "2024-13-40, 0/5/2024, 1-800-2024", []),
        (YEARS, "In 2019 and 2015-2017, not in May 2020. It had 1500 employees.", ["2019", "2015-2017"]),
        (AMOUNTS, "$1,234.5 million, 1.234,56 €, EUR 500", ["$1,234.5 million", "1.234,56 €", "EUR 500"]),
        (AMOUNTS, "84 euros, 5 Mio. Euro, CHF 20, 100万元", ["84 euros", "5 Mio. Euro", "CHF 20", "100万元"]),
        (AMOUNTS, "3 millions d'euros, US$ 3, five dollars", ["3 millions d'euros", "US$ 3", "five dollars"]),
        (AMOUNTS, "2019 $ 512 $ (640)", ["$ 512", "$ (640)"]),
        (AMOUNTS, "12 people, 20 kg, 5 pounds of flour, 1,234 in 2019, USD", []),
        (PERCENTAGES, "5%, 12,5 Prozent, 3 pour cent", ["5%", "12,5 Prozent", "3 pour cent"]),
        (PERCENTAGES, "five per cent, 税率13\uff05", ["five per cent", "13\uff05"]),
        (PERCENTAGES, "5 of 10 people, the percentage", []),
        (DEADLINES, "by 5 May 2024, within 30 days", ["5 May 2024", "30 days"]),
        (DEADLINES, "ten (10) business days, a 12-month term", ["ten (10) business days", "12-month"]),
        (DEADLINES, "Frist von drei Monaten, six mois, tres años", ["drei Monaten", "six mois", "tres años"]),
        (DEADLINES, "innerhalb von 14 Tagen, 3 mois, 2 años, 30天", ["14 Tagen", "3 mois", "2 años", "30天"]),
        (DEADLINES, "in the third year, the fifth day, 5 people, 2024年", []),
        (EMAILS, "Write to a.holt+x@mail.example.org.", ["a.holt+x@mail.example.org"]),
        (EMAILS, "@example, a@b, at 5 @ 3.50", []),
    ],
)  # fmt: skip
def test_values_of_a_kind_are_found_as_written(kind: ValueKind, text: str, values: list[str]) -> None:
    assert [text[start:end] for start, end in kind.find(text)] == values
    # The index returns the chunks that match the kind's pattern.
    assert not values or all(re.search(kind.pattern, value, re.IGNORECASE) for value in values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["1 " * 2_000, "a" * 4_000, "a.b-" * 1_000, "$" * 4_000])
def test_a_repetitive_text_takes_little_time(kind: ValueKind, text: str) -> None:
    begun = time.process_time()
    kind.find(text)
    assert time.process_time() - begun < 2  # measured: under 0.1 s


@pytest.mark.parametrize(
    ("question", "kinds", "others"),
    [
        ("Please extract every date from the contract.", (DATES,), ()),
        ("Which percentages are given?", (PERCENTAGES,), ()),
        ("Quels montants figurent dans le communiqué ?", (AMOUNTS,), ()),
        ("Which dates does Ada Holt mention?", (DATES,), ("Ada", "Holt")),
        ("list all dates in the contract", (DATES,), ()),
        ("all amounts", (AMOUNTS,), ()),
        ("How many dates are there?", (DATES,), ()),
        ("How many dates and years are there?", (DATES, YEARS), ()),
        ("Which years are mentioned?", (YEARS,), ()),
        ("Give me each e-mail address.", (EMAILS,), ()),
        ("What percentages appear in the reports?", (PERCENTAGES,), ()),
        ("Welche Fristen stehen im Vertrag?", (DEADLINES,), ()),
        ("Nenne alle Beträge und Prozentsätze im Bericht", (AMOUNTS, PERCENTAGES), ()),
        ("toutes les dates du contrat", (DATES,), ()),
        ("Quels montants figurent dans la facture ?", (AMOUNTS,), ()),
        ("¿Qué fechas hay en el contrato?", (DATES,), ()),
        ("列出合同中的全部金额和日期", (AMOUNTS, DATES), ()),
        ("all dates and deadlines", (DEADLINES,), ()),
        ("every year in the report", (YEARS,), ()),
        ("the dates, all dates of incidents in Hall D", (DATES,), ("incidents", "Hall")),
        ("What amounts were paid to Ada Holt?", (AMOUNTS,), ("paid", "Ada", "Holt")),
    ],
)
def test_a_question_asks_for_kinds_of_values(
    question: str, kinds: tuple[ValueKind, ...], others: tuple[str, ...]
) -> None:
    asked = wanted_values(question)
    assert asked is not None
    assert (asked.kinds, asked.names) == (kinds, False)
    assert set(others) <= set(asked.limits)
    assert (wanted_values_alone(question, ()) is None) == bool(others)


@pytest.mark.parametrize(
    "question",
    [
        "What is the date of the contract?",
        "Which date was the contract signed?",
        "all delivery dates",
        "Welche Frist gilt?",
        "Which documents mention the due date?",
        'all dates of "Ada Holt"',
        "Quelle est la date du contrat ?",
        "什么时候签的合同",
        "How much did revenue grow in 2019?",
        "How many years is the lease?",
        "How many years are in the term of the contract?",
        "For how many months or days?",
        "Wie viele Jahre ist der Vertrag?",
        "Combien d'années dure le bail ?",
        "¿Cuántos años dura el contrato?",
        "合同有多少年",
    ],
)
def test_other_questions_ask_for_no_kind(question: str) -> None:
    assert wanted_values(question) is None


@pytest.mark.parametrize(
    "question", ["List all parties.", "Welche Personen?", "toutes les entreprises", "所有公司"]
)
def test_names_are_no_kind_that_rules_find(question: str) -> None:
    asked = wanted_values(question)
    assert asked is not None
    assert (asked.kinds, asked.names) == ((), True)


@pytest.mark.parametrize("suffix", MEDIA_TYPES)
def test_the_name_of_a_document_does_not_limit_the_list_to_anything_else(suffix: str) -> None:
    asked = f"List all dates in lease-2024{suffix}"
    assert wanted_values_alone(asked, [f"homes/lease-2024{suffix}", "homes/other.pdf"])
    assert wanted_values_alone(asked, ["homes/other.pdf"]) is None
    assert wanted_values_alone("All dates in the lease of the boathouse", [f"boathouse-lease{suffix}"])


@pytest.mark.parametrize(("month", "limits"), [("June", True), ("May", True), ("may", False)])
def test_a_month_limits_a_list_of_values_also_where_it_can_be_a_verb(month: str, limits: bool) -> None:
    asked = wanted_values(f"List all amounts in the minutes of {month}")
    assert asked is not None
    assert (month in asked.limits) is limits


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (DATES, "It is open from 3 to 5 June 2024.", ["3 to 5 June 2024"]),
        (DATES, "Vom 3. bis 5. Mai 2024 geschlossen.", ["3. bis 5. Mai 2024"]),
        (DATES, "Del 3 al 5 de mayo de 2024.", ["3 al 5 de mayo de 2024"]),
        (DATES, "3 June to 5 June", ["3 June", "5 June"]),
        (AMOUNTS, "It falls from 3,000 to 2,200 euros.", ["3,000 to 2,200 euros"]),
        (
            AMOUNTS,
            "The fee is 5\u20137 €, in all €12-14 or $3-4 million.",
            ["5\u20137 €", "€12-14", "$3-4 million"],
        ),
        (AMOUNTS, "Zwischen 5 und 7 Euro, entre 8 et 9 euros.", ["Zwischen 5 und 7 Euro", "entre 8 et 9 euros"]),
        (AMOUNTS, "In grade 3 and 5 euros; item 4 - 6 €; in 2019 to 8 euros.", ["5 euros", "6 €", "8 euros"]),
        (AMOUNTS, "5 € to 7 €; 1.200,- € and 12,-- EUR", ["5 €", "7 €", "1.200,- €", "12,-- EUR"]),
        (PERCENTAGES, "5\u20137 %, 8 to 9 percent, 1% to 2%", ["5\u20137 %", "8 to 9 percent", "1%", "2%"]),
        (DEADLINES, "30-60 days, two to three weeks, 3至5天", ["30-60 days", "two to three weeks", "3至5天"]),
        (YEARS, "From 2015 to 2017, 3-2018.", ["2015 to 2017", "2018"]),
    ],
)
def test_a_range_is_one_value_with_both_its_ends(kind: ValueKind, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in kind.find(text)] == found
