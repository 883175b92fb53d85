"""Cleaning and judging the text of a page."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.adapters.documents.quality import is_unreadable, tidy, unreadable_share


@pytest.mark.parametrize(
    "text",
    [
        "Plain English text of a page, with 12 figures.",
        "日本語の文章はここにあります。読めますか、はい読めます。",
        "هذا نص عربي يمكن قراءته بسهولة",
        "ประเทศไทยเป็นประเทศที่สวยงาม",
        "\uf0b7 A list in a symbol font\r\n\uf0b7 has bullets like this",
        "\x03\x04\x05",
        "",
    ],
)
def test_text_is_readable(text: str) -> None:
    assert not is_unreadable(text)


@pytest.mark.parametrize(
    "text", ["\ue001\ue002 \ue003" * 20, "\ufffd" * 50, "\x03\x04\x05\x06" * 20, "(cid:12)(cid:7) " * 20]
)
def test_glyph_codes_are_not_readable(text: str) -> None:
    assert is_unreadable(text)
    assert unreadable_share(text) == 1


def test_the_share_counts_characters_that_are_not_space() -> None:
    assert unreadable_share("abc \n\ufffd") == 0.25
    assert unreadable_share(" \n") == 0


def test_a_reader_s_mark_of_a_hyphen_is_not_unreadable() -> None:
    assert unreadable_share("exam\x02ple exam\ufffeple") == 0


@pytest.mark.parametrize("mark", ["\x02", "\ufffe", "\ufffe\r\n", "\x02\n", "\u00ad\n"])
def test_a_word_cut_at_a_line_s_end_is_joined(mark: str) -> None:
    assert tidy(f"the infor{mark}mation") == "the information"


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("non\ufffeGAAP", "non-GAAP"),
        ("e\ufffecommerce", "e-commerce"),
        ("a well-known fact is well\ufffeknown", "a well-known fact is well-known"),
        ("cloud and native: cloud\ufffenative", "cloud and native: cloud-native"),
        ("database and data base: data\ufffebase", "database and data base: database"),
        ("ends in \ufffe", "ends in"),
    ],
)
def test_a_hyphen_of_its_own_is_kept(text: str, joined: str) -> None:
    assert tidy(text) == joined


def test_line_ends_spaces_and_controls_are_plain() -> None:
    assert tidy("a\r\nb\rc\fd") == "a\nb\nc\nd"
    assert tidy("a \t\n\n\n\n\u00a0b\x00\u200b\ud800\ufeff") == "a\n\n b"
    assert tidy("\n\n  indented\n\n") == "  indented"


def test_letters_are_composed_and_quotes_kept() -> None:
    assert tidy("e\u0301 \ufb01x o\ufb03ce") == "\u00e9 fix office"
    assert tidy("\u201cx\u00b2\u201d \u00bd \u2026") == "\u201cx\u00b2\u201d \u00bd \u2026"
    assert tidy("\ufee3\ufeae\ufea3\ufe92\ufe8e") == "\u0645\u0631\u062d\u0628\u0627"


@given(st.text(max_size=300))
def test_tidying_twice_is_tidying_once(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert "\r" not in once
    assert "\n\n\n" not in once


@pytest.mark.parametrize(
    "text", ["x" * 200_000 + "\ufffe", " " * 200_000 + "x", "a\ufffe" * 100_000, "\n " * 100_000]
)
def test_a_hostile_page_takes_linear_time(text: str) -> None:
    started = time.process_time()
    tidy(text)
    unreadable_share(text)
    assert time.process_time() - started < 2
