"""Files of every kind that is no PDF which are odd or damaged by design, by name. No file is stored."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

import pptx
from PIL import Image
from pptx.util import Inches

from benchmarks.poison.build import MIB, Make

Good = Callable[[], bytes]
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SECTOR = 512


def odd_formats(good: dict[str, Make]) -> dict[str, Make]:
    """Return the makers by name; `good` makes one good file of each kind."""
    return (
        _word(good["docx"]) | _slides(good["pptx"]) | _sheets(good["xlsx"]) | _TEXTS | _MAIL | _MESSAGES | _IMAGES
    )


def edited(good: Good, changes: dict[str, Callable[[bytes], bytes] | None]) -> bytes:
    """Return an archive with some files changed, left out (None) or, where it has none of the name, added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good())) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        for name in [*names, *(name for name in changes if name not in names)]:
            change = changes.get(name, bytes)
            if change is not None:
                new.writestr(name, change(old.read(name) if name in names else b""))
    return out.getvalue()


def _put(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


def _word(good: Good) -> dict[str, Make]:
    main, relations = "word/document.xml", "word/_rels/document.xml.rels"
    table, end = b"<w:tbl><w:tr><w:tc>", b"<w:p/></w:tc></w:tr></w:tbl>"
    outside = (
        b'<Relationship Id="rId99" TargetMode="External" Target="http://127.0.0.1:9/a.dotx" Type="http://schemas.'
        b'openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"/></Relationships>'
    )
    macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    plain = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    changes: dict[str, dict[str, Callable[[bytes], bytes] | None]] = {
        "docx_without_its_text": {main: None},
        "docx_without_relations": {relations: None},
        "docx_without_content_types": {"[Content_Types].xml": None},
        "docx_template_from_outside": {relations: _put(b"</Relationships>", outside)},
        "docx_with_a_part_that_is_missing": {relations: _put(b"styles.xml", b"nothing.xml")},
        "docx_tables_in_tables": {main: _put(b"<w:sectPr", table * 1500 + end * 1500 + b"<w:sectPr")},
        "docx_many_paragraphs": {
            main: _put(b"<w:sectPr", b"<w:p><w:r><w:t>a</w:t></w:r></w:p>" * 15_000 + b"<w:sectPr")
        },
        "docx_in_utf_16": {main: lambda data: data.decode().replace("UTF-8", "UTF-16").encode("utf-16")},
        "docx_path_out_of_the_archive": {"../../../../tmp/escaped": lambda _: b"Close the valve."},
        "docx_with_macros": {"[Content_Types].xml": _put(plain, macros), "word/vbaProject.bin": lambda _: _OLE},
        "docx_with_a_large_picture": {"word/media/image9.bmp": lambda _: bytes(200 * MIB)},
    }
    makers: dict[str, Make] = {name: partial(edited, good, change) for name, change in changes.items()}
    return makers | {
        "docx_twice_the_same_name": lambda: _twice(good(), main),
        "docx_wrong_sum": lambda: _wrong_sum(good()),
    }


def _twice(data: bytes, name: str) -> bytes:
    """Return an archive with a second file of the same name, which is no XML."""
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        archive.fp.seek(archive.start_dir)  # type: ignore[union-attr] # it is open
        archive.writestr(zipfile.ZipInfo(name), b"Close the valve.")
    return out.getvalue()


def _wrong_sum(data: bytes) -> bytes:
    """Return an archive whose files all have a wrong checksum."""
    changed, at = bytearray(data), 0
    while (at := changed.find(b"PK\x01\x02", at)) >= 0:
        changed[at + 16] ^= 0xFF
        at += 4
    return bytes(changed)


def _slides(good: Good) -> dict[str, Make]:
    slide = "ppt/slides/slide1.xml"
    return {
        "pptx_without_a_slide": partial(edited, good, {slide: None}),
        "pptx_without_slides": lambda: _presentation(0),
        "pptx_groups_in_groups": lambda: _presentation(60),
        "pptx_slide_that_is_no_slide": partial(edited, good, {slide: lambda _: b"<a/>"}),
        "pptx_with_a_large_film": partial(edited, good, {"ppt/media/media1.mp4": lambda _: bytes(200 * MIB)}),
    }


def _presentation(depth: int) -> bytes:
    """Return a presentation with a text in so many groups, without a slide for 0."""
    presentation = pptx.Presentation()
    if depth:
        shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
        for _ in range(depth):
            shapes = shapes.add_group_shape().shapes
        shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "Close the valve."
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def _sheets(good: Good) -> dict[str, Make]:
    sheet, end = "xl/worksheets/sheet1.xml", b"</sheetData>"

    def with_row(cells: bytes) -> Make:
        return partial(edited, good, {sheet: _put(end, b'<row r="9">' + cells + b"</row>" + end)})

    merged = b'</sheetData><mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    names = b'<definedNames><definedName name="A">' + b"A" * 100_000 + b"</definedName></definedNames></workbook>"
    return {
        "xlsx_string_that_is_missing": with_row(b'<c r="A9" t="s"><v>99999999</v></c>'),
        "xlsx_string_of_no_number": with_row(b'<c r="A9" t="s"><v>a</v></c>'),
        "xlsx_formula_without_value": with_row(b'<c r="A9"><f>WEBSERVICE("http://127.0.0.1:9/")</f></c>'),
        "xlsx_formula_of_itself": with_row(b'<c r="A9"><f>A9+1</f><v>7</v></c>'),
        "xlsx_number_out_of_range": with_row(b'<c r="A9"><v>1e999999</v></c>'),
        "xlsx_cell_of_no_place": with_row(b'<c r="ZZZZZ99999999999"><v>7</v></c>'),
        "xlsx_all_cells_merged": partial(edited, good, {sheet: _put(end, merged)}),
        "xlsx_without_its_sheet": partial(edited, good, {sheet: None}),
        "xlsx_without_strings": partial(edited, good, {"xl/sharedStrings.xml": None}),
        "xlsx_long_name": partial(edited, good, {"xl/workbook.xml": _put(b"</workbook>", names)}),
    }


_TEXTS: dict[str, Make] = {
    "csv_in_utf_16": lambda: "part,mass\nvalve,3\n".encode("utf-16"),
    "csv_in_latin_1": lambda: "pièce;masse\nclé;3\nvanne;4\n".encode("latin-1"),
    "csv_of_quotes": lambda: b'"' * (2 * MIB),
    "csv_of_delimiters": lambda: b"," * 300_000 + b"\n" + b"a,b\n",
    "csv_with_formulas": lambda: b"name,link\nvalve,=cmd|'/c calc'!A0\nrotor,@SUM(1)\n",
    "csv_with_escapes": lambda: b"part,mass\n\x1b[2Jvalve,3\nrotor,\x1b]0;x\x07\n",
    "html_in_utf_16": lambda: "<!doctype html><p>Close the valve.</p>".encode("utf-16"),
    "html_in_a_false_charset": lambda: b"<!doctype html><meta charset=koi8-r><p>V\xc3\xa4lve</p>",
    "html_in_an_unknown_charset": lambda: b"<!doctype html><meta charset=x-none><p>Close the valve.</p>",
    "html_of_no_characters": lambda: b"<!doctype html><p>Close &#0;&#x110000;&#xd800;&#x1F600; the valve.</p>",
    "html_of_attributes": lambda: (
        # The parser compares each with all others: 100,000 take 17 s, near the limit on some machines.
        b"<!doctype html><p " + b" ".join(b"a%d=b" % n for n in range(50_000)) + b">Close"
    ),
    "html_comment_never_closed": lambda: b"<!doctype html><p>Close the valve.</p><!-- " + b"x " * MIB,
    "html_style_of_braces": lambda: b"<!doctype html><style>" + b"{" * MIB + b"</style><p>Close the valve.</p>",
    "html_tables_in_tables": lambda: b"<!doctype html>" + b"<table><tr><td>" * 3000 + b"Close the valve.",
    "html_hidden_as_a_whole": lambda: b"<!doctype html><body style='display:none'><p>Close the valve.</p>",
    "md_emphasis": lambda: b"# a\n\n" + b"*a _b " * 60_000,
    "md_code": lambda: b"# a\n\n" + b"".join(b"`" * n + b" " for n in range(1, 1000)),
    "md_lists_in_lists": lambda: b"# a\n\n" + b"\n".join(b" " * (2 * n) + b"- a" for n in range(1500)),
    "md_wide_table": lambda: b"|" + b"a|" * 5000 + b"\n|" + b"-|" * 5000 + (b"\n|" + b"b|" * 5000) * 50,
    "md_with_html": lambda: b"# a\n\n<div hidden>secret</div>\n\n<script>alert(1)</script>\n\nClose the valve.\n",
}


def _mail(head: str, body: bytes) -> bytes:
    return (
        b"From: a@example.org\nTo: b@example.org\nSubject: Pumps\nMIME-Version: 1.0\n"
        + head.encode()
        + b"\n\n"
        + body
    )


_MIXED = 'Content-Type: multipart/mixed; boundary="b"'
_PART = b"--b\nContent-Type: text/plain\n\nClose the valve.\n"
_MAIL: dict[str, Make] = {
    "eml_in_an_unknown_charset": lambda: _mail("Content-Type: text/plain; charset=x-none", b"Close the valve.\n"),
    "eml_in_a_false_charset": lambda: _mail("Content-Type: text/plain; charset=utf-8", b"Close the v\xe4lve.\n"),
    "eml_of_no_base64": lambda: _mail("Content-Transfer-Encoding: base64", b"Close the valve!\n" * 99),
    "eml_without_an_end": lambda: _mail(_MIXED, _PART),
    "eml_without_a_boundary": lambda: _mail("Content-Type: multipart/mixed", _PART),
    "eml_of_parts": lambda: _mail(_MIXED, _PART * 3000 + b"--b--\n"),
    "eml_of_headers": lambda: _mail("\n".join(f"X-{n}: a" for n in range(50_000)), b"Close the valve.\n"),
    "eml_long_header": lambda: _mail("X-A: =?utf-8?q?" + "a" * MIB, b"Close the valve.\n"),
    "eml_bad_date": lambda: _mail("Date: Mon, 99 Foo 99999 99:99:99 +9999", b"Close the valve.\n"),
    "eml_name_of_a_path": lambda: _mail(
        _MIXED,
        _PART + b'--b\nContent-Disposition: attachment; filename="../../etc/a\x00.txt"\n\nOpen it.\n--b--\n',
    ),
    "eml_external_body": lambda: _mail(
        "Content-Type: message/external-body; access-type=URL; URL=http://127.0.0.1:9/", b"\n"
    ),
}


def _compound(table: bytes) -> bytes:
    """Return the header of an OLE file of a message, a table of sectors and an empty folder."""
    header = (
        _OLE
        + bytes(16)
        + struct.pack("<HHHHH6xIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, 0, 0, 0, 0, 0)
    )
    header = header.ljust(76, b"\0") + b"\xff" * (_SECTOR - 76)
    name = "__properties_version1.0".encode("utf-16-le")
    return header[:76] + bytes(4) + header[80:_SECTOR] + table + name.ljust(_SECTOR, b"\0")


_MESSAGES: dict[str, Make] = {
    "msg_sectors_in_a_loop": lambda: _compound(struct.pack("<128I", *([1] * 128))),
    "msg_sectors_out_of_the_file": lambda: _compound(struct.pack("<128I", *([0x00FFFFFF] * 128))),
    "xls_of_old": lambda: _OLE + bytes(1024) + "Workbook".encode("utf-16-le") + bytes(4096),
    "rtf": lambda: b"{\\rtf1\\ansi Close the valve.}",
}


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )


def _pixels(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (200, 100)).save(out, kind, **options)
    return out.getvalue()


def _tiff_in_a_loop() -> bytes:
    """Return a TIFF whose only picture is followed by itself."""
    data = bytearray(_pixels("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def _tiff_frames(count: int) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("1", (8, 8)) for _ in range(count)]
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _pixels("JPEG", exif=exif)


_HEADER = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
_IMAGES: dict[str, Make] = {
    "png_of_a_text_bomb": lambda: _png(
        _HEADER, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MIB), 9)), (b"IEND", b"")
    ),
    "png_of_no_size": lambda: _png((b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)), (b"IEND", b"")),
    "png_of_a_false_sum": lambda: _pixels("PNG")[:20] + b"\0\1\2\3" + _pixels("PNG")[24:],
    "png_with_more_behind_it": lambda: _pixels("PNG") + b"%PDF-1.7 junk" + bytes(MIB),
    "tiff_in_a_loop": _tiff_in_a_loop,
    "tiff_of_many_pictures": lambda: _tiff_frames(300),
    "tiff_in_cmyk": lambda: _pixels("TIFF", "CMYK"),
    "jpeg_turned_by_no_angle": lambda: _turned(99),
    "gif": lambda: _pixels("GIF"),
    "webp": lambda: _pixels("WEBP"),
}
