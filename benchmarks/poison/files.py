"""Files that are no PDF, truncated, or small and unpack to something large."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

from benchmarks.poison.build import (
    MIB,
    TEXT,
    Make,
    catalog_in_object_stream,
    flate,
    healthy,
    lzw,
    one_page,
    stream,
)


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


KINDS: dict[str, Make] = {
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
