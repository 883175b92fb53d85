"""Draw a PDFium page with and without its doubtful text, and find the characters that no reader can see.

Part of the child's program. A character is visible if the picture changes at its place when the character is left out.
Text that changes nothing is kept only on an image with marks at its place: the text layer of a scan.
"""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from docwell.adapters.documents.pdf_doubts import LEAST_TYPE, Box, Drawn, type_size

# Pixels for a point: strokes of 4-point type are then half a pixel wide. A larger picture is drawn smaller.
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
    """Judges the doubtful texts of one page. `text_page` is an address, and `box` the visible part of the page."""

    def __init__(self, raw: Any, calls: Any, page: Any, text_page: int, box: Box) -> None:
        self._raw, self._calls, self._page, self._text_page, self._box = raw, calls, page, text_page, box
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._numbers_at = [ctypes.addressof(number) for number in self._numbers]
        self._matrix = raw.FS_MATRIX()

    def hidden(self, drawn: Drawn, characters: Iterable[int]) -> set[int]:
        """Return which of the `characters` (indices of the text page) are invisible."""
        keys = {look: min(number, MAX_LOOKS - 1) for number, look in enumerate(dict.fromkeys(drawn.doubtful.values()))}
        looks: dict[int, dict[int, Box]] = defaultdict(dict)
        hidden: set[int] = set()
        for index in characters:
            item = self._calls.FPDFText_GetTextObject(self._text_page, index)
            if item in drawn.doubtful:
                box = self._place(index)
                if box is None or self._is_tiny(index):
                    hidden.add(index)
                else:
                    looks[keys[drawn.doubtful[item]]][index] = box
        if not looks:
            return hidden
        canvas = _Canvas(self._raw, self._calls, self._page, self._box, looks.values())
        whole, unseen = canvas.draw(), dict[int, Box]()
        for key, places in looks.items():
            without = canvas.draw([item for item, look in drawn.doubtful.items() if keys[look] == key])
            unseen.update((index, box) for index, box in places.items() if not canvas.differ(whole, without, box))
        if unseen and drawn.images:
            scan = canvas.draw(drawn.others)
            unseen = {index: box for index, box in unseen.items() if not canvas.has_ink(scan, box)}
        return hidden | unseen.keys()

    def _place(self, index: int) -> Box | None:
        """Return the part of a character's box that is on the page, or None."""
        self._calls.FPDFText_GetCharBox(self._text_page, index, *self._numbers_at)
        left, right, bottom, top = (number.value for number in self._numbers)
        own = self._box
        left, bottom, right, top = max(left, own[0]), max(bottom, own[1]), min(right, own[2]), min(top, own[3])
        return (left, bottom, right, top) if left <= right and bottom <= top else None

    def _is_tiny(self, index: int) -> bool:
        self._calls.FPDFText_GetMatrix(self._text_page, index, ctypes.addressof(self._matrix))
        size = self._calls.FPDFText_GetFontSize(self._text_page, index)
        return type_size(size, self._matrix) < LEAST_TYPE


class _Canvas:
    """Pictures of the part of a page around some places, row by row from the top."""

    def __init__(
        self, raw: Any, calls: Any, page: Any, box: Box, places: Collection[Mapping[int, Box]]
    ) -> None:
        self._raw, self._calls, self._page = raw, calls, page
        # Turned back by the page's rotation, the picture has the axes of the page's coordinates.
        self._turn = -page.get_rotation() // 90 % 4
        lefts, bottoms, rights, tops = zip(*(place for one in places for place in one.values()), strict=True)
        left, self._top = min(lefts), max(tops)
        self._left = left
        wide, high = max(rights) - left, self._top - min(bottoms)
        self._scale = min(SCALE, math.sqrt(MAX_PIXELS / max(wide * high, 1.0)))
        self._width, self._height = math.ceil(wide * self._scale) + 2, math.ceil(high * self._scale) + 2
        # Where the whole page would lie, in pixels.
        self._page_at = round((box[0] - left) * self._scale) + 1, round((self._top - box[3]) * self._scale) + 1
        self._page_size = round((box[2] - box[0]) * self._scale), round((box[3] - box[1]) * self._scale)

    def draw(self, left_out: Collection[int] = ()) -> bytearray:
        """Return the pixels of the page without some of its objects."""
        activate = self._calls.FPDFPageObj_SetIsActive
        for item in left_out:
            activate(item, 0)
        raw, wide, high = self._raw, self._width, self._height
        pixels = bytearray(b"\xff") * (wide * high * _PIXEL)
        memory = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
        bitmap = raw.FPDFBitmap_CreateEx(wide, high, raw.FPDFBitmap_BGRx, memory, wide * _PIXEL)
        raw.FPDF_RenderPageBitmap(bitmap, self._page, *self._page_at, *self._page_size, self._turn, raw.FPDF_ANNOT)
        raw.FPDFBitmap_Destroy(bitmap)
        for item in left_out:
            activate(item, 1)
        return pixels

    def differ(self, one: bytearray, other: bytearray, box: Box) -> bool:
        """Return whether two pictures differ visibly in a box."""
        for start, end in self._rows(box):
            row, other_row = one[start:end], other[start:end]
            if row != other_row and any(abs(a - b) >= CONTRAST for a, b in zip(row, other_row, strict=True)):
                return True
        return False

    def has_ink(self, picture: bytearray, box: Box) -> bool:
        """Return whether a picture has marks in a box."""
        rows = [picture[start:end] for start, end in self._rows(box)]
        return any(
            max(max(row[channel::_PIXEL]) for row in rows) - min(min(row[channel::_PIXEL]) for row in rows) >= INK
            for channel in range(_PIXEL - 1)
        )

    def _rows(self, box: Box) -> Iterator[tuple[int, int]]:
        """Yield where each row of pixels of a box begins and ends; a box has at least one pixel."""
        left, bottom, right, top = box
        first = math.floor((left - self._left) * self._scale) + 1
        last = max(first, math.ceil((right - self._left) * self._scale)) + 1
        highest = math.floor((self._top - top) * self._scale) + 1
        lowest = max(highest, math.ceil((self._top - bottom) * self._scale)) + 1
        for row in range(highest, min(lowest, self._height)):
            at = row * self._width
            yield (at + first) * _PIXEL, (at + min(last, self._width)) * _PIXEL
