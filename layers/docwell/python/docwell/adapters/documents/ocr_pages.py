"""Recognise printed text on the pictures of pages with RapidOCR (PaddleOCR's models on onnxruntime).

The child's readers of images, and of a PDF's pages as PDFium draws them. Places on a picture are in pixels, y
growing downward; a `Line` is in points, y growing upward, as in `pdf_layout`.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from docwell.adapters.documents import formats
from docwell.adapters.documents.kinds import IMAGES
from docwell.adapters.documents.parts import PageText
from docwell.adapters.documents.pdf_layout import OVERLAP, RAISED, WORD_GAP, Line, lay_out
from docwell.adapters.documents.pdf_pages import Pdfium

# In pixels: 171 dots an inch for a page of A4. RapidOCR shrinks larger pictures.
LONGEST_SIDE = 2000
# Two threads take 0.6 of the time of one; more gain little.
THREADS = 2
# A page with less confidence is also read upside down. Upside-down text got 0.60 to 0.74, a good scan over 0.95.
DOUBT = 0.8
# A picture is blank when its lightest and darkest points differ by less (of 255).
CONTRAST = 32


load = formats.load


class Engine:
    """Reads pictures: (height, width, 3) uint8 arrays."""

    def __init__(self) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        options = {
            "Global.log_level": "critical",
            "Global.max_side_len": LONGEST_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Batches take twice the time: all lines of a batch are padded to the longest.
            "Rec.rec_batch_num": 1,
        }
        self._engine = RapidOCR(params=options)
        # RapidOCR loads its models at their first use.
        blank = np.full((64, 256, 3), 255, np.uint8)
        self._engine(blank, use_det=True, use_cls=False, use_rec=False)
        self._engine(blank, use_det=False, use_cls=False, use_rec=True)
        # The engine has started its threads: forbid more.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    def page(self, picture: NDArray[np.uint8], scale: float) -> PageText:
        """Return the text of a picture, which has `scale` pixels to a point."""
        boxes, height = self.read(picture)
        # Keep running heads: the pages before may not be pictures.
        laid_out = lay_out(lines(boxes, height, scale), 0.0, height / scale, {})
        return PageText(laid_out.text, headings=laid_out.headings, confidence=confidence(boxes))

    def read(self, picture: NDArray[np.uint8]) -> tuple[list[Box], int]:
        """Return the lines on the picture, turned upright if need be, and the height of that picture in pixels.

        A page on its side or upside down is read both ways, and the more confident reading wins. RapidOCR's own
        guess, made line by line, was wrong for a tenth of good lines.
        """
        if np.ptp(picture) < CONTRAST:
            return [], picture.shape[0]
        readings = [(self._boxes(picture), picture.shape[0])]
        sideways = stand_upright(readings[0][0])
        if sideways:
            readings.clear()
        for quarters in (1, 3) if sideways else (2,):
            if readings and (confidence(readings[-1][0]) or 1.0) >= DOUBT:
                break
            turned = np.ascontiguousarray(np.rot90(picture, quarters))
            readings.append((self._boxes(turned), turned.shape[0]))
        return max(readings, key=lambda reading: confidence(reading[0]) or 0.0)

    def _boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        answer: Any = self._engine(picture, use_det=True, use_cls=False, use_rec=True)
        if answer.boxes is None or answer.txts is None:
            return []
        ends = [(*corners.min(axis=0), *corners.max(axis=0)) for corners in answer.boxes]
        return [
            Box(" ".join(text.split()), *map(float, (*box, min(1.0, max(0.0, score)))))
            for box, text, score in zip(ends, answer.txts, answer.scores, strict=True)
        ]


# Boxes whose heights are within this ratio have one type size: in equal type, "ace" is lower than "fig".
SAME_SIZE = 1.35
# The shares of a box's height that are the type size and the part below the baseline.
SIZE_SHARE, BELOW_SHARE = 0.8, 0.2
# A gutter between columns has at least this many lines on either side, whose median width is over so many times
# the usual height. Cells of a table are narrower, and a table is read row by row.
COLUMN_LINES, COLUMN_WIDTH = 4, 8.0
# The least width of a gutter, in heights of a line.
GUTTER = 0.5
# Columns are not searched on a page with more lines: the time grows with their square.
MAX_LINES = 500


class Box(NamedTuple):
    """One recognised line on the picture. `confidence` is the recogniser's, 0 to 1."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def height(self) -> float:
        """The height in pixels."""
        return self.bottom - self.top


def confidence(boxes: Sequence[Box]) -> float | None:
    """Return the confidence of a page: its lines' mean, weighted by characters. None for a page without lines."""
    characters = sum(len(box.text) for box in boxes)
    return sum(len(box.text) * box.confidence for box in boxes) / characters if characters else None


def stand_upright(boxes: Sequence[Box]) -> bool:
    """Return whether most lines run up or down the picture, so that the page is on its side."""
    tall = sum(len(box.text) for box in boxes if box.height > box.right - box.left)
    return 2 * tall > sum(len(box.text) for box in boxes)


