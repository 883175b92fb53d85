"""The questions, periods, figures and sentences that a text has, in many spellings and languages."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.query.checking.check import answer_sentences, claimed, finished_part, rejoined, unrepeated
from docwell.query.checking.dates import agree, doubtful_years, periods
from docwell.query.checking.figures import figures, known_forms, located, mentions
from docwell.query.checking.polarity import split_reply
from tests.unit.query.query_world import rows

FOLDER = Path(__file__).parent
CASES: dict[str, Any] = tomllib.loads((FOLDER / "reading.toml").read_text(encoding="utf-8"))
SENTENCES: dict[str, Any] = tomllib.loads((FOLDER / "sentences.toml").read_text(encoding="utf-8"))
PIECES = "in 2019 Q3 31. March , since FY22 12 1,234.5 million % € - / . ( ) 年 月 sales five \n"
TEXTS = st.lists(st.sampled_from(PIECES.split(" ")), max_size=20).map(" ".join)


def test_a_yes_or_no_is_told_from_the_words_after_it() -> None:
    assert split_reply("Sim, funciona aos domingos.") == (True, "funciona aos domingos.")
    assert split_reply("No.") == (False, "")
    assert split_reply("Nova opens at nine.") == (None, "Nova opens at nine.")


@pytest.mark.parametrize(("text", "parts"), CASES["periods"].items())
def test_a_text_has_the_periods_that_it_names(text: str, parts: str) -> None:
    assert periods(text) == set(parts.split())


@pytest.mark.parametrize(("text", "years"), CASES["amounts"].items())
def test_a_year_between_two_words_may_be_an_amount(text: str, years: str) -> None:
    assert doubtful_years(text) == set(years.split())


@given(TEXTS)
def test_a_period_agrees_with_itself_and_figures_keep_their_places(text: str) -> None:
    assert agree(periods(text), periods(text))
    for start, end, figure, _ in located(text):
        assert text[start:end] == figure.written
    assert known_forms(text) >= {form for mention in mentions(text) for form in mention.figure.plain}


@pytest.mark.parametrize(
    ("figure", "text", "is_stated"),
    [(*case, kind == "stated") for kind, cases in CASES["figures"].items() for case in cases],
)
def test_a_figure_is_known_in_any_form_and_another_figure_is_not(
    figure: str, text: str, *, is_stated: bool
) -> None:
    known = known_forms(text)
    assert is_stated is all(
        not known.isdisjoint(written.forms) or known.issuperset(written.parts or "?")
        for written in figures(figure)
    )


@pytest.mark.parametrize(("caption", "scale", "of_decimals"), rows("captions"))
def test_a_caption_gives_its_scale(caption: str, scale: int, of_decimals: int) -> None:
    cells = {
        mention.figure.written: mention.scale
        for mention in mentions(f"{caption}\n2021 2020\nSales 310 300\nPer share 1.96 1.82")
        if mention.in_table
    }
    assert (cells["310"], cells["1.96"]) == (scale, of_decimals)


@pytest.mark.parametrize("case", SENTENCES["split"])
def test_a_list_belongs_to_its_colon(case: dict[str, Any]) -> None:
    assert answer_sentences(case["text"]) == case["sentences"]
    assert rejoined(case["text"], case["sentences"], case["sentences"]) == case["text"]


@pytest.mark.parametrize("case", SENTENCES["repeat"])
def test_a_sentence_that_repeats_goes(case: dict[str, str]) -> None:
    assert unrepeated(case["text"]) == case["once"]


@pytest.mark.parametrize("case", SENTENCES["begun"])
def test_a_sentence_is_finished_once_the_next_one_begins(case: dict[str, str]) -> None:
    assert finished_part(case["text"]) == case["finished"]


def test_the_numbers_of_list_items_claim_nothing() -> None:
    kit = "The kit has [1]:\n1. 2 pumps\n2) a filter [2]"
    assert claimed(kit, {1, 2}) == "The kit has :\n 2 pumps\n a filter "
    assert claimed("2. Never open it [1].", {1, 2}) == " Never open it ."
    for text in ("In May\n12. The kit came.", "12. Mai 2025", "2. Weltkrieg"):
        assert claimed(text, {2, 11, 12}) == text
