"""Find the figures that count nothing: parts of dates. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from docwell.query.checking.periods import Period

# Behind these words, a bare year is no amount, in the languages of `modes.json`.
_IN = re.compile(r"\b(?:in|im|en|since|seit|depuis|desde|during)\s$", re.IGNORECASE)
# A period ends with the sign of its month.
_NUMBERING = re.compile(r"\u6708\d{1,2}[\u65e5\u53f7]")
# No more than the words before a year.
_REACH = 10


def numberings(sentence: str, dates: Iterable[Period]) -> list[tuple[int, int]]:
    """Return where a sentence has figures that count nothing. A bare year of its `dates` can be an amount."""
    found = [one.span() for one in _NUMBERING.finditer(sentence)]
    return [*found, *((one.start, one.end) for one in dates if not _is_bare_year(sentence, one))]


def _is_bare_year(sentence: str, date: Period) -> bool:
    """Return whether a date is a year that may be an amount: "2026 members", but not "in 2026"."""
    before = max(0, date.start - _REACH)
    return sentence[date.start : date.end].isdecimal() and not _IN.search(sentence, before, date.start)
