"""PDFs whose fonts map one rare letter to a capital, so that "require" is read as "reTuire".

The glyphs stay as they are: only the fonts' maps to Unicode (ISO 32000-2, 9.10.3) are written anew.
"""

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, StreamObject

# A rare letter and the capital that is read instead.
KINDS = {"j": "T", "q": "T", "v": "X", "w": "S", "x": "T", "z": "B"}
# A letter with an ascender: only its width tells it from a capital.
TALL_KINDS = {"k": "T"}
_WITHIN = re.compile("(?<=[a-z])[A-Z](?=[a-z])")

_SIMPLE = frozenset({"/Type1", "/TrueType", "/MMType1"})
_HEX = rb"<([0-9A-Fa-f]+)>\s*"
_CHARACTERS = re.compile(rb"beginbfchar(.*?)endbfchar", re.DOTALL)
_RANGES = re.compile(rb"beginbfrange(.*?)endbfrange", re.DOTALL)
_CHARACTER = re.compile(_HEX + _HEX)
_RANGE = re.compile(_HEX + _HEX + rb"(?:" + _HEX + rb"|\[(.*?)\])", re.DOTALL)
_MAP = b"""/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
1 begincodespacerange
<%s> <%s>
endcodespacerange
%sendcmap
end
end
"""

# A code, in hexadecimal digits, and the UTF-16 that it stands for.
_Codes = dict[bytes, bytes]


def with_wrong_letter(path: Path, letter: str, other: str) -> bytes:
    """Return a PDF whose fonts map `letter` to `other`, in all its fonts with a known encoding of it."""
    writer = pypdf.PdfWriter(clone_from=path)
    right, wrong = letter.encode("utf-16-be"), other.encode("utf-16-be")
    for found in list(writer._objects):  # noqa: SLF001 - pypdf has no other list of a document's objects
        if not isinstance(found, DictionaryObject) or found.get("/Type") != "/Font":
            continue
        codes = _codes(found, letter)
        if right in codes.values():
            stream = StreamObject()
            stream.set_data(_map({code: wrong if text == right else text for code, text in codes.items()}))
            found[NameObject("/ToUnicode")] = writer._add_object(stream)  # noqa: SLF001 - there is no public way
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def is_wrong(good: str, text: str) -> bool:
    """Return whether a page's text has a wrong capital between small letters."""
    return len(good) == len(text) and any(good[at.start()] != at[0] for at in _WITHIN.finditer(text))


def _codes(font: DictionaryObject, letter: str) -> _Codes:
    """Return a font's map to Unicode; of a simple font without one, the code of the letter."""
    if (own := font.get("/ToUnicode")) is not None:
        return dict(_mapped(own.get_object().get_data()))
    differences = _differences(font.get("/Encoding"))
    is_usual = font.get("/Subtype") in _SIMPLE and differences.get(ord(letter), f"/{letter}") == f"/{letter}"
    return {b"%02X" % ord(letter): letter.encode("utf-16-be")} if is_usual else {}


def _differences(encoding: Any) -> Mapping[int, str]:
    encoding = encoding.get_object() if encoding is not None else None
    listed = encoding.get("/Differences") if isinstance(encoding, DictionaryObject) else None
    names, code = dict[int, str](), 0
    for one in listed.get_object() if listed is not None else ArrayObject():
        if isinstance(one, NumberObject):
            code = int(one)
        else:
            names[code], code = str(one), code + 1
    return names


def _mapped(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for block in _RANGES.finditer(data):
        for first, last, text, texts in _RANGE.findall(block[1]):
            every = [bytes.fromhex(one.decode()) for one in re.findall(_HEX, texts)]
            for number in range(int(last, 16) - int(first, 16) + 1):
                code = b"%0*X" % (len(first), int(first, 16) + number)
                if text:
                    yield code, (int(text, 16) + number).to_bytes(max(2, len(text) // 2), "big")
                elif number < len(every):
                    yield code, every[number]
    for block in _CHARACTERS.finditer(data):
        for code, text in _CHARACTER.findall(block[1]):
            yield code.upper(), bytes.fromhex(text.decode())


def _map(codes: _Codes) -> bytes:
    width = max(map(len, codes))
    rows = [b"<%s> <%s>" % (code, text.hex().encode()) for code, text in codes.items()]
    # A block has at most 100 entries.
    blocks = (rows[at : at + 100] for at in range(0, len(rows), 100))
    entries = b"".join(b"%d beginbfchar\n%s\nendbfchar\n" % (len(one), b"\n".join(one)) for one in blocks)
    return _MAP % (b"0" * width, b"F" * width, entries)
