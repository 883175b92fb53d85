"""Draw a PDFium page with and without its doubtful text, and find the characters that no reader can see.

Part of the child's program. A character is visible if the picture changes at its place when the character is left
out. Text that changes nothing is kept only on an image with marks at its place, which is the text layer of a scan,
or where it clips what is painted later. Text that there is no time to draw counts as invisible.
"""

from __future__ import annotations

import ctypes
import math
import time
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
# The letters of a scan's text layer are not quite in place: a word is kept with marks under this share of them.
INKED_SHARE = 0.5
# Texts of different looks that share a cell (points) are left out one after the other, so that visible text does
# not hide what is under it; at most so many times.
CELL, MAX_GROUPS = 8.0, 8
_PIXEL = 4  # bytes


class Budget:
    """The processor time that is left for drawing.

    PDFium asks `pause` after each hundred objects whether to stop. A form counts as one object.
    """

    def __init__(self, raw: Any) -> None:
        self._ends = 0.0
        # Python maps executable memory for a callback, so create it before the sandbox.
        kind = dict(raw.IFSDK_PAUSE._fields_)["NeedToPauseNow"]
        self.pause = raw.IFSDK_PAUSE(version=1, NeedToPauseNow=kind(lambda _pause: self.is_spent()))

    def start(self, seconds: float) -> None:
        """Allow so much processor time from now on."""
        self._ends = time.process_time() + seconds

    def is_spent(self) -> bool:
        """Return whether no time is left."""
        return time.process_time() >= self._ends


class Pictures:
    """Judges the doubtful texts of one page. `text_page` is an address, and `box` the visible part of the page."""

    def __init__(self, raw: Any, calls: Any, page: Any, text_page: int, box: Box, budget: Budget) -> None:
        self._raw, self._calls, self._page, self._text_page, self._box = raw, calls, page, text_page, box
        self._budget = budget
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._numbers_at = [ctypes.addressof(number) for number in self._numbers]
        self._matrix = raw.FS_MATRIX()

    def hidden(self, drawn: Drawn, characters: Iterable[int]) -> set[int]:
        """Return which of the `characters` (indices of the text page) are invisible."""
        looks: dict[tuple[int, ...], dict[int, Box]] = defaultdict(dict)
        hidden, clips = set[int](), set[int]()
        for index in characters:
            item = self._calls.FPDFText_GetTextObject(self._text_page, index)
            if item in drawn.doubtful:
                box = self._place(index)
                if box is None or self._is_tiny(index):
                    hidden.add(index)
                else:
                    looks[drawn.doubtful[item]][index] = box
                    if drawn.doubtful[item][0] == self._raw.FPDF_TEXTRENDERMODE_CLIP:
                        clips.add(index)
        if not looks:
            return hidden
        canvas = _Canvas(self._raw, self._calls, self._page, self._box, looks.values(), self._budget)
        unseen = dict[int, Box]()
        for look in [look for look in looks if look[0] == self._raw.FPDF_TEXTRENDERMODE_INVISIBLE]:
            unseen.update(looks.pop(look))
        whole = canvas.draw() if looks else None
        for group, places in _apart(looks):
            without = canvas.draw([item for item, look in drawn.doubtful.items() if look in group])
            unseen.update((index, box) for index, box in places.items() if not canvas.differ(whole, without, box))
        if clips & unseen.keys():
            painted = canvas.draw(drawn.texts)
            clips = {index for index in clips & unseen.keys() if canvas.has_ink(painted, unseen[index])}
            unseen = {index: box for index, box in unseen.items() if index not in clips}
        if unseen and drawn.images:
            scan = canvas.draw(drawn.texts + drawn.paths)
            inked = {index for index, box in unseen.items() if canvas.has_ink(scan, box)}
            return hidden.union(*(word for word in _words(unseen) if len(inked & word) < INKED_SHARE * len(word)))
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


