"""Collect the text of a document as parts of about a page, with rows of tables and numbers of lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, NamedTuple

from annotated_types import Ge, Interval

from docwell.adapters.documents.quality import tidy
from docwell.models import CitationUnit, Reason, UnitKind

# The densest real page of a PDF. A chunk never crosses the end of a part, and each range of parts reads the whole
# document again.
PART_CHARACTERS = 9000
# Bounds an answer of the child: a label has at most three headings of 80 characters.
PART_BLOCKS = 200
HEADINGS, HEADING_CHARACTERS = 3, 80
# The sizes of headings by their level, 0 for a title; docwell.ingest.outline compares them.
_LARGEST = 100.0
_RAISED_NUMBER = re.compile(r"[+\-\u2212\u2013]?\d")
# The columns that a cell spans; HTML allows 1,000.
MAX_SPAN = 100
# A longer name of a column is cut, and a longer text is not repeated in each row that its cell spans.
MAX_HEAD = 80
LONGEST_NUMBER = 9  # in digits
# A head names a column beside another one.
MIN_CELLS = 2
# Stands for an empty cell of a table without heads, so that a reader can count its columns.
EMPTY = "\u2013"
_FIGURE = re.compile(r"[^\w]*\d[\d\W]*")
# A year, a date that ends with one, or two of them: "2021\u20132023", "31.12.2024".
_DAY = r"(?:\d{1,2}[./-]){0,2}"
_PERIOD = re.compile(rf"{_DAY}(?:19|20)\d\d(?:\s?[-\u2013\u2014/]\s?{_DAY}(?:19|20)?\d\d)?")
# The least difference (0 to 255) in a colour channel that the eye sees. Text in #ccc on white differs by 51.
CONTRAST = 20
# Type up to this size (points) is not legible on a page that is read at its size. Word's smallest is 1.
LEAST_TYPE = 2.0
WHITE = "FFFFFF"
_COLOUR = re.compile("[0-9A-Fa-f]{6}")
DECIMAL = "decimal"
_ROMAN_VALUES = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
_ROMAN_LETTERS = ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i")
# Word has letters up to 780, which is z 30 times.
LETTERS, MOST_LETTERS, MOST_ROMAN = 26, 780, 3999
_LEVEL_NUMBER = re.compile(r"%([1-9])")


class PageText(NamedTuple):
    """A page or part as a reader in the child gives it: the fields of a `page` answer (`child.py`).

    The text leaves out running heads and feet: lines that one of the last two pages has at the same place.
    `headings` are lines of the text that their type sets off, with its size in points. `confidence` (0 to 1) is
    that of recognised text. `hidden` counts the characters that the page does not show and the text leaves out.
    The citation `units` of a document that is no PDF have their start in the text, kind, label and anchor.
    `picture`: images have most of the page and its text is short. `unreadable`: most of the text is garbled.
    `unchecked`: it is not known whether the page shows all of its text. `blank`: nothing is drawn on it.
    """

    text: str
    label: str | None = None
    headings: Sequence[tuple[str, float]] = ()
    confidence: Annotated[float, Interval(ge=0, le=1)] | None = None
    hidden: Annotated[int, Ge(0)] = 0
    units: Sequence[tuple[int, UnitKind, str, str]] = ()
    picture: bool = False
    unreadable: bool = False
    unchecked: bool = False
    blank: bool = False


class Attachment(NamedTuple):
    """A file inside a document. `data` is the reason where it cannot be decoded; `anchor` cites it."""

    name: str
    data: bytes | Reason
    anchor: str


class Metadata(NamedTuple):
    """The title, author and date of creation, where the document states them, and the files in it."""

    title: str | None = None
    author: str | None = None
    created: str | None = None
    attachments: Iterable[Attachment] = ()

    @classmethod
    def of(cls, title: str | None, author: str | None, created: date | None) -> Metadata:
        """Return them with the date in the notation of a PDF."""
        return cls(title or None, author or None, f"D:{created:%Y%m%d}" if created else None)


class Parts:
    """The parts so far: those `done`, and of the open part its `hidden` characters and whether it is `unchecked`.

    Adding tidies the text: the parent tidies it again, which must not move the units.
    """

    def __init__(self) -> None:
        self.done: list[PageText] = []
        self.hidden, self.unchecked = 0, False
        # The digits of the ground of a slide's text, "" where it is not known.
        self.ground = ""
        # How many files are around the current one.
        self.depth = 0
        self._text = ""
        self._headings: list[tuple[str, float]] = []
        self._units: list[tuple[int, UnitKind, str, str]] = []
        self._path: list[tuple[int, str]] = []
        self._paragraphs = 0
        self._outer: tuple[str, str] | None = None

    def end(self) -> list[PageText]:
        """Return all parts; a document without text has one empty part."""
        self.start_part()
        if not self.done:
            self.done.append(PageText("", units=[(0, UnitKind.PARAGRAPH, "", "")], hidden=self.hidden))
        elif self.hidden:
            self.done[-1] = self.done[-1]._replace(hidden=self.done[-1].hidden + self.hidden)
        return self.done

    def start_part(self) -> None:
        """End the part: the next text begins another."""
        if self._text:
            part = PageText(self._text, headings=self._headings, units=self._units, hidden=self.hidden)
            self.done.append(part._replace(unchecked=self.unchecked))
            self.hidden, self.unchecked = 0, False
        self._text, self._headings, self._units = "", [], []

    def hide(self, text: str) -> None:
        """Count text that the document does not show."""
        self.hidden += sum(not character.isspace() for character in text)

    def heading(self, text: str, level: int) -> None:
        """Add a heading, of level 0 (a title) to 9, which opens a section."""
        if not (line := " ".join(tidy(text).split())):
            return
        self._path = [(above, name) for above, name in self._path if above < level]
        self._path.append((level, line[:HEADING_CHARACTERS]))
        if len(self._text) > PART_CHARACTERS // 2:
            self.start_part()
        self.paragraph(line)
        self.mark_heading(line, level)

    def mark_heading(self, line: str, level: int) -> None:
        """Mark the last line as a heading."""
        self._headings.append((tidy(line), _LARGEST - level))

    def paragraph(self, text: str, *, line: bool = False) -> None:
        """Add a paragraph of the open section; with `line` right below the last paragraph, such as a comment."""
        if tidied := tidy(text):
            self._paragraphs += 1
            path = [name for _, name in self._path][-HEADINGS:]
            label = " > ".join([*path, f"paragraph {self._paragraphs}"])
            unit = CitationUnit(UnitKind.PARAGRAPH, label, f"paragraph={self._paragraphs}")
            self.add(tidied, unit, line=line)

    def add(self, text: str, unit: CitationUnit, *, line: bool = False) -> None:
        """Add text of a unit; with `line` right below the last text, which then shares a sentence with it."""
        if self._outer is not None:
            label = ", ".join(filter(None, (self._outer[0], unit.label)))
            unit = CitationUnit(UnitKind.PART, label, self._outer[1])
        for block in _blocks(tidy(text)):
            if len(self._text) + len(block) > PART_CHARACTERS or len(self._units) == PART_BLOCKS:
                self.start_part()
            if self._text:
                self._text += "\n" if line else "\n\n"
            if not self._units or self._units[-1][1:] != (unit.kind, unit.label, unit.anchor):
                self._units.append((len(self._text), unit.kind, unit.label, unit.anchor))
            self._text += block

    @contextmanager
    def inside(self, label: str, anchor: str) -> Iterator[None]:
        """Make the text that is added meanwhile a part of the document, such as an attachment."""
        outer, path, paragraphs = self._outer, self._path, self._paragraphs
        if outer is not None:
            label, anchor = f"{outer[0]}, {label}", f"{outer[1]}.{anchor.partition('=')[2]}"
        self.start_part()
        self._outer, self._path, self._paragraphs = (label, anchor), [], 0
        try:
            yield
        finally:
            self.start_part()
            self._outer, self._path, self._paragraphs = outer, path, paragraphs


def is_seen(colour: str, ground: str, size: float | None) -> bool:
    """Return whether type of this size (points) shows on a ground; True for a colour that is not six digits."""
    if (size is not None and size <= LEAST_TYPE) or not (_COLOUR.fullmatch(colour) and _COLOUR.fullmatch(ground)):
        return size is None or size > LEAST_TYPE
    channels = zip(bytes.fromhex(colour), bytes.fromhex(ground), strict=True)
    return max(abs(text - paper) for text, paper in channels) >= CONTRAST


def whole(value: str | None, default: int) -> int:
    """Return a whole number as a document writes it, or the default."""
    return int(value) if value and value.isdecimal() and len(value) <= LONGEST_NUMBER else default


def raised(text: str, before: Sequence[str]) -> str:
    """Return raised text with `^` where a number follows a digit: else 10 to the 6 would read as 106."""
    last = next((run for run in reversed(before) if run), "")
    return f"^{text}" if last[-1:].isdecimal() and _RAISED_NUMBER.match(text) else text


def _blocks(text: str) -> Iterator[str]:
    """Yield the text, cut at white space into blocks that fit a part."""
    start = 0
    while start < len(text):
        end = start + PART_CHARACTERS
        if end < len(text):
            cut = max(text.rfind("\n", start, end), text.rfind(" ", start, end))
            end = cut if cut > start else end
        if block := text[start:end].strip():
            yield block
        start = end


class Cell(NamedTuple):
    """A cell, with the number of columns and rows that it spans."""

    text: str
    across: int = 1
    down: int = 1


class Placed(NamedTuple):
    """A cell and its first column; it is not new where it reaches into the row from above."""

    column: int
    cell: Cell
    is_new: bool = True


class Rows:
    """The rows of one table, from the top."""

    def __init__(self) -> None:
        self.heads: dict[int, str] = {}
        self._are_heads = False
        # The cells that reach into the next rows, by their first column.
        self._spanning: dict[int, Cell] = {}

    def line(self, cells: Sequence[Cell], *, heads: bool = False) -> str:
        """Return the next row, as `row`, from cells that follow one another beside those that reach into it."""
        full = {at for column, cell in self._spanning.items() for at in range(column, column + cell.across)}
        placed, column = list[Placed](), 0
        for cell in cells:
            while column in full:
                column += 1
            across = max(1, min(cell.across, MAX_SPAN))
            placed.append(Placed(column, cell._replace(across=across)))
            column += across
        return self.row(placed, heads=heads)

    def row(self, placed: Sequence[Placed], *, heads: bool) -> str:
        """Return the next row. With `heads` it names the columns, below the heads right above it."""
        placed = self._with_spanning(placed)
        filled = [place for place in placed if place.cell.text]
        if heads:
            filled = [place for place in filled if place.is_new]
            self._name(filled)
        self._are_heads = heads
        # A single cell over several columns is the title of the rows below.
        is_title = len(filled) < MIN_CELLS and all(place.cell.across > 1 for place in filled)
        if heads or is_title:
            return " | ".join(place.cell.text for place in filled)
        heads_of = [self._head(place) for place in filled] if self.heads else []
        # Each row repeats the heads of its columns: heads of more than a page would multiply the text.
        if heads_of and sum(map(len, heads_of)) <= PART_CHARACTERS:
            return " | ".join(head + place.cell.text for head, place in zip(heads_of, filled, strict=True))
        texts = [place.cell.text for place in placed[placed.index(filled[0]) : placed.index(filled[-1]) + 1]]
        return " | ".join(text or EMPTY for text in texts)

    def _name(self, filled: Iterable[Placed]) -> None:
        above = self.heads if self._are_heads else {}
        self.heads = dict(above)
        for column, cell, _ in filled:
            for at in range(column, column + cell.across):
                self.heads[at] = f"{above.get(at, '')} {cell.text}".strip()

    def _head(self, place: Placed) -> str:
        """Return the heads of a cell's columns, with a colon."""
        columns = range(place.column, place.column + place.cell.across)
        head = ", ".join(filter(None, dict.fromkeys(self.heads.get(at, "") for at in columns)))
        return f"{name}: " if (name := head[:MAX_HEAD].rstrip(" :")) else ""

    def _with_spanning(self, cells: Sequence[Placed]) -> list[Placed]:
        """Return the cells of a row, also those of earlier rows that reach into it."""
        columns = {place.column for place in cells}
        above = (Placed(at, cell, is_new=False) for at, cell in self._spanning.items() if at not in columns)
        placed = sorted([*above, *cells])
        self._spanning = {
            column: cell._replace(text=cell.text if len(cell.text) <= MAX_HEAD else "", down=cell.down - 1)
            for column, cell, _ in placed
            if cell.down > 1
        }
        return placed


