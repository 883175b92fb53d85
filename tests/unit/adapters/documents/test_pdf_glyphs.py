"""A page's text from its glyphs, without a PDF."""

from __future__ import annotations

import time
from types import SimpleNamespace

from pypdfium2 import raw

from docwell.adapters.documents.pdf_text import Glyphs
from docwell.adapters.documents.quality import tidy


def glyphs(unmapped: str) -> Glyphs:
    """Return the glyphs of a page that starts with this text, none of which its font maps."""
    calls = SimpleNamespace(
        FPDFText_GetCharIndexFromTextIndex=lambda _, position: position,
        FPDFText_HasUnicodeMapError=lambda _, index: int(index < len(unmapped)),
    )
    return Glyphs(raw, calls, 0, 0)


def test_an_unmapped_glyph_leaves_an_indic_word_only() -> None:
    indic, latin = "\u0915$\u0930", "a$b"
    text = f"{latin} {indic}"
    assert tidy(glyphs(text).mapped(text)) == f"{latin} \u0915\u0930"


def test_a_long_word_on_an_indic_page_takes_linear_time() -> None:
    text = "x" * 200_000 + " \u0915"
    started = time.process_time()
    assert glyphs("").mapped(text) == text
    assert time.process_time() - started < 2
