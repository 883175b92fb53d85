"""Pages that are mostly a picture, with a little text beside it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest
from fpdf import FPDF

from docwell.models import Page
from tests.integration.test_ocr_reader import MISBEHAVIOUR, OnePage, page_of_text, real, recogniser

STAMPED = Page(1, "Received on 4 May", label="1", picture=True)


@pytest.mark.parametrize(
    ("answers", "text", "confidence", "picture"),
    [
        ("page('Received on 4 May. The order', 0.9)", "Received on 4 May. The order", 0.9, False),
        ("page('Recieued an', 0.6)", STAMPED.text, None, True),
        ("page('', None)", STAMPED.text, None, True),
        # The ground of a slide.
        ("page('LOGO', 0.98)", STAMPED.text, None, False),
        *((lines, STAMPED.text, None, True) for lines, _ in MISBEHAVIOUR.values()),
    ],
)
def test_a_picture_with_some_text_keeps_it_unless_as_much_is_recognised_well(
    tmp_path: Path, answers: str, text: str, confidence: float | None, *, picture: bool
) -> None:
    reader = replace(recogniser(tmp_path, answers, ocr_page_cpu_s=0.5), reader=OnePage(STAMPED))
    path = tmp_path / "document.pdf"
    path.write_bytes(b"%PDF-1.7")
    (found,) = reader.pages(path, 1, 1)
    assert (found.text, found.confidence, found.unreadable) == (text, confidence, None)
    assert (found.picture, found.label) == (picture, "1")


def stamped_scan(text: str, side: float) -> bytes:
    """A picture of a page of text, of a side of `side` mm, and text below."""
    drawn = pypdfium2.PdfDocument(bytes(page_of_text().output()))[0].render(scale=1).to_pil()
    document = FPDF()
    document.set_font("helvetica", size=12)
    document.add_page()
    picture = BytesIO()
    drawn.save(picture, "PNG")
    picture.seek(0)
    document.image(picture, 10, 10, side, side)
    document.set_y(205)
    document.multi_cell(0, text=text)
    return bytes(document.output())


@pytest.mark.parametrize("drawn", [False, True])
def test_a_page_without_text_is_recognised_unless_nothing_is_drawn_on_it(tmp_path: Path, *, drawn: bool) -> None:
    document = FPDF()
    document.add_page()
    if drawn:
        document.line(10, 10, 90, 90)
    path = tmp_path / "blank.pdf"
    path.write_bytes(bytes(document.output()))
    (page,) = real().reader.pages(path, 1, 1)
    assert (page.text, page.may_be_picture) == ("", drawn)


@pytest.mark.parametrize(
    ("text", "side", "picture"),
    [("Received on 4 May", 190, True), ("Received on 4 May", 90, False), ("A page of text. " * 20, 190, False)],
    ids=["a stamped scan", "a photo", "text with a large photo"],
)
def test_a_page_is_a_picture_if_images_have_most_of_it_and_its_text_is_short(
    tmp_path: Path, text: str, side: float, picture: bool
) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(stamped_scan(text, side))
    (page,) = real().reader.pages(path, 1, 1)
    assert text.split(maxsplit=1)[0] in page.text
    assert (page.picture, page.may_be_picture) == (picture, picture)
