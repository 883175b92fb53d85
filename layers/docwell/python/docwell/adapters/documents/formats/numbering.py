"""The numbers that a program gives to the items of lists and to headings. Pure.

The text of a document refers to them ("see 4.2"). A Word document or a web page has only the rules for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

DECIMAL = "decimal"
# The names of forms in Word, by the types of lists in HTML.
HTML_FORMS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
# Word has letters up to 780, which is z 30 times.
LETTERS, MOST_LETTERS, MOST_ROMAN = 26, 780, 3999
_PLACE = re.compile(r"%([1-9])")


class Level(NamedTuple):
    """A level of a list: its first number, its form, and its text with a `%1` for the number of level 1."""

    start: int = 1
    form: str = DECIMAL
    text: str = ""
    is_legal: bool = False  # all its numbers are decimal


class Counter:
    """The numbers of one list."""

    def __init__(self, levels: Mapping[int, Level]) -> None:
        self._levels = levels
        self._counts: dict[int, int] = {}

    def next(self, level: int, restart: int | None = None) -> str:
        """Return the mark of the next item of a level, which begins again at `restart`; "" for a bullet."""
        own = self._levels.get(level, Level())
        count = self._counts.get(level, own.start - 1) + 1 if restart is None else restart
        self._counts = {at: number for at, number in self._counts.items() if at < level} | {level: count}
        if own.form in {"bullet", "none"}:
            return ""
        return _PLACE.sub(lambda found: self._shown(int(found[1]) - 1, is_legal=own.is_legal), own.text).strip()

    def _shown(self, level: int, *, is_legal: bool) -> str:
        own = self._levels.get(level, Level())
        return shown(self._counts.get(level, own.start), DECIMAL if is_legal else own.form)


def shown(number: int, form: str) -> str:
    """Return a number in a form of Word; in digits where the form is unknown or has no such number."""
    text = str(number)
    if form.endswith("Letter") and 0 < number <= MOST_LETTERS:
        # After z comes aa, then bb.
        text = chr(ord("a") + (number - 1) % LETTERS) * (1 + (number - 1) // LETTERS)
    elif form.endswith("Roman") and 0 < number <= MOST_ROMAN:
        text = ""
        for value, letters in _ROMAN:
            text += letters * (number // value)
            number %= value
    elif form == "decimalZero":
        text = text.zfill(2)
    return text.upper() if form.startswith("upper") else text
