"""The document reader of ingest: it detects the kind by the content, never by the name.

Each document is opened in a fresh child process, since the libraries may crash or run away on a hostile file.
`process.py` starts and questions the child, `child.py` is its program, and `sandbox.py` its system call filter.

PDFium reads a PDF. A page that ends its child costs only itself: the next page gets another child. The reader
`formats` reads everything else, whole, when it opens it. The parent looks only at the first and last bytes.

`RecognisingReader` gives the pages of pictures to a child that draws and recognises them, within limits and a
filter too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from docwell.adapters.documents import kinds
from docwell.adapters.documents.parts import PageText
from docwell.adapters.documents.process import Answer, Child, ChildError
from docwell.adapters.documents.quality import tidy
from docwell.config import IngestLimits, SettingsError
from docwell.errors import Refused, Unavailable
from docwell.media_types import MEDIA_TYPES, PDF, UNKNOWN
from docwell.models import CitationUnit, DocumentInfo, Heading, Page, Reason, day_of
from docwell.pipeline import RAPIDOCR_VERSION
from docwell.ports import DocumentReader

# Where readers look for the header; Adobe's implementation notes to PDF 1.7, appendix H.
HEADER_WITHIN = 1024
TRAILER_WITHIN, TRAILER_MARKS = 2048, (b"startxref", b"%%EOF")
# The share of a page's processor time for drawing it: a page may need two pages before it, which are drawn too.
DRAWING_SHARE = 0.25
# Reasons that make a page dangerous, not just damaged.
POISON = frozenset({Reason.TOO_SLOW, Reason.TOO_MUCH_MEMORY, Reason.READER_CRASHED})

_DETAIL = {
    Reason.EMPTY_FILE: "The file has no content.",
    Reason.UNKNOWN_KIND: "The file's content is neither a PDF nor another kind of document that docwell reads.",
    Reason.ENCRYPTED: "The document needs a password.",
    Reason.DYNAMIC_FORM: "The document is an XFA form, which only some viewers show.",
    Reason.PORTFOLIO: "The document is a portfolio: a cover page with attached files. Upload these by themselves.",
    Reason.CORRUPT: "The document is damaged: no reader can open it.",
    Reason.TOO_SLOW: "Reading the document takes too long.",
    Reason.TOO_MUCH_MEMORY: "Reading the document takes too much memory.",
    Reason.READER_CRASHED: "Reading the document crashes the reader.",
}
PDFIUM, FORMATS = "pdfium", "formats"
RAPIDOCR = "rapidocr"
# The wall time to start and to load the models: 2 s alone, 10 s beside other work.
START_S = 60.0
# The processor time for the same: two threads.
START_CPU_S = 2 * START_S
# Reasons that come from the document, not from this machine.
_OF_THE_DOCUMENT = frozenset({Reason.CORRUPT, Reason.ENCRYPTED})
_OTHER_SIGNATURES = (kinds.ZIP, kinds.OLE, *kinds.IMAGES)
_OBJECT = re.compile(rb"\d\s+obj\b|\bxref\b")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD = 4096
_KNOWN_TYPES = frozenset(MEDIA_TYPES.values())


def refused(reason: Reason) -> Refused:
    """Return the refusal for a reason, with its detail."""
    return Refused(reason, _DETAIL[reason])


def is_pdf(path: Path) -> bool:
    """Return whether PDFium should read the file. Raises `Refused` when it is empty.

    A PDF has `%PDF` in its first 1,024 bytes, or has lost its beginning and has a trailer. A text that only
    mentions one of these is no PDF.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - TRAILER_WITHIN))
        tail = file.read()
    if not head:
        raise refused(Reason.EMPTY_FILE)
    if head.startswith(b"%PDF"):
        return True
    may_be_pdf = b"%PDF" in head[:HEADER_WITHIN] or any(mark in tail for mark in TRAILER_MARKS)
    is_other = head.startswith(_OTHER_SIGNATURES) or not may_be_pdf
    return not is_other and bool(_NOT_TEXT.search(head) or _OBJECT.search(head))


def page_of(number: int, page: PageText) -> Page:
    """Return a page from a child's answer, with tidied text and with headings as they occur in it."""
    headings = (Heading(tidy(text).strip(), size) for text, size in page.headings)
    return Page(
        number,
        tidy(page.text),
        one_line(page.label),
        headings=tuple(heading for heading in headings if heading.text),
        confidence=page.confidence,
        hidden=page.hidden,
        picture=page.picture,
        unchecked=page.unchecked,
        blank=page.blank,
        citation_units=tuple(
            (start, CitationUnit(kind, tidy(label), tidy(anchor))) for start, kind, label, anchor in page.units
        ),
    )


