"""Find the asides of a sentence, whose periods are not those of the sentence: ", born in 1950,". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docwell.query.checking.labels import labels
from docwell.query.checking.periods import located_periods

# Commas and brackets part clauses; those of "March 31, 2019" are in a period.
_BORDER = re.compile(
    r"[,;:\u060c\u3001\uff0c\uff1b](?=\s|[\u3400-\u9fff])|[()\uff08\uff09]|\s[-\u2013\u2014]\s|\u2014"
)


def asides(sentence: str) -> list[tuple[int, int]]:
    """Return (start, end) of the clauses in the middle of a sentence that have a period."""
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
