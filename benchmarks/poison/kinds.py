"""Every kind of poison PDF by name. No file is stored: a virus scanner or a preview would open it too."""

import io
import random

import pypdf

from benchmarks.poison.build import (
    MIB,
    TEXT,
    Make,
    catalog_in_object_stream,
    flate,
    healthy,
    lzw,
    one_page,
    pdf,
    stream,
)

_FILES: dict[str, Make] = {
    "empty_file": lambda: b"",
    "random_after_header": lambda: b"%PDF-1.7\n" + random.Random(1).randbytes(MIB),
    "web_page": lambda: b"<!DOCTYPE html><html><title>Not found</title><body>" + b"<p>404</p>" * 1000,
    "polyglot": lambda: b"GIF89a<html><!--\n" + healthy() + b"--><script>alert(1)</script></html>PK\x03\x04",
    "truncated_in_the_page_tree": lambda: healthy(500)[:200],
    "flate_bomb": lambda: one_page(flate(b"BT /F 9 Tf " + b"(a) Tj " * (20 * MIB) + b"ET")),
    "nested_flate_bomb": lambda: one_page(flate(bytes(200 * MIB), times=3)),
    "lzw_bomb": lambda: one_page(flate(lzw(b" " * MIB) * 50, entries=b"/Filter[/FlateDecode/LZWDecode]")),
    "hundreds_of_filters": lambda: one_page(flate(TEXT, times=500)),
    "predictor_bomb": lambda: one_page(
        flate(
            bytes(MIB),
            entries=b"/DecodeParms<</Predictor 12/Columns 2147483647/Colors 32/BitsPerComponent 16>>",
        )
    ),
    "object_stream_bomb": lambda: catalog_in_object_stream(
        flate(b"7 0 " * (8 * MIB), entries=b"/Type/ObjStm/N 8000000/First 33554432")
    ),
    "cross_reference_bomb": lambda: (
        b"%%PDF-1.7\n1 0 obj\n%b\nendobj\nstartxref\n9\n%%%%EOF"
        % flate(bytes(100 * MIB), entries=b"/Type/XRef/Size 2147483647/W[1 8 8]/Root 1 0 R")
    ),
}

_BARE_PAGE = b"<</Type/Page/MediaBox[0 0 600 800]>>"


def _deep_page_tree() -> bytes:
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % number for number in range(3, 20_003)]
    return pdf([*nodes, _BARE_PAGE])


def _page_tree_that_doubles() -> bytes:
    node = b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count %d>>"
    return pdf([*(node % (number, number, 2 ** (32 - number)) for number in range(3, 32)), _BARE_PAGE])


def _table_before_itself() -> bytes:
    good = healthy()
    return good.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % good.rindex(b"xref\n0 "))


_STRUCTURE: dict[str, Make] = {
    "two_billion_pages_claimed": lambda: healthy().replace(b"/Count 1>>", b"/Count 2000000000>>"),
    "one_page_a_hundred_thousand_times": lambda: one_page(stream(TEXT), times=100_000),
    "deep_page_tree": _deep_page_tree,
    "cyclic_page_tree": lambda: pdf(
        [b"<</Type/Pages/Kids[3 0 R 2 0 R]/Count 50>>", b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 50>>"]
    ),
    "page_tree_that_doubles": _page_tree_that_doubles,
    "cyclic_page_labels": lambda: one_page(
        stream(TEXT), b"<</Kids[6 0 R 6 0 R]/Limits[0 9]>>", catalog=b"/PageLabels<</Kids[6 0 R]>>"
    ),
    "cyclic_outline": lambda: one_page(
        stream(TEXT),
        b"<</Title(x)/Next 6 0 R/First 6 0 R/Last 6 0 R/Parent 6 0 R/Count 1000000>>",
        catalog=b"/Outlines 6 0 R",
    ),
    "table_before_itself": _table_before_itself,
    "length_that_is_the_stream_itself": lambda: one_page(stream(TEXT, length=b"4 0 R")),
    "length_beyond_the_end": lambda: one_page(stream(TEXT, length=b"9223372036854775807")),
    "unended_string": lambda: one_page(stream(TEXT + b"BT (" + b"(" * (4 * MIB))),
    "giant_array": lambda: one_page(
        stream(TEXT), b"[%b]" % (b"0 " * (4 * MIB)), catalog=b"/OpenAction 6 0 R/Names 6 0 R"
    ),
    "deep_arrays": lambda: one_page(stream(TEXT), b"[" * MIB + b"]" * MIB, catalog=b"/OpenAction 6 0 R"),
    "million_objects": lambda: (
        healthy()[: -len(b"%%EOF\n")] + b"".join(b"%d 0 obj 0 endobj\n" % n for n in range(9, 1_000_009))
    ),
}

_FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]"


