"""Page trees and cross references that loop, lie, or are very deep or very many."""

from __future__ import annotations

from benchmarks.poison.build import FONT, MIB, TEXT, catalog_in_object_stream, healthy, kind, one_page, pdf, stream


@kind
def _two_billion_pages_claimed() -> bytes:
    return healthy().replace(b"/Count 1>>", b"/Count 2000000000>>")


@kind
def _negative_page_count() -> bytes:
    return healthy().replace(b"/Count 1>>", b"/Count -7>>")


@kind
def _one_page_a_hundred_thousand_times() -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    return pdf([b"<</Type/Pages/Kids[%b]/Count 100000>>" % (b"3 0 R " * 100_000), page, stream(TEXT), FONT])


@kind
def _deep_page_tree() -> bytes:
    levels = 20_000
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % number for number in range(3, levels + 3)]
    return pdf([*nodes, b"<</Type/Page/MediaBox[0 0 600 800]>>"])


@kind
def _cyclic_page_tree() -> bytes:
    return pdf([b"<</Type/Pages/Kids[3 0 R 2 0 R]/Count 50>>", b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 50>>"])


@kind
def _page_tree_that_doubles() -> bytes:
    levels = 29
    nodes = [
        b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count %d>>" % (number, number, 2 ** (levels + 3 - number))
        for number in range(3, levels + 3)
    ]
    return pdf([*nodes, b"<</Type/Page/MediaBox[0 0 600 800]>>"])


@kind
def _cyclic_inheritance() -> bytes:
    return pdf([b"<</Type/Pages/Kids[3 0 R]/Count 1/Parent 3 0 R>>", b"<</Type/Page/Parent 2 0 R>>"])


@kind
def _cyclic_page_labels() -> bytes:
    labels = b"/PageLabels<</Kids[6 0 R]>>"
    return one_page(stream(TEXT), b"<</Kids[6 0 R 6 0 R]/Limits[0 9]>>", catalog=labels)


@kind
def _cyclic_outline() -> bytes:
    outline = b"<</Title(x)/Next 6 0 R/First 6 0 R/Last 6 0 R/Parent 6 0 R/Count 1000000>>"
    return one_page(stream(TEXT), outline, catalog=b"/Outlines 6 0 R")


@kind
def _object_stream_in_itself() -> bytes:
    return catalog_in_object_stream(stream(b"2 0 <</Type/Catalog>>", b"/Type/ObjStm/N 1/First 4/Extends 2 0 R"))


@kind
def _table_before_itself() -> bytes:
    good = healthy()
    return good.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % good.rindex(b"xref\n0 "))


@kind
def _tables_in_a_long_chain() -> bytes:
    body, at = bytearray(healthy()), 0
    for _ in range(20_000):
        previous, at = at, len(body)
        body += b"xref\n0 0\ntrailer<</Size 5/Root 1 0 R/Prev %d>>\n" % previous
    return bytes(body) + b"startxref\n%d\n%%%%EOF" % at


@kind
def _table_beyond_the_end() -> bytes:
    good = healthy()
    return good[: good.rindex(b"startxref")] + b"startxref\n99999999999999999999\n%%EOF"


@kind
def _length_that_is_the_stream_itself() -> bytes:
    return one_page(stream(TEXT, length=b"4 0 R"))


@kind
def _negative_length() -> bytes:
    return one_page(stream(TEXT, length=b"-2147483648"))


@kind
def _length_beyond_the_end() -> bytes:
    return one_page(stream(TEXT, length=b"9223372036854775807"))


@kind
def _streams_of_no_length() -> bytes:
    return one_page(stream(b"", b"/Filter[/FlateDecode/LZWDecode/DCTDecode]"))


@kind
def _giant_string() -> bytes:
    return pdf([b"<</Type/Pages/Kids[]/Count 0>>"], trailer=b"/Info<</Title(%b)>>" % (b"A" * (16 * MIB)))


@kind
def _unended_string() -> bytes:
    return one_page(stream(TEXT + b"BT (" + b"(" * (4 * MIB)))


@kind
def _giant_array() -> bytes:
    return one_page(stream(TEXT), b"[%b]" % (b"0 " * (4 * MIB)), catalog=b"/OpenAction 6 0 R/Names 6 0 R")


@kind
def _deep_arrays() -> bytes:
    return one_page(stream(TEXT), b"[" * MIB + b"]" * MIB, catalog=b"/OpenAction 6 0 R")


@kind
def _deep_dictionaries() -> bytes:
    return one_page(stream(TEXT), b"<</A" * MIB + b">>" * MIB, catalog=b"/Dests 6 0 R")


@kind
def _million_objects() -> bytes:
    return healthy()[: -len(b"%%EOF\n")] + b"".join(b"%d 0 obj 0 endobj\n" % n for n in range(9, 1_000_009))
