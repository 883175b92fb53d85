"""Pages of `ChildPdfReader` with several fonts, one of which may say wrong characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.broken_maps import BROKEN
from docwell.models import Reason
from tests.integration.test_pdf_text import blank, read, saved
from tests.unit.adapters.documents.test_garbled import ENGLISH

LINES = [ENGLISH[at : at + 80].strip() for at in range(0, len(ENGLISH), 80)]


def page(lines: list[tuple[str, str]], tmp_path: Path) -> Path:
    """A page of lines, each with its font."""
    pdf = blank()
    pdf.add_page()
    for number, (font, line) in enumerate(lines):
        pdf.set_font(font, size=9)
        pdf.text(50, 50 + 12 * number, line)
    return saved(pdf, tmp_path)


def in_font(font: str, lines: list[str]) -> list[tuple[str, str]]:
    return [(font, line) for line in lines]


def wrong(lines: list[str]) -> list[str]:
    return [BROKEN["permuted letters"](line, 1) for line in lines]


def test_a_page_with_a_wrong_font_among_others_is_unreadable(tmp_path: Path) -> None:
    path = page(in_font("Helvetica", LINES * 3) + in_font("Times", wrong(LINES)), tmp_path)
    assert [(one.text, one.unreadable) for one in read(path)] == [("", Reason.UNREADABLE)]


@pytest.mark.parametrize("most", [LINES, LINES[:2]], ids=["as good", "as little"])
def test_fonts_that_read_well_or_have_little_text_spoil_no_page(tmp_path: Path, most: list[str]) -> None:
    other = most if most is LINES else wrong(most)
    (found,) = read(page(in_font("Helvetica", LINES * 3) + in_font("Times", other), tmp_path))
    assert found.unreadable is None
    assert LINES[0] in found.text


def test_words_in_a_wrong_font_within_the_lines_of_another_are_seen(tmp_path: Path) -> None:
    pdf = blank()
    pdf.add_page()
    for number, line in enumerate(LINES * 4):
        for font, x, text in (("Helvetica", 50, line[:38].strip()), ("Times", 300, wrong([line[40:]])[0].strip())):
            pdf.set_font(font, size=9)
            pdf.text(x, 50 + 12 * number, text)
    assert read(saved(pdf, tmp_path))[0].unreadable is Reason.UNREADABLE
