"""Text that runs to the left or downward, and text that replaces what is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.poison.kinds import FONT, flate, one_page, stream
from benchmarks.reading import default_reader
from tests.unit.cases import rows

_GLYPH_FONT = (
    b"<</Type/Font/Subtype/Type0/BaseFont/A/Encoding/Identity-H/ToUnicode 6 0 R/DescendantFonts[<</Type/Font"
    b"/Subtype/CIDFontType2/BaseFont/A/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]>>"
)
# From this code on, a glyph's number is a letter as a character.
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


def read(content: bytes, tmp_path: Path) -> str:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    return next(default_reader().pages(path, 1, 1)).text


def shown(codes: str) -> bytes:
    """A line as a program draws it: from left to right."""
    return b"BT /F 20 Tf 72 700 Td (%b) Tj ET" % codes.encode()


LETTERS = {"a": "א", "b": "ב", "c": "ג"}


@pytest.mark.parametrize(
    "drawn",
    ["a )b( a", "a (b) a"],
    ids=["the bracket that is meant", "the bracket that is seen"],
)
def test_brackets_in_right_to_left_text_open_before_they_close(tmp_path: Path, drawn: str) -> None:
    same = {letter: letter for letter in "() "}
    content = shown(drawn.replace("(", "\\(").replace(")", "\\)"))
    assert read(mapped(content, LETTERS | same), tmp_path) == "א (ב) א"


@pytest.mark.parametrize(("drawn", "expected"), rows(__file__, "right_to_left"))
def test_a_mark_after_a_number_in_right_to_left_text_stays_after_it(
    tmp_path: Path, drawn: str, expected: str
) -> None:
    same = {letter: letter for letter in " .,:%0123456789"}
    assert read(mapped(shown(drawn), LETTERS | same), tmp_path) == expected


REPLACED = b"BT /F 20 Tf 72 700 Td (The o) Tj /Span<</ActualText(%b)>> BDC (%b) Tj EMC (ce opens) Tj ET"


@pytest.mark.parametrize(("said", "drawn"), [(b"vault", b"x"), (b"a", b"x")])
def test_a_replacement_of_what_is_drawn_is_not_read(tmp_path: Path, said: bytes, drawn: bytes) -> None:
    text = read(one_page(stream(REPLACED % (said, drawn))), tmp_path)
    assert text == f"The o{drawn.decode()}ce opens"


def test_a_glyph_of_an_indic_word_that_its_font_does_not_map_is_left_out(tmp_path: Path) -> None:
    assert (
        read(of_glyphs(["", "\u0926\u093f", "\u090f", " ", "\u0914", "\u0930", "x"]), tmp_path)
        == "\u0926\u093f\u090f \u0914\u0930x"
    )


def test_a_glyph_of_another_word_that_its_font_does_not_map_stays_as_the_font_has_it(tmp_path: Path) -> None:
    assert len(read(of_glyphs(["", "a", "b"]), tmp_path)) == 3
