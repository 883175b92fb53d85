"""Workbooks: the shown cells of the shown sheets, each row with its header. Formulas are never run.

A cell has the value that the program which saved the file had calculated.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.xml.constants import ARC_CORE

from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.adapters.documents.formats.tables import named
from docwell.citation_units import CitationUnit, UnitKind

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]')
# Commas behind the last digit divide by a thousand each: `#,##0,` shows thousands.
_DIGITS = re.compile(r"[#0?](?:,*[#0?])*(,*)(?:\.([#0?]+))?(,*)")
# A header names at least two columns.
_HEADER_CELLS = 2

Row = Sequence[tuple[int, str]]


def add_row(parts: Parts, sheet: str, number: int, row: Row, header: Mapping[int, str]) -> None:
    """Add one row, its (column, text) from the left, each cell after its column's header."""
    cells = [(column, " ".join(text.split())) for column, text in row if text.strip()]
    if not cells:
        return
    line = named((" ".join(header.get(column, "").split()), text) for column, text in cells)
    first, last = get_column_letter(cells[0][0]), get_column_letter(cells[-1][0])
    place = f"{first}{number}" if first == last else f"{first}{number}:{last}{number}"
    label = f"{sheet}!{place}" if sheet else place
    parts.add(line, CitationUnit(UnitKind.RANGE, label, label))


def read(data: bytes, parts: Parts) -> Metadata:
    """Add the sheets of a workbook."""
    book = openpyxl.load_workbook(io.BytesIO(data), data_only=True, keep_links=False)
    for sheet in book.worksheets:
        if sheet.sheet_state == "visible":
            parts.start_part()
            _add_sheet(sheet, parts)
        else:
            for _, cells in _filled_rows(sheet):
                parts.hide("".join(str(cell.value) for cell in cells))
    return _metadata(data, book.properties)


def _metadata(data: bytes, made: Any) -> Metadata:
    """Return the properties that the file states: the library makes up an author and a date."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        stated = file.read(ARC_CORE) if ARC_CORE in file.namelist() else b""
    author, created = b"creator" in stated, b"created" in stated
    return Metadata.of(made.title, made.creator if author else None, made.created if created else None)


def _add_sheet(sheet: Any, parts: Parts) -> None:
    hidden = _hidden_columns(sheet)
    tops = {openpyxl.utils.cell.range_boundaries(table.ref)[1] for table in sheet.tables.values()}
    rows = list(_shown_rows(sheet, hidden, parts))
    header: dict[int, str] = {}
    for place, (number, cells) in enumerate(rows):
        following = rows[place + 1][1] if place + 1 < len(rows) else []
        texts = [(cell.column, shown(cell)) for cell in cells]
        is_header = number in tops or _is_header(cells, following, known=bool(header))
        add_row(parts, sheet.title, number, texts, {} if is_header else header)
        if is_header:
            header = dict(texts)
        for cell in cells:
            _add_comment(sheet.title, cell, parts)


def _add_comment(sheet: str, cell: Any, parts: Parts) -> None:
    if cell.comment is not None and cell.comment.text:
        label = f"{sheet}!{cell.coordinate}"
        author = f" by {cell.comment.author}" if cell.comment.author else ""
        text = f"[Comment on {cell.coordinate}{author}: {cell.comment.text.strip()}]"
        parts.add(text, CitationUnit(UnitKind.RANGE, label, label))


def _hidden_columns(sheet: Any) -> set[int]:
    hidden: set[int] = set()
    for dimension in sheet.column_dimensions.values():
        if dimension.hidden and dimension.min:
            hidden.update(range(dimension.min, min(dimension.max, sheet.max_column) + 1))
    return hidden


def _filled_rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """Yield number and filled cells of each row.

    The library's public way makes a cell for each place up to the last one.
    """
    filled = sorted(
        ((place, cell) for place, cell in sheet._cells.items() if cell.value is not None),
        key=lambda item: item[0],
    )
    for number, cells in groupby(filled, key=lambda item: item[0][0]):
        yield number, [cell for _, cell in cells]


def _shown_rows(sheet: Any, hidden: set[int], parts: Parts) -> Iterator[tuple[int, list[Any]]]:
    """Yield number and filled cells of the rows that the sheet shows, and count what it hides."""
    for number, filled in _filled_rows(sheet):
        row_hidden = number in sheet.row_dimensions and sheet.row_dimensions[number].hidden
        seen = [] if row_hidden else [cell for cell in filled if cell.column not in hidden]
        for cell in filled:
            if row_hidden or cell.column in hidden:
                parts.hide(str(cell.value))
        if seen:
            yield number, seen


def _is_header(cells: Sequence[Any], following: Sequence[Any], *, known: bool) -> bool:
    """Return whether a row names columns: texts alone, above values of another type, or in bold.

    The first row of several texts names columns whatever follows.
    """
    if len(cells) < _HEADER_CELLS or not all(isinstance(cell.value, str) for cell in cells):
        return False
    columns = {cell.column for cell in cells}
    values_below = any(cell.column in columns and not isinstance(cell.value, str) for cell in following)
    bold = all(cell.font is not None and cell.font.b for cell in cells)
    return not known or values_below or bold


def shown(cell: Any) -> str:
    """Return a cell's value about as the sheet shows it, with its percent sign, decimals and currency."""
    value = cell.value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "seconds").removesuffix(" 00:00:00")
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "General")
    return "" if value is None else str(value)


def _number(value: float, number_format: str) -> str:
    shape = _LITERAL.sub(lambda found: found[1] or found[2] or found[3] or "", number_format.partition(";")[0])
    digits = _DIGITS.search(shape)
    if digits is None or re.search(r"[eE][+-]|[/@]", shape):
        return f"{value:.11g}"
    decimals, thousands = len(digits[2] or ""), len(digits[1]) + len(digits[3])
    scaled = (value * 100 if "%" in shape else value) / 1000**thousands
    grouped = digits[0].count(",") > thousands
    text = f"{scaled:{',' if grouped else ''}.{decimals}f}"
    before, after = shape[: digits.start()].strip(), shape[digits.end() :].strip()
    return f"{'-' if text[0] == '-' else ''}{before}{text.lstrip('-')}{' ' * (after.isalpha())}{after}"
