"""Tables and running heads of Word documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn

from tests.unit.adapters.documents.made import parts_of, run, word

ROWS = (("Item", "2024", "2025"), ("Pumps", "", "5"), ("Valves", "3", "4"))
NAMED = ["Item | 2024 | 2025", "Item: Pumps | 2025: 5", "Item: Valves | 2024: 3 | 2025: 4"]
BOX = "urn:schemas-microsoft-com:vml"


def filled(document: Any, rows: Sequence[Sequence[str]]) -> Any:
    table = document.add_table(len(rows), len(rows[0]))
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    return table


def blocks(body: Any) -> list[str]:
    return parts_of(word(body))[0][0].text.split("\n\n")


def bold(table: Any) -> None:
    for cell in table.rows[0].cells:
        cell.paragraphs[0].runs[0].bold = True


def repeated(table: Any) -> None:
    table.rows[0]._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))


def styled(table: Any) -> None:
    table.style = "Light Grid Accent 1"


@pytest.mark.parametrize("set_off", [bold, repeated, styled])
def test_a_cell_has_the_head_of_its_column(set_off: Any) -> None:
    assert blocks(lambda document: set_off(filled(document, ROWS))) == NAMED


@pytest.mark.parametrize("bits", ["", "first row", "-20", "9" * 5_000])
def test_a_table_with_a_damaged_look_is_read(bits: str) -> None:
    def damaged(table: Any) -> None:
        styled(table)
        look = table._tbl.tblPr.find(qn("w:tblLook"))
        look.attrib.clear()
        look.set(qn("w:val"), bits)

    assert len(blocks(lambda document: damaged(filled(document, ROWS)))) == len(ROWS)


def test_a_merged_cell_names_all_that_it_spans() -> None:
    def body(document: Any) -> None:
        rows = [["Region", "Plan", "", "Actual"], ["", "Q1", "Q2", "Q1"], ["North", "1", "2", "3"]]
        table = filled(document, [*rows, ["", "4", "5", "6"]])
        for first, last in (((0, 1), (0, 2)), ((0, 0), (1, 0)), ((2, 0), (3, 0))):
            text = table.cell(*first).text
            table.cell(*first).merge(table.cell(*last)).text = text
        for row in table.rows[:2]:
            row._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))

    names = "Region: North | Plan Q1: {} | Plan Q2: {} | Actual Q1: {}"
    assert blocks(body)[2:] == [names.format(*"123"), names.format(*"456")]


def test_a_table_in_a_cell_keeps_its_rows() -> None:
    def body(document: Any) -> None:
        outer = filled(document, [("out", "before")])
        inner = outer.cell(0, 1).add_table(2, 2)
        for place, text in {(0, 0): "a", (0, 1): "b", (1, 0): "c", (1, 1): "d"}.items():
            inner.cell(*place).text = text

    assert blocks(body) == ["out | before", "a | b", "c | d"]


def test_a_table_in_a_content_control_is_read_once() -> None:
    def body(document: Any) -> None:
        row = filled(document, [("out", "last")]).rows[0]
        row.cells[0].add_table(1, 2).cell(0, 1).text = "in"
        control = parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent/></w:sdt>")
        cell = row.cells[0]._tc
        cell.addprevious(control)
        control[0].append(cell)

    assert blocks(body) == ["out | last", "in"]


def test_a_cell_that_lays_out_a_page_keeps_its_paragraphs_and_headings() -> None:
    def body(document: Any) -> None:
        cell = filled(document, [("One.",)]).cell(0, 0)
        cell.add_paragraph("Pumps", style="Heading 1")
        cell.add_paragraph("Two.")

    parts, _ = parts_of(word(body))
    assert parts[0].text == "One.\n\nPumps\n\nTwo."
    assert parts[0].headings == [("Pumps", 99.0)]


@pytest.mark.parametrize("is_shown", [True, False])
def test_the_head_of_the_first_page_is_text_if_the_page_shows_it(is_shown: bool) -> None:
    def body(document: Any) -> None:
        section = document.sections[0]
        section.different_first_page_header_footer = True
        section.first_page_header.paragraphs[0].text = "Draft"
        section.different_first_page_header_footer = is_shown
        document.add_paragraph("Pumps")

    assert blocks(body) == (["Draft", "Pumps"] if is_shown else ["Pumps"])


def test_a_text_box_of_a_running_head_stands_with_it() -> None:
    def body(document: Any) -> None:
        text = "<w:txbxContent><w:p><w:r><w:t>Acme, Bonn</w:t></w:r></w:p></w:txbxContent>"
        box = f'<w:pict><v:shape xmlns:v="{BOX}"><v:textbox>{text}</v:textbox></v:shape></w:pict>'
        document.sections[0].header.paragraphs[0]._p.append(run(box))
        document.add_heading("Pumps", 1)

    assert blocks(body) == ["Acme, Bonn", "Pumps"]
