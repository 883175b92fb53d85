"""Recognise the text of pictures: the child's readers of images, and of a PDF's pages as PDFium draws them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from docwell.adapters.documents import ocr_layout, pdf_layout
from docwell.adapters.documents.child import PageText, Pdfium
from docwell.adapters.documents.formats import images, kinds
from docwell.adapters.documents.formats.opening import IMAGE_MODULES
from docwell.adapters.documents.ocr_engine import LONGEST_SIDE, Engine, forbid_threads


def is_picture(path: str) -> bool:
    """Return whether the file begins like an image that docwell reads."""
    with open(path, "rb") as file:
        return file.read(8).startswith(kinds.IMAGES)


class Pictures:
    """RapidOCR on each picture of an image file."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        self._engine = Engine()
        forbid_threads()
        for name in IMAGE_MODULES:
            importlib.import_module(name)
        with open(path, "rb") as file:
            data = file.read()
        close_doors()
        self._image = images.opened(data)

    def count(self) -> int:
        """Return the number of pictures."""
        return getattr(self._image, "n_frames", 1)

    def metadata(self) -> dict[str, str | None]:
        """Return nothing: an image states no title here."""
        return {}

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return the text that is recognised on a picture, upright as its camera noted."""
        if index:
            self._image.seek(index)
        picture: Image.Image = ImageOps.exif_transpose(self._image).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        # The engine expects blue first, as PDFium draws.
        boxes, height = self._engine.read(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]))
        found = pdf_layout.lay_out(ocr_layout.lines(boxes, height, 1.0), 0.0, float(height), {})
        return PageText(found.text, headings=found.headings, confidence=ocr_layout.confidence(boxes))


class Scan(Pdfium):
    """RapidOCR on each page of a PDF, which PDFium draws."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        self._engine = Engine()
        forbid_threads()
        super().__init__(path, close_doors)

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return the text that is recognised on the picture of a page, and its comments."""
        with self._opened(index) as page:
            scale = LONGEST_SIDE / max(*page.get_size(), 1.0)
            boxes, height = self._engine.read(page.render(scale=scale, may_draw_forms=False).to_numpy())
            text_page = page.get_textpage()
            glyphs = self._glyphs_of(page, text_page)
            comments = self._cover.notes(self._address(page.raw), page.get_bbox(), glyphs).comments
            text_page.close()
        # Keep running heads: the pages before may not be pictures.
        found = pdf_layout.lay_out(ocr_layout.lines(boxes, height, scale), 0.0, height / scale, {})
        text = "\n\n".join(filter(None, [found.text, *comments]))
        confidence = ocr_layout.confidence(boxes)
        return PageText(text, self._label(index), headings=found.headings, confidence=confidence)
