"""Every kind of poison PDF by name. No file is stored: a virus scanner or a preview would open it too."""

import io
import random
import zlib

import pypdf

from benchmarks.poison.build import (
    FONT,
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
from benchmarks.poison.pages import AMPLIFIERS, BAD_PAGES


def poison_kinds() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to a gigabyte; none is over 40 MB."""
    return _FILES | _STRUCTURE | _PAGES | _CHARACTER_MAPS | _BESIDE_PAGES | BAD_PAGES | AMPLIFIERS


def _until(whole: bytes, mark: bytes) -> bytes:
    return whole[: whole.rindex(mark)]


def _random_over_the_middle() -> bytes:
    good = healthy(200)
    third = len(good) // 3
    return good[:third] + random.Random(2).randbytes(third) + good[2 * third :]


def _truncated_in_a_stream() -> bytes:
    whole = one_page(flate(TEXT * 20_000))
    return whole[: len(whole) // 2]


_FILES: dict[str, Make] = {
    "empty_file": lambda: b"",
    "header_only": lambda: b"%PDF-1.7\n",
    "random_after_header": lambda: b"%PDF-1.7\n" + random.Random(1).randbytes(MIB),
    "random_over_the_middle": _random_over_the_middle,
    "nul_bytes": lambda: bytes(MIB),
    "nul_bytes_after_header": lambda: b"%PDF-1.7\n" + bytes(4 * MIB) + b"startxref\n0\n%%EOF",
    "web_page": lambda: b"<!DOCTYPE html><html><title>Not found</title><body>" + b"<p>404</p>" * 1000,
    "program": lambda: b"MZ\x90\x00" + bytes(60) + b"PE\x00\x00" + random.Random(3).randbytes(4096),
    "polyglot": lambda: b"GIF89a<html><!--\n" + healthy() + b"--><script>alert(1)</script></html>PK\x03\x04",
    "truncated_in_the_page_tree": lambda: healthy(500)[:200],
    "truncated_in_a_stream": _truncated_in_a_stream,
    "truncated_before_the_table": lambda: _until(healthy(100), b"xref\n0 "),
    "flate_bomb": lambda: one_page(flate(b"BT /F 9 Tf " + b"(a) Tj " * (20 * MIB) + b"ET")),
    "nested_flate_bomb": lambda: one_page(flate(bytes(200 * MIB), times=3)),
    "lzw_bomb": lambda: one_page(flate(lzw(b" " * MIB) * 50, entries=b"/Filter[/FlateDecode/LZWDecode]")),
    "run_length_bomb": lambda: one_page(
        stream(zlib.compress(b"\x81 " * (4 * MIB) + b"\x80", 9), b"/Filter[/FlateDecode/RunLengthDecode]")
    ),
    "hundreds_of_filters": lambda: one_page(flate(TEXT, times=500)),
    "hexadecimal_filters": lambda: one_page(
        stream(b"30" * MIB + b">", b"/Filter[%b]" % (b"/ASCIIHexDecode" * 2000))
    ),
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


def _one_page_a_hundred_thousand_times() -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    return pdf([b"<</Type/Pages/Kids[%b]/Count 100000>>" % (b"3 0 R " * 100_000), page, stream(TEXT), FONT])


def _deep_page_tree() -> bytes:
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % number for number in range(3, 20_003)]
    return pdf([*nodes, _BARE_PAGE])


def _page_tree_that_doubles() -> bytes:
    node = b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count %d>>"
    return pdf([*(node % (number, number, 2 ** (32 - number)) for number in range(3, 32)), _BARE_PAGE])


def _table_before_itself() -> bytes:
    good = healthy()
    return good.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % good.rindex(b"xref\n0 "))


def _tables_in_a_long_chain() -> bytes:
    body, at = bytearray(healthy()), 0
    for _ in range(20_000):
        previous, at = at, len(body)
        body += b"xref\n0 0\ntrailer<</Size 5/Root 1 0 R/Prev %d>>\n" % previous
    return bytes(body) + b"startxref\n%d\n%%%%EOF" % at


_STRUCTURE: dict[str, Make] = {
    "two_billion_pages_claimed": lambda: healthy().replace(b"/Count 1>>", b"/Count 2000000000>>"),
    "negative_page_count": lambda: healthy().replace(b"/Count 1>>", b"/Count -7>>"),
    "one_page_a_hundred_thousand_times": _one_page_a_hundred_thousand_times,
    "deep_page_tree": _deep_page_tree,
    "cyclic_page_tree": lambda: pdf(
        [b"<</Type/Pages/Kids[3 0 R 2 0 R]/Count 50>>", b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 50>>"]
    ),
    "page_tree_that_doubles": _page_tree_that_doubles,
    "cyclic_inheritance": lambda: pdf(
        [b"<</Type/Pages/Kids[3 0 R]/Count 1/Parent 3 0 R>>", b"<</Type/Page/Parent 2 0 R>>"]
    ),
    "cyclic_page_labels": lambda: one_page(
        stream(TEXT), b"<</Kids[6 0 R 6 0 R]/Limits[0 9]>>", catalog=b"/PageLabels<</Kids[6 0 R]>>"
    ),
    "cyclic_outline": lambda: one_page(
        stream(TEXT),
        b"<</Title(x)/Next 6 0 R/First 6 0 R/Last 6 0 R/Parent 6 0 R/Count 1000000>>",
        catalog=b"/Outlines 6 0 R",
    ),
    "object_stream_in_itself": lambda: catalog_in_object_stream(
        stream(b"2 0 <</Type/Catalog>>", b"/Type/ObjStm/N 1/First 4/Extends 2 0 R")
    ),
    "table_before_itself": _table_before_itself,
    "tables_in_a_long_chain": _tables_in_a_long_chain,
    "table_beyond_the_end": lambda: _until(healthy(), b"startxref") + b"startxref\n99999999999999999999\n%%EOF",
    "length_that_is_the_stream_itself": lambda: one_page(stream(TEXT, length=b"4 0 R")),
    "negative_length": lambda: one_page(stream(TEXT, length=b"-2147483648")),
    "length_beyond_the_end": lambda: one_page(stream(TEXT, length=b"9223372036854775807")),
    "streams_of_no_length": lambda: one_page(stream(b"", b"/Filter[/FlateDecode/LZWDecode/DCTDecode]")),
    "giant_string": lambda: pdf(
        [b"<</Type/Pages/Kids[]/Count 0>>"], trailer=b"/Info<</Title(%b)>>" % (b"A" * (16 * MIB))
    ),
    "unended_string": lambda: one_page(stream(TEXT + b"BT (" + b"(" * (4 * MIB))),
    "giant_array": lambda: one_page(
        stream(TEXT), b"[%b]" % (b"0 " * (4 * MIB)), catalog=b"/OpenAction 6 0 R/Names 6 0 R"
    ),
    "deep_arrays": lambda: one_page(stream(TEXT), b"[" * MIB + b"]" * MIB, catalog=b"/OpenAction 6 0 R"),
    "deep_dictionaries": lambda: one_page(stream(TEXT), b"<</A" * MIB + b">>" * MIB, catalog=b"/Dests 6 0 R"),
    "million_objects": lambda: (
        healthy()[: -len(b"%%EOF\n")] + b"".join(b"%d 0 obj 0 endobj\n" % n for n in range(9, 1_000_009))
    ),
}

_FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]"
_TYPE_3 = (
    b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[1 0 0 1 0 0]/FirstChar 97/LastChar 97/Widths[9]"
    b"/CharProcs<</a 6 0 R>>/Encoding<</Differences[97/a]>>/Resources<</Font<</F 5 0 R>>>>>>"
)
_IMAGE = (
    b"/Type/XObject/Subtype/Image/Width 1000000000/Height 1000000000/BitsPerComponent 16/ColorSpace/DeviceCMYK"
)


def _forms_that_double() -> bytes:
    form = _FORM + b"/Resources<</XObject<</A %d 0 R>>>>"
    forms = [stream(b"/A Do /A Do", form % number) for number in range(7, 37)]
    return one_page(stream(b"/A Do"), *forms, stream(TEXT, _FORM), xobject=b"/A 6 0 R")


def _encoding_of_nonsense() -> bytes:
    differences = b" ".join(b"%d/g%d" % (-number, number) for number in range(100_000))
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/X/Encoding<</BaseEncoding/No/Differences[%b]>>>>" % differences
    return one_page(stream(TEXT), font=font)


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
    "glyph_that_draws_itself": lambda: one_page(
        stream(b"BT /F 9 Tf (aaaa) Tj ET"), stream(b"9 0 d0 BT /F 9 Tf (aaaa) Tj ET"), font=_TYPE_3
    ),
    "image_of_a_billion_pixels_squared": lambda: one_page(
        stream(b"/A Do"), flate(bytes(MIB), entries=_IMAGE), xobject=b"/A 6 0 R"
    ),
    "inline_image_without_end": lambda: one_page(
        stream(b"BI /W 99999 /H 99999 /BPC 8 /CS /RGB /F /Fl ID " + b"E I " * MIB)
    ),
    "encoding_of_nonsense": _encoding_of_nonsense,
    "font_of_nonsense": _font_of_nonsense,
}

_IDENTITY = b"/Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]"
_DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(X)/Ordering(Y)/Supplement 0>>>>"
)
_CMAP_START = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> "
    b"endcodespacerange\n"
)
_CMAP_END = b"endcmap end end"
_PRIVATE = b"1 beginbfrange <0000> <FFFF> <E000> endbfrange "
_RANGES = b"100 beginbfrange\n" + b"<0000> <FFFF> <%b>\n" % (b"0041" * 500) * 100 + b"endbfrange\n"
_HUGE_RANGES = (
    b"begincmap 1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange\n"
    b"1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange endcmap"
)


def _mapped(codes: bytes, cmap: bytes, font: bytes = _IDENTITY + b"/ToUnicode 7 0 R") -> bytes:
    """Return a page with the hexadecimal `codes` in a font with a character map, object 7."""
    return one_page(stream(b"BT /F 9 Tf <%b> Tj ET" % codes), _DESCENDANT, cmap, font=b"<<%b>>" % font)


_CHARACTER_MAPS: dict[str, Make] = {
    "text_of_private_characters": lambda: _mapped(
        b"".join(b"%04X" % number for number in range(1, 400)), stream(_CMAP_START + _PRIVATE + _CMAP_END)
    ),
    "character_map_bomb": lambda: _mapped(b"0041" * 9000, flate(_CMAP_START + _RANGES + _CMAP_END)),
    "character_map_of_huge_ranges": lambda: _mapped(b"0041004200430044", stream(_HUGE_RANGES)),
    "character_map_in_itself": lambda: _mapped(
        b"00410042",
        stream(_CMAP_START + _CMAP_END, b"/Type/CMap/CMapName/X/UseCMap 7 0 R"),
        _IDENTITY.replace(b"/Encoding/Identity-H", b"/Encoding 7 0 R/ToUnicode 7 0 R"),
    ),
    "widths_of_everything": lambda: one_page(
        stream(b"BT /F 9 Tf <00410042> Tj ET"),
        _DESCENDANT[:-2] + b"/W[%b]>>" % (b"0 2147483647 500 " * 1000),
        font=b"<<%b>>" % _IDENTITY,
    ),
}


def _locked(encryption: bytes) -> bytes:
    return healthy().replace(b"/Root 1 0 R", b"/Root 1 0 R/Encrypt<<%b" % encryption)


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
    "program_to_launch": lambda: one_page(
        stream(b""),
        b"<</S/Launch/F(/bin/sh)/Win<</F(cmd.exe)/P(/c calc)>>>>",
        catalog=b"/OpenAction 6 0 R/AA<</WC 6 0 R>>",
    ),
    "form_of_xml_only": lambda: one_page(
        stream(b""),
        b"<</Fields[]/XFA[(template) 7 0 R]/NeedsRendering true>>",
        stream(b"<template><field/></template>"),
        catalog=b"/AcroForm 6 0 R",
    ),
    "content_elsewhere": lambda: one_page(stream(b"", b"/F(/etc/passwd)/FFilter/FlateDecode")),
    "locked_with_a_password": _locked_with_a_password,
    "locked_with_nonsense": lambda: _locked(
        b"/Filter/Standard/V 5/R 6/Length -1/P 0/O<00>/U()/OE()/UE()/Perms(x)>>/ID[()()]"
    ),
    "locked_by_a_stranger": lambda: _locked(b"/Filter/Unknown.Lock/V 99>>"),
}
