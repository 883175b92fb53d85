"""Read the lines of a PDFium text page with their places, and put accents onto their letters.

Part of the child's program. A call of PDFium costs half a microsecond, so only the first character of each word is
located, and the last where a wide gap or an exponent may follow.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from docwell.adapters.documents.pdf_doubts import Box
from docwell.adapters.documents.pdf_outlines import LEVEL, Outline
from docwell.adapters.documents.pdf_rows import (
    EXPONENT,
    EXPONENT_RISE,
    EXPONENT_SIZE,
    FRACTION,
    HYPHENS,
    RAISED,
    Line,
)
from docwell.adapters.documents.pdf_scripts import (
    IDEOGRAPH,
    LEFTWARD_WORD,
    REVERSED,
    RIGHT_TO_LEFT,
    letters_beside,
    place_of_column,
    unmirrored,
)
from docwell.adapters.documents.pdfium_calls import Units

# A page with more lines is not for reading, and would take seconds.
MAX_LINES = 10_000
NAME_BYTES = 128  # of a font's name
# An accent belongs to a letter that covers this share of its width.
SHARED = 0.5
# A blank before an accent is false when the letter begins within this distance of the one before it, as a share of
# the type size.
TOUCHES = 0.15
# A line with so many characters, of at most this mean width in type sizes, has no wide gap: words are not located.
PROSE_CHARACTERS, PROSE_WIDTH = 30, 0.5
# A gap between cells, and the usual width of a letter, in type sizes.
CELL_GAP, USUAL_WIDTH = 1.5, 0.5

_CUTS = "".join(HYPHENS)
_LINE = re.compile(rf"[^\r\n{_CUTS}]+[{_CUTS}]?")
_WORD = re.compile(r"\S+")
# Digits some of which may be raised, and the places where such a part may begin.
_FIGURE = re.compile(r"\d[\d.,+\-\u2212\u2013]*\d")
_PART = re.compile(r"(?<=[\d.,])[+\-\u2212\u2013]?\d")
_INDIC, _NOT_INDIC = re.compile("[\u0900-\u0dff]"), re.compile("[^\u0900-\u0dff]")
WORD_JOINER = "\u2060"
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


_Word = tuple[float, float, int, int]  # the origin of its first character, and its part of a piece


class Glyphs:
    """The characters of the text page at an address. `rotation` is the page's, in degrees: 0, 90, 180 or 270."""

    def __init__(self, raw: Any, calls: Any, text_page: int, rotation: int) -> None:
        self._calls = calls
        self._page = text_page
        self._rotation = rotation
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._references = [ctypes.addressof(number) for number in self._numbers]
        self._matrix = raw.FS_MATRIX()
        self._matrix_reference = ctypes.addressof(self._matrix)
        self._name = ctypes.create_string_buffer(NAME_BYTES)
        self._name_at = ctypes.addressof(self._name)
        self._flags = ctypes.c_int()

    def within(self, text: str, box: Box) -> tuple[str, int]:
        """Return the page's whole text with blanks for characters outside its `box`, and their number."""
        return self.without(text, lambda found: {index for index in found if not self._is_within(index, box)})

    def without(self, text: str, hidden: Callable[[Iterable[int]], set[int]]) -> tuple[str, int]:
        """Return the page's whole text with blanks for the characters that `hidden` names, and their number.

        `hidden` takes and returns indices of the text page.
        """
        units = Units(text)
        places = {self.index(units.before(at)): at for at, letter in enumerate(text) if not letter.isspace()}
        letters = list(text)
        unseen = hidden(places)
        for index in unseen:  # as many blanks as the character has units
            letters[places[index]] = " " * (1 + (text[places[index]] > "\uffff"))
        return "".join(letters), len(unseen)

    def lines(self, text: str) -> list[Line]:
        """Return the lines of the page's whole text, in PDFium's order; none if there are over `MAX_LINES`."""
        found: list[Line] = []
        units, leftward = Units(text), False
        for match in _LINE.finditer(text):
            body = match[0].rstrip(_CUTS).rstrip()
            start = match.start() + len(body) - len(body.lstrip())
            if not body.strip():
                continue
            if len(found) == MAX_LINES:
                return []
            end = match.start() + len(body) - 1
            first, last = self.index(units.before(start)), self.index(units.before(end))
            whole = self._line("", first, last)
            # PDFium counts fewer characters than it has where it leaves some out, such as hyphens.
            is_plain = last - first == units.before(end) - units.before(start)
            piece = _Piece(match[0], match.start(), units, first - start if is_plain and units.is_narrow else None)
            if RIGHT_TO_LEFT.search(body):
                leftward = True
                found.append(whole._replace(text=self._leftward(piece, whole.size)))
            elif not whole.level and IDEOGRAPH.search(body):
                column = whole._replace(text=self._accented(piece))
                found.insert(place_of_column(found, column), column)
            elif whole.level:
                found += self._cells(piece, whole)
            else:
                found += self._stacked(piece, whole)
        return unmirrored(found) if leftward else found

    def mapped(self, text: str) -> str:
        """Return the page's whole text without the glyphs of Indic words that their font does not map.

        PDFium gives a code for a vowel sign's variant, and `tidy` removes the word joiner in its place.
        """
        if not _INDIC.search(text):
            return text
        letters, units = list(text), Units(text)
        # One pattern for a word with an Indic letter would be quadratic in long words.
        for word in (match for match in _WORD.finditer(text) if _INDIC.search(match[0])):
            for other in _NOT_INDIC.finditer(text, *word.span()):
                at = other.start()
                if self._calls.FPDFText_HasUnicodeMapError(self._page, self.index(units.before(at))) > 0:
                    letters[at] = WORD_JOINER
        return "".join(letters)

    def _stacked(self, piece: _Piece, whole: Line) -> list[Line]:
        """Return the digits and signs of a narrow column, which PDFium takes for one line; else the whole line."""
        text = piece.text.strip()
        places = [self._at(piece, at) for at in range(len(text))]
        is_column = (
            len(text) > 1
            and not any(map(str.isalpha, text))
            and all(
                abs(one[0] - two[0]) < whole.size and abs(one[1] - two[1]) > RAISED * whole.size
                for one, two in pairwise(places)
            )
        )
        if not is_column:
            return [whole._replace(text=self._accented(piece))]
        return [
            self._line(letter, self._place(piece, at), self._place(piece, at)) for at, letter in enumerate(text)
        ]

    def _cells(self, piece: _Piece, whole: Line) -> Iterator[Line]:
        """Yield the parts of a level line between wide gaps, each with its words from left to right."""
        length = len(piece.text)
        if length >= PROSE_CHARACTERS and whole.right - whole.left <= PROSE_WIDTH * whole.size * length:
            yield self._cell(piece, [(whole.left, whole.baseline, 0, length)], whole)
            return
        words = self._words(piece)
        backward = [two for one, two in pairwise(words) if two[0] < one[0] - whole.size]
        # A line that runs backward as a whole is upside down.
        if (
            backward
            and not _ACCENT.search(piece.text)
            and 2 * len(backward) < len(words)
            and _are_level(words, RAISED * whole.size)
        ):
            words.sort()
        begins = 0
        for number, word in enumerate(words, 1):
            if number == len(words) or self._ends_cell(piece, word, words[number], whole.size):
                yield self._cell(piece, words[begins:number], whole)._replace(follows=begins > 0)
                begins = number

    def _words(self, piece: _Piece) -> list[_Word]:
        words: list[_Word] = []
        origin, (across, up), at = self._calls.FPDFText_GetCharOrigin, self._numbers[:2], self._references[:2]
        for match in _WORD.finditer(piece.text):
            begins, ends = match.span()
            origin(self._page, self._place(piece, begins), *at)
            x, y = across.value, up.value
            if self._rotation:
                x, y = self._turned(x, y)
            words.append((x, y, begins, ends))
        return words

    def _ends_cell(self, piece: _Piece, word: _Word, following: _Word, size: float) -> bool:
        """Return whether a wide gap follows a word, or the word is the exponent of the line before."""
        left, y, begins, ends = word
        if begins == 0 and y - following[1] > EXPONENT_RISE * size and EXPONENT.fullmatch(piece.text, 0, ends):
            return True
        if following[0] - left < (CELL_GAP + USUAL_WIDTH * (ends - begins)) * size:
            return False
        return following[0] - self._extent(self._place(piece, ends - 1))[1] > CELL_GAP * size

    def _cell(self, piece: _Piece, words: Sequence[_Word], whole: Line) -> Line:
        begins, ends = words[0][2], words[-1][3]
        in_order = all(piece.text[one[3] : two[2]].isspace() for one, two in pairwise(words))
        parts = [(begins, ends)] if in_order else [word[2:] for word in words]
        text = " ".join(self._accented(piece.part(one, end)) for one, end in parts)
        letters = piece.text[begins:ends].rstrip(_CUTS)
        last = begins + len(letters) - 1 if in_order else ends - 1
        own = self._line(text, self._place(piece, begins), self._place(piece, last))
        if in_order and len(text) == ends - begins:
            text = self._figures_apart(text, piece.part(begins, ends), own.size)
        is_level = abs(own.baseline - whole.baseline) < EXPONENT_RISE * whole.size
        return own._replace(text=text, baseline=whole.baseline if is_level else own.baseline, level=True)

    def _figures_apart(self, text: str, piece: _Piece, size: float) -> str:
        """Return a piece's text with a mark between digits at different heights, else they make another figure."""
        for figure in reversed(list(_FIGURE.finditer(text))):
            begins, ends = figure.span()
            runs = [begins, *(at - 1 for at in range(begins + 1, ends) if not text[at].isdigit()), ends - 1]
            heights = [self._at(piece, at)[1] for at in runs]
            if max(heights) - min(heights) < EXPONENT_RISE * size:
                continue
            for part in reversed(list(_PART.finditer(text, begins, ends))):
                at = part.start()
                if mark := self._mark_between(piece, at, size):
                    text = f"{text[:at]}{mark}{text[at:]}"
        return text

    def _mark_between(self, piece: _Piece, at: int, size: float) -> str:
        """Return what keeps a digit apart from the character before it: `^` for an exponent or a note's number."""
        rise = self._at(piece, at)[1] - self._at(piece, at - 1)[1]
        if abs(rise) < EXPONENT_RISE * size:
            return ""
        own, before = (self._size(self._place(piece, place)) for place in (at, at - 1))
        is_raised = rise > 0 and own * EXPONENT_SIZE < before
        if is_raised and not FRACTION.match(piece.text, at):
            return "^"
        return " " if piece.text[at].isdigit() and piece.text[at - 1].isdigit() else ""

    def _at(self, piece: _Piece, at: int) -> tuple[float, float]:
        """Return the place of a piece's character on the displayed page."""
        return self._turned(*self._origin(self._place(piece, at)))

    def _place(self, piece: _Piece, at: int) -> int:
        """Return the index of a character of a piece."""
        return (
            at + piece.start + piece.shift
            if piece.shift is not None
            else self.index(piece.units.before(piece.start + at))
        )

    def index(self, position: int) -> int:
        """Return the index of the character at a position of the whole text, in UTF-16 code units."""
        return int(self._calls.FPDFText_GetCharIndexFromTextIndex(self._page, position))

    def font(self, index: int) -> int:
        """Return the address of a character's font, 0 for one that PDFium adds."""
        item = self._calls.FPDFText_GetTextObject(self._page, index)
        return self._calls.FPDFTextObj_GetFont(item) or 0 if item else 0

    def outline(self, index: int) -> Outline:
        """Return where a character stands and what its font draws."""
        size, matrix = self._size(index) or 1.0, self._matrix
        unstretched = (math.hypot(matrix.c, matrix.d) or 1.0) / (math.hypot(matrix.a, matrix.b) or 1.0)
        baseline = self._turned(*self._origin(index))[1]
        self._calls.FPDFText_GetCharBox(self._page, index, *self._references)
        left, right, bottom, top = (number.value for number in self._numbers)
        left, bottom, right, top = self.turned_box((left, bottom, right, top))
        width = (right - left) * unstretched / size
        # Text in another direction, such as a figure's vertical label, is compared with none.
        along, up = self._turned(matrix.a, matrix.b), self._turned(matrix.c, matrix.d)
        is_upright = abs(along[1]) <= LEVEL * along[0] and abs(up[0]) <= LEVEL * up[1]
        font = self.font(index) if is_upright else 0
        return Outline(font, size, baseline, (bottom - baseline) / size, (top - baseline) / size, width)

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
        self._calls.FPDFText_GetCharOrigin(self._page, index, x, y)
        return self._numbers[0].value, self._numbers[1].value

    def _extent(self, index: int) -> tuple[float, float]:
        """Return the left and the right end of a character."""
        self._calls.FPDFText_GetCharBox(self._page, index, *self._references)
        left, right, bottom, top = (number.value for number in self._numbers)
        ends = self._turned(left, bottom)[0], self._turned(right, top)[0]
        return min(ends), max(ends)

    def _size(self, index: int) -> float:
        """Return the type size in points: the font's, scaled by the text matrix."""
        self._calls.FPDFText_GetMatrix(self._page, index, self._matrix_reference)
        size = self._calls.FPDFText_GetFontSize(self._page, index)
        return abs(float(size) * math.hypot(self._matrix.c, self._matrix.d))

    def _is_bold(self, index: int) -> bool:
        self._calls.FPDFText_GetFontInfo(
            self._page, index, self._name_at, NAME_BYTES, ctypes.addressof(self._flags)
        )
        return _BOLD.search(self._name.value) is not None

    def _accented(self, piece: _Piece) -> str:
        """Return a line's text with each separate accent moved behind its letter, as a combining mark."""
        if not _ACCENT.search(piece.text):
            return piece.text
        letters = list(piece.text)
        for at, letter in enumerate(piece.text):
            if letter in _ACCENTS:
                self._combine(letters, piece, at)
        return "".join(letters)

    def _leftward(self, piece: _Piece, size: float) -> str:
        """Return the text of a line that runs to the left, with the letters of each word and glyph in order."""
        order = list(range(len(piece.text)))
        for word in LEFTWARD_WORD.finditer(piece.text):
            begins, ends = word.span()
            if self._at(piece, begins) < self._at(piece, ends - 1):
                order[begins:ends] = reversed(order[begins:ends])
        text = "".join(piece.text[at] for at in order)
        letters = list(text)
        for match in REVERSED.finditer(text):
            begins, ends = match.span()
            first, last = (self._place(piece, order[at]) for at in (begins, ends - 1))
            if self._origin(first) == self._origin(last):
                letters[begins:ends] = reversed(match[0])
        text = self._accented(piece._replace(text="".join(letters)))
        return self._figures_apart(text, piece, size) if len(text) == len(piece.text) else text

    def _combine(self, letters: list[str], piece: _Piece, at: int) -> None:
        """Move the accent at `at` onto its letter in `letters`, and remove false blanks around it."""
        text, accent = piece.text, self._extent(self._place(piece, at))
        for place in letters_beside(text, at):
            own = self._extent(self._place(piece, place))
            shared = min(accent[1], own[1]) - max(accent[0], own[0])
            if shared < SHARED * (accent[1] - accent[0]):
                continue
            letters[at] = ""
            letters[place] = text[place] + _ACCENTS[text[at]]
            for blank in range(min(at, place) + 1, max(at, place)):
                letters[blank] = ""
            before = at - 1
            if place > at and before > 0 and text[before] == " " and text[before - 1].isalpha():
                gap = own[0] - self._extent(self._place(piece, before - 1))[1]
                if gap < TOUCHES * self._size(self._place(piece, place)):
                    letters[before] = ""
            return


def _are_level(words: Sequence[_Word], apart: float) -> bool:
    return max(word[1] for word in words) - min(word[1] for word in words) < apart


class _Piece(NamedTuple):
    """A part of the page's text from `start` on. `shift` is added to a position to get an index, unless None."""

    text: str
    start: int
    units: Units
    shift: int | None

    def part(self, begins: int, ends: int) -> _Piece:
        return self._replace(text=self.text[begins:ends], start=self.start + begins)
