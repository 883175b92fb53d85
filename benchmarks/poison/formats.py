"""Poison of every kind that is no PDF, by name. No file is stored."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks.poison.kinds import MIB, ROWS, Make, repeated, texts
from tests.unit.adapters.documents import made

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIN = {"docx": "word/document.xml", "xlsx": "xl/worksheets/sheet1.xml", "pptx": "ppt/slides/slide1.xml"}


def format_poison() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to gigabytes; none is over 5 MB."""
    return _office() | _BUILT


def good_files() -> dict[str, Make]:
    """Return the makers of one good file of each kind that has text, by its usual suffix."""
    return {
        "docx": lambda: made.word(_manual),
        "xlsx": lambda: made.saved(made.workbook()),
        "pptx": lambda: made.saved(made.presentation()),
        "html": lambda: b"<!doctype html><title>T</title><h1>Pumps</h1><p>Close the valve.</p>",
        "md": lambda: b"# Pumps\n\nClose the **valve**.\n",
        "txt": lambda: b"Close the valve.\nThen open it.\n",
        "csv": lambda: b"part,mass\nrotor,3\nseal,1\n",
        "eml": _mail,
    }


def _manual(document: Any) -> None:
    document.add_heading("Pumps", 1)
    document.add_paragraph("Close the valve.")


def _mail(*attachments: bytes) -> bytes:
    return bytes(made.message(*((f"{number}.bin", data) for number, data in enumerate(attachments))))


def _rewritten(kind: str, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a good Office file with a file in it changed, or added where it has none of the name."""
    out = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(good_files()[kind]()))
    with good as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for entry in {**dict.fromkeys(old.namelist()), name: None}:
            data = old.read(entry) if entry in old.namelist() else b""
            new.writestr(entry, change(data) if entry == name else data)
    return out.getvalue()


def _office() -> dict[str, Make]:
    """Return the makers of the Office files of `kinds.toml`."""
    return {
        f"{kind}_{name}": partial(_inserted, kind, row)
        for name, row in ROWS["office"].items()
        for kind in row.get("kinds", _MAIN)
    }


def _inserted(kind: str, row: Mapping[str, Any]) -> bytes:
    """Return a good file with the row's content before one of its tags, and its doctype after the declaration."""

    def change(data: bytes) -> bytes:
        before = row["before"].encode()
        at = data.rindex(before) if row.get("last") else data.index(before)
        start = data.index(b"?>") + 2 if data.startswith(b"<?xml") else 0
        parts = [
            data[:start],
            repeated(row.get("doctype", ())),
            data[start:at],
            repeated(row["content"]),
            data[at:],
        ]
        return b"".join(parts)

    return _rewritten(kind, row.get("file", _MAIN[kind]), change)


def _with_macros() -> bytes:
    macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    plain = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return _rewritten("docx", "[Content_Types].xml", lambda data: data.replace(plain, macros))


def _tiff_in_a_loop() -> bytes:
    """Return a TIFF whose only picture is followed by itself."""
    data = bytearray(made.image("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def _nested_mail() -> bytes:
    data = _mail()
    for _ in range(30):
        data = _mail(data)
    return data


_BUILT: dict[str, Make] = texts("format") | {
    **{f"{kind}_cut_off": partial(lambda kind: good_files()[kind]()[:-300], kind) for kind in _MAIN},
    "docx_path_out_of_the_archive": lambda: _rewritten("docx", "../../../../tmp/escaped", lambda _: b"Close it."),
    "docx_with_macros": _with_macros,
    "zip_of_nothing_known": lambda: b"PK\x03\x04" + random.Random(5).randbytes(MIB),
    "ole_of_nothing_known": lambda: _OLE + random.Random(6).randbytes(MIB),
    "office_with_a_password": lambda: _OLE + bytes(512) + "EncryptedPackage".encode("utf-16-le"),
    "md_wide_table": lambda: b"|" + b"a|" * 5000 + b"\n|" + b"-|" * 5000 + (b"\n|" + b"b|" * 5000) * 50,
    "eml_nested": _nested_mail,
    "eml_with_a_bomb": lambda: _mail(format_poison()["xlsx_bomb"]()),
    "eml_of_many_attachments": lambda: _mail(*[b"Close the valve."] * 1000),
    "png_of_a_billion_pixels": lambda: _png(40_000, 40_000),
    "png_of_a_text_bomb": lambda: _png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MIB), 9))),
    "tiff_in_a_loop": _tiff_in_a_loop,
    "jpeg_cut_off": lambda: made.image("JPEG")[:-200],
}


def _png(width: int, height: int, *before: tuple[bytes, bytes]) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(bytes(MIB), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )
