"""Find the text objects of a PDFium page that a reader may not see, without drawing the page.

Part of the child's program. Dark, opaque, unclipped text that is under nothing and on nothing dark is plain. All other
text is doubtful: `pdf_pictures.py` draws the page to judge it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]  # left, bottom, right, top

# Text whose darkest channel is at most the first on a fill whose channels are all at least the second has contrast.
DARK, LIGHT = 110, 180
OPAQUE = 255
# An underline covers 6 % of a word, and a line through it 6 % more.
COVERED_SHARE = 0.15
# Type under this size (points, either way) is not legible, at whatever zoom a page is read.
LEAST_TYPE = 1.0
# Only a text with a smaller box can be of such type.
SMALL_BOX = 1.5
# The page is divided into rows of this height, so that a text is compared with few areas. A row with more areas than
# `ROW_AREAS` merges the rest.
ROW_HEIGHT, ROW_AREAS = 20.0, 64
# A page with more objects is drawn.
MAX_OBJECTS = 50_000
# pypdfium2's own limit for forms within forms is 15.
MAX_DEPTH = 8
# A stroke with few corners is a frame or a rule, and covers only its width.
FRAME_CORNERS, THIN = 6, 2.0
# The subtypes of annotations that draw at most a thin frame.
_BARE_ANNOTATIONS = ("FPDF_ANNOT_LINK", "FPDF_ANNOT_POPUP", "FPDF_ANNOT_WIDGET")


class Area(NamedTuple):
    """The box of an object that covers its place, with the orders of drawing of the first and last such object."""

    first: int
    last: int
    box: Box
    light: bool


class Text(NamedTuple):
    """A text object. Texts of one `look` have the same colour and place in the order of drawing."""

    item: Any
    order: int
    look: tuple[int, ...]
    plain: bool
    box: Box


class Drawn(NamedTuple):
    """The text objects that are doubtful, by their address, and all objects of a page that are no images."""

    doubtful: dict[int, tuple[Any, tuple[int, ...]]]
    others: list[Any]
    images: bool


class Page:
    """Reads the objects of one page. `box` is the visible part of the page."""

    def __init__(self, raw: Any, page: Any, box: Box) -> None:
        self._raw, self._page, self._box = raw, page, box
        self._channels = [ctypes.c_uint() for _ in range(4)]
        self._channel_references = [ctypes.byref(channel) for channel in self._channels]
        self._floats = [ctypes.c_float() for _ in range(4)]
        self._float_references = [ctypes.byref(number) for number in self._floats]
        self._matrix = raw.FS_MATRIX()
        self._fonts: dict[int, bool] = {}
        self._texts: list[Text] = []
        self._rows: dict[int, list[Area]] = {}
        self._others: list[Any] = []
        self._images = False
        self._text_clips = False

    def read(self) -> Drawn:
        """Return the doubtful texts, after removing replacement texts (ActualText) that have letters or digits."""
        raw = self._raw
        count = raw.FPDFPage_CountObjects(self._page)
        for order in range(count):
            self._add(raw.FPDFPage_GetObject(self._page, order), order, depth=0)
        for order, box in enumerate(self._annotations(), count):
            self._cover(Area(order, order, box, light=False))
        known = len(self._others) <= MAX_OBJECTS
        found: dict[int, tuple[Any, tuple[int, ...]]] = {}
        for text in self._texts:
            covered, on_dark = self._surroundings(text) if known else (True, True)
            if not text.plain or covered or on_dark:
                found[address(text.item)] = text.item, (*text.look, covered)
        return Drawn(found, self._others, self._images)

    def _add(self, item: Any, order: int, depth: int) -> None:
        raw = self._raw
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            self._images = True
        elif kind != raw.FPDF_PAGEOBJ_FORM:
            self._others.append(item)
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            self._add_text(item, order, depth)
        elif depth == 0 and (box := self._bounds(item)) and not self._is_frame(item, kind, box):
            light = kind == raw.FPDF_PAGEOBJ_PATH and self._is_light(item)
            self._cover(Area(order, order, box, light))
        if kind == raw.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
            for number in range(raw.FPDFFormObj_CountObjects(item)):
                self._add(raw.FPDFFormObj_GetObject(item, number), order, depth + 1)

    def _add_text(self, item: Any, order: int, depth: int) -> None:
        raw = self._raw
        mode = raw.FPDFTextObj_GetTextRenderMode(item)
        # Text can clip what follows, and PDFium does not say so.
        self._text_clips = self._text_clips or mode not in range(4)
        layered = self._marks(item)
        colour = self._fill(item)
        box = self._bounds(item) or self._box
        dark = colour is not None and min(colour[:3]) <= DARK and colour[3] == OPAQUE
        plain = (
            depth == 0
            and mode == raw.FPDF_TEXTRENDERMODE_FILL
            and dark
            and not (layered or self._text_clips)
            and not raw.FPDFPageObj_HasTransparency(item)
            and not (min(box[2] - box[0], box[3] - box[1]) < SMALL_BOX and self._is_tiny(item))
            and not self._is_type3(item)
            and not self._is_clipped(item, box)
        )
        self._texts.append(Text(item, order, (mode, depth and order, *(colour or ())), plain, box))
        if depth == 0 and not dark:
            self._cover(Area(order, order, box, light=False))

    def _marks(self, item: Any) -> bool:
        """Return whether a text belongs to a layer; remove its replacement text if that has letters or digits."""
        raw, layered = self._raw, False
        for number in range(raw.FPDFPageObj_CountMarks(item)):
            mark = raw.FPDFPageObj_GetMark(item, number)
            layered = layered or self._name(mark) == "OC"
            if raw.FPDFPageObjMark_GetParamValueType(mark, b"ActualText") and self._says_something(mark):
                raw.FPDFPageObjMark_RemoveParam(item, mark, b"ActualText")
        return layered

    def _name(self, mark: Any) -> str:
        return self._string(lambda *out: self._raw.FPDFPageObjMark_GetName(mark, *out), 16)

    def _says_something(self, mark: Any) -> bool:
        read = self._raw.FPDFPageObjMark_GetParamStringValue
        return any(map(str.isalnum, self._string(lambda *out: read(mark, b"ActualText", *out), 1 << 16)))

    def _string(self, read: Any, size: int) -> str:
        buffer, length = ctypes.create_string_buffer(size), ctypes.c_ulong()
        read(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size, ctypes.byref(length))
        if length.value > size:
            return "longer"
        return buffer.raw[: length.value].decode("utf-16-le", "replace").rstrip("\0")

    def _fill(self, item: Any) -> tuple[int, int, int, int] | None:
        """Return red, green, blue and opacity (0 to 255); None for a pattern."""
        if not self._raw.FPDFPageObj_GetFillColor(item, *self._channel_references):
            return None
        red, green, blue, alpha = (channel.value for channel in self._channels)
        return red, green, blue, alpha

    def _is_light(self, path: Any) -> bool:
        colour = self._fill(path)
        return colour is not None and min(colour[:3]) >= LIGHT

    def _bounds(self, item: Any) -> Box | None:
        """Return the part of an object's box that is on the page, or None."""
        if not self._raw.FPDFPageObj_GetBounds(item, *self._float_references):
            return None
        left, bottom, right, top = (number.value for number in self._floats)
        own = self._box
        left, bottom, right, top = max(left, own[0]), max(bottom, own[1]), min(right, own[2]), min(top, own[3])
        return (left, bottom, right, top) if left <= right and bottom <= top else None

    def _is_frame(self, item: Any, kind: int, box: Box) -> bool:
        """Return whether a path is a thin stroke around or beside text, so that its box is mostly empty."""
        raw = self._raw
        if kind != raw.FPDF_PAGEOBJ_PATH:
            return False
        mode, stroked = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(item, ctypes.byref(mode), ctypes.byref(stroked))
        if mode.value != raw.FPDF_FILLMODE_NONE:
            return False
        if not stroked.value:
            return True  # draws nothing
        width, matrix = ctypes.c_float(), self._matrix
        raw.FPDFPageObj_GetStrokeWidth(item, ctypes.byref(width))
        raw.FPDFPageObj_GetMatrix(item, ctypes.byref(matrix))
        scale = max(math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d))
        corners: int = raw.FPDFPath_CountSegments(item)
        large = min(box[2] - box[0], box[3] - box[1]) > 2 * THIN
        return large and corners <= FRAME_CORNERS and width.value * scale <= THIN

    def _is_tiny(self, text: Any) -> bool:
        raw, size, matrix = self._raw, ctypes.c_float(), self._matrix
        raw.FPDFTextObj_GetFontSize(text, ctypes.byref(size))
        raw.FPDFPageObj_GetMatrix(text, ctypes.byref(matrix))
        return type_size(size.value, matrix) < LEAST_TYPE

    def _is_type3(self, text: Any) -> bool:
        """Return whether a text's font has no outlines: its glyphs are drawings with colours of their own."""
        raw, font = self._raw, self._raw.FPDFTextObj_GetFont(text)
        if not font:
            return True
        key = address(font)
        if key not in self._fonts:
            size = ctypes.c_size_t()
            has_file = raw.FPDFFont_GetFontData(font, None, 0, ctypes.byref(size))
            self._fonts[key] = not (has_file and size.value)
        return self._fonts[key]

    def _is_clipped(self, item: Any, box: Box) -> bool:
        """Return whether a clip path may cut a text: one that is no rectangle around its box."""
        raw, clip = self._raw, self._raw.FPDFPageObj_GetClipPath(item)
        return any(
            not _contains(self._rectangle(clip, path), box) for path in range(raw.FPDFClipPath_CountPaths(clip))
        )

    def _rectangle(self, clip: Any, path: int) -> Box | None:
        """Return the box of a clip path that is an upright rectangle."""
        raw = self._raw
        count = raw.FPDFClipPath_CountPathSegments(clip, path)
        if count not in {4, 5}:
            return None
        x, y = self._float_references[:2]
        points: list[tuple[float, float]] = []
        for number in range(count):
            segment = raw.FPDFClipPath_GetPathSegment(clip, path, number)
            if not raw.FPDFPathSegment_GetPoint(segment, x, y):
                return None
            points.append((self._floats[0].value, self._floats[1].value))
        across, up = {point[0] for point in points}, {point[1] for point in points}
        if len(across) != 2 or len(up) != 2:
            return None
        return min(across), min(up), max(across), max(up)

    def _annotations(self) -> Iterator[Box]:
        """Yield the boxes of annotations that may cover text."""
        raw = self._raw
        bare = {getattr(raw, name) for name in _BARE_ANNOTATIONS}
        for number in range(raw.FPDFPage_GetAnnotCount(self._page)):
            note, rectangle = raw.FPDFPage_GetAnnot(self._page, number), raw.FS_RECTF()
            if note and raw.FPDFAnnot_GetSubtype(note) not in bare:
                raw.FPDFAnnot_GetRect(note, ctypes.byref(rectangle))
                yield rectangle.left, rectangle.bottom, rectangle.right, rectangle.top
            raw.FPDFPage_CloseAnnot(note)

    def _cover(self, area: Area) -> None:
        for row in self._rows_of(area.box):
            found = self._rows.setdefault(row, [])
            if len(found) < ROW_AREAS:
                found.append(area)
            else:
                found[-1] = _merged(found[-1], area)

    def _rows_of(self, box: Box) -> range:
        bottom, top = max(box[1], self._box[1]), min(box[3], self._box[3])
        return range(math.floor(bottom / ROW_HEIGHT), math.floor(top / ROW_HEIGHT) + 1)

    def _surroundings(self, text: Text) -> tuple[bool, bool]:
        """Return whether later objects may cover a text, and whether earlier ones may be as dark as it is."""
        covered = dark = 0.0
        for row in self._rows_of(text.box):
            for area in self._rows.get(row, ()):
                share = _shared(area.box, text.box)
                covered += share if area.last > text.order else 0.0
                dark += share if area.first < text.order and not area.light else 0.0
        return covered > COVERED_SHARE, dark > COVERED_SHARE


