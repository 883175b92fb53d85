"""Find the text objects of a PDFium page that a reader may not see, without drawing the page.

Part of the child's program. Dark, opaque, unclipped text that is under nothing and on nothing dark is plain. All
other text is doubtful: `pdf_pictures.py` draws the page to judge it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]  # left, bottom, right, top

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
# Drawings have many paths. After so many, paths are not told apart: they cover the box around them all.
MAX_PATHS = 1500
# Forms in deeper forms are not read; PDFium's text page stops there too.
MAX_DEPTH = 8
# A stroke with few corners is a frame or a rule, and covers only its width.
FRAME_CORNERS, THIN = 6, 2.0
# A page with this share of images and fewer characters than these is a picture, such as a scan with a stamp. Of
# 7,980 pages of the evaluation set one is; of the hard PDFs, which have scans, eleven.
PICTURE_SHARE, PICTURE_CHARACTERS = 0.5, 200
# Text modes from this one on clip what follows, and PDFium does not say what they clip.
CLIPPING_MODE = 4
# Ligatures of Latin type, which a font may have without a character; a replacement text then says them.
# No other replacement is kept: it could say what the page does not show. The widest, ffi, has 0.9 em.
LIGATURES = frozenset({"ff", "fi", "fl", "ffi", "ffl", "ft", "fft", "tt", "ti", "tti", "st", "ct", "fj", "Th"})
LIGATURE_WIDTH = 1.0
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

    def is_picture(self, text: str) -> bool:
        """Return whether images have most of the page, and its text is short."""
        return self.image_share >= PICTURE_SHARE and len("".join(text.split())) < PICTURE_CHARACTERS

    def may_have_text(self) -> bool:
        """Return whether a page without text may show some: it has a plain text object, or no objects at all."""
        return len(self.doubtful) < len(self.texts) or not (self.texts or self.paths or self.images)


class Objects:
    """The objects of one page. `page` is its address, and `box` its visible part."""

    def __init__(self, raw: Any, calls: Any, page: int, box: Box) -> None:
        self._raw, self._calls, self._page, self._box = raw, calls, page, box
        self._fill = [ctypes.c_uint() for _ in range(4)]
        self._fill_at = [ctypes.addressof(channel) for channel in self._fill]
        self._floats = [ctypes.c_float() for _ in range(4)]
        self._floats_at = [ctypes.addressof(number) for number in self._floats]
        self._matrix = raw.FS_MATRIX()
        self._matrix_at = ctypes.addressof(self._matrix)
        self._fonts: dict[int, bool] = {}
        self._texts: list[tuple[int, int, Box, bool, tuple[int, ...]]] = []
        self._rows: dict[int, list[Area]] = {}
        self._paths: list[int] = []
        self._drawing: Area | None = None
        self._images = self._clips = False
        self._image_area = 0.0

    def read(self) -> Drawn:
        """Return the doubtful texts, after removing replacement texts (ActualText) that have letters or digits."""
        get, kind_of, text = (
            self._calls.FPDFPage_GetObject,
            self._calls.FPDFPageObj_GetType,
            self._raw.FPDF_PAGEOBJ_TEXT,
        )
        count = self._calls.FPDFPage_CountObjects(self._page)
        for order in range(count):
            item = get(self._page, order)
            kind = kind_of(item)
            if kind == text:
                self._add_text(item, order)
            else:
                self._add_area(item, kind, order)
        for box in self._annotations():
            self._cover(Area(count, count, box, light=False))
        if self._drawing:
            self._cover(self._drawing)
        doubtful: dict[int, tuple[int, ...]] = {}
        for item, order, box, plain, look in self._texts:
            covered, on_dark = self._surroundings(order, box) if self._rows else (False, False)
            if covered or on_dark or not plain:
                doubtful[item] = (*look, covered)
        texts, share = [text[0] for text in self._texts], self._image_area / max(_area(self._box), 1.0)
        return Drawn(doubtful, texts, self._paths, self._images, share)

    def _add_text(self, item: int, order: int) -> None:
        calls = self._calls
        mode = calls.FPDFTextObj_GetTextRenderMode(item)
        self._clips = self._clips or mode >= CLIPPING_MODE
        layered = calls.FPDFPageObj_CountMarks(item) > 0 and self._marks(item)
        look = (mode, *self._colour(item))
        dark = len(look) > 1 and min(look[1:4]) <= DARK
        box = self._bounds(item)
        clip = calls.FPDFPageObj_GetClipPath(item)
        clips = calls.FPDFClipPath_CountPaths(clip)
        plain = (
            dark
            and mode == 0
            and not (layered or self._clips)
            and not calls.FPDFPageObj_HasTransparency(item)
            and not self._is_type3(calls.FPDFTextObj_GetFont(item))
            and not ((box[2] - box[0] < SMALL_BOX or box[3] - box[1] < SMALL_BOX) and self._is_tiny(item))
            and not (clips > 0 and self._is_clipped(clip, clips, box))
        )
        self._texts.append((item, order, box, plain, look))
        if not dark:
            self._cover(Area(order, order, box, light=False))

    def _add_area(self, item: int, kind: int, order: int) -> None:
        raw, light, box = self._raw, False, self._bounds(item)
        if kind == raw.FPDF_PAGEOBJ_FORM:
            self._add_form(item, order, 1)
        elif kind == raw.FPDF_PAGEOBJ_IMAGE:
            self._images = True
            self._image_area += _area(_within(box, self._box))
        else:
            self._paths.append(item)
        if len(self._paths) > MAX_PATHS:
            area = Area(order, order, box, light=False)
            self._drawing = _merged(self._drawing, area) if self._drawing else area
            return
        if kind == raw.FPDF_PAGEOBJ_PATH:
            if self._is_frame(item, box):
                return
            light = min(self._colour(item)[:3], default=0) >= LIGHT
        self._cover(Area(order, order, box, light))

    def _add_form(self, form: int, order: int, depth: int) -> None:
        """Add the objects of a form. All its texts are doubtful: PDFium does not say whether the form is shown."""
        raw, calls = self._raw, self._calls
        for number in range(calls.FPDFFormObj_CountObjects(form)):
            item = calls.FPDFFormObj_GetObject(form, number)
            kind = calls.FPDFPageObj_GetType(item)
            if kind == raw.FPDF_PAGEOBJ_IMAGE:
                self._images = True
            elif kind == raw.FPDF_PAGEOBJ_TEXT:
                self._marks(item)
                look = (calls.FPDFTextObj_GetTextRenderMode(item), *self._colour(item), order, depth)
                self._texts.append((item, order, self._box, False, look))
            elif kind != raw.FPDF_PAGEOBJ_FORM:
                self._paths.append(item)
            elif depth < MAX_DEPTH:
                self._add_form(item, order, depth + 1)

    def _marks(self, item: int) -> bool:
        """Return whether a text belongs to a layer; remove its replacement text if that has letters or digits."""
        calls, layered = self._calls, False
        for number in range(calls.FPDFPageObj_CountMarks(item)):
            mark = calls.FPDFPageObj_GetMark(item, number)
            name = _string(lambda *out, mark=mark: calls.FPDFPageObjMark_GetName(mark, *out), NAME_BYTES)
            layered = layered or name == "OC"
            has_text = calls.FPDFPageObjMark_GetParamValueType(mark, b"ActualText")
            if has_text and self._says_something(item, mark):
                calls.FPDFPageObjMark_RemoveParam(item, mark, b"ActualText")
        return layered

    def _says_something(self, item: int, mark: int) -> bool:
        """Return whether a replacement text has letters or digits, and is no ligature that one glyph draws."""
        read = self._calls.FPDFPageObjMark_GetParamStringValue
        text = _string(lambda *out: read(mark, b"ActualText", *out), ACTUAL_TEXT_BYTES)
        return any(map(str.isalnum, text)) and not (text in LIGATURES and self._is_one_glyph(item))

    def _is_one_glyph(self, text: int) -> bool:
        self._calls.FPDFTextObj_GetFontSize(text, self._floats_at[0])
        self._calls.FPDFPageObj_GetMatrix(text, self._matrix_at)
        size = abs(self._floats[0].value) * _scales(self._matrix)[0]
        left, _, right, _ = self._bounds(text)
        return right - left <= LIGATURE_WIDTH * size

    def _colour(self, item: int) -> tuple[int, ...]:
        """Return red, green, blue and opacity (0 to 255); nothing for a pattern."""
        if not self._calls.FPDFPageObj_GetFillColor(item, *self._fill_at):
            return ()
        red, green, blue, opacity = self._fill
        return red.value, green.value, blue.value, opacity.value

    def _bounds(self, item: int) -> Box:
        if not self._calls.FPDFPageObj_GetBounds(item, *self._floats_at):
            return self._box
        left, bottom, right, top = self._floats
        return left.value, bottom.value, right.value, top.value

    def _is_frame(self, path: int, box: Box) -> bool:
        """Return whether a path is a thin stroke around text, with a mostly empty box, or draws nothing."""
        calls, mode, stroked, width = self._calls, ctypes.c_int(), ctypes.c_int(), ctypes.c_float()
        calls.FPDFPath_GetDrawMode(path, ctypes.addressof(mode), ctypes.addressof(stroked))
        if mode.value or not stroked.value:
            return not mode.value
        calls.FPDFPageObj_GetStrokeWidth(path, ctypes.addressof(width))
        calls.FPDFPageObj_GetMatrix(path, self._matrix_at)
        is_thin = width.value * max(_scales(self._matrix)) <= THIN
        is_large = min(box[2] - box[0], box[3] - box[1]) > 2 * THIN
        return is_thin and is_large and calls.FPDFPath_CountSegments(path) <= FRAME_CORNERS

    def _is_tiny(self, text: int) -> bool:
        self._calls.FPDFTextObj_GetFontSize(text, self._floats_at[0])
        self._calls.FPDFPageObj_GetMatrix(text, self._matrix_at)
        return type_size(self._floats[0].value, self._matrix) < LEAST_TYPE

    def _is_type3(self, font: int | None) -> bool:
        """Return whether a font has no outlines: its glyphs are drawings in any colour."""
        if font not in self._fonts:
            size = ctypes.c_size_t()
            found = font and self._calls.FPDFFont_GetFontData(font, None, 0, ctypes.addressof(size))
            self._fonts[font or 0] = not (found and size.value)
        return self._fonts[font or 0]

    def _is_clipped(self, clip: int, paths: int, box: Box) -> bool:
        """Return whether a clip path may cut a text: one that is no rectangle around its box."""
        return any(not _contains(self._rectangle(clip, path), box) for path in range(paths))

    def _rectangle(self, clip: int, path: int) -> Box | None:
        """Return the box of a clip path that is an upright rectangle."""
        calls, points = self._calls, set[tuple[float, float]]()
        count = calls.FPDFClipPath_CountPathSegments(clip, path)
        for number in range(count if count in {4, 5} else 0):
            segment = calls.FPDFClipPath_GetPathSegment(clip, path, number)
            calls.FPDFPathSegment_GetPoint(segment, *self._floats_at[:2])
            points.add((self._floats[0].value, self._floats[1].value))
        across, up = {x for x, _ in points}, {y for _, y in points}
        is_rectangle = len(points) == 4 and len(across) == len(up) == 2  # noqa: PLR2004 - corners and sides
        return (min(across), min(up), max(across), max(up)) if is_rectangle else None

    def _annotations(self) -> Iterator[Box]:
        """Yield the boxes of annotations that may cover text."""
        raw, calls, found = self._raw, self._calls, self._raw.FS_RECTF()
        bare = {raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_WIDGET}
        for number in range(calls.FPDFPage_GetAnnotCount(self._page)):
            note = calls.FPDFPage_GetAnnot(self._page, number)
            if note and calls.FPDFAnnot_GetSubtype(note) not in bare:
                calls.FPDFAnnot_GetRect(note, ctypes.addressof(found))
                yield found.left, found.bottom, found.right, found.top
            calls.FPDFPage_CloseAnnot(note)

    def _cover(self, area: Area) -> None:
        for row in self._rows_of(area.box):
            found = self._rows.setdefault(row, [])
            if len(found) < ROW_AREAS:
                found.append(area)
            else:
                found[-1] = _merged(found[-1], area)

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


def type_size(size: float, matrix: Any) -> float:
    """Return a font's size under a matrix: the lesser of width and height."""
    return abs(size) * min(_scales(matrix))


def _scales(matrix: Any) -> tuple[float, float]:
    return math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)


def _string(read: Callable[..., Any], size: int) -> str:
    """Return the text that `read` writes as UTF-16 into a buffer of `size` bytes, or "longer"."""
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_ulong()
    read(ctypes.addressof(buffer), size, ctypes.addressof(length))
    if length.value > size:
        return "longer"
    return buffer.raw[: length.value].decode("utf-16-le", "replace").rstrip("\0")


def _contains(outer: Box | None, inner: Box) -> bool:
    """Return whether a box contains another, to within a point."""
    return (
        outer is not None
        and outer[0] <= inner[0] + 1
        and outer[1] <= inner[1] + 1
        and outer[2] >= inner[2] - 1
        and outer[3] >= inner[3] - 1
    )


def _within(box: Box, page: Box) -> Box:
    return max(box[0], page[0]), max(box[1], page[1]), min(box[2], page[2]), min(box[3], page[3])


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _merged(one: Area, other: Area) -> Area:
    (left, bottom, right, top), box = one.box, other.box
    around = min(left, box[0]), min(bottom, box[1]), max(right, box[2]), max(top, box[3])
    return Area(min(one.first, other.first), max(one.last, other.last), around, one.light and other.light)


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
