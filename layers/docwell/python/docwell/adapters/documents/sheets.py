"""Workbooks and tables of values: the shown cells of the shown sheets, each row with its header.

A cell has the value that was calculated when the file was saved; docwell runs no formula.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from colorsys import hls_to_rgb, rgb_to_hls
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import reduce
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import openpyxl
from openpyxl.cell.rich_text import CellRichText
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.cell_range import CellRange

from docwell.adapters.documents.kinds import delimiter
from docwell.adapters.documents.parts import MIN_CELLS, WHITE, Cell, Metadata, Parts, Placed, Rows, is_seen, raised
from docwell.models import CitationUnit, UnitKind

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)[^\]]*\]|(\[[^<>=\];]+\])|\[[^\]]*\]')
# Each comma after the last digit divides by a thousand: `#,##0,` shows thousands.
_DIGITS = re.compile(r"[#0?](?:,*[#0?])*(,*)(?:\.([#0?]+))?(,*)")
# Codes have up to 20 digits. Excel shows 30 decimals, and a number has up to 309 digits before them.
_LARGEST_CODE, _MOST_DECIMALS, _EXACT = 10**20, 30, Context(prec=400)
# A number format has sections for numbers above, below and at zero, and for texts. No section is for booleans.
_ZEROS, _TEXTS, _BOOLEANS, _TEXT = 2, 3, 4, re.compile("@|general", re.IGNORECASE)
# Brackets that choose a section, and those that name a colour. A narrower column shows nothing.
_CONDITION, LEAST_WIDTH = re.compile(r"\[[<>=]"), 0.3
_INK = re.compile(r"\[([a-z]{3,})", re.IGNORECASE)
_INKS = {"black": 0, "white": 1, "red": 2, "green": 3, "blue": 4, "yellow": 5, "magenta": 6, "cyan": 7}
# A colour of a theme. Its file has each one of text before that of its ground (ECMA-376, 18.8.3).
_THEME = re.compile(rb'(?:srgb|sys)Clr [^>]*"([0-9A-Fa-f]{6})"')
_YEARS = range(1900, 2101)
# The longest field of a text file: more than a page of text.
_FIELD_CHARACTERS = 1_000_000


def _add_row(parts: Parts, sheet: str, number: int, line: str, places: Iterable[Placed]) -> None:
    """Add the text of a row, with the range of its filled cells."""
    columns = sorted(place.column for place in places if place.cell.text)
    if not columns:
        return
    first, last = get_column_letter(columns[0]), get_column_letter(columns[-1])
    place = f"{first}{number}" if first == last else f"{first}{number}:{last}{number}"
    label = f"{sheet}!{place}" if sheet else place
    parts.add(line, CitationUnit(UnitKind.RANGE, label, label))


def read(data: bytes, parts: Parts) -> None:
    """Add the sheets of a workbook."""
    for sheet in openpyxl.load_workbook(io.BytesIO(data), data_only=True, keep_links=False, rich_text=True):
        if sheet.sheet_state == "visible":
            parts.start_part()
            _add_sheet(sheet, parts)
        else:
            parts.hide("".join(str(cell.value) for cell in _filled(sheet)))


def read_table(text: str, parts: Parts) -> Metadata:
    """Add a table of values; its first row of several fields is the header, unless none of them has a letter."""
    csv.field_size_limit(_FIELD_CHARACTERS)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter(text) or ",")
    table, is_above_header = Rows(), True
    for number, row in enumerate(rows, 1):
        is_header = is_above_header and len(list(filter(str.strip, row))) >= MIN_CELLS
        is_above_header = is_above_header and not is_header
        places = [Placed(at, Cell(" ".join(text.split()))) for at, text in enumerate(row, 1) if text.strip()]
        names_columns = is_header and any(map(str.isalpha, "".join(row)))
        _add_row(parts, "", number, table.row(places, heads=names_columns), places)
    return Metadata()


def _add_sheet(sheet: Any, parts: Parts) -> None:
    tops = {openpyxl.utils.cell.range_boundaries(table.ref)[1] for table in sheet.tables.values()}
    rows = list(_shown_rows(sheet, parts))
    numbers = [row.number for row in rows]
    # How many columns and how many of these rows each merged cell spans, by its first row and column.
    spans = {
        (area.min_row, area.min_col): (
            area.max_col - area.min_col + 1,
            bisect_right(numbers, area.max_row) - bisect_left(numbers, area.min_row),
        )
        for area in sheet.merged_cells.ranges
    }
    table, header, above = Rows(), _Row(-1, []), _Row(0, [])
    for place, row in enumerate(rows):
        following = rows[place + 1].cells if place + 1 < len(rows) else []
        places = [
            Placed(cell.column, Cell(" ".join(shown(cell).split()), *spans.get((row.number, cell.column), ())))
            for cell in row.cells
        ]
        is_header = row.number in tops or _is_header(row, above, following, header)
        if is_header:
            # A row right below a header with merged cells, or with other columns, divides its columns: "Plan Q1".
            has_levels = any((header.number, cell.column) in spans for cell in header.cells)
            is_divided = has_levels or table.heads.keys() - {place.column for place in places}
            if header.number != row.number - 1 or not is_divided:
                table = Rows()
            header = row
        _add_row(parts, sheet.title, row.number, table.row(places, heads=is_header), places)
        for cell in row.cells:
            if cell.comment is not None and cell.comment.text:
                label, author = f"{sheet.title}!{cell.coordinate}", cell.comment.author
                by = f" by {author}" if author else ""
                text = f"[Comment on {cell.coordinate}{by}: {cell.comment.text.strip()}]"
                parts.add(text, CitationUnit(UnitKind.RANGE, label, label))
        above = row


class _Row(NamedTuple):
    number: int
    cells: list[Any]


def _filled(sheet: Any) -> list[Any]:
    """Return the filled cells. openpyxl's `iter_rows` also creates a cell for each empty place."""
    return [cell for _, cell in sorted(sheet._cells.items(), key=itemgetter(0)) if cell.value is not None]