def is_head(cells: Sequence[tuple[str, bool]]) -> bool:
    """Return whether a row names columns: the (text, is set off) of each cell is set off, and none is a figure."""
    filled = [(text, set_off) for text, set_off in cells if text]
    return (
        len(cells) >= MIN_CELLS
        and bool(filled)
        and all(set_off and (_PERIOD.fullmatch(text) or not _FIGURE.fullmatch(text)) for text, set_off in filled)
    )


class Level(NamedTuple):
    """A level of a list: its first number, its form, and its text with a `%1` for the number of level 1."""

    start: int = 1
    form: str = DECIMAL
    text: str = ""
    is_legal: bool = False  # all its numbers are decimal


class Numbering:
    """The numbers that a program gives to the items of one list or to headings.

    The text of a document refers to them ("see 4.2"). A Word document or a web page has only the rules for them.
    """

    def __init__(self, levels: Mapping[int, Level]) -> None:
        self._levels = levels
        self._counts: dict[int, int] = {}

    def next(self, depth: int, restart: int | None = None) -> str:
        """Return the mark of the next item of a level, which begins again at `restart`; "" for a bullet."""
        level = self._levels.get(depth, Level())
        count = self._counts.get(depth, level.start - 1) + 1 if restart is None else restart
        self._counts = {at: number for at, number in self._counts.items() if at < depth} | {depth: count}
        if level.form in {"bullet", "none"}:
            return ""
        return _LEVEL_NUMBER.sub(lambda mark: self._shown(int(mark[1]) - 1, level), level.text).strip()

    def _shown(self, depth: int, item: Level) -> str:
        level = self._levels.get(depth, Level())
        return shown(self._counts.get(depth, level.start), DECIMAL if item.is_legal else level.form)


def shown(number: int, form: str) -> str:
    """Return a number in a form of Word; in digits where the form is unknown or has no such number."""
    text = str(number)
    if form.endswith("Letter") and 0 < number <= MOST_LETTERS:
        # After z comes aa, then bb.
        text = chr(ord("a") + (number - 1) % LETTERS) * (1 + (number - 1) // LETTERS)
    elif form.endswith("Roman") and 0 < number <= MOST_ROMAN:
        text = ""
        for value, letters in zip(_ROMAN_VALUES, _ROMAN_LETTERS, strict=True):
            text += letters * (number // value)
            number %= value
    elif form == "decimalZero":
        text = text.zfill(2)
    return text.upper() if form.startswith("upper") else text
