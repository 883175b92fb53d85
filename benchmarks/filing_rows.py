"""Finds the rows of numbers on a filing's page by the places of its glyphs.

A row is the text on one baseline, from left to right: a label of words, then at least two numbers and nothing
else. Lines of prose are seldom rows.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ctypes import c_double
from math import hypot
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

# Glyphs are on one line if their baselines differ by less (in points): programs round.
LEVEL = 1.0
# A gap between words, and the width of a letter at least, in type sizes.
GAP = 0.2
LEAST_NUMBERS = 2
_LABEL = re.compile(r"(?=.*[A-Za-z]{3})[^\d]*")
_NUMBER = re.compile(r"[($\u20ac\u00a3-]*\d[\d,.]*[)%]*")
# Signs that a column may have beside its numbers, or in place of one.
_SIGN = re.compile("[$%()\u20ac\u00a3\u2013\u2014-]+")


class Glyph(NamedTuple):
    """A character with its left and right ends, its baseline and its type size, in points."""

    letter: str
    left: float
    right: float
    baseline: float
    size: float


def rows(page: pypdfium2.PdfPage) -> list[list[str]]:
    """Return the words of each row of numbers of a page; none for a turned page."""
    if page.get_rotation():
        return []
    lines: dict[int, list[Glyph]] = defaultdict(list)
    height: float | None = None
    number = 0
    for glyph in sorted(_glyphs(page), key=lambda glyph: -glyph.baseline):
        number += height is None or height - glyph.baseline >= LEVEL
        height = glyph.baseline
        lines[number].append(glyph)
    return [words for line in lines.values() if is_row(words := _words(line))]


def is_row(words: Sequence[str]) -> bool:
    """Return whether the words are a label and then numbers.

    >>> is_row(["Net", "sales", "$", "1,234", "(5.6)%"])
    True
    >>> is_row(["Sales", "were", "1,234", "and", "5,678"])
    False
    """
    begins = next((at for at, word in enumerate(words) if _NUMBER.fullmatch(word)), len(words))
    label = " ".join(words[:begins]).rstrip("$(\u20ac\u00a3 ")
    values = words[begins:]
    numbers = sum(_NUMBER.fullmatch(word) is not None for word in values)
    return (
        numbers >= LEAST_NUMBERS
        and _LABEL.fullmatch(label) is not None
        and all(_NUMBER.fullmatch(word) or _SIGN.fullmatch(word) for word in values)
    )


def count_rows(rows: Iterable[Sequence[str]], text: str) -> int:
    """Return how many rows a text has: all their words on one line, in order, whatever the blanks."""
    lines = ["".join(unicodedata.normalize("NFKC", line).split()) for line in text.splitlines()]
    return sum(any(_has(line, row) for line in lines) for row in rows)


def _has(line: str, words: Sequence[str]) -> bool:
    at = 0
    for word in (unicodedata.normalize("NFKC", word) for word in words):
        at = line.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def _glyphs(page: pypdfium2.PdfPage) -> Iterator[Glyph]:
    """Yield the page's level glyphs."""
    text = page.get_textpage()
    ends, matrix = [c_double() for _ in range(4)], raw.FS_MATRIX()
    for index in range(text.count_chars()):
        letter = chr(raw.FPDFText_GetUnicode(text, index))
        if letter.isspace() or not letter.isprintable() or raw.FPDFText_GetCharAngle(text, index) > 0.01:
            continue
        raw.FPDFText_GetCharBox(text, index, *ends)
        left, right = ends[0].value, ends[1].value
        raw.FPDFText_GetCharOrigin(text, index, ends[0], ends[1])
        raw.FPDFText_GetMatrix(text, index, matrix)
        size = raw.FPDFText_GetFontSize(text, index) * hypot(matrix.c, matrix.d)
        yield Glyph(letter, left, right, ends[1].value, size)
    text.close()


def _words(line: Sequence[Glyph]) -> list[str]:
    words: list[str] = []
    right = float("-inf")
    for glyph in sorted(line, key=lambda glyph: glyph.left):
        if glyph.left - right > GAP * glyph.size or not words:
            words.append("")
        words[-1] += glyph.letter
        right = glyph.right
    return words