def lines(boxes: Sequence[Box], height: float, scale: float) -> list[Line]:
    """Return the lines in reading order; the picture is `height` pixels high and has `scale` pixels to a point."""
    if not boxes:
        return []
    usual, ordered = median(box.height for box in boxes), list[Line]()
    for box in in_order(boxes):
        high = usual if usual / SAME_SIZE < box.height < usual * SAME_SIZE else box.height
        baseline, size = height - box.bottom + BELOW_SHARE * high, SIZE_SHARE * high
        ordered.append(Line(box.text, box.left / scale, box.right / scale, baseline / scale, size / scale))
    return ordered[:1] + [_set_apart(left, right) for left, right in pairwise(ordered)]


def _set_apart(left: Line, right: Line) -> Line:
    """Return the right line with a word's gap to the left one beside it.

    Boxes are wider than their text and can touch: the cells "2" and "1,450.00" would become one number.
    """
    size = max(left.size, right.size)
    beside = abs(left.baseline - right.baseline) <= RAISED * size and right.left - left.right >= -OVERLAP * size
    nearest = left.right + 2 * WORD_GAP * size
    return right._replace(left=nearest) if beside and right.left < nearest else right


def in_order(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes column by column where there is a gutter, else from top to bottom and left to right.

    The recursive X-Y cut (Nagy and Seth, 1984): a page without a gutter is cut at its widest horizontal gap, and
    each part is ordered the same way.
    """
    usual = median(box.height for box in boxes) if boxes else 0.0
    return _cut(list(boxes), usual) if len(boxes) <= MAX_LINES else _by_rows(boxes)


def _cut(boxes: list[Box], usual: float) -> list[Box]:
    if len(boxes) < 2 * COLUMN_LINES:
        return _by_rows(boxes)
    columns = _at_gap(boxes, lambda box: (box.left, box.right), lambda a, b: _are_columns(a, b, usual))
    parts = columns or _at_gap(boxes, lambda box: (box.top, box.bottom), lambda _a, _b: True)
    if parts is None:
        return _by_rows(boxes)
    return [box for part in parts for box in _cut(part, usual)]


def _at_gap(
    boxes: list[Box], ends: Callable[[Box], tuple[float, float]], fits: Callable[[list[Box], list[Box]], bool]
) -> tuple[list[Box], list[Box]] | None:
    """Return the boxes on both sides of the widest gap that fits, along the axis of `ends`."""
    ordered = sorted(boxes, key=ends)
    gaps: list[tuple[float, int]] = []
    reached = ends(ordered[0])[1]
    for number, box in enumerate(ordered[1:], 1):
        begins, stops = ends(box)
        if begins > reached:
            gaps.append((begins - reached, number))
        reached = max(reached, stops)
    for _, number in sorted(gaps, reverse=True):
        if fits(ordered[:number], ordered[number:]):
            return ordered[:number], ordered[number:]
    return None


def _are_columns(left: list[Box], right: list[Box], usual: float) -> bool:
    gutter = min(box.left for box in right) - max(box.right for box in left)
    return gutter > GUTTER * usual and all(
        len(side) >= COLUMN_LINES and median(box.right - box.left for box in side) > COLUMN_WIDTH * usual
        for side in (left, right)
    )


def _by_rows(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes row by row; boxes whose middles are within half a line of each other are one row."""
    ordered = sorted(boxes, key=lambda box: box.top + box.bottom)
    rows: list[list[Box]] = [ordered[:1]]
    for above, box in pairwise(ordered):
        apart = (box.top + box.bottom) / 2 - (above.top + above.bottom) / 2
        if apart < min(above.height, box.height) / 2:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box.left)]


def open_pictures(path: str, close_doors: Callable[[], object]) -> Pictures | Scan:
    """Return the reader of an image or of a PDF's pages."""
    with open(path, "rb") as file:
        return (Pictures if file.read(8).startswith(IMAGES) else Scan)(path, close_doors)


class Pictures(formats.Formats):
    """RapidOCR on each picture of an image file."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        self._engine = Engine()
        with open(path, "rb") as file:
            data = file.read()
        close_doors()
        self._image, self._metadata = formats.open_image(data), {}

    def count(self) -> int:
        """Return the number of pictures."""
        return getattr(self._image, "n_frames", 1)

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return the text that is recognised on a picture, upright as its camera noted."""
        if index:
            self._image.seek(index)
        picture: Image.Image = ImageOps.exif_transpose(self._image).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        # The engine expects blue first, as PDFium draws.
        return self._engine.page(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]), 1.0)


class Scan(Pdfium):
    """RapidOCR on each page of a PDF, which PDFium draws."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        self._engine = Engine()
        super().__init__(path, close_doors)

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return the text that is recognised on the picture of a page, and its comments."""
        with self._opened(index) as page:
            scale = LONGEST_SIDE / max(*page.get_size(), 1.0)
            answer = self._engine.page(page.render(scale=scale, may_draw_forms=False).to_numpy(), scale)
            text_page = page.get_textpage()
            comments = self._noted(page, text_page)[1].comments
            text_page.close()
        return answer._replace(text="\n\n".join(filter(None, [answer.text, *comments])))
