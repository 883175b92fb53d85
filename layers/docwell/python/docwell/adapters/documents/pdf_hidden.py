"""Find the text of a PDFium page that no reader sees.

Dark, opaque, unclipped text that is under nothing and on nothing dark is plain. All other text is doubtful: the
page is drawn with and without it. A character is visible if the picture changes at its place. Text that changes
nothing is kept only on an image with marks at its place, which is the text layer of a scan, or where it clips what
is painted later. Text that there is no time to draw stays, and the page is marked as `unchecked`.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby, product
from typing import Any, NamedTuple

from docwell.adapters.documents.parts import CONTRAST
from docwell.adapters.documents.pdf_text import Box, Library

# Text with a channel of at most the first, on a fill with all channels of at least the second, has contrast.
DARK, LIGHT = 110, 180
# An underline covers 6 % of a word, and a line through it 6 % more.
COVERED_SHARE = 0.15
# Type under this size (points, either way) is not legible, at whatever zoom a page is read.
LEAST_TYPE = 1.0
# Only a text with a smaller box can be of such type.
SMALL_BOX = 1.5
# The page is divided into rows of this height, so that a text is compared with few areas. A row merges the areas
# after so many.
ROW_HEIGHT, ROW_AREAS = 20.0, 64
# Forms in deeper forms are not read; PDFium's text page stops there too.
MAX_DEPTH = 8
# A page with this share of images and fewer characters than these is a picture, such as a scan with a stamp. Of
# 7,980 pages of the evaluation set one is; of the hard PDFs, which have scans, eleven.
PICTURE_SHARE, PICTURE_CHARACTERS = 0.5, 200
# Text modes from this one on clip what follows, and PDFium does not say what they clip.
CLIPPING_MODE = 4
NAME_BYTES, ACTUAL_TEXT_BYTES = 16, 1 << 16


class Area(NamedTuple):
    """A box that objects cover, and the orders of drawing of the first and the last of them."""

    first: int
    last: int
    box: Box
    light: bool


class Drawn(NamedTuple):
    """The doubtful texts of a page with their looks, by address, and its texts and other objects but images.

    A look begins with the render mode. Texts of one look have the same colour, and are equally covered.
    `image_share` is that of the page's area that images have, but those in forms.
    """

    doubtful: dict[int, tuple[int, ...]]
    texts: list[int]
    paths: list[int]
    images: bool
    image_share: float


class Objects:
    """The objects of one page. `page` is its address, and `box` its visible part."""

    def __init__(self, library: Library, page: int, box: Box) -> None:
        self._library, self._page, self._box = library, page, box
        self._fill = [ctypes.c_uint() for _ in range(4)]
        self._fill_at = [ctypes.addressof(channel) for channel in self._fill]
        self._floats = [ctypes.c_float() for _ in range(4)]
        self._floats_at = [ctypes.addressof(number) for number in self._floats]
        self._matrix = library.FS_MATRIX()
        self._matrix_at = ctypes.addressof(self._matrix)
        self._texts: list[tuple[int, int, Box, bool, tuple[int, ...]]] = []
        self._rows: dict[int, list[Area]] = {}
        self._fonts: dict[int | None, bool] = {}
        self._paths: list[int] = []
        self._images = self._clips = False
        self._image_area = 0.0

    def read(self) -> Drawn:
        """Return the doubtful texts, after removing replacement texts (ActualText) that have letters or digits."""
        library, count = self._library, self._library.FPDFPage_CountObjects(self._page)
        get, kind_of, text = library.FPDFPage_GetObject, library.FPDFPageObj_GetType, library.FPDF_PAGEOBJ_TEXT
        for order in range(count):
            item = get(self._page, order)
            kind = kind_of(item)
            if kind == text:
                self._add_text(item, order)
            else:
                self._add_area(item, kind, order)
        for box in self._annotations():
            self._cover(Area(count, count, box, light=False))
        doubtful: dict[int, tuple[int, ...]] = {}
        for item, order, box, plain, look in self._texts:
            covered, on_dark = self._surroundings(order, box) if self._rows else (False, False)
            if covered or on_dark or not plain:
                doubtful[item] = (*look, covered)
        texts, share = [text[0] for text in self._texts], self._image_area / max(_area(self._box), 1.0)
        return Drawn(doubtful, texts, self._paths, self._images, share)

    def _add_text(self, item: int, order: int) -> None:
        library = self._library
        mode = library.FPDFTextObj_GetTextRenderMode(item)
        self._clips = self._clips or mode >= CLIPPING_MODE
        layered = library.FPDFPageObj_CountMarks(item) > 0 and self._marks(item)
        look = (mode, *self._colour(item))
        dark = len(look) > 1 and min(look[1:4]) <= DARK
        box = self._bounds(item)
        plain = (
            dark
            and mode == 0
            and not (layered or self._clips)
            and not library.FPDFPageObj_HasTransparency(item)
            and not self._is_drawing(library.FPDFTextObj_GetFont(item))
            and not (min(box[2] - box[0], box[3] - box[1]) < SMALL_BOX and self._is_tiny(item))
            and library.FPDFClipPath_CountPaths(library.FPDFPageObj_GetClipPath(item)) <= 0
        )
        self._texts.append((item, order, box, plain, look))
        if not dark:
            self._cover(Area(order, order, box, light=False))

    def _add_area(self, item: int, kind: int, order: int) -> None:
        library, light, box = self._library, False, self._bounds(item)
        if kind == library.FPDF_PAGEOBJ_FORM:
            self._add_form(item, order, 1)
        elif kind == library.FPDF_PAGEOBJ_IMAGE:
            self._images = True
            self._image_area += _area(_within(box, self._box))
        else:
            self._paths.append(item)
        if kind == library.FPDF_PAGEOBJ_PATH:
            light = min(self._colour(item)[:3], default=0) >= LIGHT
        self._cover(Area(order, order, box, light))

    def _add_form(self, form: int, order: int, depth: int) -> None:
        """Add the objects of a form. All its texts are doubtful: PDFium does not say whether the form is shown."""
        library = self._library
        for number in range(library.FPDFFormObj_CountObjects(form)):
            item = library.FPDFFormObj_GetObject(form, number)
            kind = library.FPDFPageObj_GetType(item)
            if kind == library.FPDF_PAGEOBJ_IMAGE:
                self._images = True
            elif kind == library.FPDF_PAGEOBJ_TEXT:
                self._marks(item)
                look = (library.FPDFTextObj_GetTextRenderMode(item), *self._colour(item), order, depth)
                self._texts.append((item, order, self._box, False, look))
            elif kind != library.FPDF_PAGEOBJ_FORM:
                self._paths.append(item)
            elif depth < MAX_DEPTH:
                self._add_form(item, order, depth + 1)

    def _marks(self, item: int) -> bool:
        """Return whether a text belongs to a layer; remove its replacement text if that has letters or digits."""
        library, layered = self._library, False
        for number in range(library.FPDFPageObj_CountMarks(item)):
            mark = library.FPDFPageObj_GetMark(item, number)
            name = _string(lambda *out, mark=mark: library.FPDFPageObjMark_GetName(mark, *out), NAME_BYTES)
            layered = layered or name == "OC"
            has_text = library.FPDFPageObjMark_GetParamValueType(mark, b"ActualText")
            if has_text and self._says_something(mark):
                library.FPDFPageObjMark_RemoveParam(item, mark, b"ActualText")
        return layered

    def _says_something(self, mark: int) -> bool:
        """Return whether a replacement text has letters or digits."""
        read = self._library.FPDFPageObjMark_GetParamStringValue
        return any(map(str.isalnum, _string(lambda *out: read(mark, b"ActualText", *out), ACTUAL_TEXT_BYTES)))

    def _colour(self, item: int) -> tuple[int, ...]:
        """Return red, green, blue and opacity (0 to 255); nothing for a pattern."""
        if not self._library.FPDFPageObj_GetFillColor(item, *self._fill_at):
            return ()
        red, green, blue, opacity = self._fill
        return red.value, green.value, blue.value, opacity.value

    def _bounds(self, item: int) -> Box:
        if not self._library.FPDFPageObj_GetBounds(item, *self._floats_at):
            return self._box
        left, bottom, right, top = self._floats
        return left.value, bottom.value, right.value, top.value

    def _is_drawing(self, font: int | None) -> bool:
        """Return whether a font has no outlines (Type 3): its glyphs are drawings in any colour."""
        if font not in self._fonts:
            size = ctypes.c_size_t()
            has_data = font and self._library.FPDFFont_GetFontData(font, None, 0, ctypes.addressof(size))
            self._fonts[font] = not (has_data and size.value)
        return self._fonts[font]

    def _is_tiny(self, text: int) -> bool:
        self._library.FPDFTextObj_GetFontSize(text, self._floats_at[0])
        self._library.FPDFPageObj_GetMatrix(text, self._matrix_at)
        return abs(self._floats[0].value) * min(_scales(self._matrix)) < LEAST_TYPE

    def _annotations(self) -> Iterator[Box]:
        """Yield the boxes of annotations that may cover text."""
        library, box = self._library, self._library.FS_RECTF()
        bare = {library.FPDF_ANNOT_LINK, library.FPDF_ANNOT_POPUP, library.FPDF_ANNOT_WIDGET}
        for number in range(library.FPDFPage_GetAnnotCount(self._page)):
            note = library.FPDFPage_GetAnnot(self._page, number)
            if note and library.FPDFAnnot_GetSubtype(note) not in bare:
                library.FPDFAnnot_GetRect(note, ctypes.addressof(box))
                yield box.left, box.bottom, box.right, box.top
            library.FPDFPage_CloseAnnot(note)

    def _cover(self, area: Area) -> None:
        for row in self._rows_of(area.box):
            areas = self._rows.setdefault(row, [])
            if len(areas) < ROW_AREAS:
                areas.append(area)
            else:
                (first, last, box, light), (left, bottom, right, top) = areas[-1], area.box
                box = min(left, box[0]), min(bottom, box[1]), max(right, box[2]), max(top, box[3])
                areas[-1] = Area(min(first, area.first), max(last, area.last), box, light and area.light)

    def _rows_of(self, box: Box) -> range:
        bottom, top = max(box[1], self._box[1]), min(box[3], self._box[3])
        return range(int(bottom // ROW_HEIGHT), int(top // ROW_HEIGHT) + 1)

    def _surroundings(self, order: int, box: Box) -> tuple[bool, bool]:
        """Return whether later objects may cover a text, and whether it may be on something dark."""
        covered = dark = 0.0
        for row in self._rows_of(box):
            for area in self._rows.get(row, ()):
                later, earlier = area.last > order, area.first < order and not area.light
                if (later or earlier) and (share := _shared(area.box, box)):
                    covered += share * later
                    dark += share * earlier
        return covered > COVERED_SHARE, dark > COVERED_SHARE


def _scales(matrix: Any) -> tuple[float, float]:
    return math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)


def _string(read: Callable[..., Any], size: int) -> str:
    """Return the text that `read` writes as UTF-16 into a buffer of `size` bytes, or "longer"."""
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_ulong()
    read(ctypes.addressof(buffer), size, ctypes.addressof(length))
    if length.value > size:
        return "longer"
    return buffer.raw[: length.value].decode("utf-16-le", "replace").rstrip("\0")


def _within(box: Box, page: Box) -> Box:
    return max(box[0], page[0]), max(box[1], page[1]), min(box[2], page[2]), min(box[3], page[3])


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _shared(area: Box, text: Box) -> float:
    """Return the share of a text's box that an area covers; 1 where it covers a piece of most of its height."""
    if area[0] >= text[2] or area[2] <= text[0] or area[1] >= text[3] or area[3] <= text[1]:
        return 0.0
    width = min(area[2], text[2]) - max(area[0], text[0])
    height = min(area[3], text[3]) - max(area[1], text[1])
    high = text[3] - text[1]
    if height >= 0.4 * high and width >= 0.3 * high:
        return 1.0
    return width * height / max((text[2] - text[0]) * high, 0.01)


