"""Put the recognised lines of a page's picture into reading order.

Part of the child's program. Places on the picture are in pixels, y growing downward; a `Line` is in points, y
growing upward, as in `pdf_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from docwell.adapters.documents.pdf_rows import OVERLAP, RAISED, WORD_GAP, Line

# Boxes whose heights are within this ratio have one type size: in equal type, "ace" is lower than "fig".
SAME_SIZE = 1.35
# The shares of a box's height that are the type size and the part below the baseline.
SIZE_SHARE, BELOW_SHARE = 0.8, 0.2
# A gutter between columns has at least this many lines on either side, whose median width is over so many times
# the usual height. Cells of a table are narrower, and a table is read row by row.
COLUMN_LINES, COLUMN_WIDTH = 4, 8.0
# The least width of a gutter, in heights of a line.
GUTTER = 0.5
# Columns are not searched on a page with more lines: the time grows with their square.
MAX_LINES = 500


class Box(NamedTuple):
    """One recognised line on the picture. `confidence` is the recogniser's, 0 to 1."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def height(self) -> float:
        """The height in pixels."""
        return self.bottom - self.top


def confidence(boxes: Sequence[Box]) -> float | None:
    """Return the confidence of a page: its lines' mean, weighted by characters. None for a page without lines."""
    characters = sum(len(box.text) for box in boxes)
    return sum(len(box.text) * box.confidence for box in boxes) / characters if characters else None


def stand_upright(boxes: Sequence[Box]) -> bool:
    """Return whether most lines run up or down the picture, so that the page is on its side."""
    tall = sum(len(box.text) for box in boxes if box.height > box.right - box.left)
    return 2 * tall > sum(len(box.text) for box in boxes)


def lines(boxes: Sequence[Box], height: float, scale: float) -> list[Line]:
    """Return the lines in reading order; the picture is `height` pixels high and has `scale` pixels to a point."""
    if not boxes:
        return []
    usual = median(box.height for box in boxes)
    found = [_line(box, usual, height, scale) for box in in_order(boxes)]
    return found[:1] + [_set_apart(left, right) for left, right in pairwise(found)]


def _line(box: Box, usual: float, height: float, scale: float) -> Line:
    high = usual if usual / SAME_SIZE < box.height < usual * SAME_SIZE else box.height
    baseline = height - box.bottom + BELOW_SHARE * high
    return Line(box.text, box.left / scale, box.right / scale, baseline / scale, SIZE_SHARE * high / scale)


def _set_apart(left: Line, right: Line) -> Line:
    """Return the right line with a word's gap to the left one beside it.

    Boxes are wider than their text and can touch: the cells "2" and "1,450.00" would become one number.
    """
    size = max(left.size, right.size)
    beside = abs(left.baseline - right.baseline) <= RAISED * size and right.left - left.right >= -OVERLAP * size
    nearest = left.right + 2 * WORD_GAP * size
    return right._replace(left=nearest) if beside and right.left < nearest else right


def in_order(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes column by column where there is a gutter, else from top to bottom and left to right.

    The recursive X-Y cut (Nagy and Seth, 1984): a page without a gutter is cut at its widest horizontal gap, and
    each part is ordered the same way.
    """
    usual = median(box.height for box in boxes) if boxes else 0.0
    return _cut(list(boxes), usual) if len(boxes) <= MAX_LINES else _by_rows(boxes)


def _cut(boxes: list[Box], usual: float) -> list[Box]:
    if len(boxes) < 2 * COLUMN_LINES:
        return _by_rows(boxes)
    columns = _at_gap(boxes, lambda box: (box.left, box.right), lambda a, b: _are_columns(a, b, usual))
    parts = columns or _at_gap(boxes, lambda box: (box.top, box.bottom), lambda _a, _b: True)
    if parts is None:
        return _by_rows(boxes)
    return [box for part in parts for box in _cut(part, usual)]


def _at_gap(
    boxes: list[Box], ends: Callable[[Box], tuple[float, float]], fits: Callable[[list[Box], list[Box]], bool]
) -> tuple[list[Box], list[Box]] | None:
    """Return the boxes on both sides of the widest gap that fits, along the axis of `ends`."""
    ordered = sorted(boxes, key=ends)
    gaps: list[tuple[float, int]] = []
    reached = ends(ordered[0])[1]
    for number, box in enumerate(ordered[1:], 1):
        begins, stops = ends(box)
        if begins > reached:
            gaps.append((begins - reached, number))
        reached = max(reached, stops)
    for _, number in sorted(gaps, reverse=True):
        if fits(ordered[:number], ordered[number:]):
            return ordered[:number], ordered[number:]
    return None


def _are_columns(left: list[Box], right: list[Box], usual: float) -> bool:
    gutter = min(box.left for box in right) - max(box.right for box in left)
    return gutter > GUTTER * usual and all(
        len(side) >= COLUMN_LINES and median(box.right - box.left for box in side) > COLUMN_WIDTH * usual
        for side in (left, right)
    )


def _by_rows(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes row by row; boxes whose middles are within half a line of each other are one row."""
    ordered = sorted(boxes, key=lambda box: box.top + box.bottom)
    rows: list[list[Box]] = [ordered[:1]]
    for above, box in pairwise(ordered):
        apart = (box.top + box.bottom) / 2 - (above.top + above.bottom) / 2
        if apart < min(above.height, box.height) / 2:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box.left)]
