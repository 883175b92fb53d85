"""Find the figures that count nothing: parts of dates, times, numbers of sections and phones, and names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from docwell.query.checking.periods import Period

# Behind these words, a bare year is no amount, in the languages of `modes.json`.
_IN = re.compile(r"\b(?:in|im|en|since|seit|depuis|desde|during)\s$", re.IGNORECASE)
_NUMBERED = (
    r"sections?|pages?|articles?|version|chapter|paragraph|clause|room|appendix|annex|table|abschnitt|seiten?|artikel"
    r"|kapitel|absatz|ziffer|raum|saal|zimmer|anlage|anhang|tabelle|chapitre|alin\u00e9a|salle|chambre|annexe|tableau"
    r"|secci\u00f3n|p\u00e1ginas?|art\u00edculos?|versi\u00f3n|cap\u00edtulo|apartado|cl\u00e1usula|sala|anexo|tabla"
    r"|n[\u00b0\u00ba]|\u00a7+|(?:no|nr|art|abs|sec|pp?)\."
)
_NUMBERS = r"\s?\d[\d.]*(?:\s?(?:[-\u2013]|and|und|et|y)\s?\d[\d.]*)*"
_PHONES = r"call|fax|(?:tele)?phone|tel|telefon|t\u00e9l(?:\u00e9phone)?|tel\u00e9fono"
_TIME = r"\d{1,2}(?::\d\d|\s?h\s?\d\d)"
# The numbers of a section, a room or a phone, and times of day. "24:10" may be a result.
_NUMBERING = re.compile(
    rf"(?<!\w)(?:(?:{_NUMBERED}){_NUMBERS}|(?:{_PHONES})\b\W{{0,3}}\d[\d\s()/-]{{4,}}|(?:\+\d|0\d\d)[\d\s()/-]{{5,}}"
    rf"|(?:at|from|until|till|um|ab|von|bis|\u00e0|las?)\s{_TIME}(?:\s?(?:[-\u2013]|to|until|bis|\u00e0|a\slas?)\s?{_TIME})?"
    r"|\d{1,2}(?::\d\d)?(?:\s?(?:uhr|p\.?m|a\.m)|am)\b)"
    r"|\u7b2c\d+[\u6761\u9875\u7ae0\u8282\u6b3e]|\u6708\d{1,2}[\u65e5\u53f7]",
    re.IGNORECASE,
)
# "Ward 12", a word and its number.
_NAME = re.compile(r"(?<!\w)([^\W\d_]{2,})\s(\d{1,6})(?!\w)")
# No more than the words before a year.
_REACH = 10


def numberings(sentence: str, dates: Iterable[Period]) -> list[tuple[int, int]]:
    """Return where a sentence has figures that count nothing. A bare year of its `dates` can be an amount."""
    found = [one.span() for one in _NUMBERING.finditer(sentence)]
    return [*found, *((one.start, one.end) for one in dates if not _is_bare_year(sentence, one))]


def is_numbering(line: str) -> bool:
    """Return whether a line is but the number of something: "Section 12"."""
    return _NUMBERING.fullmatch(line.strip()) is not None


def names(text: str, end: int | None = None) -> list[tuple[str, str]]:
    """Return the names with a number before the `end` of a text, in its order: ("ward", "12")."""
    found = _NAME.finditer(text, 0, len(text) if end is None else end)
    return [(one[1].casefold(), one[2]) for one in found]


@lru_cache(1024)
def name_before(sentence: str, figure: str) -> tuple[str, str] | None:
    """Return the last name with a number before a figure, None where there is none or two such figures."""
    places = [one.start() for one in re.finditer(rf"(?<!\w){re.escape(figure)}(?!\w)", sentence)]
    before = names(sentence, places[0]) if len(places) == 1 else []
    return before[-1] if before else None


def _is_bare_year(sentence: str, date: Period) -> bool:
    """Return whether a date is a year that may be an amount: "2026 members", but not "in 2026"."""
    before = max(0, date.start - _REACH)
    return sentence[date.start : date.end].isdecimal() and not _IN.search(sentence, before, date.start)
