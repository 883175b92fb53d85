"""Divide a sentence into the parts that its periods belong to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docwell.query.checking.labels import labels
from docwell.query.checking.periods import Period, located_periods

# Commas and brackets part clauses; those of "March 31, 2019" are in a period.
_BORDER = re.compile(
    r"[,;:\u060c\u3001\uff0c\uff1b](?=\s|[\u3400-\u9fff])|[()\uff08\uff09]|\s[-\u2013\u2014]\s|\u2014"
)


def dated_parts(sentence: str) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return the period of each part of a sentence with several periods, and the words of the part.

    A clause with one period is a part. In a clause with more, a period has the words before it, or those after it
    where none are before the first. Empty for a sentence with one period.
    """
    found = []
    if not located_periods(sentence)[1:]:
        return []
    for start, end in _clauses(sentence):
        own = [one for one in located_periods(sentence) if start <= one.start < end]
        found += [
            (one.parts, labels(text)) for one, text in zip(own, _texts(sentence[:end], start, own), strict=True)
        ]
    return found


def asides(sentence: str) -> list[tuple[int, int]]:
    """Return (start, end) of the clauses in the middle of a sentence that have a period: ", born in 1950,"."""
    dates = located_periods(sentence)
    return [
        (start, end)
        for start, end in list(_clauses(sentence))[1:-1]
        if labels(sentence[start:end]) and any(start <= one.start < end for one in dates)
    ]


def without_asides(sentence: str) -> str:
    """Return a sentence without its asides."""
    for start, end in reversed(asides(sentence)):
        sentence = sentence[:start].rstrip(" ,(") + sentence[end:].lstrip(")")
    return sentence


def _clauses(sentence: str) -> Iterator[tuple[int, int]]:
    start = 0
    for border in _BORDER.finditer(sentence):
        if not any(one.start < border.end() and border.start() < one.end for one in located_periods(sentence)):
            yield start, border.start()
            start = border.end()
    yield start, len(sentence)


def _texts(text: str, start: int, own: list[Period]) -> list[str]:
    """Return the text that belongs to each of the periods of a clause, which begins at `start`."""
    if not own[1:]:
        return [text[start:] for _ in own]
    before = [text[left : one.start] for left, one in zip([start, *(one.end for one in own)], own, strict=False)]
    after = [
        text[one.end : right] for one, right in zip(own, [*(one.start for one in own[1:]), len(text)], strict=True)
    ]
    if not labels(after[-1]):
        return before
    if not labels(before[0]):
        return after
    return [f"{one} {other}" for one, other in zip(before, after, strict=True)]