def _apart(
    looks: Mapping[tuple[int, ...], dict[int, Box]],
) -> list[tuple[set[tuple[int, ...]], dict[int, Box]]]:
    """Return groups of looks with their places; those of one group are apart, but in the last of `MAX_GROUPS`."""
    groups: list[tuple[set[tuple[int, ...]], dict[int, Box]]] = []
    taken: list[set[tuple[int, int]]] = []
    for look, places in looks.items():
        cells = {cell for box in places.values() for cell in _cells(box)}
        number = next((number for number, other in enumerate(taken) if cells.isdisjoint(other)), len(groups))
        number = min(number, MAX_GROUPS - 1)
        if number == len(groups):
            groups.append((set(), {}))
            taken.append(set())
        groups[number][0].add(look)
        groups[number][1].update(places)
        taken[number] |= cells
    return groups


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    left, bottom, right, top = (int(end // CELL) for end in box)
    for column in range(left, right + 1):
        for row in range(bottom, top + 1):
            yield column, row


def _words(characters: Iterable[int]) -> Iterator[set[int]]:
    """Yield the sets of indices that follow one another; a blank between two words has an index too."""
    word: set[int] = set()
    for index in sorted(characters):
        if index - 1 not in word:
            yield word
            word = set()
        word.add(index)
    yield word


class _Canvas:
    """Pictures of the part of a page around some places, row by row from the top."""

    def __init__(
        self, raw: Any, calls: Any, page: Any, box: Box, places: Collection[Mapping[int, Box]], budget: Budget
    ) -> None:
        self._raw, self._calls, self._page, self._budget = raw, calls, page, budget
        # Turned back by the page's rotation, the picture has the axes of the page's coordinates.
        self._turn = -page.get_rotation() // 90 % 4
        lefts, bottoms, rights, tops = zip(*(place for one in places for place in one.values()), strict=True)
        wide, high = max(rights) - min(lefts), max(tops) - min(bottoms)
        scale = min(SCALE, math.sqrt(MAX_PIXELS / max(wide * high, 1.0)))
        self._page_size = math.ceil((box[2] - box[0]) * scale), math.ceil((box[3] - box[1]) * scale)
        self._origin = box[0], box[3]
        self._scales = self._page_size[0] / (box[2] - box[0]), self._page_size[1] / (box[3] - box[1])
        # The picture's place on the page, in pixels.
        self._left, self._top, right, bottom = self._pixels((min(lefts), min(bottoms), max(rights), max(tops)))
        self._width, self._height = right - self._left, bottom - self._top

    def draw(self, left_out: Collection[int] = ()) -> bytearray | None:
        """Return the pixels of the page without some of its objects; None when the budget is spent."""
        if self._budget.is_spent():
            return None
        activate = self._calls.FPDFPageObj_SetIsActive
        for item in left_out:
            activate(item, 0)
        raw, wide, high = self._raw, self._width, self._height
        pixels = bytearray(b"\xff") * (wide * high * _PIXEL)
        memory = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
        bitmap = raw.FPDFBitmap_CreateEx(wide, high, raw.FPDFBitmap_BGRx, memory, wide * _PIXEL)
        place = -self._left, -self._top, *self._page_size
        pause = ctypes.byref(self._budget.pause)
        status = raw.FPDF_RenderPageBitmap_Start(bitmap, self._page, *place, self._turn, raw.FPDF_ANNOT, pause)
        raw.FPDF_RenderPage_Close(self._page)
        raw.FPDFBitmap_Destroy(bitmap)
        for item in left_out:
            activate(item, 1)
        return pixels if status == raw.FPDF_RENDER_DONE else None

    def differ(self, one: bytearray | None, other: bytearray | None, box: Box) -> bool:
        """Return whether two pictures differ visibly in a box."""
        if one is None or other is None:
            return False
        for start, end in self._rows(box):
            row, other_row = one[start:end], other[start:end]
            if row != other_row and any(abs(a - b) >= CONTRAST for a, b in zip(row, other_row, strict=True)):
                return True
        return False

    def has_ink(self, picture: bytearray | None, box: Box) -> bool:
        """Return whether a picture has marks in a box."""
        if picture is None:
            return False
        rows = [picture[start:end] for start, end in self._rows(box)]
        return any(
            max(max(row[channel::_PIXEL]) for row in rows) - min(min(row[channel::_PIXEL]) for row in rows) >= INK
            for channel in range(_PIXEL - 1)
        )

    def _rows(self, box: Box) -> Iterator[tuple[int, int]]:
        """Yield where each row of a box begins and ends in the pixels."""
        left, top, right, bottom = self._pixels(box)
        for row in range(top - self._top, bottom - self._top):
            at = row * self._width - self._left
            yield (at + left) * _PIXEL, (at + right) * _PIXEL

    def _pixels(self, box: Box) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of a box in pixels of the page, with a margin of half a pixel."""
        (across, down), (left, top) = self._scales, self._origin
        return (
            math.floor((box[0] - left) * across - 0.5),
            math.floor((top - box[3]) * down - 0.5),
            math.ceil((box[2] - left) * across + 0.5),
            math.ceil((top - box[1]) * down + 0.5),
        )
