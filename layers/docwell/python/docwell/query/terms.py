"""Part the subject of a list where its question joins several: "nitrate or lead", "nitrate but not lead". Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from docwell.query.question_words import read
from docwell.text.lexicon import fold_each

# The words that join, deny and stress, in the languages of `question_words.json`.
_OR = {"en": "or nor", "de": "oder noch", "fr": "ou ni", "es": "o u ni", "zh": "\u6216 \u6216\u8005"}
_AND = {"en": "and", "de": "und sowie", "fr": "et", "es": "y e", "zh": "\u548c \u4e0e \u4ee5\u53ca \u53ca"}
_BUT = {"en": "but and", "de": "aber und", "fr": "mais et", "es": "pero y", "zh": "\u4f46"}
_NOT = {
    "en": "not never neither don't doesn't didn't without",
    "de": "nicht nie weder kein keine keinen keinem ohne",
    "fr": "ne n pas jamais sans ni",
    "es": "no nunca sin ni",
    "zh": "\u4e0d \u6ca1 \u6ca1\u6709 \u672a",
}
_STRESS = frozenset(["both", "sowohl"])
_QUOTE_AFTER = re.compile('["”“»」』]')
_COMMA = re.compile('["”“»」』]?\\s*[,;\u3001\uff0c\uff1b]\\s*')


class Join(StrEnum):
    """How the terms of a subject are joined."""

    ANY = "any"
    ALL = "all"


class Terms(NamedTuple):
    """The terms of a subject, each with its phrases; what counts has one or all of them, and none of `without`.

    All of them `may_be_one` phrase: "Marks and Spencer".
    """

    join: Join
    wanted: tuple[tuple[str, ...], ...]
    without: tuple[tuple[str, ...], ...]
    may_be_one: bool


def terms(question: str, spans: Sequence[tuple[int, int]]) -> Terms | None:
    """Return the terms that the phrases at these places (start, end) make; None where they are one subject.

    Where "and" and "or" mix, it is open what belongs together.
    """
    groups: list[list[str]] = [[question[slice(*spans[0])]]]
    joins, wanted = set[Join](), 0
    for (_, end), (start, stop) in pairwise(spans):
        between = _said(question, end, start)
        phrase = question[start:stop]
        if between & _of(_NOT, question) and between & _of(_BUT, question) and not wanted:
            wanted = len(groups)
        elif between & _of(_OR, question):
            joins.add(Join.ANY)
        elif between & _of(_AND, question):
            joins.add(Join.ALL)
        elif not _COMMA.match(question, end):
            groups[-1].append(phrase)
            continue
        groups.append([phrase])
    if len(joins) > 1 or not (joins or wanted):
        return None
    found = [each for group in groups[: wanted or None] for each in _parted(group)]
    without = [each for group in groups[wanted:] for each in _parted(group)] if wanted else []
    join = next(iter(joins), Join.ALL)
    first, last = spans[0], spans[-1]
    is_apart = _QUOTE_AFTER.match(question, first[1]) or _STRESS & _said(question, 0, last[1])
    return Terms(join, tuple(found), tuple(without), join is Join.ALL and not (without or is_apart))


def denies(question: str, start: int, end: int) -> bool:
    """Return whether a question asks what does not have the subject at this place: "do not mention X"."""
    outside = _said(question, 0, start) | _said(question, end, len(question))
    return not outside.isdisjoint(_of(_NOT, question))


def _said(question: str, start: int, end: int) -> frozenset[str]:
    """Return the words of asking between two places."""
    return frozenset(
        part
        for word in read(question)[1]
        if start <= word.start and word.end <= end
        for part in (word.text, *word.text.split("'"))
    )


def _of(words: dict[str, str], question: str) -> frozenset[str]:
    return frozenset(fold_each(words.get(read(question)[0].name, "")).split())


def _parted(phrases: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a term for each part of a list with commas: "nitrate, lead" before "or iron"."""
    found: list[tuple[str, ...]] = [()]
    for phrase in phrases:
        first, *others = filter(None, _COMMA.split(phrase))
        found[-1] += (first,)
        found += [(one,) for one in others]
    return found