def type_size(size: float, matrix: Any) -> float:
    """Return a font's size under a matrix: the lesser of width and height."""
    return abs(size * min(math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)))


def address(pointer: Any) -> int:
    """Return the address that a pointer of ctypes holds, 0 for none."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _contains(outer: Box | None, inner: Box) -> bool:
    return (
        outer is not None
        and outer[0] <= inner[0] + 1
        and outer[1] <= inner[1] + 1
        and outer[2] >= inner[2] - 1
        and outer[3] >= inner[3] - 1
    )


def _merged(one: Area, other: Area) -> Area:
    box = tuple(map(min, one.box[:2], other.box[:2])) + tuple(map(max, one.box[2:], other.box[2:]))
    first, last = min(one.first, other.first), max(one.last, other.last)
    return Area(first, last, box, one.light and other.light)  # type: ignore[arg-type] # four numbers


def _shared(area: Box, text: Box) -> float:
    """Return the share of a text's box that an area covers; 1 where it covers a piece of its full height."""
    width = min(area[2], text[2]) - max(area[0], text[0])
    height = min(area[3], text[3]) - max(area[1], text[1])
    if width <= 0 or height <= 0:
        return 0.0
    high = text[3] - text[1]
    if height >= 0.4 * high and width >= 0.3 * high:
        return 1.0
    return width * height / max((text[2] - text[0]) * high, 0.01)
