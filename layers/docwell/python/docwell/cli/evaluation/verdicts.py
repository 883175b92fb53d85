"""The verdict on one answer, by the fact that it must state. `make eval-answers` uses the same rules.

Words and figures are compared in one notation, so that "$1.2 million" equals "1,200,000".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from docwell.answers import AnswerStatus
from docwell.text.lexicon import UNSPACED

# PDFium writes U+FFFE, and older versions U+0002, for a hyphen at the end of a line.
_SPLIT_WORD = re.compile("(?<=\\w)[\u2010\u00ad\ufffe\x02]\\s*\\n?\\s*")
_MARKERS = re.compile(r"\s*\[\d{1,3}(?:,\s*\d{1,3})*\]")
_SCALES = {
    **dict.fromkeys(("thousand", "thousands", "tausend", "mille", "milliers"), 1_000),
    **dict.fromkeys(("million", "millions", "millionen", "mio"), 1_000_000),
    **dict.fromkeys(("billion", "billions", "bn"), 1_000_000_000),
    **dict.fromkeys(("milliarde", "milliarden", "mrd", "milliard", "milliards"), 1_000_000_000),
}
_PERCENT = r"%|per\s?cent\b|prozent\b|pour\s?cent\b"
_GROUPS = "\u00a0\u202f'\u2019"
# French also writes a plain space between groups; in an English table a space separates two columns.
_NUMBER = {
    spaced: rf"\d{{1,3}}(?:[{groups}]\d{{3}})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)*"
    for spaced, groups in ((False, _GROUPS), (True, f"{_GROUPS} "))
}
# In a script without blanks, each character is a word.
_LETTERS = rf"(?:(?!{UNSPACED.pattern})[^\W\d_])+"
_TOKEN = {
    spaced: re.compile(
        rf"(?P<number>{number})(?:\s*\(?(?:in\s+)?(?P<scale>{'|'.join(_SCALES)})\b\.?)?"
        rf"|(?P<percent>{_PERCENT})|(?P<word>{UNSPACED.pattern}|{_LETTERS}(?:['\u2019]{_LETTERS})?)",
        re.IGNORECASE,
    )
    for spaced, number in _NUMBER.items()
}
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")

# The readings of one word or figure. "1,234" in a German text has two.
Token = frozenset[str]


class Verdict(StrEnum):
    """The judgement on one answer."""

    RIGHT = "right"
    RIGHTLY_REFUSED = "rightly refused"
    WRONG = "wrong, not marked"
    WRONG_MARKED = "wrong, but marked"
    WRONGLY_REFUSED = "wrongly refused"
    FAILED = "failed"


GOOD = frozenset({Verdict.RIGHT, Verdict.RIGHTLY_REFUSED})


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """A page (1-based) of a document in the index."""

    key: str
    number: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer, the pages that it cites, and whether docwell counts it as supported."""

    text: str
    pages: tuple[Page, ...]
    supported: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a client sees it. `mode` is the mode that docwell chose, if the answer states it."""

    status: str
    text: str
    citations: frozenset[Page] = frozenset()
    sentences: tuple[Sentence, ...] = ()
    mode: str | None = None


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read the JSON of an answer. Raises `KeyError` where a field is missing."""
    pages = {citation["marker"]: Page(citation["document"], citation["page"]) for citation in body["citations"]}
    sentences = tuple(
        Sentence(
            sentence["text"],
            tuple(pages[marker] for marker in sentence["markers"] if marker in pages),
            sentence["supported"],
        )
        for sentence in body.get("sentences") or ()
    )
    text = _MARKERS.sub("", str(body["answer"]))
    return Answer(str(body["status"]), text, frozenset(pages.values()), sentences, body.get("mode"))


def judge_answer(answer: Answer, wordings: Collection[str], *, answerable: bool, language: str = "en") -> Verdict:
    """Judge an answer that must state a fact in one of its wordings.

    A refusal is right if the documents have no answer, else wrong. Any other answer is wrong if the documents have
    none. A wrong answer is marked if docwell marks all its sentences.
    """
    if answer.status == AnswerStatus.REFUSED:
        return Verdict.WRONGLY_REFUSED if answerable else Verdict.RIGHTLY_REFUSED
    if answerable and any(says(answer.text, wording, language) for wording in wordings):
        return Verdict.RIGHT
    marked = bool(answer.sentences) and not any(sentence.supported for sentence in answer.sentences)
    return Verdict.WRONG_MARKED if marked else Verdict.WRONG


def says(text: str, wording: str, language: str = "en") -> bool:
    """Return whether a text has a wording, word for word and figure for figure; wordings use English notation.

    >>> says("It sold $1.2 million.", "1,200,000"), says("1.234,5 Tonnen", "1,234.5", "de"), says("In 2015", "20")
    (True, True, False)
    """
    words, fact = tokens(text, language), tokens(wording)
    starts = range(len(words) - len(fact) + 1)
    return bool(fact) and any(all(token & words[start + at] for at, token in enumerate(fact)) for start in starts)


@cache
def tokens(text: str, language: str = "en") -> tuple[Token, ...]:
    """Return words in lower case, figures with their scale, and `%`, without currency signs and punctuation."""
    sequence = []
    for match in _TOKEN[language == "fr"].finditer(_SPLIT_WORD.sub("", text)):
        if match["number"]:
            scale = _SCALES.get((match["scale"] or "").lower(), 1)
            readings = _readings(match["number"], language)
            sequence.append(frozenset(f"{(value * scale).normalize():f}" for value in readings))
        else:
            sequence.append(
                frozenset({"%" if match["percent"] else match["word"].casefold().replace("\u2019", "'")})
            )
    return tuple(sequence)


def _readings(number: str, language: str) -> set[Decimal]:
    r"""Return the values that a written number can have.

    >>> _readings("1,234", "en"), _readings("28,5", "en"), _readings("500.000", "en")
    ({Decimal('1234')}, {Decimal('28.5')}, {Decimal('500.000')})
    """
    bare = re.sub(f"[{_GROUPS} ]", "", number)
    marks = [mark for mark in bare if mark in ".,"]
    integer = Decimal(bare.replace(".", "").replace(",", ""))
    if not marks:
        return {integer}
    if len(set(marks)) > 1:  # the last mark separates decimals in each language
        return {integer.scaleb(bare.rindex(marks[-1]) + 1 - len(bare))}
    if len(marks) > 1:
        return {integer}
    decimal = Decimal(bare.replace(",", "."))
    if not _THOUSANDS.fullmatch(bare):
        return {decimal}
    if language == "en":
        return {integer if marks[0] == "," else decimal}
    # A German or French answer may copy the notation of an English page.
    return {integer, decimal}
