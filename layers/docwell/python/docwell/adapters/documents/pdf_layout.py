"""Lay out a page's rows as paragraphs by their places and sizes, and find headings and running heads.

Part of the child's program. Lengths are in points; x grows to the right and y upward, as on the displayed page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from docwell.adapters.documents.pdf_rows import HYPHENS, Line, rows
from docwell.adapters.documents.pdf_scripts import IDEOGRAPH

# A line gap larger than this multiple of the page's usual gap starts a paragraph.
PARAGRAPH_GAP, USUAL_GAP = 1.25, 1.2
# Lines further apart than this are not neighbours.
NEIGHBOURS = 3.0
# The least and the most indentation of a paragraph's first line.
INDENT = (0.8, 4.0)
# Running heads are in the margin (this share of the page's height at either edge), at the same height (in points)
# on each page, and have at most this many lines.
EDGE_SHARE, SAME_HEIGHT, EDGE_LINES = 0.08, 3.0, 4
# The gap between a running head and the text, in type sizes; lines of text are 1.2 apart.
APART = 1.6
LARGER = 1.08
# Left and right pages have different running heads.
PAGES_BACK = 2
HEADING_CHARACTERS = 150
HEADINGS = 40
BOLD_RANKS = 0.2

# The end of a row of a table: beside one, only a gap twice as wide begins a paragraph.
_ROW = re.compile(r"(?:\d\)?%?|[\u2014\u2013])\s*\Z")
ROW_GAP = 2.0
# The mark of a list's item or a clause, whose second line is indented too: a bullet, "2.", "(a)", "[12]", "4.1".
# An item's first line ends at most a word (in type sizes) before its second one; a heading ends earlier.
_ITEM = re.compile(r"(?:[^\w\s]|[(\[]?(?:\d{1,3}|[^\W\d_]|[ivx]{2,5})[.)\]]|\d{1,2}(?:\.\d{1,2})+\.?)\s")
WORD = 5.0
_NUMBER = re.compile(r"\d+")


class LaidOut(NamedTuple):
    """A page as text, its headings with their type size in points, and its edges for the pages that follow."""

    text: str
    headings: list[tuple[str, float]]
    edges: list[Line]


def lay_out(lines: Sequence[Line], low: float, high: float, earlier: Mapping[int, Sequence[Line]]) -> LaidOut:
    """Return the text of a page that extends from `low` to `high`, without running heads and feet.

    `earlier` has the edges of earlier pages by how many pages back they are.
    """
    found = rows(lines)
    size = text_size(found)
    own = edges(found, low, high)
    repeated = running(own, earlier, size)
    kept = [line for line in found if line not in repeated] or found
    return LaidOut(paragraphs(kept), headings(kept, size), own)


def edges(lines: Iterable[Line], low: float, high: float) -> list[Line]:
    """Return the outermost lines at the foot and the head of a page that a gap separates from the text."""
    zone = EDGE_SHARE * (high - low)
    ordered = sorted((line for line in lines if line.level), key=lambda line: line.baseline)
    foot = [line for line in _set_apart(ordered[: EDGE_LINES + 1]) if line.baseline < low + zone]
    head = [line for line in _set_apart(ordered[: -EDGE_LINES - 2 : -1]) if line.baseline > high - zone]
    return foot + head


def _set_apart(lines: Sequence[Line]) -> list[Line]:
    """Return the lines, ordered from the outermost, before the last wide gap between them."""
    last = 0
    for number, (line, following) in enumerate(pairwise(lines), 1):
        if abs(line.baseline - following.baseline) > APART * max(line.size, following.size):
            last = number
    return list(lines[:last])


def running(own: Sequence[Line], earlier: Mapping[int, Sequence[Line]], size: float) -> set[Line]:
    """Return the lines of a page's edges that repeat a line of an earlier page at the same height.

    The words are equal, and the numbers are equal or grow with the page. A line in heading type is kept.
    """
    return {
        line
        for line in own
        if not _is_set_off(line, size)
        and any(
            abs(line.baseline - other.baseline) < SAME_HEIGHT and _repeats(line.text, other.text, back)
            for back, others in earlier.items()
            for other in others
        )
    }


def _repeats(text: str, other: str, pages: int) -> bool:
    if _NUMBER.sub("#", text) != _NUMBER.sub("#", other):
        return False
    numbers = zip(_NUMBER.findall(text), _NUMBER.findall(other), strict=True)
    return all(int(now[-9:]) - int(then[-9:]) in {0, pages} for now, then in numbers)


def text_size(lines: Iterable[Line]) -> float:
    """Return the type size of most of a page's characters; 0 for a page without any."""
    counts: Counter[float] = Counter()
    for line in lines:
        counts[round(line.size, 1)] += len(line.text)
    return max(counts, key=counts.__getitem__, default=0.0)