def _shown_rows(sheet: Any, parts: Parts) -> Iterator[_Row]:
    """Yield number and filled cells of the rows that the sheet shows, and count what it hides."""
    looks, hidden, narrow = _Looks(sheet, parts), set[int](), set[int]()
    for column in sheet.column_dimensions.values():
        if (column.hidden or column.width <= LEAST_WIDTH) and column.min:
            (hidden if column.hidden else narrow).update(range(column.min, min(column.max, sheet.max_column) + 1))
    hidden_rows = {at for at, row in sheet.row_dimensions.items() if row.hidden or not is_seen("", "", row.height)}
    # A merged cell shows its text in the part of its area that is not hidden.
    kept = {
        (area.min_row, area.min_col)
        for area in sheet.merged_cells.ranges
        if not hidden_rows.issuperset(range(area.min_row, area.max_row + 1))
        and not (hidden | narrow).issuperset(range(area.min_col, area.max_col + 1))
    }
    for number, cells in groupby(_filled(sheet), key=attrgetter("row")):
        shown_cells = []
        for cell in cells:
            if is_rich := isinstance(cell.value, CellRichText):
                _join_runs(cell, looks, parts)
            if isinstance(value := cell.value, bool | str):
                section = _TEXTS if isinstance(value, str) else _BOOLEANS
            else:
                section = _ZEROS if value == 0 else int(isinstance(value, int | float) and value < 0)
            # A text in a narrow column goes on over an empty place beside it.
            is_cut = cell.column in narrow and (
                section != _TEXTS or (not cell.alignment.horizontal and cell.offset(0, 1).value is not None)
            )
            is_away = number in hidden_rows or cell.column in hidden or is_cut
            if (is_away and (number, cell.column) not in kept) or not (is_rich or looks.draw(cell, section)):
                parts.hide(str(cell.value))
            else:
                shown_cells.append(cell)
        if shown_cells:
            yield _Row(number, shown_cells)


def _join_runs(cell: Any, looks: _Looks, parts: Parts) -> None:
    """Replace the runs of a cell by the text of those that it shows, and count the others."""
    runs = list[str]()
    for run in cell.value:
        font, text = getattr(run, "font", None), str(run)
        text = raised(text, runs) if font and font.vertAlign == "superscript" else text
        (runs.append if looks.draw(cell, _TEXTS, font) else parts.hide)(text)
    cell._value = "".join(runs)


