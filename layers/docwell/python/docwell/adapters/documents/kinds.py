"""Detect the kind of a document by its content, and decode text. Pure, and before any parsing.

Text has the encoding that it declares, or that fits the letters of its language.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from encodings.aliases import aliases
from enum import StrEnum
from itertools import islice

from docwell.media_types import MEDIA_TYPES
from docwell.text import words
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
_OFFICE = re.compile(r"(word/document|xl/workbook|ppt/presentation)\d*\.xml")
_PROGRAMS = {"word/document": Kind.WORD, "xl/workbook": Kind.SHEETS, "ppt/presentation": Kind.SLIDES}
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
_WEB = re.compile(rf"{_BEFORE_TAG}(?:!doctype\s+html|(?:html|head|body|title|meta|link|base)\b)", _ANY_CASE)
# Tags that begin a fragment of a web page. Markdown can begin with such a tag too.
_TAGS = "|".join(words.words("tag"))
_FRAGMENT = re.compile(rf"{_BEFORE_TAG}(?:{_TAGS})(?:\s[^<>=]*=[^<>]*|\s*/?)>", _ANY_CASE)
_FIELD = re.compile(r"^([!-9;-~]+):", re.MULTILINE)
_MAIL_FIELDS = frozenset(words.words("mail_field"))
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
        try:
            names = "\n".join(zipfile.ZipFile(io.BytesIO(data)).namelist())
        except Exception:  # noqa: BLE001 - of a truncated file, search all bytes
            names = data.decode("latin-1")
        return _PROGRAMS[main[1]] if (main := _OFFICE.search(names)) else None
    if data.startswith(OLE):
        return Kind.OUTLOOK if _MESSAGE in data else None
    if data.startswith(b"%PDF"):
        return Kind.PDF
    return Kind.IMAGE if data.startswith(IMAGES) else None


def media_type(kind: Kind, data: bytes) -> str:
    """Return the media type of a document of this kind."""
    images = (suffix for signature, suffix in _IMAGES.items() if data.startswith(signature))
    return MEDIA_TYPES[next(images) if kind is Kind.IMAGE else f".{kind}"]


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
    header = sample.partition("\n\n")[0]
    header = header.partition("\n")[2] if header.startswith("From ") else header
    names = {name.lower() for name in _FIELD.findall(header)}
    return bool(_FIELD.match(header)) and len(names & _MAIL_FIELDS) >= MAIL_FIELDS and "from" in names


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


# Enough bytes to guess the encoding; more only takes longer.
_GUESSED = 65_536
# Unicode's byte order marks, with their encodings.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Bytes that never occur in text, as in file(1). DOS programs end a text with 0x1a.
_CONTROLS = frozenset(range(32)) - frozenset(b"\a\b\t\n\v\f\r\x1b")
_REPLACED = "\ufffd"
# A page must declare its encoding within this many bytes (HTML, 4.2.5.4).
DECLARED_WITHIN = 1024
_DECLARATION = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# The letters of languages beyond A to Z, by the encoding of their older texts, the most usual first.
# charset-normalizer mistakes Spanish or French for Polish: these encodings have letters at the same places.
_ALPHABETS = {encoding: words.words(f"alphabet.{encoding}") for encoding in words.names("alphabet")}
_ALPHABETS["iso8859_2"] = _ALPHABETS["cp1250"]
# The least share of letters that fit: texts name people and places of other countries.
LEAST_SHARE = 0.9
# A text in Latin letters has at least half of its letters from A to Z.
LEAST_PLAIN = 0.5
# The other characters that such texts have. Any further one shows that the text is in another encoding.
_SIGNS = frozenset({"\u00a0", *words.words("text_sign")})
_WARM_UP = "Größe und Höhe müssen täglich geprüft werden.".encode("cp1252")


def load_codecs() -> None:
    """Load all codecs of Python, and what charset-normalizer imports with its first guess."""
    for name in sorted({"utf-8-sig", *aliases.values()}):
        # Not every machine has every codec: mbcs exists only on Windows.
        with contextlib.suppress(LookupError):
            codecs.lookup(name)
    from charset_normalizer import from_bytes  # noqa: PLC0415 - it takes 36 ms, and the parent does not need it

    from_bytes(_WARM_UP).best()


def decoded(data: bytes) -> str | None:
    """Return the text of a file with line feeds only; None where it is no text."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text: str | None = data.decode(encoding, "replace")
            break
    else:
        data = data.removesuffix(b"\x1a")
        if not _CONTROLS.isdisjoint(data[:_GUESSED]) or not _CONTROLS.isdisjoint(data):
            return None
        text = _without_mark(data)
    if text is None or not _CONTROLS.isdisjoint(map(ord, text)):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_mark(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    damaged = text.count(_REPLACED)
    # Text in another encoding has hardly a character that is valid UTF-8; a damaged UTF-8 text has many.
    if sum(not character.isascii() for character in text) > 2 * damaged:
        return text
    sample = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    if len(sample) > _GUESSED:  # whole lines, so that no character is cut
        sample = sample[: sample.rfind(b"\n", 0, _GUESSED) + 1] or sample[:_GUESSED]
    encoding = declared(data) or encoding_of(sample)
    if encoding is None:
        from charset_normalizer import from_bytes  # noqa: PLC0415 - as above

        guess = from_bytes(sample).best()
        encoding = None if guess is None else guess.encoding
    return None if encoding is None else data.decode(encoding, "replace")


def declared(data: bytes) -> str | None:
    """Return the encoding that a page declares, where its bytes are valid in it."""
    match = _DECLARATION.search(data, 0, DECLARED_WITHIN) if data.lstrip()[:1] == b"<" else None
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
        data.decode(name)
    except (LookupError, UnicodeError, OSError):  # the sandbox forbids loading a rare codec
        return None
    # HTML defines these names as the larger encoding.
    return "cp1252" if name in {"ascii", "iso8859-1"} else name


def encoding_of(sample: bytes) -> str | None:
    """Return the encoding of a text in a language of Latin letters; None for another text."""
    shares: list[tuple[float, str]] = []
    for encoding, alphabets in _ALPHABETS.items():
        text = sample.decode(encoding, "replace").lower()
        plain = sum(letter.isascii() and letter.isalpha() for letter in text)
        beyond = Counter(letter for letter in text if not letter.isascii() and letter not in _SIGNS)
        if plain < LEAST_PLAIN * (plain + beyond.total()):
            continue
        best = max(sum(beyond[letter] for letter in alphabet) for alphabet in alphabets)
        shares.append((best / beyond.total() if beyond else 1.0, encoding))
        if encoding == "cp1252" and beyond.keys() <= frozenset("".join(alphabets)):
            # The text may name people of several countries.
            shares.append((LEAST_SHARE, encoding))
    share, encoding = max(shares, key=lambda pair: pair[0], default=(0.0, ""))
    return encoding if share >= LEAST_SHARE else None
