"""Word documents: paragraphs and tables in order, with notes and comments, without deleted and hidden text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.part import PartFactory
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.package import Package
from docx.parts.document import DocumentPart

from docwell.adapters.documents.parts import (
    DECIMAL,
    MAX_HEAD,
    MAX_SPAN,
    WHITE,
    Cell,
    Level,
    Numbering,
    Parts,
    Rows,
    is_head,
    is_seen,
    raised,
    whole,
)
from docwell.text.words import by_language

_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_MACRO = "application/vnd.ms-word."
# Accept macro-enabled files and templates: they are documents of another type. docwell never runs a macro.
for _type in (
    f"{_MACRO}document.macroEnabled.main+xml",
    f"{_MACRO}template.macroEnabledTemplate.main+xml",
    f"{_MAIN}template.main+xml",
):
    PartFactory.part_type_for[_type] = DocumentPart
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
# Skip deleted and moved text, the fallback of alternate content, and field instructions.
_LEFT_OUT = frozenset(
    {qn("w:del"), qn("w:moveFrom"), qn("w:instrText"), qn("w:delText"), qn("w:rPr"), qn("w:pPr")}
    | {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}
)
_LETTERS = frozenset({qn("w:t"), qn("m:t")})
_SPACES = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_TEXT_BOX = qn("w:txbxContent")
_NOTES = {qn("w:footnoteReference"): "Footnote", qn("w:endnoteReference"): "Endnote"}
_COMMENT = qn("w:commentReference")
_ASIDES = frozenset({_COMMENT, _TEXT_BOX, *_NOTES})
_NOTE_PARTS = {RELATIONSHIP_TYPE.FOOTNOTES: "Footnote", RELATIONSHIP_TYPE.ENDNOTES: "Endnote"}
# What may be behind white text or around its letters, in the parts that have text.
_TEXT_PARTS = ("/header", "/footer", "/footnotes", "/endnotes")
_BEHIND = "wp:anchor w:pict w:background w:tblStyle w:shd w:highlight w:outline w:shadow w:emboss w:imprint"
_BEHIND += " w14:textOutline w14:textFill w14:glow w14:shadow w14:reflection"
_SHAPE = "{http://schemas.microsoft.com/office/word/2010/wordprocessingShape}wsp"
_GROUNDS = frozenset({_SHAPE, *map(qn, _BEHIND.split())})
# Level 9, the tenth, is body text.
_OUTLINE_LEVELS = frozenset("012345678")
# The bit of a table's look that sets the first row off (ECMA-376, 17.4.55).
FIRST_ROW = 0x20
_BITS = re.compile(r"[0-9A-Fa-f]{1,4}")
# Styles may be based on each other in a circle.
MAX_BASE_STYLES = 10
_BLOCKS = ("w:p", "w:tbl")
_NUMBERED, _MERGED = "w:pPr/w:numPr", "w:tcPr/w:vMerge"
# The values that switch off a property that is present.
OFF = frozenset({"0", "false", "off"})
# The signs of symbol fonts and their Unicode characters, by font: the last byte of each code.
_SYMBOLS = {font: {sign[:2]: sign[2:] for sign in signs} for font, signs in by_language("symbol").items()}
_SYMBOL, _CHECK_BOX, _LIST = qn("w:sym"), qn("w:checkBox"), qn("w:ddList")
_DRAWN = frozenset({_SYMBOL, _CHECK_BOX, _LIST})


def read(data: bytes, parts: Parts) -> None:
    """Add the text of a document."""
    document: Document = Package.open(io.BytesIO(data)).main_document_part.document
    reader = _Reader(document, parts)
    reader.running_heads()
    reader.blocks(document.element.body)


class _Reader:
    def __init__(self, document: Document, parts: Parts) -> None:
        self._parts = parts
        self._document = document
        relations = {relation.reltype: relation for relation in document.part.rels.values()}
        # python-docx reads a template file in place of a missing part; the sandbox forbids that.
        styles: Any = document.styles if RELATIONSHIP_TYPE.STYLES in relations else []
        comments: Iterable[Any] = document.comments if RELATIONSHIP_TYPE.COMMENTS in relations else []
        self._levels = {style.style_id: _heading_level(style) for style in styles}
        self._comments = {str(comment.comment_id): (comment.author, comment.text) for comment in comments}
        # The styles of tables that set off the first row.
        first_row = "./w:tblStylePr[@w:type='firstRow']"
        self._heading_styles = {style.style_id for style in styles if style.element.xpath(first_row)}
        self._styles = {style.style_id: style for style in styles}
        if styles:  # a paragraph without a style has the default one
            self._styles[""] = styles.default(WD_STYLE_TYPE.PARAGRAPH)
        self._looks = cache(self._style_looks)
        defaults = styles.element.xpath("./w:docDefaults | ./w:style[@w:default='1']") if styles else []
        beside = [part for part in document.part.rels.values() if part.reltype.endswith(_TEXT_PARTS)]
        texts = [(part.reltype, parse_xml(part.target_part.blob)) for part in beside if not part.is_external]
        # Whether all text is on white paper.
        roots = (document.element, *defaults, *(root for _, root in texts))
        self._is_plain = all(next(root.iter(*_GROUNDS), None) is None for root in roots)
        numbering = relations.get(RELATIONSHIP_TYPE.NUMBERING)
        self._numbers = _Numbers(numbering.target_part.blob if numbering else None, self._styles)
        # Notes, comments and text boxes of the current paragraph.
        self._beside: list[str] = []
        self._notes: dict[tuple[str, str], str] = {}
        for kind, root in texts:
            for note in root if kind in _NOTE_PARTS else ():
                # Separators between text and notes are stored as notes with a type: skip them.
                if note.get(qn("w:type")) in {None, "normal"}:
                    text = " ".join(self._text_below(note).split())
                    self._notes[_NOTE_PARTS[kind], note.get(qn("w:id"))] = text

    def running_heads(self) -> None:
        """Add the text of page heads and feet, each once."""
        texts = set()
        for section in self._document.sections:
            places = [section.header, section.footer]
            # Skip inherited heads: to read them would repeat those of the section before.
            if section.different_first_page_header_footer:
                places += [section.first_page_header, section.first_page_footer]
            for place in places:
                if place.is_linked_to_previous:
                    continue
                text = self._text_below(place._element)
                for shown in (text, *self._pop_beside()):
                    if shown.strip() and shown not in texts:
                        texts.add(shown)
                        self._parts.paragraph(shown)

    def blocks(self, root: Any) -> None:
        """Add the paragraphs and tables below an element, in order."""
        for element in _within(root, *_BLOCKS):
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
        text, number = self._text(paragraph), self._numbers.of(paragraph, _value(paragraph, "w:pPr/w:pStyle"))
        return f"{number} {text}" if number and text.strip() else text

    def _table(self, table: Any) -> None:
        rows, has_heads = Rows(), self._has_heads(table)
        # The texts of cells that may span rows below, by column.
        above: dict[int, str] = {}
        for number, row in enumerate(_within(table, "w:tr")):
            if _child(row, "w:trPr/w:del") is not None:
                self._parts.hide(self._text_below(row))
                continue
            cells = list(_within(row, "w:tc"))
            if len(cells) == 1:
                self.blocks(cells[0])
                continue
            texts = [self._cell(cell) for cell in cells]
            heads = (
                (has_heads and number == 0)
                or _is_on(_child(row, "w:trPr/w:tblHeader"))
                or is_head(list(zip(texts, map(_is_bold, cells), strict=True)))
            )
            placed = [Cell("")] * min(whole(_value(row, "w:trPr/w:gridBefore"), 0), MAX_SPAN)
            column = len(placed)
            for cell, text in zip(cells, texts, strict=True):
                # Whether the cell continues the cell above it.
                is_below = _child(cell, _MERGED) is not None and _value(cell, _MERGED) != "restart"
                if not is_below:
                    above[column] = text if len(text) <= MAX_HEAD else ""
                label = text or (above.get(column, "") if is_below and not heads else "")
                placed.append(Cell(label, whole(_value(cell, "w:tcPr/w:gridSpan"), 1)))
                column += placed[-1].across
            self._parts.paragraph(rows.line(placed, heads=heads))
            self._add_beside()
            for cell in cells:
                for inner in (block for block in _within(cell, *_BLOCKS) if block.tag == qn("w:tbl")):
                    self._table(inner)

    def _cell(self, cell: Any) -> str:
        """Return the text of a cell without the text of tables inside it."""
        paragraphs = (self._numbered(block) for block in _within(cell, *_BLOCKS) if block.tag != qn("w:tbl"))
        return " ".join(" ".join(paragraphs).split())

    def _has_heads(self, table: Any) -> bool:
        """Return whether the table's style sets off its first row, and the table uses that."""
        look = _child(table, "w:tblPr/w:tblLook")
        if look is None or _value(table, "w:tblPr/w:tblStyle") not in self._heading_styles:
            return False
        first, bits = look.get(qn("w:firstRow")), look.get(qn("w:val"), "")
        return first not in OFF if first else bool(_BITS.fullmatch(bits) and int(bits, 16) & FIRST_ROW)

    def _text_below(self, element: Any) -> str:
        """Return the text of all paragraphs below an element, but those in text boxes."""
        return "\n".join(map(self._text, _within(element, "w:p")))

    def _pop_beside(self) -> list[str]:
        texts, self._beside = self._beside, []
        return texts

    def _add_beside(self) -> None:
        for text in self._pop_beside():
            self._parts.paragraph(text, line=True)

    def _text(self, paragraph: Any) -> str:
        """Return the shown text of a paragraph; keep its notes, comments and text boxes for `_add_beside`."""
        runs: list[str] = []
        stack = list(reversed(paragraph))
        while stack:
            element = stack.pop()
            tag = element.tag
            if tag in _LETTERS:
                text = element.text or ""
                is_raised = _value(element.getparent(), "w:rPr/w:vertAlign") == "superscript"
                runs.append(raised(text, runs) if is_raised else text)
            elif tag in _SPACES:
                runs.append(_SPACES[tag])
            elif tag in _DRAWN:
                runs.append(_drawn(element))
            elif tag in _ASIDES:
                runs.append(self._aside(element))
            elif tag == qn("w:del") or (tag == qn("w:r") and self._is_hidden(element, paragraph)):
                self._parts.hide("".join(element.itertext(qn("w:t"), qn("w:delText"))))
            elif tag not in _LEFT_OUT:
                stack += reversed(element)
        return "".join(runs)

    def _aside(self, element: Any) -> str:
        """Keep the text of a note, comment or text box for `_add_beside`. Return its mark in the text."""
        number = element.get(qn("w:id"))
        if element.tag == _TEXT_BOX:
            self._beside.append(self._text_below(element))
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
        if (outline := _value(paragraph, "w:pPr/w:outlineLvl")) in _OUTLINE_LEVELS:
            return int(outline) + 1
        return self._levels.get(_value(paragraph, "w:pPr/w:pStyle"))

    def _is_hidden(self, run: Any, paragraph: Any) -> bool:
        """Return whether a run is struck out, or its properties or those of its styles hide it."""
        looks = _looks(run)
        if any(looks.get(name, "0") not in OFF for name in (qn("w:strike"), qn("w:dstrike"))):
            return True
        for name in (looks.get(qn("w:rStyle")), _value(paragraph, "w:pPr/w:pStyle")):
            looks = self._looks(name) | looks
        ground = WHITE if self._is_plain and _GROUNDS.isdisjoint(looks) else ""
        size = looks.get(qn("w:sz"), "")
        points = int(size) / 2 if size.isdecimal() else None
        is_vanished, colour = looks.get(qn("w:vanish"), "0") not in OFF, looks.get(qn("w:color"), "")
        return is_vanished or not is_seen(colour, ground, points)

    def _style_looks(self, name: str | None) -> dict[str, str]:
        """Return the run properties of a style, and those of its `_GROUNDS` that are elsewhere in it."""
        looks: dict[str, str] = {}
        for base in _based(self._styles.get(name)):
            looks = {ground.tag: "" for ground in base.element.iter(*_GROUNDS)} | _looks(base.element) | looks
        return looks


