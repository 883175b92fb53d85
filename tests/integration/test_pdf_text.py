"""The text that `ChildDocumentReader` extracts from real pages, ordered by place."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest
from fpdf import FPDF

from benchmarks.reading import default_reader
from docwell.models import Heading, Page
from tests.unit.cases import rows


def read(path: Path, first: int = 1, last: int = 1) -> list[Page]:
    return list(default_reader().pages(path, first, last))


def blank() -> FPDF:
    pdf = FPDF(unit="pt", format=(600, 800))
    pdf.set_auto_page_break(auto=False)
    pdf.set_font("Helvetica", size=10)
    return pdf


def saved(pdf: FPDF, tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    pdf.output(str(path))
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Six pages with a running head, a heading, two lines and the page number."""
    pdf = blank()
    for number in range(1, 7):
        pdf.add_page()
        pdf.text(50, 40, "Annual report of the society")
        pdf.set_font(style="B", size=16)
        pdf.text(50, 100, f"Chapter {number}")
        pdf.set_font(style="", size=10)
        pdf.text(50, 130, f"What chapter {number} tells in its first line")
        pdf.text(50, 142, "and in its second.")
        pdf.text(280, 770, f"page {number} of 6")
    return saved(pdf, tmp_path)


def test_a_running_head_is_read_once_and_headings_are_known(report: Path) -> None:
    pages = read(report, 1, 6)
    assert pages[0].text == (
        "Annual report of the society\n\nChapter 1\n\nWhat chapter 1 tells in its first line\nand in its second."
        "\n\npage 1 of 6"
    )
    assert pages[4].text == "Chapter 5\n\nWhat chapter 5 tells in its first line\nand in its second."
    assert pages[4].headings == (Heading("Chapter 5", 16.2),)


def test_a_page_reads_the_same_in_any_range(report: Path) -> None:
    assert [read(report, number, number)[0] for number in range(1, 7)] == read(report, 1, 6)


def drawn(pieces: list[tuple[str, float]], tmp_path: Path) -> str:
    """Read a line of pieces, each raised by a share of the type size, in smaller type unless that is 0."""
    pdf = blank()
    pdf.add_page()
    x = 50.0
    for text, rise in pieces:
        pdf.set_font(size=6 if rise else 10)
        pdf.text(x, 100 - 10 * rise, text)
        x += pdf.get_string_width(text)
    return read(saved(pdf, tmp_path))[0].text


@pytest.mark.parametrize("rise", [0.3, 0.4])
@pytest.mark.parametrize("after", ["", ".", ", then", " of them"])
@pytest.mark.parametrize(
    ("base", "mark"),
    [("10", "6"), ("10", "-3"), ("about 10", "12"), ("12.50", "1"), ("1,250", "1,2"), ("20", "0"), ("45", "00")],
)
def test_raised_digits_make_no_other_figure(tmp_path: Path, base: str, mark: str, after: str, rise: float) -> None:
    assert drawn([(base, 0), (mark, rise), (after, 0)], tmp_path) == f"{base}^{mark}{after}"


@pytest.mark.parametrize(("pieces", "text"), rows(__file__, "raised_figures"))
def test_a_raised_figure_stays_in_its_line_and_apart(
    tmp_path: Path, pieces: list[tuple[str, float]], text: str
) -> None:
    assert drawn(pieces, tmp_path) == text


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_page_reads_as_a_reader_sees_it(tmp_path: Path, rotation: int) -> None:
    pdf = FPDF(unit="pt", format=(600, 600))
    pdf.set_font("Helvetica", size=10)
    for number in (1, 2):
        pdf.add_page()
        with pdf.rotation(rotation, 300, 300):
            pdf.text(50, 40, "Running head")
            pdf.text(50, 200, f"First line {number}")
            pdf.text(50, 212, "second line")
            pdf.text(50, 260, "Last line")
    writer = pypdf.PdfWriter(clone_from=saved(pdf, tmp_path))
    for page in writer.pages:
        page.rotation = rotation
    writer.write(tmp_path / "turned.pdf")
    assert read(tmp_path / "turned.pdf", 2, 2)[0].text == "First line 2\nsecond line\n\nLast line"
