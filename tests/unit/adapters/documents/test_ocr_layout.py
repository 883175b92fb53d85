"""The reading order of recognised lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from docwell.adapters.documents import child, ocr_pages, pdf_layout
from docwell.adapters.documents.ocr_pages import Box, confidence, in_order, lines, stand_upright


def box(text: str, left: float, top: float, width: float = 400.0, height: float = 20.0, sure: float = 0.9) -> Box:
    return Box(text, left, top, left + width, top + height, sure)


def column(name: str, left: float, top: float, count: int = 6) -> list[Box]:
    return [box(f"{name}{number}", left, top + 30 * number) for number in range(count)]


LEFT, RIGHT = column("left", 100, 100), column("right", 560, 105)
TITLE = box("title", 100, 20, width=860)
CELLS = [
    box(f"{row}.{place}", 100 + 200 * place, 100 + 30 * row, width=80) for row in range(6) for place in range(3)
]


@pytest.mark.parametrize(
    ("boxes", "ordered"),
    [
        ([cell for pair in zip(LEFT, RIGHT, strict=True) for cell in pair], LEFT + RIGHT),
        ([*LEFT, *RIGHT, TITLE], [TITLE, *LEFT, *RIGHT]),
        (sorted(CELLS, key=lambda cell: cell.left), CELLS),
    ],
    ids=["two columns", "a title over two columns", "a table"],
)
def test_columns_are_read_one_after_the_other_and_a_table_by_row(boxes: list[Box], ordered: list[Box]) -> None:
    assert in_order(boxes) == ordered


def test_the_confidence_of_a_page_is_its_characters() -> None:
    assert confidence([]) is None
    assert confidence([box("a" * 30, 0, 0, sure=1.0), box("b" * 10, 0, 30, sure=0.6)]) == pytest.approx(0.9)


def test_a_page_on_its_side_is_known_by_its_lines() -> None:
    tall = [box("a line that runs upward", 100, 100, width=20, height=400)]
    assert stand_upright(tall)
    assert not stand_upright([*column("line", 100, 100, count=9), box("1", 0, 0, width=10)])


def test_boxes_of_about_one_height_make_no_headings_and_a_large_line_does() -> None:
    body = [box(f"body line {n}", 100, 200 + 30 * n, height=20 + n % 3 * 2) for n in range(8)]
    found = lines([box("A heading", 100, 100, height=44), *body], height=1000, scale=2)
    ((text, size),) = pdf_layout.lay_out(found, 0, 500, {}).headings
    assert (text, size) == ("A heading", 17.6)


def test_lines_far_apart_are_paragraphs() -> None:
    found = lines([*column("one", 100, 100, count=3), *column("two", 100, 300, count=3)], height=1000, scale=2)
    assert pdf_layout.lay_out(found, 0, 500, {}).text == "one0\none1\none2\n\ntwo0\ntwo1\ntwo2"


@pytest.mark.parametrize("apart", [-8.0, 0.0, 2.0, 30.0])
def test_cells_of_a_row_stay_apart_although_their_boxes_touch(apart: float) -> None:
    cells = [("Desks", 120.0), ("2", 12.0), ("1,450.00", 90.0)]
    boxes, left = [], 50.0
    for text, width in cells:
        boxes.append(box(text, left, 100.0, width))
        left += width + apart
    page = pdf_layout.lay_out(lines(boxes, 1000.0, 2.0), 0.0, 500.0, {})
    assert page.text == "Desks 2 1,450.00"


def test_the_recogniser_of_an_image_answers_its_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr_pages, "Engine", lambda: None)
    Image.new("L", (9, 9)).save(tmp_path / "letter", "PNG")
    reader = ocr_pages.open_pictures(str(tmp_path / "letter"), lambda: None)
    assert child.answer(reader, ["info"], 9)["pages"] == 1
