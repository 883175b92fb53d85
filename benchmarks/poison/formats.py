"""Poison of every kind that is no PDF, by name, and damaged copies of good files. No file is stored."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from functools import cache, partial

import docx
import openpyxl
import pptx
from PIL import Image
from pptx.util import Inches

from benchmarks.poison.build import MIB, Make
from benchmarks.poison.kinds import texts

_ENTITIES = "<!DOCTYPE x [<!ENTITY a0 'aaaaaaaaaa'>{}]>".format(
    "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
)
_OUTSIDE = "<!DOCTYPE x [<!ENTITY a9 SYSTEM 'file:///etc/passwd'>]>"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ALL_MERGED = b'</sheetData><mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
_FAR_CELL = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
_FORMULA = b'<row r="9"><c r="A9"><f>WEBSERVICE("http://127.0.0.1:9/")</f></c></row></sheetData>'
_MAIN = {"docx": "word/document.xml", "xlsx": "xl/worksheets/sheet1.xml", "pptx": "ppt/slides/slide1.xml"}
# Damaged copies of each kind, with one byte of 200 replaced.
FUZZED, BYTES_PER_CHANGE = 6, 200


def format_poison() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to gigabytes; none is over 5 MB."""
    fuzzed = {
        f"{suffix}_fuzzed_{seed}": partial(_damaged, make, seed)
        for suffix, make in good_files().items()
        for seed in range(FUZZED)
    }
    return _OFFICE | _TEXTS | _IMAGES | fuzzed


def good_files() -> dict[str, Make]:
    """Return the makers of one good file of each kind that has text, by its usual suffix."""
    return {
        "docx": _word,
        "xlsx": _workbook,
        "pptx": _slides,
        "html": lambda: b"<!doctype html><title>T</title><h1>Pumps</h1><p>Close the valve.</p>",
        "md": lambda: b"# Pumps\n\nClose the **valve**.\n",
        "txt": lambda: b"Close the valve.\nThen open it.\n",
        "csv": lambda: b"part,mass\nrotor,3\nseal,1\n",
        "eml": _mail,
    }


def _saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined] # the three libraries share no type
    return out.getvalue()


def _word() -> bytes:
    document = docx.Document()
    document.add_heading("Pumps", 1)
    document.add_paragraph("Close the valve.")
    return _saved(document)


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in (["part", "mass"], ["rotor", 3], ["seal", 1]):
        book.active.append(row)
    return _saved(book)


def _slides() -> bytes:
    presentation = pptx.Presentation()
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "Close the valve."
    return _saved(presentation)


def _mail(*attachments: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "Pumps"
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    message.set_content("Close the valve.")
    for number, data in enumerate(attachments):
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=f"{number}.bin")
    return bytes(message)


def _rewritten(good: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return an archive with a file changed, or added where it has none of the name."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in {**dict.fromkeys(old.namelist()), name: None}:
            data = old.read(entry) if entry in old.namelist() else b""
            new.writestr(entry, change(data) if entry == name else data)
    return out.getvalue()


def _replaced(kind: str, name: str, old: bytes, new: bytes) -> bytes:
    """Return a good file with some bytes of a file in it replaced."""
    return _rewritten(good_files()[kind](), name, lambda data: data.replace(old, new, 1))


def _with_entity(kind: str, doctype: str) -> bytes:
    """Return a file whose main part refers to the entity `a9` in its first text."""

    def change(data: bytes) -> bytes:
        start = data.index(b"?>") + 2 if data.startswith(b"<?xml") else 0
        body = data[start:]
        first = body.index(b"</")
        return data[:start] + doctype.encode() + body[:first] + b"&a9;" + body[first:]

    return _rewritten(good_files()[kind](), _MAIN[kind], change)


class _BlockCompressor:
    """Compresses equal blocks once: each ends with a full flush, so no block refers to one before."""

    @staticmethod
    @cache
    def compress(block: bytes) -> bytes:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)

    def flush(self) -> bytes:
        return zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()


