"""Rows of tables as text, each cell after the heads of its columns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The columns that a cell spans; HTML allows 1,000.
MAX_SPAN = 100
# A longer text names no column, and is not repeated in each row that its cell spans.
MAX_HEAD = 80
# Heads of more characters in all would make the text of a table several times as long: each row repeats them.
MAX_HEADS = 2_000
# A head names a column beside another one.
LEAST_CELLS = 2
# What the reader of a table without heads needs to count its columns.
EMPTY = "\u2013"
_FIGURE = re.compile(r"[^\w]*\d[\d\W]*")
# A year, a date that ends with one, or two of them: "2021\u20132023", "31.12.2024".
_DAY = r"(?:\d{1,2}[./-]){0,2}"
_PERIOD = re.compile(rf"{_DAY}(?:19|20)\d\d(?:\s?[-\u2013\u2014/]\s?{_DAY}(?:19|20)?\d\d)?")


class Cell(NamedTuple):
    """A cell, with the number of columns and rows that it spans."""

    text: str
    across: int = 1
    down: int = 1


class _Placed(NamedTuple):
    column: int
    cell: Cell
    is_own: bool


class Rows:
    """The rows of one table, from the top."""

    def __init__(self) -> None:
        self._heads: dict[int, str] = {}
        self._are_heads = False
        # The cells that reach into the next rows, by their first column.
        self._spanning: dict[int, Cell] = {}

    def line(self, cells: Sequence[Cell], *, heads: bool = False) -> str:
        """Return the next row. With `heads` it names the columns, below the heads right above it."""
        placed = self._place(cells)
        filled = [one for one in placed if one.cell.text]
        if heads:
            filled = [one for one in filled if one.is_own]
            self._name(filled)
        self._are_heads = heads
        if heads or len(filled) < LEAST_CELLS:
            return " | ".join(one.cell.text for one in filled)
        if not self._heads:
            return _unnamed(placed)
        return named((self._head(one), one.cell.text) for one in filled)

    def _name(self, own: Iterable[_Placed]) -> None:
        above = self._heads if self._are_heads else {}
        self._heads = dict(above)
        for column, cell, _ in own:
            for at in range(column, column + cell.across):
                self._heads[at] = f"{above.get(at, '')} {cell.text}".strip()
        if sum(len(head) + len(": ") for head in self._heads.values()) > MAX_HEADS:
            self._heads = {}

    def _head(self, placed: _Placed) -> str:
        columns = range(placed.column, placed.column + placed.cell.across)
        heads = dict.fromkeys(self._heads.get(at, "") for at in columns)
        head = ", ".join(filter(None, heads))
        return head if len(head) <= MAX_HEAD else ""

    def _place(self, cells: Sequence[Cell]) -> list[_Placed]:
        """Return the cells of a row with their columns, also those of earlier rows that reach into it."""
        placed = [_Placed(column, cell, is_own=False) for column, cell in self._spanning.items()]
        taken = {at for one in placed for at in range(one.column, one.column + one.cell.across)}
        column = 0
        for cell in cells:
            while column in taken:
                column += 1
            across = max(1, min(cell.across, MAX_SPAN))
            placed.append(_Placed(column, cell._replace(across=across), is_own=True))
            column += across
        reaching = ((column, cell._replace(down=cell.down - 1)) for column, cell, _ in placed if cell.down > 1)
        self._spanning = {
            column: cell if len(cell.text) <= MAX_HEAD else cell._replace(text="") for column, cell in reaching
        }
        return sorted(placed)


def named(cells: Iterable[tuple[str, str]]) -> str:
    """Return (name, text) of cells as one line."""
    return " | ".join(f"{name.rstrip(' :')}: {text}" if name.rstrip(" :") else text for name, text in cells)


def are_heads(cells: Sequence[tuple[str, bool]]) -> bool:
    """Return whether a row names columns: the (text, is set off) of each cell is set off, and none is a figure."""
    filled = [(text, set_off) for text, set_off in cells if text]
    return (
        len(cells) >= LEAST_CELLS
        and bool(filled)
        and all(set_off and (_PERIOD.fullmatch(text) or not _FIGURE.fullmatch(text)) for text, set_off in filled)
    )


def _unnamed(placed: Sequence[_Placed]) -> str:
    filled = [number for number, one in enumerate(placed) if one.cell.text]
    return " | ".join(one.cell.text or EMPTY for one in placed[filled[0] : filled[-1] + 1])
