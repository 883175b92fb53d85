"""Word documents: paragraphs and tables in order, with notes and comments, without deleted and hidden text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.part import PartFactory
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.package import Package
from docx.parts.document import DocumentPart

from docwell.adapters.documents.formats import word_signs as signs
from docwell.adapters.documents.formats.parts import Metadata, Parts, raised
from docwell.adapters.documents.formats.tables import MAX_HEAD, MAX_SPAN, Cell, Rows, are_heads
from docwell.adapters.documents.formats.word_numbers import MAX_BASE_STYLES, OFF, Numbers

_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_MACRO = "application/vnd.ms-word."
# Macros and templates: the same document under another type. Nothing in it is ever run.
for _type in (
    f"{_MACRO}document.macroEnabled.main+xml",
    f"{_MACRO}template.macroEnabledTemplate.main+xml",
    f"{_MAIN}template.main+xml",
):
    PartFactory.part_type_for[_type] = DocumentPart
_LEVEL = re.compile(r"heading (\d)", re.IGNORECASE)
# Text that was deleted or moved away, the second form of what has two, and what is no text of the page.
_LEFT_OUT = frozenset(
    {qn("w:del"), qn("w:moveFrom"), qn("w:instrText"), qn("w:delText"), qn("w:rPr"), qn("w:pPr")}
    | {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}
)
_LETTERS = frozenset({qn("w:t"), qn("m:t")})
_SIGNS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_BOX = qn("w:txbxContent")
_NOTES = {qn("w:footnoteReference"): "Footnote", qn("w:endnoteReference"): "Endnote"}
_COMMENT = qn("w:commentReference")
_ASIDES = frozenset({_COMMENT, _BOX, *_NOTES})
# The marks that separate notes from the text are notes themselves, of a type.
_FOOT = (("Footnote", RELATIONSHIP_TYPE.FOOTNOTES), ("Endnote", RELATIONSHIP_TYPE.ENDNOTES))
# The tenth, 9, is that of body text.
_OUTLINE_LEVELS = frozenset("012345678")
# The types of paragraph and character styles.
_OF_TEXT = frozenset({1, 2})
# The bit of a table's look that sets the first row off (ECMA-376, 17.4.55).
FIRST_ROW = 0x20
_BITS = re.compile(r"[0-9A-Fa-f]{1,4}")


def read(data: bytes, parts: Parts) -> Metadata:
    """Add the text of a document."""
    package = Package.open(io.BytesIO(data))
    document: Document = package.main_document_part.document
    reader = _Reader(document, parts)
    reader.running_heads()
    reader.blocks(document.element.body)
    # The library makes up the properties of a document without them.
    if all(relation.reltype != RELATIONSHIP_TYPE.CORE_PROPERTIES for relation in package.rels.values()):
        return Metadata()
    made = document.core_properties
    return Metadata.of(made.title, made.author, made.created)


class _Reader:
    def __init__(self, document: Document, parts: Parts) -> None:
        self._parts = parts
        self._document = document
        # For a missing part the library reads a template file, which the sandbox forbids.
        parts_there = {relation.reltype for relation in document.part.rels.values()}
        styles: Iterable[Any] = document.styles if RELATIONSHIP_TYPE.STYLES in parts_there else []
        comments: Iterable[Any] = document.comments if RELATIONSHIP_TYPE.COMMENTS in parts_there else []
        self._levels = {style.style_id: _level(style) for style in styles if style.type == 1}
        self._comments = {str(comment.comment_id): (comment.author, comment.text) for comment in comments}
        self._heading_styles = {style.style_id for style in styles if _sets_off_first_row(style.element)}
        self._hiding = {style.style_id for style in styles if style.type in _OF_TEXT and _hides(style)}
        lists = [
            one.target_part.blob
            for one in document.part.rels.values()
            if one.reltype == RELATIONSHIP_TYPE.NUMBERING
        ]
        self._numbers = Numbers(lists[0] if lists else None, styles)
        # What stands beside the paragraph that is being read.
        self._beside: list[str] = []
        self._notes: dict[tuple[str, str], str] = {}
        self._notes = dict(self._read_notes())

    def running_heads(self) -> None:
        """Add the text of page heads and feet, each once."""
        seen = set()
        for section in self._document.sections:
            first = section.first_page_header, section.first_page_footer
            for place in (section.header, section.footer, *first):
                # Looking at an inherited one would read the section before again.
                is_shown = place not in first or section.different_first_page_header_footer
                if not is_shown or place.is_linked_to_previous:
                    continue
                text = self._joined(place._element)
                for shown in (text, *self._taken_beside()):
                    if shown.strip() and shown not in seen:
                        seen.add(shown)
                        self._parts.paragraph(shown)

    def blocks(self, root: Any) -> None:
        """Add the paragraphs and tables below an element, in order."""
        for element in _blocks(root):
            if element.tag == qn("w:tbl"):
                self._table(element)
            else:
                self._paragraph(element)

    def _paragraph(self, element: Any) -> None:
        text = self._numbered(element)
        level = self._heading_level(element)
        if level is None or not text.strip():
            self._parts.paragraph(text)
        else:
            self._parts.heading(text, level)
        self._add_beside()

    def _numbered(self, paragraph: Any) -> str:
        text, number = self._text(paragraph), self._numbers.of(paragraph, _style(paragraph, "w:pPr", "w:pStyle"))
        return f"{number} {text}" if number and text.strip() else text

    def _table(self, table: Any) -> None:
        rows, has_heads = Rows(), self._has_heads(table)
        # The texts of the cells that may reach down into others, by column.
        above: dict[int, str] = {}
        for number, row in enumerate(_within(table, "w:tr")):
            if row.find(f"{qn('w:trPr')}/{qn('w:del')}") is not None:
                self._parts.hide(self._joined(row))
                continue
            cells = list(_within(row, "w:tc"))
            if len(cells) == 1:
                self.blocks(cells[0])
                continue
            texts = [self._cell(cell) for cell in cells]
            heads = are_heads(list(zip(texts, map(_is_bold, cells), strict=True)))
            heads = heads or _repeats(row) or (has_heads and number == 0)
            placed = [Cell("")] * _skipped(row)
            column = len(placed)
            for cell, own in zip(cells, texts, strict=True):
                text = own
                if not _is_below(cell):
                    above[column] = text if len(text) <= MAX_HEAD else ""
                elif not heads:
                    text = text or above.get(column, "")
                placed.append(Cell(text, _span(cell)))
                column += placed[-1].across
            self._parts.paragraph(rows.line(placed, heads=heads))
            self._add_beside()
            for cell in cells:
                for inner in filter(_is_table, _blocks(cell)):
                    self._table(inner)

    def _cell(self, cell: Any) -> str:
        """Return the text of a cell without those of the tables in it."""
        paragraphs = (self._numbered(block) for block in _blocks(cell) if not _is_table(block))
        return " ".join(" ".join(paragraphs).split())

    def _has_heads(self, table: Any) -> bool:
        """Return whether the table's style sets its first row off, and is asked to."""
        look = table.find(f"{qn('w:tblPr')}/{qn('w:tblLook')}")
        if look is None or _style(table, "w:tblPr", "w:tblStyle") not in self._heading_styles:
            return False
        first, bits = look.get(qn("w:firstRow")), look.get(qn("w:val"), "")
        return first not in OFF if first else bool(_BITS.fullmatch(bits) and int(bits, 16) & FIRST_ROW)

    def _joined(self, element: Any) -> str:
        """Return the text of all paragraphs below an element."""
        return "\n".join(
            self._text(paragraph) for paragraph in element.iter(qn("w:p")) if not _is_boxed(paragraph)
        )

    def _taken_beside(self) -> list[str]:
        texts, self._beside = self._beside, []
        return texts

    def _add_beside(self) -> None:
        for text in self._taken_beside():
            self._parts.paragraph(text, line=True)

    def _text(self, paragraph: Any) -> str:
        """Return the shown text of a paragraph; notes, comments and text boxes then stand beside it."""
        found: list[str] = []
        of_style = _style(paragraph, "w:pPr", "w:pStyle") in self._hiding
        stack = list(reversed(paragraph))
        while stack:
            element = stack.pop()
            tag = element.tag
            if tag in _LETTERS:
                text = element.text or ""
                found.append(raised(text, found) if _is_raised(element.getparent()) else text)
            elif tag in _SIGNS:
                found.append(_SIGNS[tag])
            elif tag in signs.TAGS:
                found.append(signs.drawn(element))
            elif tag in _ASIDES:
                found.append(self._aside(element))
            elif tag == qn("w:del") or (tag == qn("w:r") and self._is_hidden(element, of_style=of_style)):
                self._parts.hide("".join(element.itertext(qn("w:t"), qn("w:delText"))))
            elif tag not in _LEFT_OUT:
                stack += reversed(element)
        return "".join(found)

    def _aside(self, element: Any) -> str:
        """Keep the text of a note, comment or text box for below the paragraph. Return its mark in the text."""
        number = element.get(qn("w:id"))
        if element.tag == _BOX:
            self._beside.append("\n".join(self._text(paragraph) for paragraph in element.iterchildren(qn("w:p"))))
            return ""
        if element.tag == _COMMENT:
            author, text = self._comments.get(number, ("", ""))
            if text.strip():
                self._beside.append(f"[Comment{f' by {author}' if author else ''}: {text.strip()}]")
            return ""
        name = _NOTES[element.tag]
        if note := self._notes.get((name, number)):
            self._beside.append(f"[{name} {number}: {note}]")
        return f"[{number}]"

    def _heading_level(self, paragraph: Any) -> int | None:
        outline = paragraph.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        if outline is not None and (value := outline.get(qn("w:val"), "")) in _OUTLINE_LEVELS:
            return int(value) + 1
        return self._levels.get(_style(paragraph, "w:pPr", "w:pStyle") or "")

    def _is_hidden(self, run: Any, *, of_style: bool) -> bool:
        if any(_is_on(run.find(f"{qn('w:rPr')}/{qn(name)}")) for name in ("w:strike", "w:dstrike")):
            return True
        mark = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
        if mark is not None:
            return mark.get(qn("w:val")) not in OFF
        return of_style or _style(run, "w:rPr", "w:rStyle") in self._hiding

    def _read_notes(self) -> Iterator[tuple[tuple[str, str], str]]:
        for name, kind in _FOOT:
            for relation in self._document.part.rels.values():
                if relation.reltype != kind or relation.is_external:
                    continue
                for note in parse_xml(relation.target_part.blob):
                    if note.get(qn("w:type")) in {None, "normal"}:
                        text = " ".join(self._joined(note).split())
                        yield (name, note.get(qn("w:id"))), text


