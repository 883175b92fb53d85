"""The subject of a question for a list, and the texts that mention it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.query.subject import Subject, Subjects
from tests.unit.fakes import FakeEmbedder


@pytest.mark.parametrize(
    ("question", "text", "phrases"),
    [
        ("Which documents mention Ada Holt?", "Ada Holt", ("Ada Holt",)),
        ("Which documents mention Ada Holt and Kiel?", "Ada Holt and Kiel", ("Ada Holt", "Kiel")),
        ("Welche Dokumente erw\u00e4hnen Leuchtt\u00fcrme?", "Leuchtt\u00fcrme", ("Leuchtt\u00fcrme",)),
        (
            "\u54ea\u4e9b\u6587\u4ef6\u63d0\u5230\u4e86\u6c14\u5019\u53d8\u5316\uff1f",
            "\u6c14\u5019\u53d8\u5316",
            ("\u6c14\u5019\u53d8\u5316",),
        ),
        ('How many of the "annual reports" are there?', "annual reports", ("annual reports",)),
        ("Quels documents mentionnent \u00ab le port \u00bb ?", "le port", ("le port",)),
    ],
)
def test_the_subject_is_the_part_without_which_an_example_of_a_list_is_left(
    question: str, text: str, phrases: tuple[str, ...]
) -> None:
    found = Subjects(FakeEmbedder()).find(question)
    assert found is not None
    assert (found.text, found.phrases) == (text, phrases)


@pytest.mark.parametrize("words", [1, 3, 300])
def test_few_runs_of_a_question_are_embedded_however_long_it_is(
    words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects, embedded = Subjects(FakeEmbedder()), list[int]()
    assert not subjects.has_margin("Is it on?", 1.0)  # embeds the examples
    embed = FakeEmbedder.embed_queries

    def counted(self: FakeEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
        embedded.append(len(texts))
        return embed(self, texts)

    monkeypatch.setattr(FakeEmbedder, "embed_queries", counted)
    subjects.has_margin(" ".join(f"pump{number} of the" for number in range(words)), 0.5)
    assert embedded == [min(words, 8)]


def test_words_of_asking_alone_are_no_subject() -> None:
    assert Subjects(FakeEmbedder()).find("Which documents mention it?") is None


@pytest.mark.parametrize(
    ("phrases", "text", "is_in"),
    [
        (("Ada Holt",), "ADA\nHolt's bridge", True),
        (("Ada Holt",), "Holt, Ada", False),
        (("Ada Holt", "Kiel"), "In Kiel lives Ada Holt.", True),
        (("Ada Holt", "Kiel"), "Ada Holt", False),
        (("lighthouses",), "A lighthouse.", True),
        (("pump",), "Two pumps.", True),
        (("car",), "A carpet.", False),
        (("Mitarbeiter",), "den Mitarbeitern", True),
        (("international law",), "internal law", False),
        (("COVID-19",), "covid 19", True),
        (("\u6c14\u5019\u53d8\u5316",), "\u5168\u7403\u6c14\u5019\u53d8\u5316\u5f71\u54cd", True),
        (("\u6c14\u5019\u53d8\u5316",), "\u6c14\u5019\u7684\u53d8\u5316", False),
        (("Muller",), "Frau M\u00fcller", True),
        (("B\u00e4ume",), "ein Baum", True),
        (("Preussen",), "in Preu\u00dfen", True),
        (("Preu\u00dfen",), "PREUSSEN", True),
        (("email",), "by e-mail", True),
        (("email",), "by e\u2011mail, e\u00admail", True),
        (("e-mails",), "an email", True),
        (("chain-of-thought prompts",), "a chain of thought prompt", True),
        (("form",), "to re-form it", True),
        (("FY2022",), "of FY2022", True),
        (("star",), "a start", False),
        (("++",), "C++", False),
    ],
)
def test_a_text_mentions_phrases_in_any_case_and_inflection(
    phrases: tuple[str, ...], text: str, is_in: bool
) -> None:
    subject = Subject(" ".join(phrases), phrases)
    assert subject.is_in(text) is is_in
    if is_in:  # the search of the index may find more, but not less
        assert all(re.search(one, text, re.IGNORECASE) for one in subject.patterns)


def test_short_words_have_the_endings_of_the_language_of_the_question() -> None:
    german, english = (
        Subjects(FakeEmbedder()).find(one) for one in ("Wo wird Lind erw\u00e4hnt?", "Where is Lind named?")
    )
    assert german is not None
    assert english is not None
    assert german.is_in("die Linden")
    assert not english.is_in("the linden tree")
    assert not Subject("Codex", ("Codex",)).is_in("a code")


def test_a_long_subject_is_asked_of_the_index_by_few_words() -> None:
    text = " ".join(f"{letter * 4} {letter * 9}" for letter in "abcdefghij")
    subject = Subject(text, (text,))
    assert len(subject.patterns) == 6
    assert all(re.search(one, text) for one in subject.patterns)
    assert not any(re.search(one, "aaaa bbbb") for one in subject.patterns)
    assert subject.is_in(text)
    assert not subject.is_in(text.replace("aaaa", ""))


def test_a_subject_without_a_word_is_in_no_text() -> None:
    subject = Subject("++", ("++",))
    assert not subject.is_verbatim_in("C++")
    assert not subject.is_loosely_in("C++")
    assert subject.count_in("C++") == 0


def test_loosely_a_text_may_have_the_words_anywhere() -> None:
    assert Subject("Ada Holt", ("Ada Holt",)).is_loosely_in("Holt, Ada")


@pytest.mark.parametrize("question", ["How much diesel is stored?", "Who wrote 'Tides'?", "When does it open?"])
def test_a_question_whose_words_ask_for_no_list_is_not_embedded_to_know_it(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEmbedder, "embed_queries", lambda *_: pytest.fail("embedded"))
    assert not Subjects(FakeEmbedder()).is_of_certain_list(question)
