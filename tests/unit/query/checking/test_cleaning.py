"""Answers as plain text, whole or streamed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docwell.query.checking.cleaning import HELD_CHARACTERS, StreamCleaner, clean_answer

ALIVE = re.compile(
    r"\]\(|!\[|<[a-z/!?]|javascript\s*:\S|vbscript\s*:\S|\bdata:(?:\w+/|[;,])|[a-z]://|\bwww\.\w|[\w.+-]+@[\w-]+\.\w",
    re.IGNORECASE,
)
# Parts of attacks, so that random texts hold many of them, cut and nested.
_PARTS = """
    [ ] ( ) ]( ![ < > </ <img onerror=a()> <script> </script> <!-- --> <b> javascript: java script: data:text/html,
    data: http:// https :// www. evil.com a@b.org /q?x=1 [1] [2,3] . , word x é 中 文。 ไทย &#106; ` ' " mailto:
"""
PARTS = st.sampled_from(_PARTS.split())
UNSEEN = st.sampled_from([" ", "\n", "\t", "\r\n", "\u200b", "\u202e", "\U000e0041", "\u200d", "\u201c", "\u201d"])
TEXTS = st.lists(PARTS | UNSEEN | st.text(max_size=3), max_size=40).map("".join)


def streamed(pieces: list[str]) -> str:
    cleaner = StreamCleaner()
    return "".join([*(cleaner.feed(piece) for piece in pieces), cleaner.close()])


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_nothing_alive_survives_and_cleaning_twice_changes_nothing(text: str) -> None:
    cleaned, _ = clean_answer(text, ())
    assert ALIVE.search(cleaned) is None
    assert clean_answer(cleaned, ()) == (cleaned, 0)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.data())
def test_a_stream_is_clean_however_it_is_cut(text: str, data: st.DataObject) -> None:
    whole = streamed([text])
    assert ALIVE.search(whole) is None
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    assert streamed([text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]) == whole


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("See ![logo](https://e.com/p.png?q=secret) here [1].", "See logo here [1]."),
        ("Press [this](javascript:alert(1)) now [1].", "Press this now [1]."),
        ("[1](http://e.com) is said.", "[1] is said."),
        ("One [[two](b) three](c).", "One two three."),
        ("<script>alert(1)</script>It is <b>so</b> [2].", "It is so [2]."),
        ("Left open <img src=x onerror=y", "Left open < img src=x onerror=y"),
        ("If x<y then [1].", "If x< y then [1]."),
        ("Mail <a@b.org> or ask.", "Mail or ask."),
        ("Both say so [1][2].", "Both say so [1][2]."),
        ("ig\u200bnore\u202e it", "ignore it"),
    ],
)
def test_markup_becomes_its_text_and_markers_stay(text: str, clean: str) -> None:
    assert clean_answer(text, ())[0] == clean


def test_an_address_stays_only_where_a_cited_text_has_it_whole() -> None:
    cited = ["Write to desk@docs.org or see https://docs.org/help for more."]
    text = "See [help](https://docs.org/help), https://docs.org/help or desk@docs.org [1]."
    assert clean_answer(text, cited)[0] == "See help, https://docs.org/help or desk@docs.org [1]."
    assert "docs.org/help?q=1" not in clean_answer("See https://docs.org/help?q=1 now.", cited)[0]
    assert clean_answer("See https://docs.org now.", cited)[0] == "See now."


def test_a_tag_stays_only_where_it_is_harmless_and_a_cited_text_has_it() -> None:
    cited = ["The element <em> sets type, <img src=x> shows a picture."]
    assert clean_answer("Use <em> not <strong> or <img src=x>.", cited)[0] == "Use <em> not or."


def test_what_was_taken_out_is_counted() -> None:
    assert clean_answer("Plain [1].", ())[1] == 0
    assert clean_answer("[a](b) and <i>c</i>", ())[1] == 3


def test_very_deep_nesting_is_cleaned() -> None:
    deep = "[" * 400 + "x" + "](a)" * 400
    assert ALIVE.search(clean_answer(deep, ())[0]) is None


def test_words_come_out_of_a_stream_as_they_end() -> None:
    cleaner = StreamCleaner()
    pieces = ("The bo", "iler ", "is", " hot [1", "]. ")
    assert [cleaner.feed(piece) for piece in pieces] == ["The ", "boiler ", "", "is hot ", "[1]. "]


def test_text_without_blanks_comes_out_of_a_stream_character_by_character() -> None:
    cleaner = StreamCleaner()
    assert cleaner.feed("庭は") == "庭は"


def test_a_link_is_held_back_until_it_ends() -> None:
    cleaner = StreamCleaner()
    assert cleaner.feed("see [the manual ") == "see "
    assert cleaner.feed("here](http://e.com) now ") == "the manual here now "


def test_what_is_never_closed_is_held_back_for_a_bounded_time() -> None:
    cleaner = StreamCleaner()
    shown = cleaner.feed("[ " + "word " * HELD_CHARACTERS)
    assert len(shown) > 4 * HELD_CHARACTERS


def test_a_stream_keeps_what_the_texts_it_is_given_have() -> None:
    cleaner = StreamCleaner(["see www.docs.org"])
    assert cleaner.feed("Go to www.docs.org or www.evil.org now. ") == "Go to www.docs.org or now. "
