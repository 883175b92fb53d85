"""Text whose look tells what it says: hidden, raised, struck out, or drawn by a font of signs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Alignment, Color, Font, PatternFill
from pptx.enum.dml import MSO_THEME_COLOR
from pptx.util import Inches

from tests.unit.adapters.documents.made import parts_of, presentation, saved, word

SENTENCE, ROWS = "7305", tomllib.loads(Path(__file__).with_name("looks.toml").read_text(encoding="utf-8"))


def _word(row: dict[str, Any]) -> bytes:
    def body(document: Any) -> None:
        if "notes" in row:
            notes = f"<w:footnotes {nsdecls('w')}>{row['notes']}</w:footnotes>"
            kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
            part = Part(PackURI("/word/footnotes.xml"), kind, notes.encode(), document.part.package)
            document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
        for tree, xml in ((document.styles.element, row.get("style")), (document.element.body, row["body"])):
            if xml:
                content = f"<w:body {nsdecls('w', 'w14', 'wp')}>{xml}</w:body>"
                for element in parse_xml(content)[::-1]:
                    tree.insert(0, element)

    return word(body)


def _sheets(row: dict[str, Any]) -> bytes:
    book = openpyxl.Workbook()
    cell = book.active["B2"]
    runs = [TextBlock(InlineFont(**font), row["text"]) for font in row.get("runs", ())]
    cell.value = CellRichText(runs) or row.get("value", row["text"])
    cell.number_format = row.get("format", "General")
    book.active["C2"] = row.get("beside")
    fonts = [Color(**{name: row[name]}, tint=row.get("tint", 0)) for name in ("theme", "indexed") if name in row]
    cell.font = Font(color=next(iter(fonts), row.get("font")), size=row.get("size", 11), strike=row.get("strike"))
    book.active.sheet_view.showZeros = row.get("zeros")
    fill = row.get("fill") or Color(**row.get("ground", {}))
    cell.fill = PatternFill("solid" if row.keys() & {"fill", "ground"} else None, fill)
    cell.alignment = Alignment(horizontal=row.get("align"))
    book.active.column_dimensions["B"].width = row.get("width", 13)
    book.active.row_dimensions[2].height = row.get("height")
    for number in row.get("hide", ()):
        book.active.row_dimensions[number].hidden = True
    if "merged" in row:
        book.active.merge_cells(row["merged"])
    if "rule" in row:
        rule = FormulaRule(["TRUE"], fill=PatternFill(bgColor="FF000000"))
        book.active.conditional_formatting.add(row["rule"], rule)
    return saved(book)


def _slides(row: dict[str, Any]) -> bytes:
    made = presentation()
    slide = made.slides.add_slide(made.slide_layouts[6])
    shapes, (width, high) = slide.shapes, row.get("size", (2, 1))
    box = shapes.add_textbox(*map(Inches, (row.get("left", 1), row.get("top", 1), width, high)))
    box.rotation = row.get("turn", 0)
    places = {"ground": slide._element.cSld, "frame": shapes._spTree, "map": slide._element}
    for name in places.keys() & row:
        places[name].insert(0 if name == "ground" else 9, parse_xml(row[name]))
    if "theme" in row:
        theme = made.slide_master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
        theme._blob = theme.blob.replace(b'lastClr="FFFFFF"', row["theme"].encode())
    box.text_frame._txBody.append(parse_xml(f"<a:p {nsdecls('a')}>{row['runs']}</a:p>"))
    if "fill" in row:
        box.fill.solid()
        box.fill.fore_color.theme_color = MSO_THEME_COLOR.TEXT_1
    return saved(made)


MAKERS: dict[str, Callable[[dict[str, Any]], bytes]] = {"word": _word, "sheets": _sheets, "slides": _slides}
MAKERS["web"] = lambda row: f"<!doctype html><p>Seen</p>{row['page']}".encode()


def made_with(kind: str, row: dict[str, Any], text: str) -> bytes:
    """Return the document of a row with a text in the place of SENTENCE."""
    words = {name: value.replace("SENTENCE", text) for name, value in row.items() if isinstance(value, str)}
    return MAKERS[kind](row | words | {"text": text})


@pytest.mark.parametrize(("kind", "row"), [(kind, row) for kind, rows in ROWS.items() for row in rows])
def test_hidden_text_is_left_out_and_counted_and_visible_text_is_kept(kind: str, row: dict[str, Any]) -> None:
    parts = parts_of(made_with(kind, row, SENTENCE))[0]
    text, hidden = "\n".join(part.text for part in parts), sum(part.hidden for part in parts)
    expected = row.get("shown", str(row.get("value", SENTENCE)))
    is_kept = text.endswith(expected) if "shown" in row else expected in text
    assert (is_kept, hidden > 0) == ("shown" in row or not row["hidden"], row.get("cut", row["hidden"]))
    assert any(part.unchecked for part in parts) == row.get("unchecked", False)
