"""Read the form values and the comments of a PDFium page: text that the page shows and its content lacks.

Part of the child's program. A value becomes a line at its field's place, `[Name: value]`, and a comment a line at
the page's end, `[Comment by author: text]`. Hidden fields, passwords and comments off the page are left out.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from docwell.adapters.documents.pdf_hidden import LEAST_TYPE, LIGHT
from docwell.adapters.documents.pdf_layout import RAISED, Line
from docwell.adapters.documents.pdf_text import Box, Library

# Of each page. A tax form has 250 fields, a reviewed page 30 comments.
MAX_NOTES = 2000
MAX_OPTIONS = 1000
# In UTF-16 code units. A longer value or comment is cut.
MAX_NAME, MAX_VALUE = 200, 20_000
# The type of a value: this share of a field's height, at most so many points, with its baseline this share below
# the middle.
TYPE_SHARE, MAX_TYPE, BELOW_MIDDLE = 0.75, 12.0, 0.35
# PDF 32000-1, 12.7.4.3: a text field that shows no letters.
PASSWORD_FIELD = 1 << 13
# What a tick is called in a file; other export values are answers ("male").
_TICKS = re.compile(r"(yes|on|true|checked|x|\d*|oui|ja|s[ií])\Z", re.IGNORECASE)
# An index of a form's program ("Page1[0].Name[0]").
_INDEX = re.compile(r"\[\d+\]")
_BREAKS = re.compile(r"[\r\n]+")
# The operators of an appearance that draw (PDF 32000-1, annex A).
_DRAWS = re.compile(r"(?<![\w/.-])(?:T[jJ]|Do|EI|sh|[fFSs]|[fBb]\*?|['\"])(?![\w.-])")
# The most attached files to name.
MAX_FILES = 100
# A page with more pairs of lines and fields is not a form for people; its values come at its end.
MAX_PAIRS = 500_000


class Notes(NamedTuple):
    """The lines of a page's fields, those of its comments, and the number of characters in hidden ones.

    `unchecked`: a field has a value that it does not draw; a viewer may draw it anew.
    """

    fields: list[Line]
    comments: list[str]
    hidden: int
    unchecked: bool = False


class Annotations:
    """The fields and comments of one page. `form` is the document's form or 0, `box` the page's visible part."""

    def __init__(self, library: Library, form: int, page: int, box: Box) -> None:
        self._library, self._form, self._page, self._box = library, form, page, box
        names = "TEXT HIGHLIGHT UNDERLINE SQUIGGLY STRIKEOUT CARET INK LINE SQUARE CIRCLE POLYGON POLYLINE"
        self._kinds = {getattr(library, f"FPDF_ANNOT_{name}"): "Comment" for name in names.split()} | {
            library.FPDF_ANNOT_FREETEXT: "Text box",
            library.FPDF_ANNOT_STAMP: "Stamp",
            library.FPDF_ANNOT_FILEATTACHMENT: "Attached file, not read",
        }
        # Types whose icon has a fixed size.
        self._icons = {library.FPDF_ANNOT_TEXT, library.FPDF_ANNOT_FILEATTACHMENT}
        # Types whose text a viewer takes from their appearance.
        self._drawn = {library.FPDF_ANNOT_FREETEXT, library.FPDF_ANNOT_WIDGET}
        self._unseen = library.FPDF_ANNOT_FLAG_HIDDEN | library.FPDF_ANNOT_FLAG_NOVIEW

    def read(self, glyphs: Any) -> Notes:
        """Return the page's notes; `glyphs` turns places."""
        library, notes = self._library, Notes([], [], 0)
        for number in range(min(library.FPDFPage_GetAnnotCount(self._page), MAX_NOTES)):
            note = library.FPDFPage_GetAnnot(self._page, number)
            if not note:
                continue
            kind = library.FPDFAnnot_GetSubtype(note)
            is_field = kind == self._library.FPDF_ANNOT_WIDGET
            text = self._field(note) if is_field else self._comment(note, kind)
            if text:
                box, draws = self._visible(note, kind), kind not in self._drawn or self._draws(note)
                if not box or not (self._is_legible(note) if is_field else draws):
                    notes = notes._replace(hidden=notes.hidden + len("".join(text.split())))
                elif is_field:
                    notes.fields.append(_line(text, glyphs.turned_box(box)))
                    notes = notes._replace(unchecked=notes.unchecked or not draws)
                else:
                    notes.comments.append(text)
            library.FPDFPage_CloseAnnot(note)
        return notes

    def _visible(self, note: int, kind: int) -> Box | None:
        """Return the place of a note that the page shows, or None."""
        if self._library.FPDFAnnot_GetFlags(note) & self._unseen:
            return None
        box, page = self._library.FS_RECTF(), self._box
        self._library.FPDFAnnot_GetRect(note, ctypes.addressof(box))
        left, right = sorted((box.left, box.right))
        bottom, top = sorted((box.bottom, box.top))
        least = 0.0 if kind in self._icons else LEAST_TYPE
        is_on_page = left < page[2] and right > page[0] and bottom < page[3] and top > page[1]
        return (left, bottom, right, top) if is_on_page and min(right - left, top - bottom) >= least else None

    def _draws(self, note: int) -> bool:
        """Return whether the appearance of a note draws, or a viewer makes one: the note has none."""
        library = self._library
        appearance = _text(library.FPDFAnnot_GetAP, MAX_VALUE, note, library.FPDF_ANNOT_APPEARANCEMODE_NORMAL)
        return not library.FPDFAnnot_HasKey(note, b"AP") or _DRAWS.search(appearance) is not None

    def _is_legible(self, field: int) -> bool:
        """Return whether a field's type is dark and not tiny (0 points: sized to fit)."""
        if not self._form:
            return True
        colour = [ctypes.c_uint() for _ in range(3)]
        at = [ctypes.addressof(channel) for channel in colour]
        is_coloured = self._library.FPDFAnnot_GetFontColor(self._form, field, *at)
        if is_coloured and min(channel.value for channel in colour) >= LIGHT:
            return False
        size = ctypes.c_float()
        self._library.FPDFAnnot_GetFontSize(self._form, field, ctypes.addressof(size))
        return not 0 < size.value < LEAST_TYPE

    def _comment(self, note: int, kind: int) -> str:
        label = self._kinds.get(kind)
        if label is None:
            return ""
        text = self._entry(note, b"Contents", MAX_VALUE)
        author = self._entry(note, b"T", MAX_NAME)
        by = f" by {author}" if author and label == "Comment" else ""
        return f"[{label}{by}: {text}]" if text else ""

    def _entry(self, note: int, key: bytes, limit: int) -> str:
        return _text(self._library.FPDFAnnot_GetStringValue, limit, note, key)

    def _field(self, field: int) -> str:
        """Return a field with its name and value, or nothing for an empty one and a button."""
        name, value = (self._name(field), self._value(field)) if self._form else self._bare(field)
        return f"[{_INDEX.sub('', name) or 'Field'}: {value}]" if value else ""

    def _bare(self, field: int) -> tuple[str, str]:
        """Return the name and value of a field in a document without a form, as pages cut from one have."""
        name = self._entry(field, b"TU", MAX_NAME) or self._entry(field, b"T", MAX_NAME)
        state = self._entry(field, b"AS", MAX_NAME)
        ticked = "checked" if state not in {"", "Off"} else ""
        return name, ticked if state else self._entry(field, b"V", MAX_VALUE)

    def _value(self, field: int) -> str:
        library, form = self._library, self._form
        kind, value = library.FPDFAnnot_GetFormFieldType(form, field), ""
        shown = _text(library.FPDFAnnot_GetFormFieldValue, MAX_VALUE, form, field)
        if kind in {library.FPDF_FORMFIELD_CHECKBOX, library.FPDF_FORMFIELD_RADIOBUTTON}:
            if library.FPDFAnnot_IsChecked(form, field):
                value = _text(library.FPDFAnnot_GetFormFieldExportValue, MAX_VALUE, form, field)
                value = "checked" if _TICKS.match(value) else value
        elif kind in {library.FPDF_FORMFIELD_COMBOBOX, library.FPDF_FORMFIELD_LISTBOX}:
            options = range(min(library.FPDFAnnot_GetOptionCount(form, field), MAX_OPTIONS))
            chosen = [number for number in options if library.FPDFAnnot_IsOptionSelected(form, field, number)]
            labels = (_text(library.FPDFAnnot_GetOptionLabel, MAX_VALUE, form, field, number) for number in chosen)
            value = ", ".join(labels) or shown
        elif kind == library.FPDF_FORMFIELD_TEXTFIELD:
            value = "" if library.FPDFAnnot_GetFormFieldFlags(form, field) & PASSWORD_FIELD else shown
        return value

    def _name(self, field: int) -> str:
        """Return the name that a viewer shows, or else the last part of the field's own."""
        library, form = self._library, self._form
        shown = _text(library.FPDFAnnot_GetFormFieldAlternateName, MAX_NAME, form, field)
        return shown or _text(library.FPDFAnnot_GetFormFieldName, MAX_NAME, form, field).rpartition(".")[2]


