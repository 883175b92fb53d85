"""Signs that a Word document draws without letters: those of symbol fonts, and the fields of old forms."""

from __future__ import annotations

import re
from typing import Any

from docx.oxml.ns import qn

from docwell.adapters.documents.formats.word_numbers import OFF

_GREEK = "\u0394\u03a9\u03b1\u03b2\u03b3\u03b4\u03b5\u03bb\u03bc\u03c0\u03c3"
# The last byte of the code of signs that text has, by font, and the signs.
_FONTS = {
    "symbol": (
        b"\x44\x57\x61\x62\x67\x64\x65\x6c\x6d\x70\x73\xa3\xa5\xae\xb0\xb1\xb3\xb4\xb7\xb9\xbb",
        _GREEK + "\u2264\u221e\u2192\u00b0\u00b1\u2265\u00d7\u2022\u2260\u2248",
    ),
    "wingdings": (b"\x6f\xa8\xfe\xfd\xfc\xfb\xe0", "\u2610\u2610\u2611\u2612\u2713\u2717\u2192"),
    "wingdings 2": (b"\xa3\x2a\x52\x53\x50\x4f", "\u2610\u2610\u2611\u2612\u2713\u2717"),
}
_SIGN, _BOX, _LIST = qn("w:sym"), qn("w:checkBox"), qn("w:ddList")
TAGS = frozenset({_SIGN, _BOX, _LIST})
_CODE = re.compile("[0-9A-Fa-f]{2,4}")


def drawn(element: Any) -> str:
    """Return what an element with one of the `TAGS` draws: a sign, a box, or the chosen entry of a list."""
    if element.tag == _SIGN:
        return _sign(element.get(qn("w:font"), ""), element.get(qn("w:char"), ""))
    if element.tag == _BOX:
        states = (element.find(qn(name)) for name in ("w:checked", "w:default"))
        state = next((one for one in states if one is not None), None)
        return "\u2610" if state is None or state.get(qn("w:val")) in OFF else "\u2612"
    entries = [entry.get(qn("w:val"), "") for entry in element.iterchildren(qn("w:listEntry"))]
    states = (element.find(qn(name)) for name in ("w:result", "w:default"))
    chosen = next((one.get(qn("w:val"), "") for one in states if one is not None), "0")
    return entries[int(chosen)] if chosen.isdecimal() and int(chosen) < len(entries) else ""


def _sign(font: str, code: str) -> str:
    codes, signs = _FONTS.get(font.lower(), (b"", ""))
    at = codes.find(int(code[-2:], 16)) if _CODE.fullmatch(code) else -1
    return signs[at] if at >= 0 else ""
