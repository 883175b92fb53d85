"""Cleaning and judging the text of a page."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.extraction import BROKEN
from docwell.adapters.documents.quality import is_unreadable, tidy, unreadable_share

CASES = tomllib.loads(Path(__file__).with_name("quality.toml").read_text(encoding="utf-8"))
ENGLISH = CASES["readable"]["English"] * 3


@pytest.mark.parametrize(
    "text", [*(text * 8 for text in CASES["readable"].values()), "\x03\x04\x05", "xqzj kwvq zzxj", ""]
)
def test_text_and_a_page_of_few_letters_are_not_judged_unreadable(text: str) -> None:
    assert not is_unreadable(text)


@pytest.mark.parametrize("name", CASES["unreadable"])
def test_glyph_codes_are_not_readable(name: str) -> None:
    text = CASES["unreadable"][name] * 20
    assert is_unreadable(text)
    assert unreadable_share(text) == 1


@pytest.mark.parametrize("spoil", BROKEN)
def test_a_page_with_a_wrong_map_is_unreadable(spoil: Callable[[str, int], str]) -> None:
    assert is_unreadable(spoil(ENGLISH, 1))


def test_the_share_counts_characters_that_are_not_space_or_a_reader_s_hyphen() -> None:
    assert unreadable_share("abc \n\ufffd") == 0.25
    assert unreadable_share(" \n") == unreadable_share("exam\x02ple exam\ufffeple") == 0


@pytest.mark.parametrize(("text", "expected"), CASES["joined"].items())
def test_text_is_plain_and_its_words_are_whole(text: str, expected: str) -> None:
    assert tidy(text) == expected


@given(st.text(max_size=300))
def test_tidying_again_changes_nothing(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert "\r" not in once
    assert "\n\n\n" not in once


@pytest.mark.parametrize(
    "text", ["x" * 200_000 + "\ufffe", " " * 200_000 + "x", "a\ufffe" * 100_000, "\n " * 100_000]
)
def test_a_long_repetitive_page_is_readable_and_keeps_its_letters(text: str) -> None:
    assert not is_unreadable(text)
    assert [*filter(str.isalpha, tidy(text))] == [*filter(str.isalpha, text)]
