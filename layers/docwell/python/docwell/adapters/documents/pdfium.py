"""Functions of PDFium that take and return pointers as integers.

They are twice as fast as pypdfium2's, and a page has a thousand objects.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Box = tuple[float, float, float, float]  # left, bottom, right, top
_TYPES = {
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "i": ctypes.c_int,
    "u": ctypes.c_ulong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}
# The type of the result, then those of the arguments.
_SIGNATURES = {
    "FPDFPage_CountObjects": "ip",
    "FPDFPage_GetObject": "ppi",
    "FPDFPage_GetAnnotCount": "ip",
    "FPDFPage_GetAnnot": "ppi",
    "FPDFPage_CloseAnnot": "ip",
    "FPDFAnnot_GetSubtype": "ip",
    "FPDFAnnot_GetRect": "ipp",
    "FPDFAttachment_GetName": "uppu",
    "FPDFAttachment_GetFile": "ippup",
    "FPDFAnnot_GetFlags": "ip",
    "FPDFAnnot_GetStringValue": "upspu",
    "FPDFAnnot_GetFontColor": "ippppp",
    "FPDFAnnot_GetFontSize": "ippp",
    "FPDFAnnot_GetFormFieldType": "ipp",
    "FPDFAnnot_GetFormFieldFlags": "ipp",
    "FPDFAnnot_GetFormFieldName": "upppu",
    "FPDFAnnot_GetFormFieldAlternateName": "upppu",
    "FPDFAnnot_GetFormFieldValue": "upppu",
    "FPDFAnnot_GetFormFieldExportValue": "upppu",
    "FPDFAnnot_IsChecked": "ipp",
    "FPDFAnnot_GetOptionCount": "ipp",
    "FPDFAnnot_IsOptionSelected": "ippi",
    "FPDFAnnot_GetOptionLabel": "uppipu",
    "FPDFFormObj_CountObjects": "ip",
    "FPDFFormObj_GetObject": "ppu",
    "FPDFPageObj_GetType": "ip",
    "FPDFPageObj_GetBounds": "ippppp",
    "FPDFPageObj_GetMatrix": "ipp",
    "FPDFPageObj_GetFillColor": "ippppp",
    "FPDFPageObj_GetStrokeWidth": "ipp",
    "FPDFPageObj_HasTransparency": "ip",
    "FPDFPageObj_SetIsActive": "ipi",
    "FPDFPageObj_GetClipPath": "pp",
    "FPDFClipPath_CountPaths": "ip",
    "FPDFClipPath_CountPathSegments": "ipi",
    "FPDFClipPath_GetPathSegment": "ppii",
    "FPDFPathSegment_GetPoint": "ippp",
    "FPDFPath_CountSegments": "ip",
    "FPDFPath_GetDrawMode": "ippp",
    "FPDFPageObj_CountMarks": "ip",
    "FPDFPageObj_GetMark": "ppu",
    "FPDFPageObjMark_GetName": "ippup",
    "FPDFPageObjMark_GetParamValueType": "ips",
    "FPDFPageObjMark_GetParamStringValue": "ipspup",
    "FPDFPageObjMark_RemoveParam": "ipps",
    "FPDFTextObj_GetTextRenderMode": "ip",
    "FPDFTextObj_GetFont": "pp",
    "FPDFTextObj_GetFontSize": "ipp",
    "FPDFFont_GetFontData": "ippup",
    "FPDFText_GetTextObject": "ppi",
    "FPDFText_GetMatrix": "ipip",
    "FPDFText_HasUnicodeMapError": "ipi",
    "FPDFText_GetFontSize": "dpi",
    "FPDFText_GetCharIndexFromTextIndex": "ipi",
    "FPDFText_GetCharOrigin": "ipipp",
    "FPDFText_GetFontInfo": "upipup",
    "FPDFText_GetCharBox": "ipipppp",
}


class Units:
    """Positions in a text as PDFium counts them: in UTF-16 code units."""

    def __init__(self, text: str) -> None:
        self._wide = [at for at, letter in enumerate(text) if letter > "\uffff"] if not text.isascii() else []

    @property
    def is_narrow(self) -> bool:
        """Whether each character is one unit."""
        return not self._wide

    def before(self, position: int) -> int:
        """Return the number of units before a character."""
        return position + bisect_left(self._wide, position)


def calls(raw: Any) -> SimpleNamespace:
    """Return the functions of pypdfium2's `raw` module by name."""
    return SimpleNamespace(**{name: _call(raw, name, signature) for name, signature in _SIGNATURES.items()})


def address(pointer: Any) -> int:
    """Return the address that one of pypdfium2's objects or pointers holds; 0 for a null pointer."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _call(raw: Any, name: str, signature: str) -> Callable[..., Any]:
    result, *arguments = (_TYPES[letter] for letter in signature)
    return ctypes.PYFUNCTYPE(result, *arguments)(address(getattr(raw, name)))
