"""The files attached to a PDF: parts behind its pages, each cited by its name, read in one sandboxed child."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fpdf import FPDF
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject

from benchmarks.poison.formats import format_poison, good_files
from benchmarks.reading import default_reader, read
from docwell.adapters.documents.pdf_notes import MAX_FILES
from docwell.errors import Refused
from docwell.models import Page, Reason, UnitKind
from tests.unit.adapters.documents.made import image, message


def pdf(text: str, files: dict[str, bytes], *, portfolio: bool = False) -> bytes:
    """A PDF of one page with attached files."""
    document = FPDF()
    document.set_font("Helvetica")
    document.add_page()
    document.cell(text=text)
    writer = PdfWriter(io.BytesIO(bytes(document.output())))
    for name, data in files.items():
        writer.add_attachment(name, data)
    if portfolio:
        writer.root_object[NameObject("/Collection")] = DictionaryObject()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a"


def pages_of(path: Path) -> list[Page]:
    reader = default_reader()
    return list(reader.pages(path, 1, reader.inspect(path).page_count))


def text_of(page: Page) -> str:
    label = page.citation_units[0][1].label if page.citation_units else ""
    return f"{label}: {page.text}"


def test_a_file_of_each_kind_is_a_part_behind_the_pages_with_its_name(path: Path) -> None:
    files = {f"a.{kind}": make() for kind, make in good_files().items()}
    files["inner.pdf"] = pdf("Turn the wheel.", {})
    files["mail.eml"] = bytes(message(("note.txt", b"Close the hatch.\n")))
    path.write_bytes(pdf("Close the valve.", files))
    cover, *parts = pages_of(path)
    assert cover.text.startswith("Close the valve.")
    assert all(f"[Attached file: {name}]" in cover.text for name in files)
    assert "not read" not in "".join(part.text for part in parts)
    units = [unit for part in parts for _, unit in part.citation_units]
    assert {unit.kind for unit in units} == {UnitKind.PART}
    assert {unit.label.split(",")[0] for unit in units} == {f"attachment {name}" for name in files}
    assert all(unit.anchor.startswith("page=1&part=") for unit in units)
    texts = [text_of(part) for part in parts]
    assert "attachment inner.pdf, page 1: Turn the wheel." in texts
    assert "attachment mail.eml, attachment note.txt, line 1: Close the hatch." in texts
    assert [part.number for part in parts] == list(range(2, len(parts) + 2))


def test_a_later_range_has_the_same_parts(path: Path) -> None:
    path.write_bytes(pdf("Cover.", {f"{number}.txt": b"Close valve %d." % number for number in range(5)}))
    pages = pages_of(path)
    assert list(default_reader().pages(path, 4, 6)) == pages[3:]


def test_a_file_that_cannot_be_read_is_named_with_the_reason(path: Path) -> None:
    docx = good_files()["docx"]()
    locked, out = PdfWriter(io.BytesIO(pdf("Secret.", {}))), io.BytesIO()
    locked.encrypt("a password", algorithm="RC4-128")
    locked.write(out)
    files = {
        "data.xml": b"<?xml version='1.0'?><invoice/>",
        "scan.png": image("PNG"),
        "empty.txt": b" \n",
        "cut.docx": docx[: len(docx) // 2],
        "locked.pdf": out.getvalue(),
    }
    path.write_bytes(pdf("Close the valve.", files))
    assert [text_of(page) for page in pages_of(path)[1:]] == [
        "attachment cut.docx: [This attachment is not read: corrupt]",
        "attachment data.xml: [This attachment is not read: unknown_kind]",
        "attachment empty.txt: [This attachment is not read: no_text]",
        "attachment locked.pdf: [This attachment is not read: encrypted]",
        "attachment scan.png: [This attachment is not read: no_text]",
    ]


def test_the_members_of_a_portfolio_are_read(path: Path) -> None:
    path.write_bytes(pdf("Get a viewer.", {"a.txt": b"Close the valve."}, portfolio=True))
    assert pages_of(path)[1].text == "Close the valve."
    path.write_bytes(pdf("Get a viewer.", {"a.bin": bytes(99)}, portfolio=True))
    with pytest.raises(Refused) as refused:
        default_reader().inspect(path)
    assert refused.value.reason == Reason.PORTFOLIO


def test_files_in_files_are_read_to_a_bounded_depth(path: Path) -> None:
    content = b"Close the valve."
    name = "deep.txt"
    for depth in range(5, 0, -1):
        content, name = pdf(f"Level {depth}.", {name: content}), f"{depth}.pdf"
    path.write_bytes(content)
    texts = [page.text for page in pages_of(path)]
    assert [text.partition("\n")[0] for text in texts[:4]] == ["Level 1.", "Level 2.", "Level 3.", "Level 4."]
    assert texts[4:] == ["[This attachment is not read: too_many_pages]"]


def test_files_over_the_limit_are_counted(path: Path) -> None:
    path.write_bytes(pdf("Cover.", {f"{number:03}.txt": b"Valve." for number in range(MAX_FILES + 2)}))
    pages = pages_of(path)
    assert len(pages) == 1 + MAX_FILES + 1
    assert text_of(pages[-1]) == "attachment 2 more files: [This attachment is not read: too_many_pages]"


def test_a_hostile_file_costs_the_attached_files_and_not_the_pages(path: Path) -> None:
    path.write_bytes(pdf("Close the valve.", {"a.docx": format_poison()["docx_bomb"]()}))
    cover, lost = pages_of(path)
    assert cover.text.startswith("Close the valve.")
    assert (lost.text, lost.unreadable) == ("", Reason.TOO_MUCH_MEMORY)
    assert not lost.may_be_picture
    reading = read(path)
    assert (reading.status, reading.unreadable) == ("INDEXED", (Reason.TOO_MUCH_MEMORY,))