def attached(library: Library, document: Any) -> list[str]:
    """Return a line for each file that is attached to a document."""
    count = min(library.FPDFDoc_GetAttachmentCount(document), MAX_FILES)
    files = [library.FPDFDoc_GetAttachment(document, number) for number in range(count)]
    names = (_text(library.FPDFAttachment_GetName, MAX_NAME, file) if file else "" for file in files)
    return [f"[Attached file, not read: {name or number}]" for number, name in enumerate(names, 1)]


def _text(read: Any, limit: int, *where: Any) -> str:
    """Return a string of at most `limit` units on one line, which `read` writes behind the arguments `where`."""
    length = read(*where, None, 0)
    buffer = ctypes.create_string_buffer(min(length, 1 << 22))
    read(*where, ctypes.addressof(buffer), len(buffer))
    text = buffer.raw[: 2 * limit].decode("utf-16-le", "replace").partition("\0")[0]
    return _BREAKS.sub(" ", text).strip()


def _line(text: str, box: Box) -> Line:
    left, bottom, right, top = box
    size = min(TYPE_SHARE * (top - bottom), MAX_TYPE)
    # The text of a high field begins at its top.
    return Line(text, left, right, max((bottom + top) / 2, top - size) - BELOW_MIDDLE * size, size)


def place_fields(lines: Sequence[Line], fields: Sequence[Line]) -> list[Line]:
    """Return the lines with each field after the last line to its left, or else before the first one below it.

    A field takes the baseline and the type size of the line to its left.
    """
    if len(lines) * len(fields) > MAX_PAIRS:
        return [*lines, *fields]
    placed = list(lines)
    for field in sorted(fields, key=lambda line: (-line.baseline, line.left)):
        before = [
            at
            for at, line in enumerate(placed)
            if line.level
            and line.left <= field.left
            and abs(line.baseline - field.baseline) <= RAISED * max(min(line.size, MAX_TYPE), field.size)
        ]
        if before:
            at = max(before, key=lambda at: placed[at].left)
            size = placed[at].size or field.size
            placed.insert(at + 1, field._replace(baseline=placed[at].baseline, size=size))
        else:
            below = (at for at, line in enumerate(placed) if line.level and line.baseline < field.baseline)
            placed.insert(next(below, len(placed)), field)
    return placed
