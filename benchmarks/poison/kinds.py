"""Every kind of poison PDF by name. No file is stored: a virus scanner or a preview would open it too."""

import io
import random
import struct
import zipfile
import zlib

from benchmarks.poison import pages
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


def poison_kinds() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to a gigabyte; none is over 40 MB."""
    return {**_FILES, **pages.KINDS, **_STRUCTURE}


def _random_over_the_middle() -> bytes:
    good = healthy(200)
    third = len(good) // 3
    return good[:third] + random.Random(2).randbytes(third) + good[2 * third :]


def _zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("zeros"), bytes(MIB))
    return buffer.getvalue()


def _png_image() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _truncated_in_a_stream() -> bytes:
    whole = one_page(flate(TEXT * 20_000))
    return whole[: len(whole) // 2]


def _truncated_before_the_table() -> bytes:
    whole = healthy(100)
    return whole[: whole.rindex(b"xref\n0 ")]


def _run_length_bomb() -> bytes:
    packed = zlib.compress(b"\x81 " * (4 * MIB) + b"\x80", 9)
    return one_page(stream(packed, b"/Filter[/FlateDecode/RunLengthDecode]"))


def _predictor_bomb() -> bytes:
    entries = b"/DecodeParms<</Predictor 12/Columns 2147483647/Colors 32/BitsPerComponent 16>>"
    return one_page(flate(bytes(MIB), entries=entries))


def _cross_reference_bomb() -> bytes:
    entries = b"/Type/XRef/Size 2147483647/W[1 8 8]/Root 1 0 R"
    table = flate(bytes(100 * MIB), entries=entries)
    return b"%%PDF-1.7\n1 0 obj\n%b\nendobj\nstartxref\n9\n%%%%EOF" % table


_FILES: dict[str, Make] = {
    "empty_file": lambda: b"",
    "header_only": lambda: b"%PDF-1.7\n",
    "random_after_header": lambda: b"%PDF-1.7\n" + random.Random(1).randbytes(MIB),
    "random_over_the_middle": _random_over_the_middle,
    "nul_bytes": lambda: bytes(MIB),
    "nul_bytes_after_header": lambda: b"%PDF-1.7\n" + bytes(4 * MIB) + b"startxref\n0\n%%EOF",
    "zip_archive": _zip_archive,
    "png_image": _png_image,
    "web_page": lambda: b"<!DOCTYPE html><html><title>Not found</title><body>" + b"<p>404</p>" * 1000,
    "program": lambda: b"MZ\x90\x00" + bytes(60) + b"PE\x00\x00" + random.Random(3).randbytes(4096),
    "polyglot": lambda: b"GIF89a<html><!--\n" + healthy() + b"--><script>alert(1)</script></html>PK\x03\x04",
    "truncated_in_the_page_tree": lambda: healthy(500)[:200],
    "truncated_in_a_stream": _truncated_in_a_stream,
    "truncated_before_the_table": _truncated_before_the_table,
    "flate_bomb": lambda: one_page(flate(b"BT /F 9 Tf " + b"(a) Tj " * (20 * MIB) + b"ET")),
    "nested_flate_bomb": lambda: one_page(flate(bytes(200 * MIB), times=3)),
    "lzw_bomb": lambda: one_page(flate(lzw(b" " * MIB) * 50, entries=b"/Filter[/FlateDecode/LZWDecode]")),
    "run_length_bomb": _run_length_bomb,
    "hundreds_of_filters": lambda: one_page(flate(TEXT, times=500)),
    "hexadecimal_filters": lambda: one_page(
        stream(b"30" * MIB + b">", b"/Filter[%b]" % (b"/ASCIIHexDecode" * 2000))
    ),
    "predictor_bomb": _predictor_bomb,
    "object_stream_bomb": lambda: catalog_in_object_stream(
        flate(b"7 0 " * (8 * MIB), entries=b"/Type/ObjStm/N 8000000/First 33554432")
    ),
    "cross_reference_bomb": _cross_reference_bomb,
}


def _one_page_a_hundred_thousand_times() -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    return pdf([b"<</Type/Pages/Kids[%b]/Count 100000>>" % (b"3 0 R " * 100_000), page, stream(TEXT), FONT])


def _deep_page_tree() -> bytes:
    levels = 20_000
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % number for number in range(3, levels + 3)]
    return pdf([*nodes, b"<</Type/Page/MediaBox[0 0 600 800]>>"])


def _page_tree_that_doubles() -> bytes:
    levels = 29
    nodes = [
        b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count %d>>" % (number, number, 2 ** (levels + 3 - number))
        for number in range(3, levels + 3)
    ]
    return pdf([*nodes, b"<</Type/Page/MediaBox[0 0 600 800]>>"])


def _cyclic_page_labels() -> bytes:
    labels = b"/PageLabels<</Kids[6 0 R]>>"
    return one_page(stream(TEXT), b"<</Kids[6 0 R 6 0 R]/Limits[0 9]>>", catalog=labels)


def _cyclic_outline() -> bytes:
    outline = b"<</Title(x)/Next 6 0 R/First 6 0 R/Last 6 0 R/Parent 6 0 R/Count 1000000>>"
    return one_page(stream(TEXT), outline, catalog=b"/Outlines 6 0 R")


def _table_before_itself() -> bytes:
    good = healthy()
    return good.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % good.rindex(b"xref\n0 "))


def _tables_in_a_long_chain() -> bytes:
    body, at = bytearray(healthy()), 0
    for _ in range(20_000):
        previous, at = at, len(body)
        body += b"xref\n0 0\ntrailer<</Size 5/Root 1 0 R/Prev %d>>\n" % previous
    return bytes(body) + b"startxref\n%d\n%%%%EOF" % at


def _table_beyond_the_end() -> bytes:
    good = healthy()
    return good[: good.rindex(b"startxref")] + b"startxref\n99999999999999999999\n%%EOF"


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
    "cyclic_page_labels": _cyclic_page_labels,
    "cyclic_outline": _cyclic_outline,
    "object_stream_in_itself": lambda: catalog_in_object_stream(
        stream(b"2 0 <</Type/Catalog>>", b"/Type/ObjStm/N 1/First 4/Extends 2 0 R")
    ),
    "table_before_itself": _table_before_itself,
    "tables_in_a_long_chain": _tables_in_a_long_chain,
    "table_beyond_the_end": _table_beyond_the_end,
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