def _forms_that_double() -> bytes:
    form = _FORM + b"/Resources<</XObject<</A %d 0 R>>>>"
    forms = [stream(b"/A Do /A Do", form % number) for number in range(7, 37)]
    return one_page(stream(b"/A Do"), *forms, stream(TEXT, _FORM), xobject=b"/A 6 0 R")


def _font_of_nonsense() -> bytes:
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/X/FontDescriptor 6 0 R/FirstChar -5/LastChar 99999999"
    descriptor = b"<</Type/FontDescriptor/FontName/X/Flags 4/FontFile2 7 0 R>>"
    file = stream(b"\x00\x01\x00\x00\xff\xff" + b"glyf\xff" * 9999)
    return one_page(stream(TEXT), descriptor, file, font=font + b"/Widths[1]>>")


_PAGES: dict[str, Make] = {
    "huge_content_stream": lambda: one_page(flate(b"0 0 m 9 9 l S\n" * (2 * MIB) + TEXT)),
    "ten_million_characters": lambda: one_page(
        flate(b"BT /F 9 Tf " + b"(%b) Tj " % (b"abcdefghi " * 10) * 100_000 + b"ET")
    ),
    "graphics_states_never_restored": lambda: one_page(flate(b"q " * (4 * MIB) + TEXT)),
    "text_beyond_all_numbers": lambda: one_page(
        stream(b"BT /F 1e308 Tf 1e308 0 0 -1e308 9e999 1e-320 Tm (a) Tj 2147483648 Tc (b) Tj ET")
    ),
    "form_in_itself": lambda: one_page(
        stream(b"/A Do"),
        stream(b"/A Do " + TEXT, _FORM + b"/Resources<</XObject<</A 6 0 R>>/Font<</F 5 0 R>>>>"),
        xobject=b"/A 6 0 R",
    ),
    "forms_that_double": _forms_that_double,
    "font_of_nonsense": _font_of_nonsense,
}

_IDENTITY = b"/Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]"
_DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(X)/Ordering(Y)/Supplement 0>>>>"
)
_CMAP = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> "
    b"endcodespacerange\n%b endcmap end end"
)
_PRIVATE = _CMAP % b"1 beginbfrange <0000> <FFFF> <E000> endbfrange"
_RANGES = _CMAP % (b"100 beginbfrange\n" + b"<0000> <FFFF> <%b>\n" % (b"0041" * 500) * 100 + b"endbfrange")
# One code shows 100 letters.
_LONG_STRING = _CMAP % (b"1 beginbfchar <0041> <%b> endbfchar" % (b"0061" * 100))


def _mapped(
    codes: bytes, cmap: bytes, font: bytes = _IDENTITY + b"/ToUnicode 7 0 R", compressed: int = 0, pages: int = 1
) -> bytes:
    """Return pages with the hexadecimal `codes` in a font with a character map, object 7."""
    content = flate(b"BT /F 9 Tf <%b> Tj ET" % codes, times=compressed)
    return one_page(content, _DESCENDANT, cmap, font=b"<<%b>>" % font, times=pages)