# Pixels for a point: strokes of 4-point type are then half a pixel wide. A larger picture is drawn smaller.
SCALE, MAX_PIXELS = 2.0, 2_400_000
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

    def __init__(self, library: Library) -> None:
        self._ends = 0.0
        # Python maps executable memory for a callback, so create it before the sandbox.
        kind = dict(library.IFSDK_PAUSE._fields_)["NeedToPauseNow"]
        self.pause = library.IFSDK_PAUSE(version=1, NeedToPauseNow=kind(lambda _pause: self.is_spent()))

    def start(self, seconds: float) -> None:
        """Allow so much processor time from now on."""
        self._ends = time.process_time() + seconds

    def is_spent(self) -> bool:
        """Return whether no time is left."""
        return time.process_time() >= self._ends


class Pictures:
    """Judges the doubtful texts of one page on its pictures, which are stored row by row from the top.

    `text_page` is an address, and `box` the visible part of the page. `unchecked` is whether there was no time for
    a picture.
    """

    unchecked = False

    def __init__(self, library: Library, page: Any, text_page: int, box: Box, budget: Budget) -> None:
        self._library, self._page, self._text_page, self._box = library, page, text_page, box
        self._budget = budget
        # Turned back by the page's rotation, a picture has the axes of the page's coordinates.
        self._turn = -page.get_rotation() // 90 % 4
        wide, high = box[2] - box[0], box[3] - box[1]
        scale = min(SCALE, math.sqrt(MAX_PIXELS / max(wide * high, 1.0)))
        self._width, self._height = math.ceil(wide * scale), math.ceil(high * scale)
        self._across, self._down = self._width / wide, self._height / high
        self._numbers = [ctypes.c_double() for _ in range(4)]
        self._numbers_at = [ctypes.addressof(number) for number in self._numbers]
        self._matrix = library.FS_MATRIX()

    def hidden(self, drawn: Drawn, characters: Iterable[int]) -> set[int]:
        """Return which of the `characters` (indices of the text page) are invisible."""
        looks: dict[tuple[int, ...], dict[int, Box]] = defaultdict(dict)
        hidden, clips = set[int](), set[int]()
        for index in characters:
            item = self._library.FPDFText_GetTextObject(self._text_page, index)
            if item in drawn.doubtful:
                box = self._place(index)
                if box is None or self._is_tiny(index):
                    hidden.add(index)
                else:
                    looks[drawn.doubtful[item]][index] = box
                    if drawn.doubtful[item][0] == self._library.FPDF_TEXTRENDERMODE_CLIP:
                        clips.add(index)
        if not looks:
            return hidden
        unseen = dict[int, Box]()
        for look in [look for look in looks if look[0] == self._library.FPDF_TEXTRENDERMODE_INVISIBLE]:
            unseen.update(looks.pop(look))
        picture = self._draw() if looks else None
        for group in _apart(looks):
            without = self._draw([item for item, look in drawn.doubtful.items() if look in group])
            places = (place for look in group for place in looks[look].items())
            unseen.update((index, box) for index, box in places if not self._differ(picture, without, box))
        if clips & unseen.keys():
            painted = self._draw(drawn.texts)
            clips = {index for index in clips & unseen.keys() if self._has_ink(painted, unseen[index])}
            unseen = {index: box for index, box in unseen.items() if index not in clips}
        if unseen and drawn.images:
            scan = self._draw(drawn.texts + drawn.paths)
            inked = {index for index, box in unseen.items() if self._has_ink(scan, box)}
            # Indices that follow one another are a word; a blank between two words has an index too.
            runs = groupby(enumerate(sorted(unseen)), key=lambda pair: pair[1] - pair[0])
            words = [{index for _, index in run} for _, run in runs]
            return hidden.union(*(word for word in words if len(inked & word) < INKED_SHARE * len(word)))
        return hidden | unseen.keys()

    def _place(self, index: int) -> Box | None:
        """Return the part of a character's box that is on the page, or None."""
        self._library.FPDFText_GetCharBox(self._text_page, index, *self._numbers_at)
        left, right, bottom, top = (number.value for number in self._numbers)
        left, bottom, right, top = _within((left, bottom, right, top), self._box)
        return (left, bottom, right, top) if left <= right and bottom <= top else None

    def _is_tiny(self, index: int) -> bool:
        self._library.FPDFText_GetMatrix(self._text_page, index, ctypes.addressof(self._matrix))
        size = self._library.FPDFText_GetFontSize(self._text_page, index)
        return float(size) * min(_scales(self._matrix)) < LEAST_TYPE

    def _draw(self, left_out: Collection[int] = ()) -> bytearray | None:
        """Return the pixels of the page without some of its objects; None when the budget is spent."""
        if self._budget.is_spent():
            self.unchecked = True
            return None
        activate = self._library.FPDFPageObj_SetIsActive
        for item in left_out:
            activate(item, 0)
        library, wide, high = self._library, self._width, self._height
        pixels = bytearray(b"\xff") * (wide * high * _PIXEL)
        memory = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
        bitmap = library.FPDFBitmap_CreateEx(wide, high, library.FPDFBitmap_BGRx, memory, wide * _PIXEL)
        pause = ctypes.byref(self._budget.pause)
        place = 0, 0, wide, high, self._turn
        status = library.FPDF_RenderPageBitmap_Start(bitmap, self._page, *place, library.FPDF_ANNOT, pause)
        library.FPDF_RenderPage_Close(self._page)
        library.FPDFBitmap_Destroy(bitmap)
        for item in left_out:
            activate(item, 1)
        self.unchecked = self.unchecked or status != library.FPDF_RENDER_DONE
        return pixels if status == library.FPDF_RENDER_DONE else None

    def _differ(self, before: bytearray | None, after: bytearray | None, box: Box) -> bool:
        """Return whether two pictures differ visibly in a box; True without one of them."""
        if before is None or after is None:
            return True
        for start, end in self._rows(box):
            rows = before[start:end], after[start:end]
            if rows[0] != rows[1] and any(abs(a - b) >= CONTRAST for a, b in zip(*rows, strict=True)):
                return True
        return False

    def _has_ink(self, picture: bytearray | None, box: Box) -> bool:
        """Return whether a picture has marks in a box; True without a picture."""
        if picture is None:
            return True
        rows = [picture[start:end] for start, end in self._rows(box)]
        return any(
            max(max(row[channel::_PIXEL]) for row in rows) - min(min(row[channel::_PIXEL]) for row in rows) >= INK
            for channel in range(_PIXEL - 1)
        )

    def _rows(self, box: Box) -> Iterator[tuple[int, int]]:
        """Yield where each row of a box, with a margin of half a pixel, begins and ends in the pixels."""
        left = max(0, math.floor((box[0] - self._box[0]) * self._across - 0.5))
        right = min(self._width, math.ceil((box[2] - self._box[0]) * self._across + 0.5))
        top = max(0, math.floor((self._box[3] - box[3]) * self._down - 0.5))
        bottom = min(self._height, math.ceil((self._box[3] - box[1]) * self._down + 0.5))
        for row in range(top, bottom):
            yield (row * self._width + left) * _PIXEL, (row * self._width + right) * _PIXEL


def _apart(looks: Mapping[tuple[int, ...], dict[int, Box]]) -> Iterator[list[tuple[int, ...]]]:
    """Yield groups of looks that share no cell, but in the last of `MAX_GROUPS`."""
    left = {look: {cell for box in places.values() for cell in _cells(box)} for look, places in looks.items()}
    for number in range(MAX_GROUPS):
        group, filled = list[tuple[int, ...]](), set[tuple[int, int]]()
        for look, cells in list(left.items()):
            if number == MAX_GROUPS - 1 or cells.isdisjoint(filled):
                group.append(look)
                filled |= left.pop(look)
        if group:
            yield group


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    left, bottom, right, top = (int(end // CELL) for end in box)
    yield from product(range(left, right + 1), range(bottom, top + 1))