def _level(style: Any) -> int | None:
    """Return the level of a heading style, also of one that is based on it; 0 for a title."""
    seen = 0
    while style is not None and seen < MAX_BASE_STYLES:
        name = style.name or ""
        if name.lower() == "title":
            return 0
        if found := _LEVEL.fullmatch(name):
            return int(found[1])
        style, seen = style.base_style, seen + 1
    return None


def _within(root: Any, *names: str) -> Iterator[Any]:
    """Yield the elements of these names below another one, in order, but none in another of them.

    Those in content controls and insertions count.
    """
    tags = {qn(name) for name in names}
    stack = list(reversed(root))
    while stack:
        element = stack.pop()
        if element.tag in tags:
            yield element
        elif element.tag not in _LEFT_OUT and element.tag != qn("w:sectPr"):
            stack += reversed(element)


def _blocks(root: Any) -> Iterator[Any]:
    return _within(root, "w:p", "w:tbl")


def _is_table(element: Any) -> bool:
    return bool(element.tag == qn("w:tbl"))


def _span(cell: Any) -> int:
    return _number(cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}"), 1)


def _is_below(cell: Any) -> bool:
    """Return whether a cell goes on with the one above it."""
    merge = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
    return merge is not None and merge.get(qn("w:val")) != "restart"