class _Numbers:
    """Counts the paragraphs of each list. `definitions` is the numbering part, None where there is none."""

    def __init__(self, definitions: bytes | None, styles: Mapping[str, Any]) -> None:
        root: Iterable[Any] = [] if definitions is None else parse_xml(definitions)
        self._lists: dict[str, Numbering] = {}
        # The list of each number, and the start values that it sets for its levels.
        self._numbers: dict[str, tuple[str, dict[int, int]]] = {}
        self._levels_of_styles: dict[str, int] = {}
        self._styles = styles
        for element in root:
            if element.tag == qn("w:abstractNum"):
                levels = dict[int, Level]()
                for level in element.iterchildren(qn("w:lvl")):
                    at, form = whole(level.get(qn("w:ilvl")), 0), _value(level, "w:numFmt") or DECIMAL
                    is_legal, text = _is_on(_child(level, "w:isLgl")), _value(level, "w:lvlText")
                    levels[at] = Level(whole(_value(level, "w:start"), 1), form, text, is_legal)
                    self._levels_of_styles[_value(level, "w:pStyle")] = at
                self._lists[element.get(qn("w:abstractNumId"), "")] = Numbering(levels)
            elif element.tag == qn("w:num"):
                starts = {
                    whole(override.get(qn("w:ilvl")), 0): int(start)
                    for override in element.iterchildren(qn("w:lvlOverride"))
                    if (start := _value(override, "w:startOverride")).isdecimal()
                }
                self._numbers[element.get(qn("w:numId"), "")] = _value(element, "w:abstractNumId"), starts

    def of(self, paragraph: Any, style: str) -> str:
        """Return the number of the next paragraph; "" if it has none."""
        number, level = _value(paragraph, f"{_NUMBERED}/w:numId"), _value(paragraph, f"{_NUMBERED}/w:ilvl")
        if not number:
            number, level = self._of_style(style, level)
        name, starts = self._numbers.get(number, ("", {}))
        if name not in self._lists:
            return ""
        depth = whole(level, 0)
        # A start value applies only once.
        return self._lists[name].next(depth, starts.pop(depth, None))

    def _of_style(self, name: str, level: str) -> tuple[str, str]:
        for style in _based(self._styles.get(name)):
            if number := _value(style.element, f"{_NUMBERED}/w:numId"):
                default = str(self._levels_of_styles.get(style.style_id, 0))
                return number, level or _value(style.element, f"{_NUMBERED}/w:ilvl") or default
        return "", ""


