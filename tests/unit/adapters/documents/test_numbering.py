"""Numbers of lists and headings, which a file has only as rules."""

from __future__ import annotations

from typing import Any

import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from docwell.adapters.documents.parts import shown
from tests.unit.adapters.documents.made import parts_of, word
from tests.unit.cases import rows

LEVELS = (
    '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/>{style}<w:lvlText w:val="%1."/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>'
    '<w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%3)"/></w:lvl>'
    '<w:lvl w:ilvl="3"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl>'
)
AGAIN = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
NUMBERS = (
    '<w:abstractNum w:abstractNumId="90">' + LEVELS + "</w:abstractNum>",
    '<w:num w:numId="90"><w:abstractNumId w:val="90"/></w:num>',
    f'<w:num w:numId="91"><w:abstractNumId w:val="90"/>{AGAIN}</w:num>',
)


def define(document: Any, style: str = "") -> None:
    root = document.part.numbering_part.element
    for text in NUMBERS:
        element = parse_xml(text.replace("{style}", style).replace(" ", f" {nsdecls('w')} ", 1))
        (root.insert(0, element) if "abstractNum " in text else root.append(element))


def item(document: Any, text: str, level: int, number: int = 90, style: str | None = None) -> None:
    rules = f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
    document.add_paragraph(text, style=style)._p.get_or_add_pPr().append(parse_xml(rules))


def blocks(body: Any) -> list[str]:
    return parts_of(word(body))[0][0].text.split("\n\n")


def test_a_paragraph_has_the_number_that_word_shows() -> None:
    def body(document: Any) -> None:
        define(document)
        for text, level in (("a", 0), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 3), ("g", 0), ("h", 1)):
            item(document, text, level)
        document.add_paragraph("plain")
        item(document, "none", 0, number=0)
        item(document, "again", 0, number=91)
        item(document, "next", 0, number=91)

    numbered = "1. a / 1.1 b / 1.2 c / (a) d / (b) e / f / 2. g / 2.1 h / plain / none / 5. again / 6. next"
    assert " / ".join(blocks(body)) == numbered


def test_a_heading_has_the_number_of_its_style() -> None:
    def body(document: Any) -> None:
        define(document, '<w:pStyle w:val="Heading1"/>')
        rules = parse_xml(f'<w:numPr {nsdecls("w")}><w:numId w:val="90"/></w:numPr>')
        document.styles["Heading 1"].element.get_or_add_pPr().append(rules)
        for text in ("Scope", "Termination"):
            document.add_heading(text, 1)

    parts, _ = parts_of(word(body))
    assert parts[0].headings == [("1. Scope", 99.0), ("2. Termination", 99.0)]


def test_numbered_cells_are_counted() -> None:
    def body(document: Any) -> None:
        table = document.add_table(2, 2)
        for row, text in zip(table.rows, ("oil", "seal"), strict=True):
            row.cells[0].paragraphs[0].style = "List Number"
            row.cells[0].paragraphs[0].text, row.cells[1].text = text, "new"

    assert blocks(body) == ["1. oil | new", "2. seal | new"]


def test_a_numbered_list_in_markdown_keeps_its_numbers() -> None:
    text = b"# Steps\n\n3. Close the valve.\n4. Stop.\n\n- oil\n"
    assert parts_of(text)[0][0].text.split("\n\n") == ["Steps", "3. Close the valve.", "4. Stop.", "oil"]


@pytest.mark.parametrize(("number", "form", "expected"), rows(__file__, "number_forms"))
def test_a_number_is_shown_in_its_form(number: int, form: str, expected: str) -> None:
    assert shown(number, form) == expected
