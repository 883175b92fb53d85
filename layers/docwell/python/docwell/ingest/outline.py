"""Find the section that a place of a document is in, from the lines that typography sets off. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from docwell.models import Page

# More consecutive lines of one size than this are text in large or bold type, not a heading.
LINES_RUNNING = 3
# A path tells where a passage is: keep it short.
LEVELS, LEVEL_CHARACTERS = 3, 80
# A section longer than this belongs to the document's title, or to a heading that no other of its size follows.
SECTION_PAGES = 10
# A heading is mostly letters and has at most this many numbers; rows of tables have more.
LETTERS_SHARE, NUMBERS = 0.6, 2

_NUMBER = re.compile(r"\d[\d.,]*")
# No bullets: they begin the lines of a list.
_FIRST = frozenset("\"'(\u201c\u2018\u00ab\u00a7")
_NOT_LAST = frozenset(".,;-!…")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading: its place in the page's text, and the path of its section, which ends with it."""

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
        found: list[Section] = []
        self._open = [heading for heading in self._open if page.number - heading.page < SECTION_PAGES]
        for start, end, size, text in titles(page):
            while self._open and self._open[-1].size <= size:
                self._open.pop()
            self._open.append(_Open(size, text[:LEVEL_CHARACTERS], page.number))
            found.append(Section(start, end, self.path))
        return found


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
    found: list[tuple[int, int, float, str]] = []
    for size, group in groupby(lines, key=lambda entry: entry[0]):
        entries = list(group)
        text = " ".join(entry[2] for entry in entries)
        if size is not None and len(entries) <= LINES_RUNNING and _is_title(text):
            found.append((entries[0][1], entries[-1][1] + len(entries[-1][2]), size, text))
    return found


def _is_title(text: str) -> bool:
    begins = text[0].isalnum() or text[0] in _FIRST
    if not begins or text[0].islower() or text[-1] in _NOT_LAST or len(_NUMBER.findall(text)) > NUMBERS:
        return False
    letters = sum(character.isalpha() for character in text)
    return letters >= LETTERS_SHARE * sum(not character.isspace() for character in text)