def _looks(holder: Any) -> dict[str, str]:
    """Return the values of the run properties of a run or style by their names."""
    looks = holder.find(qn("w:rPr"))
    return {} if looks is None else {look.tag: look.get(qn("w:val"), "") for look in looks}


def _based(style: Any) -> Iterator[Any]:
    """Yield a style and all styles that it is based on."""
    for _ in range(MAX_BASE_STYLES):
        if style is None:
            return
        yield style
        style = getattr(style, "base_style", None)  # a list's style has none


def _heading_level(style: Any) -> int | None:
    """Return the level of a heading style, also of one that is based on it; 0 for a title."""
    for base in _based(style):
        name = base.name or ""
        if name.lower() == "title":
            return 0
        if match := _HEADING.fullmatch(name):
            return int(match[1])
    return None


def _drawn(element: Any) -> str:
    """Return a symbol, a form's check box, or the chosen entry of a form's list."""
    if element.tag == _SYMBOL:
        signs = _SYMBOLS.get(element.get(qn("w:font"), "").lower(), {})
        return signs.get(element.get(qn("w:char"), "")[-2:].lower(), "")
    if element.tag == _CHECK_BOX:
        state = _child(element, "w:checked")
        state = _child(element, "w:default") if state is None else state
        return "\u2612" if _is_on(state) else "\u2610"
    entries = [entry.get(qn("w:val"), "") for entry in element.iterchildren(qn("w:listEntry"))]
    chosen = whole(_value(element, "w:result"), whole(_value(element, "w:default"), 0))
    return entries[chosen] if chosen < len(entries) else ""


def _within(root: Any, *names: str) -> Iterator[Any]:
    """Yield the elements of these names below a root, in order and not nested.

    Elements inside content controls and insertions count.
    """
    tags = {qn(name) for name in names}
    stack = list(reversed(root))
    while stack:
        element = stack.pop()
        if element.tag in tags:
            yield element
        elif element.tag not in _LEFT_OUT and element.tag != qn("w:sectPr"):
            stack += reversed(element)


def _is_bold(cell: Any) -> bool:
    runs = [run for run in cell.iter(qn("w:r")) if any(text.text for text in run.iter(qn("w:t")))]
    return bool(runs) and all(_is_on(_child(run, "w:rPr/w:b")) for run in runs)


def _child(element: Any, path: str) -> Any:
    """Return the element at a path of names, such as "w:pPr/w:pStyle", or None."""
    return element.find("/".join(map(qn, path.split("/"))))


def _value(element: Any, path: str) -> str:
    """Return the value of the element at a path, "" for none."""
    child = _child(element, path)
    return "" if child is None else str(child.get(qn("w:val"), ""))


def _is_on(mark: Any) -> bool:
    return mark is not None and mark.get(qn("w:val")) not in OFF
