"""Draw a PDFium page with and without its doubtful text, and find the characters that no reader can see.

Part of the child's program. A character is visible if the picture changes at its place when the character is left out.
Text that changes nothing is kept only on an image with marks at its place: the text layer of a scan.
"""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from docwell.adapters.documents.pdf_doubts import LEAST_TYPE, Box, Drawn, address, type_size

# Pixels for a point: strokes of 4-point type are then half a pixel wide. A larger page is drawn smaller.
SCALE, MAX_PIXELS = 2.0, 2_400_000
# The least difference (0 to 255) in a colour channel that the eye sees. Text in #ccc on white differs by 51.
CONTRAST = 20
# The least difference between the marks of a scan and its paper; JPEG noise on blank paper differs by less.
INK = 48
# Texts of each look are left out at a time, so that visible text does not hide what is under it. Further looks are
# left out together.
MAX_LOOKS = 6
_PIXEL = 4  # bytes


class Pictures:
    """Judges the doubtful texts of one page. `box` is the visible part of the page, in points."""

    def __init__(self, raw: Any, page: Any, text_page: Any, box: Box, rotation: int) -> None:
        self._raw, self._page, self._text_page, self._box = raw, page, text_page, box
        self._turn = -rotation // 90 % 4
        wide, high = max(box[2] - box[0], 1.0), max(box[3] - box[1], 1.0)
        self._scale = min(SCALE, math.sqrt(MAX_PIXELS / (wide * high)))
        self._width, self._height = max(1, round(wide * self._scale)), max(1, round(high * self._scale))
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._references = [ctypes.byref(number) for number in self._numbers]
        self._matrix = raw.FS_MATRIX()
        self._size: dict[int, bool] = {}

    def hidden(self, drawn: Drawn, characters: Iterable[int]) -> set[int]:
        """Return which of the `characters` (indices of the text page) are invisible."""
        looks: dict[int, list[int]] = defaultdict(list)
        keys = {look: min(number, MAX_LOOKS - 1) for number, look in enumerate(_looks(drawn))}
        hidden: set[int] = set()
        for index in characters:
            item = address(self._raw.FPDFText_GetTextObject(self._text_page, index))
            if item not in drawn.doubtful:
                continue
            if self._is_tiny(index):
                hidden.add(index)
            else:
                looks[keys[drawn.doubtful[item][1]]].append(index)
        if not looks:
            return hidden
        whole, unseen = self._draw(), set[int]()
        for key, indices in looks.items():
            items = [item for item, look in drawn.doubtful.values() if keys[look] == key]
            without = self._draw_without(items)
            unseen.update(index for index in indices if not self._differs(whole, without, index))
        if unseen and drawn.images:
            scan = self._draw_without(drawn.others)
            unseen = {index for index in unseen if not self._has_ink(scan, index)}
        return hidden | unseen

    def _is_tiny(self, index: int) -> bool:
        raw, matrix = self._raw, self._matrix
        raw.FPDFText_GetMatrix(self._text_page, index, ctypes.byref(matrix))
        size = raw.FPDFText_GetFontSize(self._text_page, index)
        return type_size(size, matrix) < LEAST_TYPE

    def _draw_without(self, items: Iterable[Any]) -> bytearray:
        left_out = [item for item in items if self._raw.FPDFPageObj_SetIsActive(item, 0)]
        try:
            return self._draw()
        finally:
            for item in left_out:
                self._raw.FPDFPageObj_SetIsActive(item, 1)

    def _draw(self) -> bytearray:
        """Return the page's pixels, row by row from the top, not turned."""
        raw, wide, high = self._raw, self._width, self._height
        pixels = bytearray(wide * high * _PIXEL)
        memory = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
        bitmap = raw.FPDFBitmap_CreateEx(wide, high, raw.FPDFBitmap_BGRx, memory, wide * _PIXEL)
        try:
            raw.FPDFBitmap_FillRect(bitmap, 0, 0, wide, high, 0xFFFFFFFF)
            raw.FPDF_RenderPageBitmap(bitmap, self._page, 0, 0, wide, high, self._turn, raw.FPDF_ANNOT)
        finally:
            raw.FPDFBitmap_Destroy(bitmap)
        return pixels

    def _differs(self, whole: bytearray, without: bytearray, index: int) -> bool:
        for start, end in self._spans(index):
            one, other = whole[start:end], without[start:end]
            if one != other and any(abs(a - b) >= CONTRAST for a, b in zip(one, other, strict=True)):
                return True
        return False

    def _has_ink(self, picture: bytearray, index: int) -> bool:
        rows = [picture[start:end] for start, end in self._spans(index)]
        return any(
            max(map(max, channel)) - min(map(min, channel)) >= INK
            for channel in ([row[number::_PIXEL] for row in rows] for number in range(_PIXEL - 1))
            if channel
        )

    def _spans(self, index: int) -> Iterator[tuple[int, int]]:
        """Yield where a character's box begins and ends in each row of pixels; nothing for one off the page."""
        self._raw.FPDFText_GetCharBox(self._text_page, index, *self._references)
        left, right, bottom, top = (number.value for number in self._numbers)
        first, last = self._column(left, math.floor) , self._column(right, math.ceil)
        if first < last:
            for row in range(self._row(top, math.floor), self._row(bottom, math.ceil)):
                at = row * self._width
                yield (at + first) * _PIXEL, (at + last) * _PIXEL

    def _column(self, x: float, whole: Callable[[float], int]) -> int:
        return max(0, min(self._width, whole((x - self._box[0]) * self._scale)))

    def _row(self, y: float, whole: Callable[[float], int]) -> int:
        return max(0, min(self._height, whole((self._box[3] - y) * self._scale)))


def _looks(drawn: Drawn) -> Iterator[tuple[int, ...]]:
    """Yield each look once, in the order of drawing."""
    yield from dict.fromkeys(look for _, look in drawn.doubtful.values())
