"""Join a page's lines into rows, and lay the rows out as paragraphs, with headings and without running heads.

Lengths are in points; x grows to the right and y upward, as on the displayed page. PDFium gives lines in the order
of the page's program, which may write a table by column. Two wide lines at the same height are of two columns of
prose and are not joined.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

# PDFium's marks for a hyphen that it removed at a line's end; the word goes on in the next line.
HYPHENS = ("\x02", "\ufffe")
# Shares of the type size. A superscript is raised by a third, a numerator by two thirds.
RAISED = 0.5
OVERLAP, NEAR, FAR = 0.5, 1.0, 6.0
WORD_GAP = 0.15
# Cells of a row have the same baseline to within this share of the type size: programs round places.
SAME_BASELINE = 0.3
# Lines of prose are so wide in type sizes: two of them beside each other are of two columns.
PROSE_WIDTH = 10.0
# A whole number and a fraction, whose numerator was marked as an exponent: "2^1/2".
_MIXED = re.compile(r"(?<=\d)\^(?=\d{1,2}[/\u2044]\d)")
_LABEL = re.compile(r"[^\W\d_]{3,}|[$€£¥]")
IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
# A line gap larger than this multiple of the page's usual gap starts a paragraph.
PARAGRAPH_GAP, USUAL_GAP = 1.25, 1.2
# Lines further apart than this are not neighbours.
NEIGHBOURS = 3.0
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
_NUMBER = re.compile(r"\d+")


class Line(NamedTuple):
    """One line, which is not `level` when it runs up or down the page.

    `left` is the origin of its first character; `baseline`, `size` and `bold` are those of its largest type. It
    `follows` the line before it when PDFium has both as one.
    """

    text: str
    left: float
    right: float
    baseline: float
    size: float
    bold: bool = False
    level: bool = True
    follows: bool = False


def rows(lines: Iterable[Line]) -> list[Line]:
    """Join lines that are beside each other; a superscript joins the line that it is raised from."""
    merged: list[Line] = []
    for line in _tables(list(lines)):
        if merged and _same_row(merged[-1], line):
            merged[-1] = _joined_lines(merged[-1], line)
        else:
            merged.append(line)
    return merged


def _same_row(left: Line, right: Line) -> bool:
    size = max(left.size, right.size)
    if left.text.endswith(HYPHENS) or not (left.level and right.level):
        return False
    if abs(left.baseline - right.baseline) > RAISED * size:
        return False
    same = abs(left.size - right.size) < 0.1 * size and abs(left.baseline - right.baseline) < 0.1 * size
    far = float("inf") if right.follows else (FAR if same else NEAR)
    return -OVERLAP * size <= right.left - left.right <= far * size


def _joined_lines(left: Line, right: Line) -> Line:
    larger = max(left, right, key=lambda line: line.size)
    apart = right.left - left.right > WORD_GAP * larger.size
    space = " " if apart and not left.text[-1:].isspace() and not right.text[:1].isspace() else ""
    text, bold = f"{left.text}{space}{right.text}", left.bold and right.bold
    return larger._replace(text=text, left=left.left, right=right.right, bold=bold, follows=left.follows)


def _tables(lines: list[Line]) -> list[Line]:
    """Join the cells of rows that other lines separate."""
    joined: dict[int, Line] = {}
    gone = set[int]()
    for group in _level(lines):
        for cells in _cells(group, lines):
            # The label has the row's place in the reading order.
            joined[cells[0]] = reduce(_joined_lines, (lines[at] for at in cells))
            gone.update(cells[1:])
    return [joined.get(at, line) for at, line in enumerate(lines) if at not in gone]


def _level(lines: Sequence[Line]) -> list[list[int]]:
    """Return the places of the lines on each baseline, from left to right."""
    groups: list[list[int]] = []
    for at in sorted((at for at, line in enumerate(lines) if line.level), key=lambda at: -lines[at].baseline):
        line, first = lines[at], lines[groups[-1][0]] if groups else None
        if first and first.baseline - line.baseline <= SAME_BASELINE * max(line.size, first.size):
            groups[-1].append(at)
        else:
            groups.append([at])
    return [sorted(group, key=lambda at: lines[at].left) for group in groups]


def _cells(group: Sequence[int], lines: Sequence[Line]) -> list[list[int]]:
    """Return the parts of a group that are one row: beside each other, in one column, a number after a label."""
    parts = [[group[0]]]
    for place, following in pairwise(group):
        left, right = lines[place], lines[following]
        beside = right.left - left.right >= -OVERLAP * max(left.size, right.size)
        if beside and not left.text.endswith(HYPHENS) and not (_is_wide(left) and _is_wide(right)):
            parts[-1].append(following)
        else:
            parts.append([following])
    return [
        part
        for part in parts
        if any(_LABEL.search(lines[at].text) for at in part[:-1])
        # A number, or several, with at most as many letters as digits.
        and any(
            0 < sum(map(str.isdigit, lines[at].text)) >= sum(map(str.isalpha, lines[at].text)) for at in part[1:]
        )
    ]


def _is_wide(line: Line) -> bool:
    return line.right - line.left >= PROSE_WIDTH * line.size


class LaidOut(NamedTuple):
    """A page as text, its headings with their type size in points, and its edges for the pages that follow."""

    text: str
    headings: list[tuple[str, float]]
    edges: list[Line]


def lay_out(lines: Sequence[Line], low: float, high: float, earlier: Mapping[int, Sequence[Line]]) -> LaidOut:
    """Return the text of a page that extends from `low` to `high`, without running heads and feet.

    `earlier` has the edges of earlier pages by how many pages back they are.
    """
    page_rows = rows(lines)
    # The type size of most of the page's characters.
    counts: Counter[float] = Counter()
    for line in page_rows:
        counts[round(line.size, 1)] += len(line.text)
    size, page_edges = max(counts, key=counts.__getitem__, default=0.0), edges(page_rows, low, high)
    repeated = running(page_edges, earlier, size)
    text_rows = [line for line in page_rows if line not in repeated] or page_rows
    return LaidOut(_MIXED.sub(" ", paragraphs(text_rows)), headings(text_rows, size), page_edges)


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


def running(page_edges: Sequence[Line], earlier: Mapping[int, Sequence[Line]], size: float) -> set[Line]:
    """Return the lines of a page's edges that repeat a line of an earlier page at the same height.

    The words are equal, and the numbers are equal or grow with the page. A line in heading type is kept.
    """
    return {
        line
        for line in page_edges
        if not _is_set_off(line, size)
        and any(
            abs(line.baseline - before.baseline) < SAME_HEIGHT and _repeats(line.text, before.text, back)
            for back, lines in earlier.items()
            for before in lines
        )
    }


def _repeats(text: str, before: str, pages: int) -> bool:
    if _NUMBER.sub("#", text) != _NUMBER.sub("#", before):
        return False
    numbers = zip(_NUMBER.findall(text), _NUMBER.findall(before), strict=True)
    return all(int(now[-9:]) - int(then[-9:]) in {0, pages} for now, then in numbers)


def _is_set_off(line: Line, size: float) -> bool:
    """Return whether a line is in larger type than the page's `size`, or in bold type that is not smaller."""
    return line.size > LARGER * size or (line.bold and line.size > size / LARGER)


def headings(lines: Iterable[Line], size: float) -> list[tuple[str, float]]:
    """Return the lines in heading type, with their sizes; `size` is that of the page's text.

    A watermark across the page, or the large letter that begins a text, is no heading.
    """
    # At equal size, bold type ranks higher.
    set_off = [
        (line.text.strip(), round(line.size + (BOLD_RANKS if line.bold else 0.0), 1))
        for line in lines
        if _is_set_off(line, size)
        and len(line.text.strip()) <= HEADING_CHARACTERS
        and any(map(str.isalpha, line.text))
        and ((line.level and len(line.text.strip()) > 1) or IDEOGRAPH.search(line.text))
    ]
    return set_off[:HEADINGS]


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
    return drop > PARAGRAPH_GAP * usual * min(above.size, line.size)