def page_within(number: int, page: PageText | None, max_characters: int) -> Page:
    """Return a page from a child's answer, without its text where that is missing, too long or unreadable."""
    if page is None or len(page.text) > max_characters:
        return Page(number, "", unreadable=Reason.CORRUPT if page is None else Reason.TOO_MUCH_TEXT)
    shown = page_of(number, page)
    return replace(shown, text="", headings=(), unreadable=Reason.UNREADABLE) if page.unreadable else shown


def one_line(text: str | None) -> str | None:
    """Return tidied text on one line; None when it is empty."""
    return " ".join(tidy(text).split()) or None if text else None


@dataclass(frozen=True)
class ChildDocumentReader:
    """`docwell.ports.DocumentReader` for every kind of document.

    Each range reads a document that is no PDF again, as a whole.
    """

    limits: IngestLimits

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the number of pages or parts, and the document's stated metadata (None where it has none).

        Raises:
            Refused: empty_file, unknown_kind (no kind that docwell reads), encrypted, corrupt, too_many_pages,
                dynamic_form, portfolio, or the cause of a reader's death.
            Unavailable: the reader gets too little processor time: `parse_timeout_s` of wall time.
        """
        if is_pdf(path):
            with closing(_PdfReader(self, path, 1)) as reader:
                answer, media_type = reader.info(self.deadline()), PDF
        else:
            with closing(self.child(path, FORMATS)) as child:
                answer = self._ask(child, "info")
            media_type = answer.media_type if answer.media_type in _KNOWN_TYPES else UNKNOWN
        if answer.pages > self.limits.max_document_pages:
            allowed = self.limits.max_document_pages
            detail = f"The document has {answer.pages} pages or parts; {allowed} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        title, author = one_line(answer.title), one_line(answer.author)
        return DocumentInfo(answer.pages, title, author, day_of(answer.created), media_type)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages or parts `first` to `last` (both included, 1-based), with tidied text, at most to the end.

        A page that cannot be read within the limits, or whose text is unreadable, has no text and says why.
        Closing the iterator ends the children. Raises `Refused` and `Unavailable` as `inspect`.
        """
        if is_pdf(path):
            with closing(_PdfReader(self, path, last - first + 1)) as reader:
                yield from reader.pages(first, last)
            return
        with closing(self.child(path, FORMATS)) as child:
            for number in range(first, last + 1):
                before = child.cpu_s
                answer = self._ask(child, f"page {number} 1 0")
                page = page_within(number, answer.page, self.limits.max_page_characters)
                yield replace(page, cpu_s=child.cpu_s - before)

    def deadline(self) -> float:
        """Return the time of the monotonic clock by which a child must answer."""
        return time.monotonic() + self.limits.parse_timeout_s

    def child(self, path: Path, reader: str, life_s: float = 0.0) -> Child:
        """Return a child that opens the document with a reader, within the limits on memory and text."""
        # Opening a document that is no PDF takes nearly all; the parts are then only handed over.
        limits = self.limits
        life_s = life_s or limits.opening_cpu_s * 2
        return Child(path, reader, limits.parse_memory_bytes, life_s, limits.max_page_characters)

    def _ask(self, child: Child, request: str) -> Answer:
        try:
            return child.ask(request, self.limits.opening_cpu_s, self.deadline())
        except ChildError as error:
            raise refused(error.reason) from None