def _skipped(row: Any) -> int:
    """Return the number of columns before the first cell of a row."""
    return min(_number(row.find(f"{qn('w:trPr')}/{qn('w:gridBefore')}"), 0), MAX_SPAN)


def _number(element: Any, default: int) -> int:
    value = "" if element is None else element.get(qn("w:val"), "")
    return int(value) if value.isdecimal() else default


def _repeats(row: Any) -> bool:
    """Return whether each page of the table repeats the row, as its heads."""
    return _is_on(row.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}"))


def _is_on(mark: Any) -> bool:
    return mark is not None and mark.get(qn("w:val")) not in OFF


def _is_raised(run: Any) -> bool:
    mark = run.find(f"{qn('w:rPr')}/{qn('w:vertAlign')}")
    return mark is not None and mark.get(qn("w:val")) == "superscript"


def _is_bold(cell: Any) -> bool:
    runs = [run for run in cell.iter(qn("w:r")) if any(text.text for text in run.iter(qn("w:t")))]
    marks = [run.find(f"{qn('w:rPr')}/{qn('w:b')}") for run in runs]
    return bool(marks) and all(map(_is_on, marks))


def _sets_off_first_row(style: Any) -> bool:
    return any(part.get(qn("w:type")) == "firstRow" for part in style.iterchildren(qn("w:tblStylePr")))


def _is_boxed(paragraph: Any) -> bool:
    return any(above.tag == _BOX for above in paragraph.iterancestors(_BOX))


def _style(element: Any, properties: str, name: str) -> str | None:
    style = element.find(f"{qn(properties)}/{qn(name)}")
    return None if style is None else style.get(qn("w:val"))


def _hides(style: Any) -> bool:
    """Return whether a style, or one that it is based on, hides its text."""
    seen = 0
    while style is not None and seen < MAX_BASE_STYLES:
        mark = style.element.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
        if mark is not None:
            return mark.get(qn("w:val")) not in OFF
        style, seen = style.base_style, seen + 1
    return False
