"""Small documents of each kind, made in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import docx
import openpyxl
import pptx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from openpyxl.comments import Comment
from PIL import Image
from pptx.util import Inches

from docwell.adapters.documents.formats import add, kind_of
from docwell.adapters.documents.parts import Metadata, PageText, Parts


def parts_of(data: bytes) -> tuple[list[PageText], Metadata]:
    """The parts of a document, read in this process."""
    kind, content = kind_of(data)
    parts = Parts()
    metadata = add(kind, content, parts)
    return parts.end(), metadata


def cited(parts: list[PageText]) -> dict[str, str]:
    """The text of each citation unit, by its label."""
    found = {}
    for part in parts:
        starts = [unit[0] for unit in part.units]
        for (start, _, label, _), end in zip(part.units, [*starts[1:], len(part.text)], strict=True):
            found[label] = part.text[start:end].strip()
    return found


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def word(body: Callable[[Any], None]) -> bytes:
    document = docx.Document()
    body(document)
    return saved(document)


def run(inner: str) -> Any:
    return parse_xml(f"<w:r {nsdecls('w')}>{inner}</w:r>")


def revision(kind: str, text: str) -> Any:
    """A tracked change: `ins`, `del`, `moveFrom` or `moveTo`."""
    name = "delText" if kind == "del" else "t"
    inner = f"<w:r><w:{name}>{text}</w:{name}></w:r>"
    return parse_xml(f'<w:{kind} {nsdecls("w")} w:id="1" w:author="Ann">{inner}</w:{kind}>')


def workbook() -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Budget"
    for row in (["Region", "Sales", "Share"], ["North", 1234.5, 0.25], ["South", 90, 0.75], ["West", 7, 0]):
        sheet.append(row)
    sheet["B2"].number_format = '#,##0.00 "EUR"'
    sheet["C2"].number_format = "0%"
    sheet["B2"].comment = Comment("Before tax", "Ann")
    sheet.row_dimensions[3].hidden = True
    return book


def presentation() -> Any:
    shown = pptx.Presentation()
    slide = shown.slides.add_slide(shown.slide_layouts[1])
    slide.shapes.title.text = "Plan"
    slide.placeholders[1].text = "Build it\nTest it"
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for place, text in {(0, 0): "Step", (0, 1): "Days", (1, 0): "Build", (1, 1): "12"}.items():
        table.cell(*place).text = text
    slide.notes_slide.notes_text_frame.text = "Thank the team"
    return shown


def message(*attachments: tuple[str, bytes]) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.org", "bob@example.org", "Pump order"
    made["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    made.set_content("The pumps arrive on Friday.\n\nRegards")
    for name, data in attachments:
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made


def image(format_: str, frames: int = 1) -> bytes:
    out, pictures = io.BytesIO(), [Image.new("RGB", (40, 30), "white") for _ in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(out, format_, **more)
    return out.getvalue()
