"""`ChildDocumentReader`: each kind of document through its sandboxed child, and hostile files of each kind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fpdf import FPDF

from benchmarks.poison.formats import format_poison, good_files
from benchmarks.reading import Reading, default_reader, read_all
from docwell.adapters.documents.document_reader import is_pdf
from docwell.errors import Refused
from docwell.media_types import MEDIA_TYPES, PDF
from docwell.models import UnitKind
from tests.unit.adapters.documents.made import image, message

# The first citation of each good file.
FIRST = {
    "docx": (UnitKind.PARAGRAPH, "Pumps > paragraph 1"),
    "xlsx": (UnitKind.RANGE, "Sheet!A1:B1"),
    "pptx": (UnitKind.SLIDE, "slide 1"),
    "html": (UnitKind.PARAGRAPH, "Pumps > paragraph 1"),
    "md": (UnitKind.PARAGRAPH, "Pumps > paragraph 1"),
    "txt": (UnitKind.LINE, "line 1"),
    "csv": (UnitKind.RANGE, "A1:B1"),
    "eml": (UnitKind.PART, "message header"),
}
OUTCOMES = {
    "docx_bomb": "REJECTED(too_much_memory)",
    "xlsx_bomb": "REJECTED(too_much_memory)",
    "pptx_bomb": "REJECTED(too_much_memory)",
    "docx_cut_off": "REJECTED(corrupt)",
    "xlsx_cut_off": "REJECTED(corrupt)",
    "pptx_cut_off": "REJECTED(corrupt)",
    "xlsx_far_cell": "INDEXED",
    "zip_of_nothing_known": "REJECTED(unknown_kind)",
    "ole_of_nothing_known": "REJECTED(unknown_kind)",
    "office_with_a_password": "REJECTED(encrypted)",
    "html_deep": "REJECTED(too_slow)",
    "html_reference": "INDEXED",
    "eml_nested": "INDEXED",
    "png_of_a_billion_pixels": "REJECTED(too_much_memory)",
    "docx_template_from_outside": "INDEXED",
    "docx_path_out_of_the_archive": "INDEXED",
    "docx_with_macros": "INDEXED",
    "pptx_groups_in_groups": "INDEXED",
    "xlsx_all_cells_merged": "REJECTED(too_much_memory)",
    "xlsx_formula_without_value": "INDEXED",
    "html_hidden_as_a_whole": "EMPTY(no_text)",
    "msg_sectors_in_a_loop": "REJECTED(corrupt)",
    "png_of_a_text_bomb": "REJECTED(corrupt)",
    "tiff_in_a_loop": "EMPTY(no_text)",
}


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    folder, workers = tmp_path_factory.mktemp("poison"), os.cpu_count() or 1

    def write(name: str) -> Path:
        path = folder / name
        path.write_bytes(format_poison()[name]())
        return path

    with ThreadPoolExecutor(workers) as pool:
        paths = list(pool.map(write, format_poison()))
    return {reading.path.name: reading for reading in read_all(paths, workers)}


@pytest.mark.parametrize("kind", FIRST)
def test_a_document_is_read_and_cited_whatever_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(good_files()[kind]())
    reader = default_reader()
    info = reader.inspect(path)
    pages = list(reader.pages(path, 1, info.page_count))
    unit = pages[0].citation_units[0][1]
    assert (unit.kind, unit.label) == FIRST[kind]
    assert "valve" in " ".join(page.text for page in pages) or "mass: 3" in pages[0].text
    assert sum(page.cpu_s for page in pages) > 0
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
    reader = default_reader()
    with pytest.raises(Refused) as refused:
        replace(reader, max_document_pages=3).inspect(path)
    assert refused.value.reason == "too_many_pages"


def test_a_pdf_under_another_name_is_read_as_a_pdf(tmp_path: Path) -> None:
    path = tmp_path / "document.docx"
    document = FPDF()
    document.set_font("Helvetica")
    document.add_page()
    document.cell(text="Close the valve.")
    document.output(str(path))
    (page,) = default_reader().pages(path, 1, 1)
    assert (page.text, page.citation_units) == ("Close the valve.", ())
    assert default_reader().inspect(path).media_type == PDF


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"%PDF-1.7\n", True),
        (b"junk\x00before\n%PDF-1.4\n1 0 obj", True),
        (b"A file that begins with %PDF is a PDF.", False),
        (b"Write %%EOF as the last line.", False),
        (b"PK\x03\x04 with %PDF- inside", False),
        (b"plain", False),
    ],
)
def test_a_text_that_mentions_a_pdf_is_none(tmp_path: Path, content: bytes, expected: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert is_pdf(path) is expected


def test_an_image_is_a_page_that_a_recogniser_may_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(image("TIFF", frames=2))
    pages = list(default_reader().pages(path, 1, 2))
    assert [page.may_be_picture for page in pages] == [True, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_hostile_or_damaged_file_ends_in_a_named_status(readings: dict[str, Reading]) -> None:
    assert len(readings) == len(format_poison()) >= 80
    assert {name: reading.outcome for name, reading in readings.items() if reading.status == "UNEXPECTED"} == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_hostile_file_costs_more_than_the_budget(readings: dict[str, Reading]) -> None:
    dear = [reading for reading in readings.values() if reading.cpu_s > 30 or reading.peak_bytes > 1_000_000_000]
    assert dear == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hostile_file_is_refused_for_its_reason(readings: dict[str, Reading]) -> None:
    assert {name: readings[name].outcome for name in OUTCOMES} == OUTCOMES


@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx"])
def test_an_entity_from_outside_never_becomes_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(format_poison()[f"{kind}_entity_from_outside"]())
    reader, texts = default_reader(), list[str]()
    with suppress(Refused):
        texts = [page.text for page in reader.pages(path, 1, 1)]
    assert "root:" not in "".join(texts)