class _PdfReader:
    """PDFium on up to `pages` pages of one document."""

    def __init__(self, reader: ChildDocumentReader, path: Path, pages: int) -> None:
        self._reader = reader
        self._limits = reader.limits
        # Time to open, for `pages` pages and for two pages before them, each with one retry.
        life_s = self._limits.parse_cpu_s * 2 * (pages + 3)
        self._child = reader.child(path, PDFIUM, life_s)
        self._restarts_left = self._limits.max_reader_restarts
        # Open no page before this one: such a page may have ended an earlier child.
        self._first = 1
        # Set once no child can go on: PDFium cannot open the document, or the restarts are used up.
        self._given_up: Reason | None = None
        # The number of pages, known once the document was opened.
        self._count: int | None = None

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def info(self, deadline: float) -> Answer:
        """Start a child and return its answer to `info`. Raises `Refused` where it cannot open the file."""
        try:
            answer = self._child.ask("info", self._limits.parse_cpu_s, deadline)
        except ChildError as error:
            raise refused(error.reason) from None
        if not answer.pages:
            raise refused(Reason.CORRUPT)
        self._count = answer.pages
        return answer

    def pages(self, first: int, last: int) -> Iterator[Page]:
        """Yield pages `first` to `last`, to the file's end. Raises `Refused` when the file cannot be opened."""
        for number in range(first, last + 1):
            before = self._child.cpu_s
            try:
                text = self._text(number, self._reader.deadline())
                page = page_within(number, text, self._limits.max_page_characters)
            except ChildError as error:
                page = Page(number, "", unreadable=error.reason if error.reason in POISON else Reason.CORRUPT)
            if self._count is not None and number > self._count:
                return
            yield replace(page, cpu_s=self._child.cpu_s - before)

    def _text(self, number: int, deadline: float) -> PageText | None:
        """Return a page, None where it is damaged. Raises `ChildError` where it ends its child.

        A child may have died of an earlier page, or of drawing: a page is at fault only if its child has opened no
        other and has drawn nothing.
        """
        drawing_s = self._limits.parse_cpu_s * DRAWING_SHARE
        while self._given_up is None:
            is_alone = not self._child.is_running and self._first >= number
            try:
                if not self._child.is_running:
                    self.info(deadline)
                request = f"page {number} {self._first} {drawing_s}"
                return self._child.ask(request, self._limits.parse_cpu_s, deadline).page
            except Refused as error:
                if self._count is None:
                    raise
                self._given_up = Reason(error.reason)
            except ChildError as error:
                is_last, drawing_s = is_alone and drawing_s == 0, 0.0
                self._first = number + 1 if is_last else number
                if self._restarts_left == 0:
                    self._given_up = error.reason
                self._restarts_left -= 1
                if is_last:
                    raise
        raise ChildError(self._given_up)


def check_installed() -> None:
    """Raise `SettingsError` unless the recogniser is installed in the version of the fingerprint."""
    try:
        installed = version(RAPIDOCR)
    except PackageNotFoundError:
        installed = None
    if installed != RAPIDOCR_VERSION:
        has = f"rapidocr {installed} is installed" if installed else "it is not installed"
        raise SettingsError(
            f"DOCWELL_OCR=rapidocr needs rapidocr {RAPIDOCR_VERSION}, and {has}: on this machine `make ocr` "
            "installs it; an image is built with --build-arg OCR=rapidocr"
        )


@dataclass(frozen=True)
class RecognisingReader:
    """`docwell.ports.DocumentReader`: the pages of another reader, with recognised text where they have none.

    A recognised page has a `confidence`. A page over a limit is unreadable. A page that is mostly a picture keeps
    its own text unless about as much is recognised, with `ocr_min_confidence`.
    """

    reader: DocumentReader
    limits: IngestLimits

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the other reader's answer."""
        return self.reader.inspect(path)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order. Close the iterator when done.

        Raises:
            Refused: as the other reader.
            Unavailable: the recogniser does not start, or gets no answer within `ocr_page_timeout_s` of wall time.
        """
        life_s = START_CPU_S + self.limits.ocr_page_cpu_s * (last - first + 1)
        # It starts for the first page that needs it.
        child = Child(path, RAPIDOCR, self.limits.ocr_memory_bytes, life_s, self.limits.max_page_characters)
        with closing(self.reader.pages(path, first, last)) as pages, closing(child):
            for page in pages:
                yield self._recognised(page, child) if page.may_be_picture else page

    def _recognised(self, page: Page, child: Child) -> Page:
        """Return the page with its recognised text, and with the processor time of both readers."""
        before = child.cpu_s
        recognised = self._read(page, child)
        if letters := len("".join(page.text.split())):
            share = len("".join(recognised.text.split())) / letters
            if (recognised.confidence or 0.0) < self.limits.ocr_min_confidence:
                recognised = page
            elif share < 1:  # a slide, say: its picture is the ground of its text
                recognised = replace(page, picture=False)
        return replace(recognised, hidden=page.hidden, cpu_s=page.cpu_s + child.cpu_s - before)

    def _read(self, page: Page, child: Child) -> Page:
        has_started = child.is_running
        try:
            if not has_started:
                child.ask("info", START_CPU_S, time.monotonic() + START_S)
                has_started = True
            deadline = time.monotonic() + self.limits.ocr_page_timeout_s
            answer = child.ask(f"page {page.number} {page.number} 0", self.limits.ocr_page_cpu_s, deadline)
        except ChildError as error:
            if has_started or error.reason in _OF_THE_DOCUMENT:
                return replace(page, text="", unreadable=error.reason)
            raise Unavailable("ocr", f"the recogniser does not start ({error.reason})") from None
        recognised = page_within(page.number, answer.page, self.limits.max_page_characters)
        confidence = recognised.confidence if recognised.text.strip() else None
        units = page.citation_units
        return replace(recognised, label=page.label, confidence=confidence, citation_units=units)
