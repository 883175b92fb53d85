"""Read any document but a PDF in the child process: detect its kind, drop rights, then parse all of it.

The attachments of a message are read here too, each as its kind.
"""

from __future__ import annotations

import contextlib
import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

from lxml import etree
from PIL import Image, MpoImagePlugin, TiffImagePlugin  # noqa: F401 - Pillow imports others in `preinit`

from docwell.adapters.documents import kinds, mail, pdf_pages, sheets, slides, web, word
from docwell.adapters.documents.kinds import Kind, binary_kind, is_locked, media_type, text_kind
from docwell.adapters.documents.parts import Metadata, PageText, Parts
from docwell.adapters.documents.quality import is_unreadable
from docwell.errors import Refused
from docwell.models import CitationUnit, Reason, UnitKind

# A3 at 600 dots an inch has 70 million pixels. A decoded pixel takes 3 bytes.
MAX_PIXELS = 80_000_000
IMAGE_FORMATS = ("PNG", "JPEG", "TIFF")
# The processor time for drawing a page of an attached PDF, which finds hidden text.
DRAWING_S = 1.5
# The deepest nesting to read: a message in a message in a message.
MAX_DEPTH = 3
_PROPERTIES = "docProps/core.xml"


def load() -> None:
    """Load what Python and the libraries import on first use: the sandbox then forbids imports."""
    kinds.load_codecs()
    web.tables()
    Image.preinit()
    time.strptime("2026", "%Y")


class Formats:
    """The child's reader of every kind of document but PDF: the constructor reads the whole document.

    Raises `Refused`: unknown_kind (docwell reads no such kind), or encrypted.
    """

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        with open(path, "rb") as file:
            data = file.read()
        close_doors()
        kind, content = kind_of(data)
        parts = Parts()
        title, author, created, _ = add(kind, content, parts)
        self._metadata = {"title": title, "author": author, "created": created}
        self._metadata["media_type"] = media_type(kind, data)
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


def open_image(data: bytes) -> Image.Image:
    """Return the image, not yet decoded. Raises `Refused` when it is damaged or too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
    except Image.DecompressionBombError:
        image = None
    if image is None or image.width * image.height > MAX_PIXELS:
        raise Refused(Reason.TOO_MUCH_MEMORY, "the image has too many pixels")
    return image


def kind_of(data: bytes) -> tuple[Kind, bytes | str]:
    """Return the kind, and the bytes or, of a kind of text, the decoded text. Raises `Refused`."""
    if is_locked(data):
        raise Refused(Reason.ENCRYPTED, "an Office document with a password")
    if kind := binary_kind(data):
        return kind, data
    text = kinds.decoded(data)
    kind = None if text is None else text_kind(text)
    if text is None or kind is None:
        raise Refused(Reason.UNKNOWN_KIND, "no kind of document that docwell reads")
    return kind, data if kind is Kind.MAIL else text


def add(kind: Kind, content: bytes | str, parts: Parts) -> Metadata:
    """Add a document of this kind and the files in it to the parts."""
    metadata = _READERS[kind](content, parts) or _properties(content)
    for attachment in metadata.attachments:
        with parts.inside(f"attachment {attachment.name}", attachment.anchor):
            parts.depth += 1
            reason = _add_file(attachment.data, parts)
            parts.depth -= 1
            if reason:
                parts.add(f"[This attachment is not read: {reason}]", CitationUnit(UnitKind.PART, "", ""))
    return metadata


def _properties(document: Any) -> Metadata:
    """Return the properties that an Office file states; the libraries invent missing ones."""
    with zipfile.ZipFile(io.BytesIO(document)) as file:
        stated = file.read(_PROPERTIES) if _PROPERTIES in file.namelist() else b"<none/>"
    root = etree.fromstring(stated, etree.XMLParser(recover=True, resolve_entities=False, no_network=True))
    texts = {} if root is None else {etree.QName(element).localname: element.text for element in root.iter("{*}*")}
    created = f"D:{day[:10].replace('-', '')}" if (day := texts.get("created")) else None
    return Metadata(texts.get("title") or None, texts.get("creator") or None, created)


def _add_file(data: bytes | Reason, parts: Parts) -> Reason | None:
    """Add a file. Return why it is not read, or None."""
    if isinstance(data, Reason):
        return data
    try:
        kind, content = kind_of(data)
        if kind is Kind.IMAGE:
            return Reason.NO_TEXT
        if kind in {Kind.MAIL, Kind.OUTLOOK} and parts.depth == MAX_DEPTH:
            return Reason.TOO_MANY_PAGES
        before = len(parts.done)
        add(kind, content, parts)
        parts.start_part()
    except (MemoryError, RecursionError):
        raise
    except Refused as refused:
        return Reason(refused.reason)
    except Exception:  # noqa: BLE001 - the libraries raise anything on a damaged attachment
        return Reason.CORRUPT
    return None if len(parts.done) > before else Reason.NO_TEXT


def read_text(text: str, parts: Parts) -> Metadata:
    """Add a text with a unit for each line. A form feed ends no line: editors do not count it."""
    is_below = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            parts.add(line, CitationUnit(UnitKind.LINE, f"line {number}", f"line={number}"), line=is_below)
        is_below = bool(line.strip())
    return Metadata()


def read_image(data: bytes, parts: Parts) -> Metadata:
    """Add an empty part for each picture, for a recogniser. Raises `Refused` when the first cannot be decoded."""
    image = open_image(data)
    count = getattr(image, "n_frames", 1)
    image.load()
    for number in range(1, count + 1):
        parts.done.append(PageText("", units=[(0, UnitKind.IMAGE, f"image {number}", f"image={number}")]))
    return Metadata()


def read_pdf(data: bytes, parts: Parts) -> Metadata:
    """Add the pages with readable text, but those that PDFium cannot read. Raises `Refused`."""
    document = pdf_pages.Pdfium("", lambda: None, data)
    for index in range(document.count()):
        with contextlib.suppress(document.error):
            page = document.page(index, 0, DRAWING_S)
            parts.hidden += page.hidden
            if not is_unreadable(page.text):
                label = page.label or str(index + 1)
                parts.add(page.text, CitationUnit(UnitKind.PAGE, f"page {label}", f"page={index + 1}"))
    return Metadata()


# Readers of Office files return no metadata.
_READERS: dict[Kind, Callable[[Any, Parts], Metadata | None]] = {
    Kind.WORD: word.read,
    Kind.SHEETS: sheets.read,
    Kind.TABLE: sheets.read_table,
    Kind.SLIDES: slides.read,
    Kind.WEB: web.read,
    Kind.MARKDOWN: web.read_markdown,
    Kind.MAIL: mail.read,
    Kind.OUTLOOK: mail.read_outlook,
    Kind.TEXT: read_text,
    Kind.IMAGE: read_image,
    Kind.PDF: read_pdf,
}
