"""PDFs from plain text, the same bytes on each run."""

import random
import textwrap
import zlib

_LINE_CHARACTERS = 80
_LINES = 44
_SENTENCE_WORDS = 15
# The embedding model makes about 1.1 tokens of each word, as in real reports.
_WORDS = (
    "the of and to in for is on that by this with you it not or be are from at as your all have new more an was "
    "report revenue operating income quarter compared increase decrease percent million capital expenditure "
    "management believes results cash flow equity assets liabilities customers products services segment market "
    "growth costs expenses tax rate interest foreign currency risk contract agreement period ended december fiscal"
)


def pdf(pages: list[str]) -> bytes:
    """Return a PDF with one text a page in Helvetica, wrapped; a page holds about 350 words."""
    font = 3 + 2 * len(pages)
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
    ]
    for i, text in enumerate(pages):
        stream = zlib.compress(_content(text))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {4 + 2 * i} 0 R "
            f"/Resources << /Font << /F1 {font} 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(head + stream + b"\nendstream")
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    return _file(objects)


def pages_of_words(pages: int, words: int, seed: str = "") -> bytes:
    """Return a PDF with about `words` words a page, 350 at most. Another seed gives other words."""
    chooser = random.Random(f"{pages} {words} {seed}")
    return pdf([f"Page {number}. {_sentences(chooser, words)}" for number in range(1, pages + 1)])


def _sentences(chooser: random.Random, words: int) -> str:
    lengths = [_SENTENCE_WORDS] * (words // _SENTENCE_WORDS) + [words % _SENTENCE_WORDS or _SENTENCE_WORDS]
    known = _WORDS.split()
    return " ".join(f"{' '.join(chooser.choices(known, k=length)).capitalize()}." for length in lengths)


def _content(text: str) -> bytes:
    lines = [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _LINE_CHARACTERS, break_on_hyphens=False)
    ]
    escaped = (line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines[:_LINES])
    shown = "\n".join(f"({line}) Tj T*" for line in escaped)
    return f"BT /F1 10 Tf 14 TL 50 800 Td\n{shown}\nET".encode("cp1252", "replace")


def _file(objects: list[bytes]) -> bytes:
    parts = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(parts))
        parts += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(parts)
    parts += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    parts += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    parts += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(parts)
