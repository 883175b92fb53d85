"""Detect the kind of a document by its content. Pure, and before any parsing: it only searches the bytes."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice

from docwell.media_types import MEDIA_TYPES
from docwell.text.lexicon import SENTENCE_ENDS


class Kind(StrEnum):
    """A kind of document."""

    WORD = "docx"
    SHEETS = "xlsx"
    SLIDES = "pptx"
    WEB = "html"
    MARKDOWN = "md"
    TABLE = "csv"
    TEXT = "txt"
    MAIL = "eml"
    OUTLOOK = "msg"
    IMAGE = "image"
    PDF = "pdf"  # attached to another document


# An Office file names its main part in its zip directory, which is not compressed.
_OFFICE = (
    (re.compile(rb"word/document\d*\.xml"), Kind.WORD),
    (re.compile(rb"xl/workbook\d*\.xml"), Kind.SHEETS),
    (re.compile(rb"ppt/presentation\d*\.xml"), Kind.SLIDES),
)
# The end of a zip's directory, after its signature: four short fields, then the size of the directory.
_DIRECTORY_END, _SIZE_AT = b"PK\x05\x06", 12
# The first bytes of Office documents, of Outlook's messages and of images.
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IMAGES = {b"\x89PNG\r\n": ".png", b"\xff\xd8\xff": ".jpg", b"II*\0": ".tif", b"MM\0*": ".tif"}
IMAGES = tuple(_IMAGES)
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_MESSAGE = "__properties_version1.0".encode("utf-16-le")
# Markup formats that are text but need a program to show them: docwell does not read them.
_MARKUP = re.compile(r"\s*(?:\{\\rtf|%!PS|<svg\b|<\?xml\b)", re.IGNORECASE)
_ANY_CASE = re.IGNORECASE | re.DOTALL
_BEFORE_TAG = r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<"
_WEB = re.compile(
    rf"{_BEFORE_TAG}(?:!doctype\s+html|(?:html|head|body|title|meta|link|base)\b)", re.IGNORECASE | re.DOTALL
)
# Tags that begin a fragment of a web page. Markdown can begin with such a tag too.
_TAGS = (
    "script|style|div|p|table|h[1-6]|ul|ol|dl|section|article|main|header|footer|nav|aside|form|figure|blockquote"
    "|span|pre|center|font|a|b|i|em|strong|br|hr|img"
)
_FRAGMENT = re.compile(rf"{_BEFORE_TAG}(?:{_TAGS})(?:\s[^<>=]*=[^<>]*|\s*/?)>", _ANY_CASE)
_FIELD = re.compile(r"([!-9;-~]+):[ \t]?(.*)")
_MAIL_FIELDS = frozenset(
    {"from", "to", "date", "subject", "received", "message-id", "mime-version", "return-path", "content-type"}
)
MAIL_FIELDS = 3
# The line below a Markdown heading. Below a `#` comment of a script or settings, a command or a name follows.
_BELOW = r"(?=\s*\Z|\n[ \t]*(?:[^\w\s]|\n|\d+[.)]|(?![\w.-]+\s*[:=])[^\Wa-z_]))"
_HEADING = re.compile(
    rf"(?:\A|\n[ \t]*\n)(?:#{{1,6}} +\S[^\n]*{_BELOW}|[^\n]+\n(?:={{3,}}|-{{3,}})[ \t]*(?=\n|\Z))"
)
_MARKS = re.compile(
    r"\[[^\[\]\n]{1,200}\]\([^)\s]{1,500}\)|^```|^\|[ :|-]+\|[ \t]*$|\*\*\S[^*\n]{0,200}\*\*", re.MULTILINE
)
# A wider table is not Markdown: a cell of Markdown costs much more to read than a cell of CSV.
_MARKDOWN_TABLE = re.compile(r"^\|?[ :]*-[ :-]*\|[ :|-]{0,2000}$", re.MULTILINE)
_SAMPLE = 65_536
_DELIMITERS = ",;\t|"
_IN_PROSE = re.compile(r"[,;|] ")
TABLE_ROWS, READ_ROWS = 3, 100
# This share of rows must have the same number of fields, from this many fields on.
MOST_ROWS, MANY_FIELDS = 0.75, 3


def is_locked(data: bytes) -> bool:
    """Return whether the file is an Office document behind a password."""
    # A message is not locked: only its attachment may be.
    return data.startswith(OLE) and _LOCKED in data and _MESSAGE not in data


def binary_kind(data: bytes) -> Kind | None:
    """Return the kind of a file with a signature, or None."""
    if data.startswith(ZIP):
        directory = _directory(data)
        return next((kind for name, kind in _OFFICE if name.search(directory)), None)
    if data.startswith(OLE):
        return Kind.OUTLOOK if _MESSAGE in data else None
    if data.startswith(b"%PDF"):
        return Kind.PDF
    return Kind.IMAGE if data.startswith(IMAGES) else None


def media_type(kind: Kind, data: bytes) -> str:
    """Return the media type of a document of this kind."""
    images = (suffix for signature, suffix in _IMAGES.items() if data.startswith(signature))
    return MEDIA_TYPES[next(images) if kind is Kind.IMAGE else f".{kind}"]


def _directory(data: bytes) -> bytes:
    """Return the directory of a zip without the directories of zips inside it; all bytes of a truncated file."""
    end = data.rfind(_DIRECTORY_END)
    if end < 0:
        return data
    size = int.from_bytes(data[end + _SIZE_AT : end + _SIZE_AT + 4], "little")
    return data[max(0, end - size) : end]


def text_kind(text: str) -> Kind | None:
    """Return the kind of a text, or None for a format of markup that docwell does not read."""
    sample = text[:_SAMPLE]
    if _WEB.match(sample) or (_FRAGMENT.match(sample) and not _HEADING.search(sample)):
        return Kind.WEB
    if _MARKUP.match(sample):
        return None
    if _is_mail(sample):
        return Kind.MAIL
    if delimiter(sample):
        return Kind.TABLE
    return Kind.MARKDOWN if _HEADING.search(sample) or _MARKS.search(sample) else Kind.TEXT


def _is_mail(sample: str) -> bool:
    """Return whether the text begins with the header of an e-mail message (RFC 5322)."""
    names = set()
    lines = sample.split("\n")
    for line in lines[1:] if lines[0].startswith("From ") else lines:
        field = _FIELD.fullmatch(line.rstrip("\r"))
        if field is not None:
            names.add(field[1].lower())
        elif not line.startswith((" ", "\t")):
            break
    return len(names & _MAIL_FIELDS) >= MAIL_FIELDS and "from" in names


def delimiter(sample: str) -> str | None:
    """Return the delimiter of a table; None for no table.

    With it every row has the same number of fields, at least two. From three fields on, some rows may have others,
    such as a title and totals.
    """
    lines = list(io.StringIO(sample))
    # Prose can have a delimiter before a blank and end like a sentence; a header row does not.
    if not lines or (lines[0].rstrip().endswith(tuple(SENTENCE_ENDS)) and _IN_PROSE.search(lines[0])):
        return None
    best: tuple[int, str] = (1, "")
    for candidate in _DELIMITERS[:-1] if _MARKDOWN_TABLE.search(sample) else _DELIMITERS:
        read = list(filter(None, _first_rows(lines, candidate, is_cut=len(sample) >= _SAMPLE)))
        counts = Counter(map(len, read))
        # A blank after a comma shows prose, so do not count such a row.
        even = Counter(len(row) for row in read if not any(field.startswith(" ") for field in row))
        fields = max(counts, key=counts.__getitem__, default=0)
        is_table = len(counts) == 1 or (fields >= MANY_FIELDS and even[fields] >= MOST_ROWS * len(read))
        # Two lines of prose may have one comma each.
        if is_table and len(read) >= TABLE_ROWS and fields > 1:
            best = max(best, (fields, candidate))
    return best[1] or None


def _first_rows(lines: Sequence[str], delimiter: str, *, is_cut: bool) -> list[list[str]]:
    """Return the first rows of a table, without the last row of a truncated sample; nothing for no table."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(islice(reader, READ_ROWS))  # `extend` keeps the rows before an error
    except csv.Error:
        # The sample may end inside a quoted field.
        if not is_cut or reader.line_num < len(lines):
            return []
    else:
        if is_cut and reader.line_num == len(lines):
            rows.pop()
    return rows