def _is_set_off(line: Line, size: float) -> bool:
    """Return whether a line is in larger type than the page's `size`, or in bold type that is not smaller."""
    return line.size > LARGER * size or (line.bold and line.size > size / LARGER)


def headings(lines: Iterable[Line], size: float) -> list[tuple[str, float]]:
    """Return the lines in heading type, with their sizes; `size` is that of the page's text.

    A watermark across the page, or the large letter that begins a text, is no heading.
    """
    # At equal size, bold type ranks higher.
    found = [
        (line.text.strip(), round(line.size + (BOLD_RANKS if line.bold else 0.0), 1))
        for line in lines
        if _is_set_off(line, size)
        and len(line.text.strip()) <= HEADING_CHARACTERS
        and any(map(str.isalpha, line.text))
        and ((line.level and len(line.text.strip()) > 1) or IDEOGRAPH.search(line.text))
    ]
    return found[:HEADINGS]


def paragraphs(lines: Sequence[Line]) -> str:
    """Return the lines as text, with a blank line before each paragraph."""
    gaps = [
        (above.baseline - below.baseline) / max(below.size, above.size, 0.1)
        for above, below in pairwise(lines)
        if 0 < above.baseline - below.baseline < NEIGHBOURS * max(below.size, above.size)
    ]
    usual = sorted(gaps)[(len(gaps) - 1) // 2] if gaps else USUAL_GAP
    pieces: list[str] = []
    for number, line in enumerate(lines):
        if number:
            above = lines[number - 1]
            if above.text.endswith(HYPHENS):
                if above.baseline - line.baseline > NEIGHBOURS * above.size:
                    # A figure or the page's foot separates the halves of the word.
                    pieces[-1] = f"{above.text[:-1]}-"
                    pieces.append("\n\n")
            else:
                pieces.append("\n\n" if _begins(lines, number, usual) else "\n")
        pieces.append(line.text)
    return "".join(pieces)


def _begins(lines: Sequence[Line], number: int, usual: float) -> bool:
    above, line = lines[number - 1], lines[number]
    drop = above.baseline - line.baseline
    if drop <= 0 or not (above.level and line.level):
        return False
    in_table = _ROW.search(above.text) or _ROW.search(line.text)
    if drop > (ROW_GAP if in_table else PARAGRAPH_GAP) * usual * min(above.size, line.size):
        return True
    return not in_table and _is_indented(lines, number)


def _is_indented(lines: Sequence[Line], number: int) -> bool:
    """Return whether a line begins a paragraph, and further to the right than both its neighbours."""
    above, line, low, high = lines[number - 1], lines[number], INDENT[0], INDENT[1]
    goes_on = _ITEM.match(above.text) and above.right > line.right - WORD * line.size
    if number + 1 == len(lines) or goes_on or line.text[:1].islower():
        return False
    neighbours = above, lines[number + 1]
    return all(low * line.size < line.left - other.left < high * line.size for other in neighbours)
