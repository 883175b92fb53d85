"""The periods of a text, and the answers of another period than the question's."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
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
