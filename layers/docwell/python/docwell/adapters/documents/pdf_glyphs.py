"""Read the lines of a PDFium text page with their places, and put accents onto their letters.

Part of the child's program. A call of PDFium costs a microsecond, so only the first and the last character of each
line are located.
"""

from __future__ import annotations

import ctypes
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from docwell.adapters.documents.pdf_doubts import Box
from docwell.adapters.documents.pdf_layout import HYPHENS, Line

# A page with more lines is not for reading, and would take seconds.
MAX_LINES = 10_000
NAME_BYTES = 128  # of a font's name
# An accent belongs to a letter that covers this share of its width.
SHARED = 0.5
# A blank before an accent is false when the letter begins within this distance of the one before it, as a share of
# the type size.
TOUCHES = 0.15

_LINE = re.compile(rf"[^\r\n{''.join(HYPHENS)}]+[{''.join(HYPHENS)}]?")
_BOLD = re.compile(rb"bold|black|heavy|demi|medi\b", re.IGNORECASE)
# Accents that TeX's fonts draw as separate characters, and the marks that combine with a letter.
_ACCENTS = dict(
    zip(
        "\u00b4\u00a8\u02c6\u02dc\u00af\u02d8\u02d9\u02da\u00b8\u02c7\u02dd\u02cb`^~",
        "\u0301\u0308\u0302\u0303\u0304\u0306\u0307\u030a\u0327\u030c\u030b\u0300\u0300\u0302\u0303",
        strict=True,
    )
)
_ACCENT = re.compile(f"[{re.escape(''.join(_ACCENTS))}]")


