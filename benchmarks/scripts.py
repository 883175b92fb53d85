"""Made-up pages whose text runs to the left, and how much of a truth a text has."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.poison.build import FONT, flate, one_page

EXCERPT = 40
# White space, and the marks of direction that pdftotext adds.
_IGNORED = re.compile("[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
_GLYPH_FONT = (
    b"<</Type/Font/Subtype/Type0/BaseFont/A/Encoding/Identity-H/ToUnicode 6 0 R/DescendantFonts[<</Type/Font"
    b"/Subtype/CIDFontType2/BaseFont/A/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]>>"
)
# As a character, a number from here on is a letter.
_FIRST_GLYPH = 0x250


def mapped(content: bytes, characters: Mapping[str, str]) -> bytes:
    """Return a page whose font maps its codes, given as letters, to these characters."""
    font = FONT.replace(b">>", b"/Encoding/WinAnsiEncoding/ToUnicode 6 0 R>>")
    pairs = {f"{ord(code):02x}": text for code, text in characters.items()}
    return one_page(flate(content), flate(_to_unicode(pairs)), font=font)


def of_glyphs(glyphs: Sequence[str]) -> bytes:
    """Return a page that shows glyphs by their numbers. Its font maps each to these characters, or to none."""
    codes = [f"{number:04x}" for number in range(_FIRST_GLYPH, _FIRST_GLYPH + len(glyphs))]
    shown, pairs = "".join(codes), {code: text for code, text in zip(codes, glyphs, strict=True) if text}
    content = f"BT /F 20 Tf 72 700 Td <{shown}> Tj ET".encode()
    return one_page(flate(content), flate(_to_unicode(pairs)), font=_GLYPH_FONT)


def _to_unicode(pairs: Mapping[str, str]) -> bytes:
    """Return a font's map from codes, in hexadecimal, to characters."""
    rows = "\n".join(f"<{code}> <{text.encode('utf-16-be').hex()}>" for code, text in pairs.items())
    width = len(next(iter(pairs)))
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Made-up def\n1 begincodespace"
        f"range <{'0' * width}> <{'f' * width}> endcodespacerange\n{len(pairs)} beginbfchar\n{rows}\nendbfchar "
        "endcmap end end"
    ).encode()


def found(truth: Iterable[str], text: str) -> tuple[int, int]:
    """Return how many excerpts of 40 characters of the truth's paragraphs a text has, and of how many.

    White space, marks of direction and compatibility forms do not count.
    """
    whole, hits, total = _plain(text), 0, 0
    for paragraph in map(_plain, truth):
        excerpts = [paragraph[at : at + EXCERPT] for at in range(0, len(paragraph) - EXCERPT + 1, EXCERPT)]
        total += len(excerpts)
        hits += sum(excerpt in whole for excerpt in excerpts)
    return hits, total


def _plain(text: str) -> str:
    return _IGNORED.sub("", unicodedata.normalize("NFKC", text))
