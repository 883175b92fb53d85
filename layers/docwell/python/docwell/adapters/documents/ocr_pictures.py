"""Recognise the text of images: the child's reader of what is a picture and no PDF."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from docwell.adapters.documents import ocr_layout, pdf_layout
from docwell.adapters.documents.child import PageText
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
