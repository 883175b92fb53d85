"""Opens a document that is no PDF, inside the child process: finds its kind, gives up its rights, then parses."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import re
from collections.abc import Callable
from encodings.aliases import aliases

from charset_normalizer import from_bytes

from docwell.adapters.documents.child import PageText, load_pdfium
from docwell.adapters.documents.formats import charsets
from docwell.adapters.documents.formats.kinds import Kind, binary_kind, is_locked, media_type, text_kind
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.errors import Refused
from docwell.models import Reason

_FORMATS = "docwell.adapters.documents.formats"
# The module of each kind, and the function that adds its text to the parts.
_READERS = {
    Kind.WORD: ("word", "read"),
    Kind.SHEETS: ("sheets", "read"),
    Kind.SLIDES: ("slides", "read"),
    Kind.WEB: ("web", "read"),
    Kind.MARKDOWN: ("plain", "read_markdown"),
    Kind.TABLE: ("plain", "read_table"),
    Kind.TEXT: ("plain", "read_text"),
    Kind.MAIL: ("mail", "read"),
    Kind.OUTLOOK: ("mail", "read_outlook"),
    Kind.IMAGE: ("images", "read"),
    Kind.PDF: ("attached_pdf", "read"),
}
# The readers of these take bytes; the others take text.
_OF_BYTES = frozenset({Kind.WORD, Kind.SHEETS, Kind.SLIDES, Kind.MAIL, Kind.OUTLOOK, Kind.IMAGE, Kind.PDF})
# A field of every message's header.
_FROM = re.compile(rb"^from:", re.IGNORECASE | re.MULTILINE)
# Modules and codecs that Python and the libraries load when they are first used: the sandbox forbids it then.
IMAGE_MODULES = ("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.PpmImagePlugin")
_LATE_MODULES = ("_strptime", *IMAGE_MODULES)
_CODECS = (
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "cp1250",
    "cp1252",
    "cp1254",
    "cp437",
    "iso8859_2",
    "latin-1",
    "ascii",
)
_WARM_UP = "Größe und Höhe müssen täglich geprüft werden.".encode("cp1252")
# The least that a guess of the encoding needs; more only takes longer.
_GUESSED = 65_536
# Unicode's byte order marks, with what they announce.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The bytes that no text has, as file(1) tells texts. Programs of DOS end one with 0x1a.
_CONTROLS = frozenset(range(32)) - frozenset(b"\a\b\t\n\v\f\r\x1b")
_DOS_END = b"\x1a"
_REPLACED = "\ufffd"


class Formats:
    """The child's reader of every kind of document but PDF: it reads the whole document when it opens it.

    `files` counts the attached files of which `count` has no parts. The
    constructor raises `Refused`: unknown_kind where it is of no kind that docwell reads, or encrypted.
    """

    files = 0

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        with open(path, "rb") as file:
            data = file.read()
        _load(data)
        close_doors()
        kind, text = kind_of(data)
        parts = Parts()
        self._metadata = {**add(data, kind, text, parts)._asdict(), "media_type": media_type(kind, data)}
        self._parts = parts.end()

    def count(self) -> int:
        """Return the number of parts."""
        return len(self._parts)

    def metadata(self) -> dict[str, str | None]:
        """Return title, author, date of creation and media type."""
        return self._metadata

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return a part of the document."""
        return self._parts[index]


def _load(data: bytes) -> None:
    """Import what reading the document needs, without parsing it; of a message, also what attachments need."""
    kind = binary_kind(data)
    if kind is Kind.OUTLOOK or (kind is None and _FROM.search(data[:_GUESSED]) is not None):
        load_for_attachments()
    else:
        _import({_READERS[kind][0]} if kind else {"web", "plain"}, late=kind is not None)
        _load_codecs(guesses=not (kind or data.isascii()))


def load_for_attachments() -> None:
    """Import what a file of any kind needs: a message has given up that right before it finds an attachment."""
    _import({module for module, _ in _READERS.values()}, late=True)
    load_pdfium()
    _load_codecs(guesses=True)


def _import(modules: set[str], *, late: bool) -> None:
    for module in sorted(modules):
        importlib.import_module(f"{_FORMATS}.{module}")
    for name in _LATE_MODULES if late else ():
        importlib.import_module(name)


def _load_codecs(*, guesses: bool) -> None:
    for name in (*_CODECS, *sorted(set(aliases.values()))) if guesses else _CODECS:
        # Not every machine has every codec: mbcs is that of Windows.
        with contextlib.suppress(LookupError):
            codecs.lookup(name)
    if guesses:
        # It imports more with its first guess.
        from_bytes(_WARM_UP).best()


def kind_of(data: bytes) -> tuple[Kind, str]:
    """Return the kind, and the decoded text of a document that is text. Raises `Refused`."""
    if is_locked(data):
        raise Refused(Reason.ENCRYPTED, "an Office document with a password")
    if kind := binary_kind(data):
        return kind, ""
    text = decoded(data)
    found = None if text is None else text_kind(text)
    if text is None or found is None:
        raise Refused(Reason.UNKNOWN_KIND, "no kind of document that docwell reads")
    return found, text


def add(data: bytes, kind: Kind, text: str, parts: Parts) -> Metadata:
    """Add a document of this kind to the parts."""
    module, function = _READERS[kind]
    reader = getattr(importlib.import_module(f"{_FORMATS}.{module}"), function)
    metadata: Metadata = reader(data if kind in _OF_BYTES else text, parts)
    return metadata


def decoded(data: bytes) -> str | None:
    """Return the text of a file, with line feeds alone; None where it is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text: str | None = data.decode(encoding, "replace")
            break
    else:
        data = data.removesuffix(_DOS_END)
        if not _CONTROLS.isdisjoint(data[:_GUESSED]) or not _CONTROLS.isdisjoint(data):
            return None
        text = _without_mark(data)
    if text is None or not _CONTROLS.isdisjoint(map(ord, text)):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_mark(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text, place = data.decode("utf-8", "replace"), error.start
    damaged = text.count(_REPLACED)
    # Text in another encoding has hardly a character that UTF-8 has too; a damaged text has many.
    if sum(not character.isascii() for character in text) > 2 * damaged:
        return text
    sample = _sample(data, place)
    encoding = charsets.declared(data) or charsets.of_latin_letters(sample)
    if encoding is None:
        guess = from_bytes(sample).best()
        encoding = None if guess is None else guess.encoding
    return None if encoding is None else data.decode(encoding, "replace")


def _sample(data: bytes, place: int) -> bytes:
    """Return whole lines, so that the sample cuts no character: from the beginning, or from a distant place."""
    start = 0 if place < _GUESSED else max(data.rfind(b"\n", place - _GUESSED, place) + 1, place - _GUESSED)
    end = start + _GUESSED
    ends = data.rfind(b"\n", max(start, place), end) + 1 if end < len(data) else len(data)
    return data[start : ends or end]
