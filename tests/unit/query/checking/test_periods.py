"""The periods of a text, and the answers of another period than the question's."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.checking.asides import without_asides
from docwell.query.checking.check import check
from docwell.query.checking.periods import agree, doubtful_years, periods
from docwell.query.checking.support import MeaningScale

CUPS = "The cup was held in Kiel in 1987, and Ines Roth won it. Ada Holt won the cup in 1997. Founded in 1931."
SALES = "Sales by quarter, in euros\nQ1 2019 Q2 2019\nNorth 512 640\nSouth 303 377\n"
REVENUE = "Sales by year, in millions of dollars\n2019 2018\nRevenue 1577 1373\nCosts 900 800\n"
FISCAL = "In FY22 the firm sold 512 boats. In FY21 it sold 640 boats."
MONTHS = "In March 2019 the harbour served 512 ships. In May 2019 it served 640 ships."
OFFICE = "Lea Brandt has been the mayor since 2010. Jan Ott was the mayor from 2004 to 2009."


def passes(question: str, answer: str, text: str, document: str = "a.pdf") -> bool:
    """Return whether an answer reaches the reader without a mark."""
    passage = Passage("id", document, "g", "v", Chunk(text, 1, 0, len(text), 50), 0.5)
    grounded, sentences = check(answer, [passage], question, None, 0.5, MeaningScale())
    return grounded is not None and all(one.supported for one in sentences)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("in 1987", {"1987"}),
        ("2015-2017", {"2015", "2016", "2017"}),
        ("between 2015 and 2017", {"2015", "2016", "2017"}),
        ("2015 and 2017", {"2015", "2017"}),
        ("FY22", {"2022"}),
        ("FY98", {"1998"}),
        ("FY2021/22", {"2021", "2022"}),
        ("3Q19", {"Q3", "2019"}),
        ("the third quarter of 2019", {"Q3", "2019"}),
        ("im dritten Quartal 2019", {"Q3", "2019"}),
        ("2019年第三季度", {"Q3", "2019"}),
        ("March 31, 2019", {"M3", "2019"}),
        ("31. März 2019", {"M3", "2019"}),
        ("el 5 de mayo de 2019", {"M5", "2019"}),
        ("2019年3月", {"M3", "2019"}),
        ("2019-03-05", {"M3", "2019"}),
        ("the tenant may march", set()),
        ("2,019 boats, 2000% and 1999.5", set()),
        ("$1577 million and € 1600 in 2019", {"2019"}),
        ("a 20% rise in 2015 a 25 % fall", {"2015"}),
    ],
)
def test_a_text_has_the_periods_that_it_names(text: str, parts: set[str]) -> None:
    assert periods(text) == parts


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("It had 1500 employees, es hat 2000 Mitarbeiter, it costs 1999 euros", {"1500", "2000", "1999"}),
        ("公司有1500名员工", {"1500"}),
        ("公司2019年第三季度", set()),
        ("The cup of 1987 was in Kiel. 1997 was another year", set()),
        ("sold in 1987 by Ines, in March 2019 and im Jahr 2015 verkauft", set()),
    ],
)
def test_a_year_between_two_words_may_be_an_amount(text: str, years: set[str]) -> None:
    assert doubtful_years(text) == years


@pytest.mark.parametrize("text", ["since 2010", "seit 2010", "depuis 2010", "desde 2010", "2010年以来"])
def test_a_period_that_goes_on_has_the_years_to_come(text: str) -> None:
    assert agree(periods(text), {"2015"})
    assert not agree(periods(text), {"2009"})
    assert agree(periods("until 2010"), {"2009"})


@pytest.mark.parametrize(
    ("question", "answer", "text", "right"),
    [
        ("Who won the cup in 1987?", "Ada Holt won the cup in 1997 [1].", CUPS, False),  # verbatim
        ("Who won the cup in 1987?", "It was won by Ada Holt in 1997 [1].", CUPS, False),
        ("Who won the cup in 1987?", "Ada Holt won the cup [1].", CUPS, False),
        ("Who won the cup in 1987?", "Ada Holt [1]", CUPS, False),
        ("Who won the cup in 1987?", "Ines Roth won it [1].", CUPS, True),
        ("Who won the cup in 1987?", "The cup was held in Kiel in 1987, and Ines Roth won it [1].", CUPS, True),
        ("Who won the cup in 1997?", "Ada Holt [1]", CUPS, True),
        ("When was the cup that was in Kiel in 1987 founded?", "Founded in 1931 [1].", CUPS, True),
        (
            "Was the club founded in 1987?",
            "No, the club was founded in 1931 [1].",
            "The club was founded in 1931.",
            True,
        ),
        ("Who was the winner of the year 1987?", "Ada Holt won the cup in 1997 [1].", CUPS, False),
        ("What did North sell in the second quarter of 2019?", "North sold 640 in Q2 2019 [1].", SALES, True),
        ("What did North sell in the second quarter of 2019?", "North sold 512 in Q2 2019 [1].", SALES, False),
        ("What was the revenue in 2019?", "The revenue was $1577 million [1].", REVENUE, True),
        ("What was the revenue in 2019?", "The revenue was $1373 million [1].", REVENUE, False),
        ("How many boats were sold in fiscal 2022?", "It sold 512 boats in FY2022 [1].", FISCAL, True),
        ("How many boats were sold in fiscal 2022?", "In FY21 it sold 640 boats [1].", FISCAL, False),
        ("How many ships did the harbour serve in March 2019?", "It served 512 ships [1].", MONTHS, True),
        ("How many ships did the harbour serve in March 2019?", "It served 640 ships [1].", MONTHS, False),
        ("How many ships did it serve in March 2019?", "In May 2019 it served 640 ships [1].", MONTHS, False),
        ("Who was the mayor in 2015?", "Lea Brandt has been the mayor since 2010 [1].", OFFICE, True),
        ("Who was the mayor in 2007?", "Jan Ott was the mayor from 2004 to 2009 [1].", OFFICE, True),
        ("Who was the mayor in 2007?", "Lea Brandt has been the mayor since 2010 [1].", OFFICE, False),
        ("Who was the mayor in 2007?", "Lea Brandt [1]", OFFICE, False),
        ("Who led the firm in 2019?", "Ada led 1500 people [1].", "The firm in 2019: Ada led 1500 people.", True),
    ],
)
def test_an_answer_of_another_period_than_the_question_is_marked(
    question: str, answer: str, text: str, *, right: bool
) -> None:
    assert passes(question, answer, text) is right


@pytest.mark.parametrize(
    ("rows", "asked", "other"),
    [
        (("3rd Quarter", "4th Quarter"), "the fourth quarter", "the third quarter"),
        (("Q3", "Q4"), "Q4", "Q3"),
        (("March", "April"), "April", "March"),
    ],
)
def test_the_row_of_a_table_can_be_of_a_period(rows: tuple[str, str], asked: str, other: str) -> None:
    text = f"Area of the shops\nOpening Added Closing\n{rows[0]} 13,922 151 14,073\n{rows[1]} 14,180 126 14,306\n"
    said = "The closing area of the shops in {} was {} [1]."
    assert passes(f"What was the closing area of the shops in {asked}?", said.format(asked, "14,306"), text)
    assert not passes(f"What was the closing area of the shops in {asked}?", said.format(asked, "14,073"), text)
    assert passes(f"What was the closing area of the shops in {other}?", said.format(other, "14,073"), text)


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("2021 2020\n2020 restructuring plan 512 640\nOther plans 303 377\n", "in 2020 was 512", False),
        ("2021 2020\n2020 restructuring plan 512 640\nOther plans 303 377\n", "in 2020 was 640", True),
        ("Q2 2021 Q3 2021\nQ1 restructuring plan 512 640\nOther plans 303 377\n", "in Q3 2021 was 640", True),
        ("Q2 2021 Q3 2021\nQ1 restructuring plan 512 640\nOther plans 303 377\n", "in Q1 2021 was 640", False),
    ],
)
def test_the_head_of_a_column_dates_a_cell_before_the_name_of_its_row(
    text: str, answer: str, *, right: bool
) -> None:
    question = f"What was the expense of the restructuring plan {answer.partition(' was')[0]}?"
    assert passes(question, f"The expense of the restructuring plan {answer} [1].", f"Expense\n{text}") is right


def test_the_year_of_a_document_dates_what_it_tells() -> None:
    text = "Ada Holt has won the cup. The club was founded in 1931 by Ines Roth."
    question, answer = (
        "Who founded the club, by the report of 2019?",
        "The club was founded in 1931 by Ines Roth [1].",
    )
    assert passes(question, answer, text, "report_2019.pdf")
    assert not passes(question, answer, text, "report.pdf")


def test_the_sentence_before_dates_a_sentence_that_has_another_date() -> None:
    text = "The final of 1987 took place in Kiel. Ada Holt, born in 1950, won the cup there."
    assert passes("Who won the cup in 1987?", "Ada Holt won the cup [1].", text)


FEE, MEMBERS = "What is the yearly fee in 2023?", "How many members did the club have in 2023?"


@pytest.mark.parametrize(
    ("question", "answer", "text", "right"),
    [
        (FEE, "84 euros [1].", "The yearly fee is 84 euros. In 2023 the entrance fee was 20 euros.", False),
        (FEE, "84 euros [1].", "The yearly fee is 84 euros. It was 78 euros in 2021.", False),
        (FEE, "84 euros [1].", "The yearly fee is 84 euros. From 2024 on it is 90 euros.", False),
        (MEMBERS, "It has 412 members [1].", "In 2021 the club had 380 members. It has 412 members.", False),
        (
            "Wie hoch ist der Jahresbeitrag 2023?",
            "Der Jahresbeitrag betr\u00e4gt 84 Euro [1].",
            "Der Jahresbeitrag betr\u00e4gt 84 Euro. Im Jahr 2021 betrug er 78 Euro.",
            False,
        ),
        (
            "Quel est le loyer en 2023 ?",
            "Le loyer est de 840 euros [1].",
            "En 2021, le loyer \u00e9tait de 780 euros. Le loyer est de 840 euros.",
            False,
        ),
        (FEE, "The yearly fee is 84 euros [1].", "The yearly fee is 84 euros. Members pay in January.", True),
        (FEE, "84 euros [1].", "The yearly fee is 84 euros. The club was founded in 1931.", True),
        (FEE, "84 euros [1].", "The yearly fee is 84 euros. In 2021 the club bought 3 boats.", True),
        (FEE, "84 euros [1].", "Prices of 2023. Guests pay 9 euros. The yearly fee is 84 euros.", True),
        (FEE, "84 euros [1].", "In 2023 the entrance fee was 20 euros. The yearly fee is 84 euros.", True),
        (MEMBERS, "412 [1].", "In 2023 the members met twice. The club has 412 members.", True),
        (
            "Wie hoch ist der Jahresbeitrag 2023?",
            "84 Euro [1].",
            "Der Jahresbeitrag betr\u00e4gt 84 Euro. Er ist im Januar f\u00e4llig.",
            True,
        ),
        ("Quel est le loyer en 2023 ?", "840 euros [1].", "Le loyer est de 840 euros. Il est d\u00fb.", True),
    ],
)  # fmt: skip
def test_a_figure_without_a_date_is_marked_beside_a_sentence_that_dates_another_one(
    question: str, answer: str, text: str, *, right: bool
) -> None:
    assert passes(question, answer, text) is right


def test_the_year_of_a_document_dates_its_figures_without_a_date() -> None:
    text = "The yearly fee is 84 euros. It was 78 euros in 2021."
    assert passes(FEE, "The yearly fee is 84 euros [1].", text, "fees_2023.pdf")
    assert not passes(FEE, "The yearly fee is 84 euros [1].", text, "fees.pdf")


CEO = "Who became CEO in 2001?"
HOLT = "Ada Holt, born in 1950, became CEO [1]."
BOLT = "Bolt, founded in 1931, bought the mill in 2001 and a ship in 2005."
OTT = "Jan Ott, geboren 1950, wurde 2001 Direktor, und 2010 folgte Lea Brandt."
DIRECTEUR = "Jean Ott, n\u00e9 en 1950, est devenu directeur [1]."
JEAN = "Jean Ott, n\u00e9 en 1950, est devenu directeur en 2001 et pr\u00e9sident en 2010."


@pytest.mark.parametrize(
    ("question", "answer", "text", "right"),
    [
        (CEO, HOLT, "Ada Holt, born in 1950, became CEO in 2001, and retired in 2010.", True),
        (CEO, HOLT, "In 2001 Ada Holt, born in 1950, became CEO.", True),
        (CEO, HOLT, "Ada Holt, born in 1950, joined in 1980 and became CEO in 2001 and chair in 2010.", True),
        (CEO, HOLT, "Ada Holt (born in 1950) became CEO in 2001 and left in 2010.", True),
        ("Which firm bought the mill in 2001?", "Bolt, founded in 1931, bought the mill [1].", BOLT, True),
        ("Wer wurde 2001 Direktor?", "Jan Ott, geboren 1950, wurde Direktor [1].", OTT, True),
        ("Wer wurde 2010 Direktor?", "Lea Brandt [1].", OTT, True),
        ("Qui est devenu directeur en 2001 ?", DIRECTEUR, JEAN, True),
        (CEO, "Ada Holt, born in 1955, became CEO [1].", "Ada Holt, born in 1950, became CEO in 2001.", False),
    ],
)  # fmt: skip
def test_a_year_in_an_aside_is_of_the_aside(question: str, answer: str, text: str, *, right: bool) -> None:
    assert passes(question, answer, text) is right


def test_an_aside_has_a_period_of_its_own_and_is_in_the_middle() -> None:
    for said in (", born in 1950,", " (born in 1950)", " - born in 1950 -"):
        assert periods(without_asides(f"Ada Holt{said} came in 2001.")) == {"2001"}
    for whole in (
        "In 2001, Ada Holt came.",
        "Ada Holt, of Kiel, came in 2001.",
        "On March 31, 2019, it burnt, too.",
    ):
        assert without_asides(whole) == whole


def test_a_date_of_the_second_part_of_a_question_needs_no_word_of_the_first() -> None:
    text = (
        "Tenancy of the orchard\n\nBetween the Parish of Wells and Tom Reed. It begins on 1 March 2023 and ends "
        "on 28 February 2028.\n\nTrees\n\nThe tenant prunes the 84 apple trees each winter."
    )
    question = "How many trees are there, and when does the tenancy end?"
    trees = "There are 84 apple trees in the orchard [1]."
    assert passes(question, f"{trees} The tenancy ends on 28 February 2028 [1].", text)
    assert not passes(question, f"{trees} The tenancy ends on 1 March 2023 [1].", text)