_CHARACTER_MAPS: dict[str, Make] = {
    "text_of_private_characters": lambda: _mapped(
        b"".join(b"%04X" % number for number in range(1, 400)), stream(_PRIVATE)
    ),
    "character_map_bomb": lambda: _mapped(b"0041" * 9000, flate(_RANGES)),
    "character_map_in_itself": lambda: _mapped(
        b"00410042",
        stream(_CMAP % b"", b"/Type/CMap/CMapName/X/UseCMap 7 0 R"),
        _IDENTITY.replace(b"/Encoding/Identity-H", b"/Encoding 7 0 R/ToUnicode 7 0 R"),
    ),
}


def _locked_with_a_password() -> bytes:
    writer, out = pypdf.PdfWriter(clone_from=io.BytesIO(healthy())), io.BytesIO()
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(out)
    return out.getvalue()


def _metadata_bomb() -> bytes:
    entities = b'<!ENTITY a0 "aaaaaaaaaa">'
    entities += b"".join(b'<!ENTITY a%d "%b">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    packet = stream(b"<?xml version='1.0'?><!DOCTYPE x [%b]><x>&a9;</x>" % entities, b"/Type/Metadata/Subtype/XML")
    return one_page(stream(b""), packet, catalog=b"/Metadata 6 0 R")


_BESIDE_PAGES: dict[str, Make] = {
    "metadata_bomb": _metadata_bomb,
    "script_only": lambda: one_page(
        stream(b""),
        b"<</S/JavaScript/JS(while\\(true\\)app.alert\\(1\\))>>",
        catalog=b"/OpenAction 6 0 R/Names<</JavaScript<</Names[(x) 6 0 R]>>>>",
    ),
    "form_of_xml_only": lambda: one_page(
        stream(b""),
        b"<</Fields[]/XFA[(template) 7 0 R]/NeedsRendering true>>",
        stream(b"<template><field/></template>"),
        catalog=b"/AcroForm 6 0 R",
    ),
    "content_elsewhere": lambda: one_page(stream(b"", b"/F(/etc/passwd)/FFilter/FlateDecode")),
    "locked_with_a_password": _locked_with_a_password,
    "locked_by_a_stranger": lambda: healthy().replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt<</Filter/Unknown.Lock/V 99>>"
    ),
}

# 420 pages of 150,000 characters each, which no limit for a page forbids: 63 MB.
_TIMES = 420
_LONG_TEXT = b"BT /F 9 Tf 9 TL " + b"(%b)' " % (b"abcdefghi " * 10) * 1_500 + b"ET"
# Page 50 cannot be read.
BAD_PAGES: dict[str, Make] = {
    "bomb_among_a_hundred_pages": lambda: healthy(
        100, middle=flate(b"BT /F 9 Tf " + b"(a) Tj " * (20 * MIB) + b"ET")
    ),
    "long_page_among_a_hundred": lambda: healthy(100, middle=flate(_LONG_TEXT * 2)),
}
# Small files that become much text.
AMPLIFIERS: dict[str, Make] = {
    "small_file_of_much_text": lambda: one_page(flate(_LONG_TEXT, times=2), times=_TIMES),
    "form_shared_by_many_pages": lambda: one_page(
        stream(b"/A Do"),
        flate(_LONG_TEXT, times=2, entries=_FORM + b"/Resources<</Font<</F 5 0 R>>>>"),
        xobject=b"/A 6 0 R",
        times=_TIMES,
    ),
    "codes_that_show_long_strings": lambda: _mapped(
        b"0041" * 1_500, flate(_LONG_STRING), compressed=2, pages=_TIMES
    ),
}


def poison_kinds() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to a gigabyte; none is over 40 MB."""
    return _FILES | _STRUCTURE | _PAGES | _CHARACTER_MAPS | _BESIDE_PAGES | BAD_PAGES | AMPLIFIERS