def _bomb(kind: str) -> bytes:
    """Return a good file whose main part has two gigabytes of spaces before its end."""
    out = io.BytesIO()
    name = _MAIN[kind]
    with (
        zipfile.ZipFile(io.BytesIO(good_files()[kind]())) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for entry in old.namelist():
            if entry != name:
                new.writestr(entry, old.read(entry))
        data = old.read(name)
        at = data.rindex(b"</")
        with new.open(name, "w", force_zip64=True) as file:
            file._compressor = _BlockCompressor()  # type: ignore[attr-defined] # noqa: SLF001 - else it takes 10 s
            file.write(data[:at])
            spaces = b" " * MIB
            for _ in range(2048):
                file.write(spaces)
            file.write(data[at:])
    return out.getvalue()


def _deep(kind: str) -> bytes:
    deep = b"<a>" * 200_000 + b"</a>" * 200_000 + b"</"
    return _rewritten(good_files()[kind](), _MAIN[kind], lambda data: deep.join(data.rsplit(b"</", 1)))


def _tables_in_tables() -> bytes:
    table, end = b"<w:tbl><w:tr><w:tc>", b"<w:p/></w:tc></w:tr></w:tbl>"
    return _replaced("docx", _MAIN["docx"], b"<w:sectPr", table * 1500 + end * 1500 + b"<w:sectPr")


def _template_from_outside() -> bytes:
    relation = (
        b'<Relationship Id="rId99" TargetMode="External" Target="http://127.0.0.1:9/a.dotx" Type="http://schemas.'
        b'openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"/></Relationships>'
    )
    return _replaced("docx", "word/_rels/document.xml.rels", b"</Relationships>", relation)


def _with_macros() -> bytes:
    macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    plain = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    document = _rewritten(_word(), "[Content_Types].xml", lambda data: data.replace(plain, macros))
    return _rewritten(document, "word/vbaProject.bin", lambda _: _OLE)


def _groups_in_groups() -> bytes:
    presentation = pptx.Presentation()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    for _ in range(60):
        shapes = shapes.add_group_shape().shapes
    shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "Close the valve."
    return _saved(presentation)


def _message_in_a_loop() -> bytes:
    """Return an Outlook message whose sectors follow themselves."""
    header = _OLE + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, 0, 0, 0, 0, 0, 0)
    name = "__properties_version1.0".encode("utf-16-le")
    return header.ljust(512, b"\xff") + struct.pack("<128I", *([1] * 128)) + name.ljust(512, b"\0")


def _tiff_in_a_loop() -> bytes:
    """Return a TIFF whose only picture is followed by itself."""
    data = bytearray(_image("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def _many_entries() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
        for number in range(40_000):
            archive.writestr(f"{number}", "")
    return out.getvalue()


def _nested_mail() -> bytes:
    data = _mail()
    for _ in range(30):
        data = _mail(data)
    return data


_OFFICE: dict[str, Make] = {
    **{f"{kind}_bomb": partial(_bomb, kind) for kind in _MAIN},
    **{f"{kind}_entities": partial(_with_entity, kind, _ENTITIES) for kind in _MAIN},
    **{f"{kind}_entity_from_outside": partial(_with_entity, kind, _OUTSIDE) for kind in _MAIN},
    **{f"{kind}_deep": partial(_deep, kind) for kind in _MAIN},
    **{f"{kind}_cut_off": partial(lambda kind: good_files()[kind]()[:-300], kind) for kind in _MAIN},
    "docx_template_from_outside": _template_from_outside,
    "docx_tables_in_tables": _tables_in_tables,
    "docx_path_out_of_the_archive": lambda: _rewritten(_word(), "../../../../tmp/escaped", lambda _: b"Close it."),
    "docx_with_macros": _with_macros,
    "pptx_groups_in_groups": _groups_in_groups,
    "xlsx_all_cells_merged": lambda: _replaced("xlsx", _MAIN["xlsx"], b"</sheetData>", _ALL_MERGED),
    "xlsx_formula_without_value": lambda: _replaced("xlsx", _MAIN["xlsx"], b"</sheetData>", _FORMULA),
    "xlsx_far_cell": lambda: _replaced("xlsx", _MAIN["xlsx"], b"</sheetData>", _FAR_CELL),
    "zip_many_entries": _many_entries,
    "zip_of_nothing_known": lambda: b"PK\x03\x04" + random.Random(5).randbytes(MIB),
    "ole_of_nothing_known": lambda: _OLE + random.Random(6).randbytes(MIB),
    "msg_sectors_in_a_loop": _message_in_a_loop,
    "office_with_a_password": lambda: _OLE + bytes(512) + "EncryptedPackage".encode("utf-16-le"),
}
_TEXTS: dict[str, Make] = texts("format") | {
    "md_wide_table": lambda: b"|" + b"a|" * 5000 + b"\n|" + b"-|" * 5000 + (b"\n|" + b"b|" * 5000) * 50,
    "eml_nested": _nested_mail,
    "eml_with_a_bomb": lambda: _mail(_bomb("xlsx")),
    "eml_of_many_attachments": lambda: _mail(*[b"Close the valve."] * 1000),
}


def _png(width: int, height: int, *before: tuple[bytes, bytes]) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(bytes(MIB), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )


def _image(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 100)).save(out, kind)
    return out.getvalue()


_IMAGES: dict[str, Make] = {
    "png_of_a_billion_pixels": lambda: _png(40_000, 40_000),
    "png_of_a_text_bomb": lambda: _png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MIB), 9))),
    "tiff_in_a_loop": _tiff_in_a_loop,
    "jpeg_cut_off": lambda: _image("JPEG")[:-200],
}


def _damaged(make: Make, seed: int) -> bytes:
    """Return a good file with some bytes replaced, but not the four that identify an archive."""
    data, chance = bytearray(make()), random.Random(seed)
    for _ in range(max(1, len(data) // BYTES_PER_CHANGE)):
        data[chance.randrange(4, len(data))] = chance.randrange(256)
    return bytes(data)
