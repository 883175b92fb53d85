"""Text of Word documents that a style, a content control or a note holds."""

from __future__ import annotations

from typing import Any

from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tests.unit.adapters.documents.made import parts_of, run, word


def test_rows_in_a_content_control_are_rows_of_the_table() -> None:
    def body(document: Any) -> None:
        table = document.add_table(2, 1)
        table.cell(0, 0).text, table.cell(1, 0).text = "First", "Last"
        cell = "<w:tr><w:tc><w:p><w:r><w:t>Second</w:t></w:r></w:p></w:tc></w:tr>"
        control = f"<w:sdt {nsdecls('w')}><w:sdtContent>{cell}</w:sdtContent></w:sdt>"
        table._tbl.tr_lst[0].addnext(parse_xml(control))

    assert parts_of(word(body))[0][0].text == "First\n\nSecond\n\nLast"


def test_a_note_leaves_out_hidden_text_and_keeps_its_paragraphs_apart() -> None:
    hidden = "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>secret</w:t></w:r></w:p>"
    shown = "<w:p><w:r><w:t>One.</w:t></w:r></w:p><w:p><w:r><w:t>Two.</w:t></w:r></w:p>"
    notes = f'<w:footnotes {nsdecls("w")}><w:footnote w:id="2">{shown}{hidden}</w:footnote></w:footnotes>'

    def body(document: Any) -> None:
        kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
        part = Part(PackURI("/word/footnotes.xml"), kind, notes.encode(), document.part.package)
        document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
        document.add_paragraph("Text")._p.append(run('<w:footnoteReference w:id="2"/>'))

    assert parts_of(word(body))[0][0].text == "Text[2]\n[Footnote 2: One. Two.]"
