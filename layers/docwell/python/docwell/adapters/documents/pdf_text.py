"""Read the lines of a PDFium text page with their places and fonts.

A call of PDFium costs half a microsecond, so only the first character of each word is located, and the last where
a wide gap or an exponent may follow.
"""

from __future__ import annotations

import ctypes
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from docwell.adapters.documents.pdf_layout import HYPHENS, Line

Box = tuple[float, float, float, float]  # left, bottom, right, top
# A page with more lines is not for reading, and would take seconds.
MAX_LINES = 10_000
NAME_BYTES = 128  # of a font's name
# A line with so many characters, of at most this mean width in type sizes, has no wide gap: words are not located.
PROSE_CHARACTERS, PROSE_WIDTH = 30, 0.5
# A gap between cells, and the usual width of a letter, in type sizes.
CELL_GAP, USUAL_WIDTH = 1.5, 0.5

_CUTS = "".join(HYPHENS)
_LINE = re.compile(rf"[^\r\n{_CUTS}]+[{_CUTS}]?")
_WORD = re.compile(r"\S+")
# The least rise of an exponent, and its largest type, as shares of the type before it.
EXPONENT_RISE, EXPONENT_SIZE = 0.15, 0.9
# Digits some of which may be raised, and the places where such a part may begin.
_FIGURE = re.compile(r"\d[\d.,+\-\u2212\u2013]*\d")
_PART = re.compile(r"(?<=[\d.,])[+\-\u2212\u2013]?\d")
_INDIC, _NOT_INDIC = re.compile("[\u0900-\u0dff]"), re.compile("[^\u0900-\u0dff]")
WORD_JOINER = "\u2060"
_BOLD = re.compile(rb"bold|black|heavy|demi|medi\b", re.IGNORECASE)
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# In right-to-left text, a mark to the left of a number belongs to its end.
_LED = re.compile(r"(?<!\S)([.,:;%\u066a])(\d[\d.,]*)(?=\s|\Z)")
_MIRROR = str.maketrans("()[]{}", ")(][}{")
_PAIR = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")


class Library:
    """The functions and constants of pypdfium2's `raw` module; functions take and return pointers as integers.

    They are twice as fast as pypdfium2's, and a page has a thousand objects.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._raw, name)
        if hasattr(member, "argtypes"):
            kinds = (member.restype, *member.argtypes)
            # A kind with contents is a type of pointers.
            types = [ctypes.c_void_p if hasattr(kind, "contents") else kind for kind in kinds]
            member = ctypes.PYFUNCTYPE(*types)(address(member))
        setattr(self, name, member)
        return member


def address(pointer: Any) -> int:
    """Return the address that one of pypdfium2's objects or pointers holds; 0 for a null pointer."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


