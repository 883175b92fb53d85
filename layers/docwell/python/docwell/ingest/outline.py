"""Find headings by their typography: the section of each chunk, and the pieces of the overview. Pure.

The overview has the opening of the document, the largest headings, and from each part of the range the statement
nearest to the range's centroid. A piece is a mark on a chunk, so it lives and dies with the chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from docwell.models import Chunk, Mark, Page, Part
from docwell.text.lexicon import is_sheet_row, segments
from docwell.text.prose import is_bibliography

# A longer run of lines of one size is text in large or bold type, not a heading.
LINES_RUNNING = 3
# Keep the path short: it only tells where a passage is.
LEVELS, LEVEL_CHARACTERS = 3, 80
# A longer section belongs to the document's title, or to a heading that no other of its size follows.
SECTION_PAGES = 10
# A heading is mostly letters and has at most this many numbers; rows of tables have more.
LETTERS_SHARE, NUMBERS = 0.6, 2

_NUMBER = re.compile(r"\d[\d.,]*")
# Characters that may begin a heading. Bullets are missing: they begin the lines of a list.
_FIRST = frozenset("\"'(\u201c\u2018\u00ab\u00a7")
_NOT_LAST = frozenset(".,;-!…")


# A chunk, and the (start, end) of its units in characters of its text; empty where the chunk is one unit.
CutChunk = tuple[Chunk, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading: its place in the page's text, and the path of its section, of which it is the last level."""

    start: int
    end: int
    path: tuple[str, ...]


class _Open(NamedTuple):
    """A heading whose section is still open, and its page."""

    size: float
    text: str
    page: int


class Outline:
    """Reads one page after another, and keeps the path of the open section."""

    def __init__(self) -> None:
        self._open: list[_Open] = []

    @property
    def path(self) -> tuple[str, ...]:
        """The open headings, the highest first."""
        return tuple(heading.text for heading in self._open)

    def read(self, page: Page) -> list[Section]:
        """Return the sections that begin on a page, in the order of its text."""
        sections: list[Section] = []
        self._open = [heading for heading in self._open if page.number - heading.page < SECTION_PAGES]
        for start, end, size, text in titles(page):
            while self._open and self._open[-1].size <= size:
                self._open.pop()
            self._open.append(_Open(size, text[:LEVEL_CHARACTERS], page.number))
            sections.append(Section(start, end, self.path))
        return sections


def shown(path: Sequence[str], opening: Sequence[str] = ()) -> str:
    """Return the last levels of a section's path in one line, then the opening lines of its page."""
    levels = path[-LEVELS:]
    added = " ".join(line for line in opening if not any(line in level for level in levels))
    return " > ".join([*levels, added] if added else levels)


def titles(page: Page) -> list[tuple[int, int, float, str]]:
    """Return start, end, size and text of the headings; consecutive lines of one size are one heading."""
    sizes = {heading.text: heading.size for heading in page.headings}
    lines: list[tuple[float | None, int, str]] = []
    position = 0
    for line in page.text.split("\n") if sizes else ():
        text = line.strip()
        lines.append((sizes.get(text) if text else None, position, text))
        position += len(line) + 1
    headings: list[tuple[int, int, float, str]] = []
    for size, group in groupby(lines, key=lambda entry: entry[0]):
        entries = list(group)
        text = " ".join(entry[2] for entry in entries)
        if size is not None and len(entries) <= LINES_RUNNING and _is_title(text):
            headings.append((entries[0][1], entries[-1][1] + len(entries[-1][2]), size, text))
    return headings


def _is_title(text: str) -> bool:
    begins = text[0].isalnum() or text[0] in _FIRST
    if not begins or text[0].islower() or text[-1] in _NOT_LAST or len(_NUMBER.findall(text)) > NUMBERS:
        return False
    letters = sum(character.isalpha() for character in text)
    return letters >= LETTERS_SHARE * sum(not character.isspace() for character in text)


# Title, authors and abstract of a paper have about 300 tokens; reports have a title page before them. The opening
# ends with the chunk that reaches this number.
OPENING_TOKENS = 400
# So a range of up to 50 pages has about 30 marked chunks, which are 100 KB to read.
STATEMENTS = 12
# More than two cosines can differ: it ranks a row after all sentences.
_ROW_PENALTY = 2.0
HEADINGS = 12


