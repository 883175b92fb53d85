"""Put text in order that runs to the left or downward, or has accents, where PDFium does not.

Part of the child's program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from docwell.adapters.documents.pdf_rows import Line

# Columns of vertical text begin at the same height, but for paragraphs, which are indented by a letter.
COLUMN_INDENT = 2.5
IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# A word that runs to the left: no digits, which run to the right.
LEFTWARD_WORD = re.compile("[\u0590-\u065f\u066e-\u06ef\u06fa-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]{2,}")
# No glyph stands for alef and lam in this order, or for a mark before its letter: PDFium reverses what runs to the
# left by characters, also those that one glyph stands for. The parts of a presentation form are in order.
REVERSED = re.compile(
    "[\u0622\u0623\u0625\u0627\u0671]\u0644|[\u0591-\u05c7\u064b-\u065f\u0670]+[\u05d0-\u05ea\u0621-\u064a]"
)
# A mark to the left of a number comes after it, and a bracket opens beside what it encloses.
_LED = re.compile(r"(?<!\S)([.,:;%\u066a])(\d[\d.,]*)(?=\s|\Z)")
_OPENED = re.compile(r"(?<=\S)([(\[{]) (?=\S)")
_MIRROR = str.maketrans("()[]{}", ")(][}{")
_PAIRS = {")": "(", "]": "[", "}": "{"}


def place_of_column(lines: Sequence[Line], column: Line) -> int:
    """Return the place of a column of vertical text among the lines: columns are read from right to left.

    PDFium may give those of a font for vertical text from left to right.
    """
    place = len(lines)
    while place and _follows(lines[place - 1], column):
        place -= 1
    return place


def _follows(line: Line, column: Line) -> bool:
    """Return whether a line is a column of the same rows to the left of another."""
    return (
        not line.level
        and line.left < column.left
        and abs(line.baseline - column.baseline) < COLUMN_INDENT * column.size
    )


def unmirrored(lines: Sequence[Line]) -> list[Line]:
    """Return a page's lines with the brackets of those that run to the left in order, and the marks at numbers.

    PDFium takes each bracket for the mirror image of what is drawn, but many programs write the bracket that is
    meant. The brackets of a line are mirrored where more of them match then, or else as most of the page's are.
    """
    leftward = [line.text for line in lines if RIGHT_TO_LEFT.search(line.text)]
    page = _gain("\n".join(leftward))
    return [
        line._replace(text=_unmirrored(line.text, page)) if RIGHT_TO_LEFT.search(line.text) else line
        for line in lines
    ]


def _unmirrored(text: str, page: int) -> str:
    if (_gain(text) or page) > 0:
        text = text.translate(_MIRROR)
    return _OPENED.sub(r" \1", _LED.sub(r"\2\1", text))


def _gain(text: str) -> int:
    """Return how many more pairs of brackets match after mirroring."""
    return _matched(text.translate(_MIRROR)) - _matched(text)


def _matched(text: Iterable[str]) -> int:
    opened: list[str] = []
    matched = 0
    for letter in text:
        if letter in _PAIRS.values():
            opened.append(letter)
        elif letter in _PAIRS and opened and opened[-1] == _PAIRS[letter]:
            opened.pop()
            matched += 1
    return matched


def letters_beside(piece: str, at: int) -> Iterator[int]:
    """Yield the places of the letters that an accent may belong to: the next one, then the one before."""
    for step in (1, -1):
        place = at + step
        if 0 <= place < len(piece) and piece[place] == " ":
            place += step
        if 0 <= place < len(piece) and piece[place].isalpha():
            yield place
