"""`ChildDocumentReader`: each kind of document through its sandboxed child."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from fpdf import FPDF

from benchmarks.poison.formats import format_poison, good_files
from benchmarks.reading import default_reader
from docwell.adapters.documents.document_reader import is_pdf
from docwell.errors import Refused
from docwell.media_types import MEDIA_TYPES
from docwell.models import UnitKind
from tests.unit.adapters.documents.made import image, message
from tests.unit.cases import rows

# The first citation of each good file, and words of its text.
FIRST = {
    "docx": (UnitKind.PARAGRAPH, "Pumps > paragraph 1", "valve"),
    "xlsx": (UnitKind.RANGE, "Budget!A1:C1", "Sales: 1,234.50 EUR"),
    "pptx": (UnitKind.SLIDE, "slide 1", "Days: 12"),
    "html": (UnitKind.PARAGRAPH, "Pumps > paragraph 1", "valve"),
    "md": (UnitKind.PARAGRAPH, "Pumps > paragraph 1", "valve"),
    "txt": (UnitKind.LINE, "line 1", "valve"),
    "csv": (UnitKind.RANGE, "A1:B1", "mass: 3"),
    "eml": (UnitKind.PART, "message header", "arrive on Friday"),
}


@pytest.mark.parametrize("kind", FIRST)
def test_a_document_is_read_and_cited_under_any_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(good_files()[kind]())
    reader = default_reader()
    info = reader.inspect(path)
    pages = list(reader.pages(path, 1, info.page_count))
    unit = pages[0].citation_units[0][1]
    assert (unit.kind, unit.label) == FIRST[kind][:2]
    assert FIRST[kind][2] in " ".join(page.text for page in pages)
    assert info.media_type == MEDIA_TYPES[f".{kind}"]


@pytest.mark.parametrize(
    ("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("TIFF", "image/tiff")]
)
def test_an_image_has_the_type_of_its_content(tmp_path: Path, kind: str, media_type: str) -> None:
    path = tmp_path / "image.pdf"
    path.write_bytes(image(kind))
    assert default_reader().inspect(path).media_type == media_type


def test_the_attachments_of_a_message_are_read_in_its_sandbox(tmp_path: Path) -> None:
    document = FPDF()
    document.set_font("Helvetica")
    document.add_page()
    document.cell(text="Close the valve.")
    attached = {**{kind: make() for kind, make in good_files().items()}, "pdf": bytes(document.output())}
    path = tmp_path / "a"
    path.write_bytes(bytes(message(*((f"a.{kind}", data) for kind, data in attached.items()))))
    reader = default_reader()
    pages = list(reader.pages(path, 1, reader.inspect(path).page_count))
    text = "\n".join(page.text for page in pages)
    assert "not read" not in text
    read = {unit.label.split(",")[0] for page in pages for _, unit in page.citation_units}
    assert read >= {f"attachment a.{kind}" for kind in attached}


def test_a_document_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"Close the valve.\n" * 1000)
    with pytest.raises(Refused) as refused:
        default_reader(max_document_pages=3).inspect(path)
    assert refused.value.reason == "too_many_pages"


@pytest.mark.parametrize(("content", "expected"), rows(__file__, "pdf_beginnings"))
def test_a_text_that_mentions_a_pdf_is_no_pdf(tmp_path: Path, content: str, expected: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(content.encode("latin-1"))
    assert is_pdf(path) is expected


@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx"])
def test_an_entity_from_outside_never_becomes_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(format_poison()[f"{kind}_entity_from_outside"]())
    reader, texts = default_reader(), list[str]()
    with suppress(Refused):
        texts = [page.text for page in reader.pages(path, 1, 1)]
    assert "root:" not in "".join(texts)