class Glyphs:
    """The characters of the text page at an address. `rotation` is the page's, in degrees: 0, 90, 180 or 270.

    `text` is the page's full text. The methods also take it with other characters in some places.
    """

    def __init__(self, library: Library, text_page: int, rotation: int, text: str) -> None:
        self._library = library
        self._page = text_page
        self.text = text
        # Positions of the characters that take two UTF-16 code units.
        self._wide = [at for at, letter in enumerate(text) if letter > "\uffff"] if not text.isascii() else []
        self._rotation = rotation
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._references = [ctypes.addressof(number) for number in self._numbers]
        self._matrix = library.FS_MATRIX()
        self._matrix_reference = ctypes.addressof(self._matrix)
        self._name = ctypes.create_string_buffer(NAME_BYTES)
        self._name_at = ctypes.addressof(self._name)
        self._flags = ctypes.c_int()

    def within(self, text: str, box: Box) -> tuple[str, int]:
        """Return the page's full text with blanks for characters outside its `box`, and their number."""
        left, bottom, right, top = box

        def outside(places: Iterable[int]) -> set[int]:
            origins = ((index, *self._origin(index)) for index in places)
            return {index for index, x, y in origins if not (left - 1 <= x <= right and bottom - 1 <= y <= top)}

        return self.without(text, outside)

    def without(self, text: str, hidden: Callable[[Iterable[int]], set[int]]) -> tuple[str, int]:
        """Return the page's full text with blanks for the characters that `hidden` names, and their number.

        `hidden` takes and returns indices of the text page.
        """
        places = {self._index(at): at for at, letter in enumerate(text) if not letter.isspace()}
        letters = list(text)
        unseen = hidden(places)
        for index in unseen:
            letters[places[index]] = " "
        return "".join(letters), len(unseen)

    def lines(self, text: str) -> list[Line]:
        """Return the lines of the page's full text, in PDFium's order; none if there are over `MAX_LINES`."""
        lines: list[Line] = []
        is_leftward = False
        for match in _LINE.finditer(text):
            body = match[0].rstrip(_CUTS).rstrip()
            start = match.start() + len(body) - len(body.lstrip())
            if not body.strip():
                continue
            if len(lines) == MAX_LINES:
                return []
            end = match.start() + len(body) - 1
            line = self._line(match[0], self._index(start), self._index(end))
            runs_left = RIGHT_TO_LEFT.search(body) is not None
            is_leftward = is_leftward or runs_left
            if line.level and not runs_left:
                lines += self._cells(text, *match.span(), line)
            else:
                lines.append(line)
        return unmirrored(lines) if is_leftward else lines

    def mapped(self, text: str) -> str:
        """Return the page's full text without the glyphs of Indic words that their font does not map.

        PDFium gives a code for a vowel sign's variant, and `tidy` removes the word joiner in its place.
        """
        if not _INDIC.search(text):
            return text
        letters = list(text)
        # A pattern for a whole word with an Indic letter would take quadratic time in long words.
        for word in (match for match in _WORD.finditer(text) if _INDIC.search(match[0])):
            for glyph in _NOT_INDIC.finditer(text, *word.span()):
                at = glyph.start()
                if self._library.FPDFText_HasUnicodeMapError(self._page, self._index(at)) > 0:
                    letters[at] = WORD_JOINER
        return "".join(letters)

    def _cells(self, text: str, begins: int, ends: int, line: Line) -> Iterator[Line]:
        """Yield the parts of a level line between wide gaps."""
        count = ends - begins
        if count >= PROSE_CHARACTERS and line.right - line.left <= PROSE_WIDTH * line.size * count:
            yield self._cell(text, begins, ends, line)
            return
        words = list(_WORD.finditer(text, begins, ends))
        lefts = [self._at(word.start())[0] for word in words]
        first = 0
        for number, word in enumerate(words, 1):
            if number == len(words) or self._ends_cell(word, lefts[number - 1 : number + 1], line.size):
                cell = self._cell(text, words[first].start(), word.end(), line)
                yield cell._replace(follows=first > 0)
                first = number

    def _ends_cell(self, word: re.Match[str], lefts: Sequence[float], size: float) -> bool:
        """Return whether a wide gap follows a word; `lefts` are the left ends of this word and the next."""
        left, following = lefts
        if following - left < (CELL_GAP + USUAL_WIDTH * len(word[0])) * size:
            return False
        return following - self._extent(self._index(word.end() - 1))[1] > CELL_GAP * size

    def _cell(self, text: str, begins: int, ends: int, line: Line) -> Line:
        last = begins + len(text[begins:ends].rstrip(_CUTS)) - 1
        cell = self._line("", self._index(begins), self._index(last))
        marked = self._figures_apart(text, begins, ends, cell.size)
        is_level = abs(cell.baseline - line.baseline) < EXPONENT_RISE * line.size
        return cell._replace(text=marked, baseline=line.baseline if is_level else cell.baseline, level=True)

    def _figures_apart(self, text: str, begins: int, ends: int, size: float) -> str:
        """Return a part of the text with a mark between digits at different heights: else they are one number."""
        marked = text[begins:ends]
        for figure in reversed(list(_FIGURE.finditer(text, begins, ends))):
            first, end = figure.span()
            if abs(self._at(first)[1] - self._at(end - 1)[1]) < EXPONENT_RISE * size:
                continue
            for part in reversed(list(_PART.finditer(text, first, end))):
                if mark := self._mark_between(text, part.start(), size):
                    at = part.start() - begins
                    marked = f"{marked[:at]}{mark}{marked[at:]}"
        return marked

    def _mark_between(self, text: str, at: int, size: float) -> str:
        """Return the mark between a digit and the character before it: `^` for an exponent or a note's number."""
        rise = self._at(at)[1] - self._at(at - 1)[1]
        if abs(rise) < EXPONENT_RISE * size:
            return ""
        size_here, size_before = self._size(self._index(at)), self._size(self._index(at - 1))
        if rise > 0 and size_here < EXPONENT_SIZE * size_before:
            return "^"
        return " " if text[at].isdigit() and text[at - 1].isdigit() else ""

    def _at(self, position: int) -> tuple[float, float]:
        """Return the place of a character of the text on the displayed page."""
        return self._turned(*self._origin(self._index(position)))

    def _index(self, position: int) -> int:
        """Return the index in the text page of a character of the text; PDFium counts in UTF-16 code units."""
        units = position + bisect_left(self._wide, position)
        return int(self._library.FPDFText_GetCharIndexFromTextIndex(self._page, units))

    def turned_box(self, box: Box) -> Box:
        """Return a box of the page in the rotated page's coordinates."""
        (left, bottom), (right, top) = self._turned(*box[:2]), self._turned(*box[2:])
        return min(left, right), min(bottom, top), max(left, right), max(bottom, top)

    def _turned(self, x: float, y: float) -> tuple[float, float]:
        """Return a place in the rotated page's coordinates, up to a constant."""
        if not self._rotation:
            return x, y
        return {90: (y, -x), 180: (-x, -y), 270: (-y, x)}[self._rotation]

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
        self._library.FPDFText_GetCharOrigin(self._page, index, x, y)
        return self._numbers[0].value, self._numbers[1].value

    def _extent(self, index: int) -> tuple[float, float]:
        """Return the left and the right end of a character."""
        self._library.FPDFText_GetCharBox(self._page, index, *self._references)
        left, right, bottom, top = (number.value for number in self._numbers)
        left, _, right, _ = self.turned_box((left, bottom, right, top))
        return left, right

    def _size(self, index: int) -> float:
        """Return the type size in points: the font's, scaled by the text matrix."""
        self._library.FPDFText_GetMatrix(self._page, index, self._matrix_reference)
        size = self._library.FPDFText_GetFontSize(self._page, index)
        return abs(float(size) * math.hypot(self._matrix.c, self._matrix.d))

    def _is_bold(self, index: int) -> bool:
        self._library.FPDFText_GetFontInfo(
            self._page, index, self._name_at, NAME_BYTES, ctypes.addressof(self._flags)
        )
        return _BOLD.search(self._name.value) is not None


def unmirrored(lines: Sequence[Line]) -> list[Line]:
    """Return a page's lines with the brackets of those that run to the left in order, and the marks at numbers.

    PDFium mirrors each bracket, but many programs already write the right one. Mirror the brackets if more of the
    page's brackets match then.
    """
    leftward = "\n".join(line.text for line in lines if RIGHT_TO_LEFT.search(line.text))
    mirrored = leftward.translate(_MIRROR)
    mirror = _MIRROR if len(_PAIR.findall(mirrored)) > len(_PAIR.findall(leftward)) else {}
    return [
        line._replace(text=_LED.sub(r"\2\1", line.text.translate(mirror)))
        if RIGHT_TO_LEFT.search(line.text)
        else line
        for line in lines
    ]
