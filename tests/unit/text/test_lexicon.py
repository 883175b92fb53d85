"""Sentences and words of many scripts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.ingest.indexing import embedded_texts, in_context
from docwell.models import Chunk, Reason
from docwell.text.lexicon import beginnings, content_words, fold, segments, sentences, statements, stem, words
from docwell.text.naming import file_words
from docwell.text.page_lists import by_reason, listed, page_failures
from docwell.text.prose import after_headings, is_bibliography, is_reference, is_sentence, paragraphs
from tests.unit.cases import rows
from tests.unit.fakes import FakeEmbedder

CASES: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text("utf-8"))


def test_words_are_compared_by_their_beginning_and_scripts_without_spaces_by_pairs() -> None:
    assert beginnings("Requirements REQUIRED") == ["requir", "requir"]
    assert beginnings("日本語 x") == ["日本", "本語", "x"]
    # A character outside ASCII changes no other word.
    assert beginnings("pre-tax_2 8é") == [*beginnings("pre-tax_2 8"), "é"]
    assert beginnings("FY2022_10K") == ["fy", "2022", "10", "k"]


@pytest.mark.parametrize(("text", "pieces"), CASES["sentences"])
def test_a_sentence_ends_with_the_full_stop_of_its_script(text: str, pieces: list[str]) -> None:
    assert sentences(text) == pieces


@pytest.mark.parametrize("text", CASES["unspaced"])
def test_scripts_without_spaces_give_pairs_of_characters(text: str) -> None:
    assert max(map(len, words(text))) == len("日本")
    assert words(f"The {text}") == words(text) | {"the"}


@pytest.mark.parametrize(("text", "one", "other"), CASES["signs"])
def test_a_vowel_sign_or_an_accent_cuts_no_word(text: str, one: str, other: str) -> None:
    assert words(one) <= words(text)
    assert len(words(one)) == 1
    assert words(one).isdisjoint(words(other))
    assert beginnings(one)[0] in beginnings(text)
    assert len(beginnings(one)) == 1


@given(st.text(st.characters(codec="ascii")))
def test_ascii_text_has_the_same_words_beside_other_letters(text: str) -> None:
    assert beginnings(f"{text} é") == [*beginnings(text), "é"]
    assert words(f"{text} é") == words(text) | {"é"}


@pytest.mark.parametrize(("written", "plain"), CASES["arabic"])
def test_an_arabic_word_is_compared_without_its_article_and_its_and(written: str, plain: str) -> None:
    assert words(written) == set(plain.split())
    assert beginnings(written) == [word[:6] for word in plain.split()]


def test_content_words_are_stems_without_function_words() -> None:
    assert content_words("The boilers were inspected") == {"boiler", "inspect"}


@pytest.mark.parametrize(("word", "stemmed"), CASES["stems"])
def test_inflected_forms_have_the_same_stem(word: str, stemmed: str) -> None:
    assert stem(word) == stemmed


@pytest.mark.parametrize(("name", "folded"), [("Avilés", "aviles"), ("ΠΑΡΊΣΙ", "παρισι")])
def test_a_folded_name_has_no_accents(name: str, folded: str) -> None:
    assert fold(name) == folded


def test_a_long_sentence_is_cut_at_blanks() -> None:
    text = "word " * 100
    spans = segments(text, 50)
    assert all(end - start <= 50 for start, end in spans)
    assert " ".join(text[start:end] for start, end in spans).split() == text.split()


@pytest.mark.parametrize(("text", "pieces"), CASES["lists"])
def test_a_list_belongs_to_the_statement_that_introduces_it(text: str, pieces: list[str]) -> None:
    assert [text[start:end] for start, end in statements(text)] == pieces


REFERENCES, SENTENCES = CASES["references"], CASES["prose"]


@pytest.mark.parametrize("text", [*REFERENCES, *SENTENCES, *CASES["scraps"]])
def test_a_sentence_is_told_from_a_reference_and_a_scrap(text: str) -> None:
    assert is_sentence(text) is (text in SENTENCES)
    assert is_reference(text) is (text in REFERENCES)


def test_a_list_of_references_is_known_by_the_share_of_them() -> None:
    prose = " ".join(SENTENCES[:2])
    assert is_bibliography("\n".join(REFERENCES[:3]))
    assert is_bibliography("Holt, A. 2011. Harbours. Ott, B. 2012. Lamps. Roth, I. 2013. Oil.")
    assert not is_bibliography(f"{prose} {REFERENCES[0]} {prose} {prose}")
    assert not is_bibliography(prose)


@pytest.mark.parametrize(("text", "rest"), CASES["headings"])
def test_headings_before_a_sentence_are_not_in_it(text: str, rest: str) -> None:
    assert text[after_headings(text, 0, len(text)) :] == (rest or text)
    inside = f"So it is. {text}"
    assert after_headings(inside, len("So it is. "), len(inside)) == len("So it is. ")  # no line begins there


def test_short_lines_end_paragraphs_and_long_ones_are_joined() -> None:
    text = (
        "Pump Safety\nAda Holt\n\n"
        "The pumps of the mill are oiled by the\nnight crew, which begins at ten o'clock\nsharp."
    )
    assert paragraphs(text) == [
        "Pump Safety",
        "Ada Holt",
        "The pumps of the mill are oiled by the night crew, which begins at ten o'clock sharp.",
    ]


DYNAMODB_ROW = 400 * 1024


@pytest.mark.parametrize(
    ("numbers", "text"), [([4], "4"), ([2, 1], "1-2"), ([9, 3, 8, 7, 12], "3,7-9,12"), ([], "")]
)
def test_runs_of_pages_are_shortened(numbers: list[int], text: str) -> None:
    assert listed(numbers) == text


def test_the_failures_of_several_ranges_come_together_and_the_first_page_s_reason_first() -> None:
    first = page_failures({7: Reason.TOO_SLOW, 8: Reason.TOO_SLOW, 5: Reason.READER_CRASHED})
    second = page_failures({51: Reason.TOO_SLOW})
    assert first == {"too_slow 7-8", "reader_crashed 5"}
    assert list(by_reason(first | second).items()) == [
        (Reason.READER_CRASHED, [5]),
        (Reason.TOO_SLOW, [7, 8, 51]),
    ]
    assert page_failures({}) == frozenset()


@pytest.mark.parametrize("range_pages", [5, 50])
def test_twenty_thousand_bad_pages_of_all_reasons_fit_into_one_row(range_pages: int) -> None:
    reasons = [
        Reason.TOO_MUCH_MEMORY,
        Reason.READER_CRASHED,
        Reason.TOO_MUCH_TEXT,
        Reason.UNREADABLE,
        Reason.TOO_SLOW,
    ]
    entries = [
        entry
        for first in range(1, 20_001, range_pages)
        for entry in page_failures({first + n: reasons[n % len(reasons)] for n in range(range_pages)})
    ]
    # DynamoDB charges a byte for each element of a set.
    assert sum(len(entry) + 1 for entry in entries) < DYNAMODB_ROW


def chunk(text: str, heading: str = "", tokens: int = 3) -> Chunk:
    return Chunk(text, 1, 0, len(text), tokens, heading=heading)


@pytest.mark.parametrize(("key", "words"), rows(__file__, "file_names"))
def test_a_file_is_called_by_the_words_of_its_name(key: str, words: str) -> None:
    assert file_words(key) == words


def test_a_section_is_embedded_over_its_chunks_and_a_quote_stays_as_it_was() -> None:
    chunks = [chunk("It is warm.", "Results"), chunk("It is cold.")]
    assert embedded_texts(chunks, FakeEmbedder(), 100) == ["Results\nIt is warm.", "It is cold."]


def test_a_chunk_that_fills_the_model_is_embedded_without_its_section() -> None:
    chunks = [chunk("full", "One two three", tokens=100), chunk("nearly", "One two three", tokens=98)]
    assert embedded_texts(chunks, FakeEmbedder(), 100) == ["full", "One two\nnearly"]


def test_vectors_lean_to_their_neighbours() -> None:
    vectors = np.eye(4, dtype=np.float32)[:3]
    leaning = in_context(vectors)
    assert np.linalg.norm(leaning, axis=1) == pytest.approx([1, 1, 1])
    assert leaning.argmax(axis=1).tolist() == [0, 1, 2]  # each is still nearest to itself
    assert leaning[0, 1] > leaning[0, 2] == 0  # the second is a neighbour, the third is not