class _Looks:
    """The fonts, fills and number formats of a sheet's cells, and the area where tables and rules change them."""

    def __init__(self, sheet: Any, parts: Parts) -> None:
        self._parts, self._seen = parts, dict[Any, bool | None]()
        theme = _THEME.findall(sheet.parent.loaded_theme or b"") or [b"000000", b"FFFFFF"]
        theme = [digits.decode() for digits in (*theme[1::-1], *theme[3:1:-1], *theme[4:12])]
        self._colours = {"theme": theme, "indexed": [*sheet.parent._colors[:64], "000000", WHITE, ""]}
        rules = [area for rule in sheet.conditional_formatting for area in rule.sqref]
        areas = [*rules, *(CellRange(table.ref) for table in sheet.tables.values())]
        self._area, self._has_rules = reduce(CellRange.union, areas) if areas else None, bool(rules)
        self._unseen_section = _ZEROS if sheet.sheet_view.showZeros is False else None

    def draw(self, cell: Any, section: int, font: Any = None) -> bool:
        """Return whether a cell, or a run with a font, shows a value; mark the part where that is unknown."""
        look, area = (cell.style_id, section, font), self._area
        if look not in self._seen:
            self._seen[look] = self._is_seen(cell, section, font or cell.font)
        seen = self._seen[look]
        if seen is None or (seen and not self._has_rules) or not area:
            return bool(seen)
        is_inside = area.min_row <= cell.row <= area.max_row and area.min_col <= cell.column <= area.max_col
        self._parts.unchecked |= is_inside
        return seen or is_inside

    def _is_seen(self, cell: Any, section: int, font: Any) -> bool | None:
        """Return whether a value is seen on its ground; None if it is not drawn, too small or struck out."""
        form, fill = _form_of(cell.number_format or "General", section), cell.fill
        if not form or section == self._unseen_section or font.strike or not is_seen("", "", font.sz):
            return None
        colour = self._digits(font.color) if font.color else "000000"
        if ink := _INK.search(form):
            colour = self._colours["indexed"][_INKS.get(ink[1].lower(), -1)][-6:]
        grounds = {None: WHITE, "solid": self._digits(fill.fgColor)}
        return is_seen(colour, grounds.get(fill.fill_type, ""), None)

    def _digits(self, colour: Any) -> str:
        """Return the six digits of a colour, "" for an unknown one."""
        colours = self._colours.get(colour.type, [])
        digits = colour.value if colour.type == "rgb" else "".join(colours[colour.value : colour.value + 1])
        if not digits or not colour.tint:
            return str(digits)[-6:]
        hue, light, saturation = rgb_to_hls(*(channel / 255 for channel in bytes.fromhex(digits[-6:])))
        tint = max(-1, min(1, colour.tint))
        light = light * (1 - abs(tint)) + max(0, tint)
        return bytes(round(channel * 255) for channel in hls_to_rgb(hue, light, saturation)).hex()


def _form_of(form: str, section: int) -> str:
    """Return the part of a number format that draws a value of a section, with its ink; "" if none does."""
    plain = _LITERAL.sub(lambda mark: "x" * bool(mark[1] or mark[2] or mark[3]) or mark[4] or "", form)
    drawn = [text.strip() for text in plain.split(";")]
    own = dict(enumerate(drawn)).get(min(section, _TEXTS), drawn[0] if section < _TEXTS else "@")
    if any(drawn) and (section == _BOOLEANS or _CONDITION.search(form)):
        own = "[any]@" if _INK.search(form) else "@"
    return own if section != _TEXTS or _TEXT.search(own) else ""


def _is_header(row: _Row, above: _Row, following: Sequence[Any], header: _Row) -> bool:
    """Return whether a row names columns.

    Its cells are texts or several periods, and no labels ("Name:"). The first such row is always a header. A later
    one must be bold, divide the columns of the header right above it, or be above values and not right below a row
    of several cells.
    """
    cells = row.cells
    texts = [cell.value for cell in cells if isinstance(cell.value, str)]
    periods = [cell.value for cell in cells if not isinstance(cell.value, str)]
    are_names = (
        not any(text.rstrip().endswith(":") for text in texts)
        and all(isinstance(value, dt.date) or (type(value) is int and value in _YEARS) for value in periods)
        and (not periods or len(set(periods)) == len(periods) >= MIN_CELLS)
    )
    if len(cells) < MIN_CELLS or not are_names:
        return False
    columns = {cell.column for cell in cells}
    if not header.cells or all(cell.font is not None and cell.font.b for cell in cells):
        return True
    if not any(cell.column in columns and not isinstance(cell.value, str) for cell in following):
        return False
    if header.number == row.number - 1:
        return not columns <= {cell.column for cell in above.cells}
    return above.number != row.number - 1 or len(above.cells) == 1


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
    shape = _LITERAL.sub(lambda mark: mark[1] or mark[2] or mark[3] or "", number_format.partition(";")[0])
    digits = _DIGITS.search(shape)
    if digits is None or re.search(r"[eE][+-]|[/@]", shape) or not math.isfinite(value):
        # A long number without a format is a code, such as that of an article.
        is_code = digits is None and (isinstance(value, int) or value.is_integer()) and abs(value) < _LARGEST_CODE
        return str(int(value)) if is_code else f"{value:.11g}"
    decimals, thousands = min(len(digits[2] or ""), _MOST_DECIMALS), len(digits[1]) + len(digits[3])
    scaled = (value * 100 if "%" in shape else value) / 1000**thousands
    grouped = digits[0].count(",") > thousands
    # Round as Excel does: to 15 digits, and half of the last one up.
    exact = Decimal(f"{scaled:.15g}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _EXACT)
    text = f"{exact:{',' if grouped else ''}f}"
    before, after = shape[: digits.start()].strip(), shape[digits.end() :].strip()
    return f"{'-' if text[0] == '-' else ''}{before}{text.lstrip('-')}{' ' * (after.isalpha())}{after}"
