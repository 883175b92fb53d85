"""Text, Markdown and tables of values in text files."""

from __future__ import annotations

import csv
import io
import re

from markdown_it import MarkdownIt

from docwell.adapters.documents.formats import sheets, web
from docwell.adapters.documents.formats.kinds import delimiter
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.citation_units import CitationUnit, UnitKind

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
# A field of a table: more than a page of text.
_FIELD_CHARACTERS = 1_000_000


def read_text(text: str, parts: Parts) -> Metadata:
    """Add a text, a unit for each of its lines. Editors do not count a form feed as the end of a line."""
    above = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            parts.add(line, CitationUnit(UnitKind.LINE, f"line {number}", f"line={number}"), line=above)
        above = bool(line.strip())
    return Metadata()


def read_markdown(text: str, parts: Parts) -> Metadata:
    """Add a Markdown text as it is shown, without its front matter, of which the title counts."""
    front = _FRONT_MATTER.match(text)
    found = _TITLE.search(front[1]) if front else None
    shown = (
        MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text[front.end() :] if front else text)
    )
    metadata = web.read(shown, parts)
    return metadata._replace(title=found[1]) if found else metadata


def read_table(text: str, parts: Parts) -> Metadata:
    """Add a table of values; its first row of several fields is the header, unless none of them has a letter."""
    csv.field_size_limit(_FIELD_CHARACTERS)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter(text) or ",")
    header: list[str] | None = None
    for number, row in enumerate(rows, 1):
        sheets.add_row(parts, "", number, list(enumerate(row, 1)), dict(enumerate(header or [], 1)))
        if header is None and len(list(filter(str.strip, row))) >= sheets.HEADER_CELLS:
            header = row if any(map(str.isalpha, "".join(row))) else []
    return Metadata()