class _Piece(NamedTuple):
    """A piece of the chunk with an ordinal: `start` to `end` in its text. `is_row`: a row of a table."""

    ordinal: int
    start: int
    end: int
    is_row: bool = False


class _Heading(NamedTuple):
    size: float
    text: str
    place: _Piece


@dataclass(slots=True)
class Sketch:
    """Reads the pages and the chunks of one range in order. `opens`: the document begins with this range."""

    opens: bool
    _paged: int = 0
    _opening: int = 0  # in chunks
    _opening_tokens: int = 0
    _chunks: list[Chunk] = field(default_factory=list)
    _headings: dict[str, _Heading] = field(default_factory=dict)
    _units: list[_Piece] = field(default_factory=list)
    _vectors: list[NDArray[np.float32]] = field(default_factory=list)

    def add_page(self, page: Page, chunks: Sequence[Chunk]) -> None:
        """Add the headings of a page. A repeated heading, such as a running title, counts once."""
        for start, end, size, text in titles(page):
            for ordinal, chunk in enumerate(chunks, self._paged):
                # Skip single letters: they are labels of a drawing, not headings.
                if chunk.start <= start and end <= chunk.end and end - start > 1:
                    piece = _Piece(ordinal, start - chunk.start, end - chunk.start)
                    self._headings.setdefault(text, _Heading(size, text, piece))
        self._paged += len(chunks)

    def add_chunks(self, batch: Sequence[CutChunk], vectors: NDArray[np.float32]) -> None:
        """Add the next chunks with the unit vectors, (n, dimension), of the chunks and then of their units."""
        first = len(batch)
        for row, (chunk, spans) in enumerate(batch):
            rows = range(first, first := first + len(spans)) if spans else [row]
            ordinal = len(self._chunks)
            self._chunks.append(chunk)
            if self.opens and self._opening_tokens < OPENING_TOKENS:
                self._opening, self._opening_tokens = ordinal + 1, self._opening_tokens + chunk.tokens
                continue
            for place, (start, end) in zip(rows, spans or [(0, len(chunk.text))], strict=True):
                text = chunk.text[start:end]
                shown = [character for character in text if not character.isspace()]
                # Rows of tables and of contents have more figures and dots than letters.
                is_prose = sum(map(str.isalpha, shown)) >= LETTERS_SHARE * len(shown)
                if is_prose and not is_bibliography(text):
                    self._units.append(_Piece(ordinal, start, end, is_sheet_row(text.lstrip())))
                    self._vectors.append(vectors[place])

    def marks(self) -> dict[int, list[Mark]]:
        """Return the marks of chunks by ordinal."""
        marks: dict[int, list[Mark]] = {}
        for ordinal, chunk in enumerate(self._chunks[: self._opening]):
            marks.setdefault(ordinal, []).append(Mark(Part.OPENING, 0, len(chunk.text)))
        candidates = (heading for heading in self._headings.values() if heading.place.ordinal not in marks)
        for heading in nlargest(HEADINGS, candidates, key=lambda candidate: candidate.size):
            mark = Mark(Part.HEADING, heading.place.start, heading.place.end, heading.size)
            marks.setdefault(heading.place.ordinal, []).append(mark)
        for unit in self._central():
            spans = [
                row
                for row in segments(self._chunks[unit.ordinal].text)
                if unit.start < row[1] and row[0] < unit.end
            ]
            start, end = min([unit.start, *(row[0] for row in spans)]), max([unit.end, *(row[1] for row in spans)])
            marks.setdefault(unit.ordinal, []).append(Mark(Part.STATEMENT, start, end))
        return marks

    def _central(self) -> list[_Piece]:
        """Return the unit nearest to the range's centroid from each of up to `STATEMENTS` equal parts.

        A part gives a row of a table only if it has no other text.
        """
        if not self._units:
            return []
        vectors = np.stack(self._vectors)
        near = vectors @ vectors.mean(axis=0) - _ROW_PENALTY * np.array([unit.is_row for unit in self._units])
        parts = np.array_split(np.arange(len(near)), min(STATEMENTS, len(near)))
        return [self._units[part[int(np.argmax(near[part]))]] for part in parts]
