"""Collects the text of a document, in order, as parts of about a page, with the place of each piece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from docwell.adapters.documents.child import PageText
from docwell.adapters.documents.text_quality import tidy
from docwell.citation_units import CitationUnit, UnitKind

# The densest real page of a PDF. A chunk never crosses the end of a part, and each range of parts has the whole
# document read again.
PART_CHARACTERS = 9000
# Bounds an answer of the child: a label has at most three headings of 80 characters.
PART_BLOCKS = 200
HEADINGS, HEADING_CHARACTERS = 3, 80
# The sizes of headings by their level, 0 for a title; docwell.ingest.outline compares them.
_LARGEST = 100.0
_BLOCK, _LINE = "\n\n", "\n"
_RAISED_NUMBER = re.compile(r"[+\-\u2212\u2013]?\d")


class Metadata(NamedTuple):
    """The title, author and date of creation, where the document states them, as the child's `info` answer."""

    title: str | None = None
    author: str | None = None
    created: str | None = None

    @classmethod
    def of(cls, title: str | None, author: str | None, created: date | None) -> Metadata:
        """Return them with the date in the notation of a PDF."""
        return cls(title or None, author or None, f"D:{created:%Y%m%d}" if created else None)


class Parts:
    """The parts so far: those `done`, and the `hidden` characters of the one that is open.

    Adding tidies the text: the parent tidies it again, which must not move the units.
    """

    def __init__(self) -> None:
        self.done: list[PageText] = []
        self.hidden = 0
        # How many files are around the one that is being read.
        self.depth = 0
        self._text = ""
        self._headings: list[tuple[str, float]] = []
        self._units: list[tuple[int, str, str, str]] = []
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
            self.done.append(part)
            self.hidden = 0
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
        """Mark the line that was added last as a heading."""
        self._headings.append((tidy(line), _LARGEST - level))

    def paragraph(self, text: str, *, line: bool = False) -> None:
        """Add a paragraph of the open section; with `line` right below the last one, as a comment on it."""
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
        for piece in _pieces(tidy(text)):
            if len(self._text) + len(piece) > PART_CHARACTERS or len(self._units) == PART_BLOCKS:
                self.start_part()
            if self._text:
                self._text += _LINE if line else _BLOCK
            if not self._units or self._units[-1][1:] != (unit.kind, unit.label, unit.anchor):
                self._units.append((len(self._text), unit.kind, unit.label, unit.anchor))
            self._text += piece

    @contextmanager
    def inside(self, label: str, anchor: str) -> Iterator[None]:
        """Make all that is added meanwhile a part of the document, such as an attachment."""
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


def raised(text: str, before: Sequence[str]) -> str:
    """Return raised text as it stands behind others: a number behind a digit with `^`, else 10 to the 6 is 106."""
    last = next((one for one in reversed(before) if one), "")
    return f"^{text}" if last[-1:].isdecimal() and _RAISED_NUMBER.match(text) else text


def _pieces(text: str) -> Iterator[str]:
    """Yield the text, cut where white space allows into pieces that fit a part."""
    start = 0
    while start < len(text):
        end = start + PART_CHARACTERS
        if end < len(text):
            cut = max(text.rfind("\n", start, end), text.rfind(" ", start, end))
            end = cut if cut > start else end
        if piece := text[start:end].strip():
            yield piece
        start = end
