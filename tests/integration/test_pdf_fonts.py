"""Pages of `ChildPdfReader` with several fonts, one of which may say wrong characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfWriter

from benchmarks.broken_maps import BROKEN
from benchmarks.wrong_letters import with_wrong_letter
from docwell.adapters.documents.pdf_text import Fonts
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


def test_a_page_with_a_wrong_font_keeps_the_text_of_the_others(tmp_path: Path) -> None:
    path = page(in_font("Helvetica", LINES * 3) + in_font("Times", wrong(LINES)), tmp_path)
    (found,) = read(path)
    assert (found.text.split(), found.unreadable) == (" ".join(LINES * 3).split(), Reason.PARTLY_UNREADABLE)


def test_a_page_that_is_mostly_in_a_wrong_font_has_no_text(tmp_path: Path) -> None:
    path = page(in_font("Helvetica", LINES) + in_font("Times", wrong(LINES * 3)), tmp_path)
    assert [(one.text, one.unreadable) for one in read(path)] == [("", Reason.UNREADABLE)]


@pytest.mark.parametrize("most", [LINES, LINES[:2]], ids=["as good", "as little"])
def test_fonts_that_read_well_or_have_little_text_spoil_no_page(tmp_path: Path, most: list[str]) -> None:
    other = most if most is LINES else wrong(most)
    (found,) = read(page(in_font("Helvetica", LINES * 3) + in_font("Times", other), tmp_path))
    assert found.unreadable is None
    assert LINES[0] in found.text


def test_words_in_a_wrong_font_within_the_lines_of_another_are_left_out(tmp_path: Path) -> None:
    pdf = blank()
    pdf.add_page()
    for number, line in enumerate(LINES * 4):
        for font, x, text in (("Helvetica", 50, line[:38].strip()), ("Times", 300, wrong([line[40:]])[0].strip())):
            pdf.set_font(font, size=9)
            pdf.text(x, 50 + 12 * number, text)
    (found,) = read(saved(pdf, tmp_path))
    assert found.unreadable is Reason.PARTLY_UNREADABLE
    assert set(found.text.split()) == {word for line in LINES for word in line[:38].split()}


CAMEL = "JavaScript, PowerPoint, iPhone, McDonald, LaTeX and eBay require the taxi of a lazy man."
OTHERS = "The Queen, Jane, Boris and Xenia speak of exact equations and a project of Qatar."


@pytest.mark.parametrize("font", ["Helvetica", "Times", "Courier"])
def test_names_with_capitals_in_them_accuse_no_page(font: str, tmp_path: Path) -> None:
    (found,) = read(page(in_font(font, [CAMEL, OTHERS]), tmp_path))
    assert (found.unreadable, CAMEL in found.text) == (None, True)


@pytest.mark.parametrize("font", ["Helvetica", "Times", "Courier"])
@pytest.mark.parametrize(
    ("letter", "capital"), [("q", "T"), ("q", "Q"), ("x", "B"), ("z", "T"), ("j", "B"), ("v", "X"), ("p", "Q")]
)
def test_a_small_letter_that_is_read_as_a_capital_is_seen_and_the_text_kept(
    letter: str, capital: str, font: str, tmp_path: Path
) -> None:
    lines = [CAMEL, OTHERS, "a prize of every even project"]
    path = page(in_font(font, lines), tmp_path)
    path.write_bytes(with_wrong_letter(path, letter, capital))
    (found,) = read(path)
    assert found.unreadable is Reason.PARTLY_UNREADABLE
    assert OTHERS.replace(letter, capital) in found.text


@pytest.mark.parametrize(("text", "is_seen"), [("The Tsar knows a marker", True), ("he knows a marker", False)])
def test_a_wrong_tall_letter_is_seen_beside_the_capital_itself(
    *, text: str, is_seen: bool, tmp_path: Path
) -> None:
    path = page(in_font("Helvetica", [text]), tmp_path)
    path.write_bytes(with_wrong_letter(path, "k", "T"))
    assert (read(path)[0].unreadable is Reason.PARTLY_UNREADABLE) is is_seen


@pytest.mark.parametrize("capital", ["T", "q"])
def test_a_turned_page_is_judged_as_an_upright_one(capital: str, tmp_path: Path) -> None:
    pdf = blank()
    pdf.add_page()
    with pdf.rotation(90, 300, 400):
        pdf.text(50, 400, OTHERS)
    path = saved(pdf, tmp_path)
    path.write_bytes(with_wrong_letter(path, "q", capital))
    writer = PdfWriter(clone_from=path)
    writer.pages[0].rotate(90)
    writer.write(path)
    (found,) = read(path)
    assert found.text == OTHERS.replace("q", capital)
    assert (found.unreadable is Reason.PARTLY_UNREADABLE) is (capital == "T")


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_label_in_another_direction_is_compared_with_no_upright_text(angle: int, tmp_path: Path) -> None:
    pdf = blank()
    pdf.add_page()
    pdf.text(50, 50, "PyTorch, GitHub and YouTube")
    with pdf.rotation(angle, 300, 400):
        pdf.text(300, 400, "Throughput of Hadoop in Testing, and JavaScript")
    assert read(saved(pdf, tmp_path))[0].unreadable is None


def test_a_ligature_with_a_capital_is_compared_with_no_letter(tmp_path: Path) -> None:
    path = page(in_font("Times", ["Yey Yen Yose", "read PyTorch and YouYube"]), tmp_path)
    path.write_bytes(with_wrong_letter(path, "Y", "Th"))
    (found,) = read(path)
    assert "Then Those" in found.text
    assert found.unreadable is None


def test_a_capital_is_compared_with_those_of_its_font_behind_those_of_another(tmp_path: Path) -> None:
    lines = [*in_font("Times", ["To Tell The Times Today"]), *in_font("Helvetica", ["The Tsar knows a marker"])]
    path = page(lines, tmp_path)
    path.write_bytes(with_wrong_letter(path, "k", "T"))
    assert read(path)[0].unreadable is Reason.PARTLY_UNREADABLE


def test_words_left_out_move_no_others() -> None:
    class Fake:
        """A font says characters of two units at 3 to 5."""

        def index(self, position: int) -> int:
            return position

        def font(self, index: int) -> int:
            return 1 if 3 <= index <= 5 else 2

    glyphs: Any = Fake()
    assert Fonts(glyphs, "ab \U0010a000c d").without({1}) == "ab" + " " * 5 + "d"