class Glyphs:
    """The characters of one text page. `rotation` is the page's, in degrees: 0, 90, 180 or 270."""

    def __init__(self, raw: Any, text_page: Any, rotation: int) -> None:
        self._raw = raw
        self._page = text_page
        self._rotation = rotation
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._references = [ctypes.byref(number) for number in self._numbers]
        self._matrix = raw.FS_MATRIX()
        self._matrix_reference = ctypes.byref(self._matrix)
        self._name = ctypes.create_string_buffer(NAME_BYTES)
        self._flags = ctypes.c_int()

    def within(self, text: str, box: Box) -> tuple[str, int]:
        """Return the page's whole text with blanks for characters outside its `box`, and their number."""
        return self.without(text, lambda found: {index for index in found if not self._is_within(index, box)})

    def without(self, text: str, hidden: Callable[[Iterable[int]], set[int]]) -> tuple[str, int]:
        """Return the page's whole text with blanks for the characters that `hidden` names, and their number.

        `hidden` takes and returns indices of the text page.
        """
        units = _Units(text)
        places = {self._index(units.before(at)): at for at, letter in enumerate(text) if not letter.isspace()}
        letters = list(text)
        unseen = hidden(places)
        for index in unseen:
            letters[places[index]] = " "
        return "".join(letters), len(unseen)

    def lines(self, text: str) -> list[Line]:
        """Return the lines of the page's whole text, in PDFium's order; none if there are over `MAX_LINES`."""
        found: list[Line] = []
        units = _Units(text)
        for match in _LINE.finditer(text):
            body = match[0].rstrip("".join(HYPHENS)).rstrip()
            start = match.start() + len(body) - len(body.lstrip())
            if not body.strip():
                continue
            if len(found) == MAX_LINES:
                return []
            end = match.start() + len(body) - 1
            first, last = self._index(units.before(start)), self._index(units.before(end))
            found.append(self._line(self._accented(match[0], match.start(), units), first, last))
        return found

    def height(self, box: Box) -> tuple[float, float]:
        """Return the lower and the upper end of a page with this `box`."""
        left, bottom, right, top = box
        ends = self._turned(left, bottom)[1], self._turned(right, top)[1]
        return min(ends), max(ends)

    def turned_box(self, box: Box) -> Box:
        """Return a box of the page in the rotated page's coordinates."""
        (left, bottom), (right, top) = self._turned(*box[:2]), self._turned(*box[2:])
        return min(left, right), min(bottom, top), max(left, right), max(bottom, top)

    def _is_within(self, index: int, box: Box) -> bool:
        x, y = self._origin(index)
        left, bottom, right, top = box
        return left - 1 <= x <= right and bottom - 1 <= y <= top

    def _turned(self, x: float, y: float) -> tuple[float, float]:
        """Return a place in the rotated page's coordinates, up to a constant."""
        return {90: (y, -x), 180: (-x, -y), 270: (-y, x)}.get(self._rotation, (x, y))

    def _index(self, position: int) -> int:
        return int(self._raw.FPDFText_GetCharIndexFromTextIndex(self._page, position))

    def _line(self, text: str, first: int, last: int) -> Line:
        left, y = self._turned(*self._origin(first))
        _, last_y = self._turned(*self._origin(last))
        size, last_size = self._size(first), self._size(last)
        level = abs(last_y - y) < max(size, last_size)
        baseline = last_y if last_size > size and level else y
        bold = self._is_bold(first) and self._is_bold(last)
        return Line(text, left, self._extent(last)[1], baseline, max(size, last_size), bold, level)

    def _origin(self, index: int) -> tuple[float, float]:
        x, y = self._references[:2]
        self._raw.FPDFText_GetCharOrigin(self._page, index, x, y)
        return self._numbers[0].value, self._numbers[1].value

    def _extent(self, index: int) -> tuple[float, float]:
        """Return the left and the right end of a character."""
        self._raw.FPDFText_GetCharBox(self._page, index, *self._references)
        left, right, bottom, top = (number.value for number in self._numbers)
        ends = self._turned(left, bottom)[0], self._turned(right, top)[0]
        return min(ends), max(ends)

    def _size(self, index: int) -> float:
        """Return the type size in points: the font's, scaled by the text matrix."""
        self._raw.FPDFText_GetMatrix(self._page, index, self._matrix_reference)
        size = self._raw.FPDFText_GetFontSize(self._page, index)
        return abs(float(size) * math.hypot(self._matrix.c, self._matrix.d))

    def _is_bold(self, index: int) -> bool:
        self._raw.FPDFText_GetFontInfo(self._page, index, self._name, NAME_BYTES, ctypes.byref(self._flags))
        return _BOLD.search(self._name.value) is not None

    def _accented(self, piece: str, start: int, units: _Units) -> str:
        """Return a line's text with each separate accent moved behind its letter, as a combining mark."""
        if not _ACCENT.search(piece):
            return piece
        letters = list(piece)
        for at, letter in enumerate(piece):
            if letter in _ACCENTS:
                self._place(letters, piece, at, lambda place: self._index(units.before(start + place)))
        return "".join(letters)

    def _place(self, letters: list[str], piece: str, at: int, index: Callable[[int], int]) -> None:
        """Move the accent at `at` onto its letter in `letters`, and remove false blanks around it."""
        accent = self._extent(index(at))
        for place in _beside(piece, at):
            own = self._extent(index(place))
            shared = min(accent[1], own[1]) - max(accent[0], own[0])
            if shared < SHARED * (accent[1] - accent[0]):
                continue
            letters[at] = ""
            letters[place] = piece[place] + _ACCENTS[piece[at]]
            for blank in range(min(at, place) + 1, max(at, place)):
                letters[blank] = ""
            before = at - 1
            if place > at and before > 0 and piece[before] == " " and piece[before - 1].isalpha():
                gap = own[0] - self._extent(index(before - 1))[1]
                if gap < TOUCHES * self._size(index(place)):
                    letters[before] = ""
            return


def _beside(piece: str, at: int) -> Iterator[int]:
    """Yield the places of the letters that an accent may belong to: the next one, then the one before."""
    for step in (1, -1):
        place = at + step
        if 0 <= place < len(piece) and piece[place] == " ":
            place += step
        if 0 <= place < len(piece) and piece[place].isalpha():
            yield place


class _Units:
    """Positions in a text as PDFium counts them: in UTF-16 code units."""

    def __init__(self, text: str) -> None:
        self._wide = [at for at, letter in enumerate(text) if letter > "\uffff"] if not text.isascii() else []

    def before(self, position: int) -> int:
        """Return the number of units before a character."""
        return position + bisect_left(self._wide, position)
