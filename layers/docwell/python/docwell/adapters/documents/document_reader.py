"""The reader that ingest uses for every document: it tells the kind by the content, never by the name.

Each document is opened in a fresh child process, since the libraries may crash or run away on a hostile file.
`process.py` starts and questions the child, `child.py` is its program, and `sandbox.py` its system call filter.

PDFium reads a PDF first, then pypdf the pages that PDFium cannot read. A page that ends its child costs only
itself: the next page gets another child. The reader `formats` reads everything else, whole, when it opens it. The
files attached to a PDF are parts behind its pages, from the reader `attached`. The parent looks only at the first
and last bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docwell.adapters.documents import kinds
from docwell.adapters.documents.process import PDFIUM, Child, ChildError
from docwell.adapters.documents.quality import tidy, unreadable_share
from docwell.errors import Refused
from docwell.media_types import MEDIA_TYPES, PDF, UNKNOWN
from docwell.models import CitationUnit, DocumentInfo, Heading, Page, Reason, UnitKind, day_of

PYPDF = "pypdf"
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
    Reason.PORTFOLIO: "The document is a portfolio, and none of its attached files can be read.",
    Reason.CORRUPT: "The document is damaged: no reader can open it.",
    Reason.TOO_SLOW: "Reading the document takes too long.",
    Reason.TOO_MUCH_MEMORY: "Reading the document takes too much memory.",
    Reason.READER_CRASHED: "Reading the document crashes the reader.",
}
FORMATS, ATTACHED = "formats", "attached"
# Not a page that a recogniser could draw.
_ATTACHED_UNIT = ((0, CitationUnit(UnitKind.PART, "attached files", "page=1")),)
_OTHER_SIGNATURES = (kinds.ZIP, kinds.OLE, *kinds.IMAGES)
_OBJECT = re.compile(rb"\d\s+obj\b|\bxref\b")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD = 4096


def refused(reason: Reason) -> Refused:
    """Return the refusal for a reason, with its detail."""
    return Refused(reason, _DETAIL[reason])


def is_pdf(path: Path) -> bool:
    """Return whether the PDF readers should read the file. Raises `Refused` when it is empty.

    A PDF has `%PDF` in its first 1,024 bytes, or has lost its beginning and has a trailer. A text that only
    mentions one of these is no PDF.
    """
    head, tail = _ends(path)
    if head.startswith(b"%PDF"):
        return True
    if head.startswith(_OTHER_SIGNATURES) or not _may_be_pdf(head, tail):
        return False
    return bool(_NOT_TEXT.search(head) or _OBJECT.search(head))


def _ends(path: Path) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a file. Raises `Refused` when it is empty."""
    size = path.stat().st_size
    if size == 0:
        raise refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, size - TRAILER_WITHIN))
        return head, file.read()


def _has_header(head: bytes) -> bool:
    return b"%PDF" in head[:HEADER_WITHIN]


def _may_be_pdf(head: bytes, tail: bytes) -> bool:
    """Return whether a file has a header or a trailer: pypdf opens some files whose beginning is lost."""
    return _has_header(head) or any(mark in tail for mark in TRAILER_MARKS)


def page_of(number: int, answer: dict[str, Any]) -> Page:
    """Return the page that a child's answer describes, with tidied text and headings as they occur in it."""
    headings = ((tidy(text).strip(), float(size)) for text, size in answer["headings"])
    return Page(
        number,
        tidy(answer["text"]),
        one_line(answer["label"]),
        headings=tuple(Heading(text, size) for text, size in headings if text),
        confidence=answer["confidence"],
        hidden=answer["hidden"],
        picture=answer["picture"],
        citation_units=tuple(
            (start, CitationUnit(UnitKind(kind), tidy(label), tidy(anchor)))
            for start, kind, label, anchor in answer["units"]
        ),
    )


def _document_info(answer: dict[str, Any], media_type: str) -> DocumentInfo:
    title, author = one_line(answer["title"]), one_line(answer["author"])
    return DocumentInfo(answer["pages"], title, author, day_of(answer["created"]), media_type, answer["files"])


def one_line(text: str | None) -> str | None:
    """Return tidied text on one line; None when it is empty."""
    return " ".join(tidy(text).split()) or None if text else None


@dataclass(frozen=True, kw_only=True)
class ChildDocumentReader:
    """`docwell.ports.DocumentReader` for every kind of document.

    A document that is no PDF may use `opening_cpu_s` of processor time for being read whole, and as much memory as
    a PDF. Each range reads it again.
    """

    pdf: ChildPdfReader
    opening_cpu_s: float

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the number of pages or parts, and what the document says of itself (None where it does not).

        Raises:
            Refused: empty_file, unknown_kind (no kind that docwell reads), encrypted, corrupt, too_many_pages,
                portfolio, or the cause of a reader's death.
            Unavailable: the reader gets too little processor time.
        """
        if is_pdf(path):
            info = self.pdf.inspect(path)
            return replace(info, page_count=self._with_files(path, info.page_count)) if info.files else info
        with closing(self._child(path, FORMATS)) as child:
            answer = self._ask(child, "info")
        self._check_count(answer["pages"])
        media_type = answer["media_type"] if answer["media_type"] in MEDIA_TYPES.values() else UNKNOWN
        return _document_info(answer, media_type)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages or parts `first` to `last` (both included, 1-based). Close the iterator when done.

        Raises `Refused` and `Unavailable` as `inspect`.
        """
        if is_pdf(path):
            number = first - 1
            with closing(self.pdf.pages(path, first, last)) as pages:
                for page in pages:
                    number = page.number
                    yield page
            if number < last:
                yield from self._files(path, number + 1, last)
        else:
            yield from self._parts(path, FORMATS, first, last)

    def _parts(self, path: Path, reader: str, first: int, last: int) -> Generator[Page]:
        with closing(self._child(path, reader)) as child:
            for number in range(first, last + 1):
                before = child.cpu_s
                answer = self._ask(child, f"page {number} 1 0")
                if answer["kind"] == "failed":
                    yield Page(number, "", unreadable=Reason.CORRUPT)
                else:
                    yield replace(page_of(number, answer), cpu_s=child.cpu_s - before)

    def _with_files(self, path: Path, pages: int) -> int:
        """Return the number of a PDF's pages and of the parts of its attached files.

        Where their reader breaks a limit, they are one page that says so. Raises `Refused`: portfolio.
        """
        try:
            with closing(self._child(path, ATTACHED)) as child:
                count = int(self._ask(child, "count")["pages"])
        except Refused as error:
            if error.reason == Reason.PORTFOLIO:
                raise
            count = pages + 1
        self._check_count(count)
        return count

    def _files(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield the parts of a PDF's attached files; what cannot be read any more says why."""
        number = first - 1
        try:
            with closing(self._parts(path, ATTACHED, first, last)) as parts:
                for page in parts:
                    number = page.number
                    yield page
        except Refused as error:
            for lost in range(number + 1, last + 1):
                yield Page(lost, "", unreadable=Reason(error.reason), citation_units=_ATTACHED_UNIT)

    def _check_count(self, parts: int) -> None:
        if parts > self.pdf.max_document_pages:
            detail = f"The document has {parts} parts; {self.pdf.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)

    def _child(self, path: Path, reader: str) -> Child:
        # Opening takes nearly all; the parts are then only handed over.
        life_s = self.opening_cpu_s * 2
        return Child(path, reader, self.pdf.parse_memory_bytes, life_s, self.pdf.max_page_characters)

    def _ask(self, child: Child, request: str) -> dict[str, Any]:
        try:
            return child.ask(request, self.opening_cpu_s, time.monotonic() + self.pdf.parse_timeout_s)
        except ChildError as error:
            raise refused(error.reason) from None


@dataclass(frozen=True, kw_only=True)
class ChildPdfReader:
    """`docwell.ports.DocumentReader` for PDFs.

    Each of the two readers may use `parse_cpu_s` of processor time to open the file, and the same for each page.
    Both raise `Unavailable` after `parse_timeout_s` of wall time. A reader gives up a range after
    `max_reader_restarts`.
    """

    parse_cpu_s: float
    parse_timeout_s: float
    parse_memory_bytes: int
    max_document_pages: int
    max_page_characters: int
    max_reader_restarts: int

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the number of pages, the title and author (tidied, None when empty) and the day of creation.

        Raises:
            Refused: empty_file, unknown_kind, encrypted, corrupt, too_many_pages, or why a reader died.
            Unavailable: the readers get too little processor time.
        """
        head, tail = _ends(path)
        if not _may_be_pdf(head, tail):
            raise refused(Reason.UNKNOWN_KIND)
        with closing(_Readers(self, path, 1)) as readers:
            info = readers.info()
            if info is None:
                raise refused(readers.reason() if _has_header(head) else Reason.UNKNOWN_KIND)
        if info["pages"] > self.max_document_pages:
            detail = f"The document has {info['pages']} pages; {self.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        return _document_info(info, PDF)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order, with tidied text, to the file's end.

        A page that no reader can read within the limits, or whose text is unreadable, has no text and says why.
        Closing the iterator ends the children.

        Raises:
            Refused: as `inspect`, when no reader can open the file.
            Unavailable: the readers get too little processor time.
        """
        if not _may_be_pdf(*_ends(path)):
            raise refused(Reason.UNKNOWN_KIND)
        with closing(_Readers(self, path, last - first + 1)) as readers:
            for number in range(first, last + 1):
                page = readers.page(number)
                if readers.end_before(number):
                    return
                yield page


class _Readers:
    """Both readers of one document, for up to `pages` pages."""

    def __init__(self, limits: ChildPdfReader, path: Path, pages: int) -> None:
        self._limits = limits
        self._pdfium = _Reader(PDFIUM, limits, path, pages)
        self._pypdf = _Reader(PYPDF, limits, path, pages)

    def close(self) -> None:
        """End the children."""
        self._pdfium.close()
        self._pypdf.close()

    def reason(self) -> Reason:
        """Return why no reader opens the document: the first one's reason, unless one needs a password."""
        reasons = self._pdfium.given_up, self._pypdf.given_up
        return Reason.ENCRYPTED if Reason.ENCRYPTED in reasons else reasons[0] or Reason.CORRUPT

    def info(self) -> dict[str, Any] | None:
        """Return what the first reader that opens the document says about it, or None."""
        deadline = self._deadline()
        return self._pdfium.info(deadline) or self._second().info(deadline)

    def end_before(self, number: int) -> bool:
        """Return whether the file is known to have fewer pages."""
        count = self._pdfium.count or self._pypdf.count
        return count is not None and number > count

    def page(self, number: int) -> Page:
        """Return a page, and the processor time that it took. Raises `Refused` when no reader opens the file."""
        before = self._pdfium.cpu_s + self._pypdf.cpu_s
        page = self._page(number)
        return replace(page, cpu_s=self._pdfium.cpu_s + self._pypdf.cpu_s - before)

    def _page(self, number: int) -> Page:
        """Ask pypdf only when PDFium finds no usable text, and no hidden text, which pypdf would not notice."""
        deadline = self._deadline()
        best = self._pdfium.page(number, deadline)
        if self.end_before(number):
            return Page(number, "", unreadable=Reason.CORRUPT)
        if isinstance(best, Reason) or (not best["hidden"] and (best["suspect"] or best["unreadable"])):
            second = self._second().page(number, deadline)
            if isinstance(best, Reason):
                # A reader that broke a limit says more than a reader that cannot decode the page.
                best = second if best not in POISON or isinstance(second, dict) else best
            elif isinstance(second, dict) and _reads_better(second["text"], best["text"]):
                best = second
        if isinstance(best, Reason):
            if self._pdfium.count is None and self._pypdf.count is None:
                raise refused(self.reason())
            return Page(number, "", unreadable=best if best in POISON else Reason.CORRUPT)
        if len(best["text"]) > self._limits.max_page_characters:
            return Page(number, "", unreadable=Reason.TOO_MUCH_TEXT)
        page = page_of(number, best)
        if best["unreadable"]:
            return replace(page, text="", headings=(), unreadable=Reason.UNREADABLE)
        return page

    def _second(self) -> _Reader:
        if self._pdfium.given_up is Reason.DYNAMIC_FORM:  # the file opens, but its page is not the document
            self._pypdf.given_up = self._pdfium.given_up
        return self._pypdf

    def _deadline(self) -> float:
        return time.monotonic() + self._limits.parse_timeout_s


class _Reader:
    """The children of one library for one document, one at a time.

    `given_up` says why this reader can no longer be used: it cannot open the document, or had its restarts.
    `count` is the number of pages, None until the document was opened.
    """

    def __init__(self, name: str, limits: ChildPdfReader, path: Path, pages: int) -> None:
        self._name, self._limits, self._path = name, limits, path
        # Opening, `pages` pages and two before them for their heads, each once again.
        self._life_s = limits.parse_cpu_s * 2 * (pages + 3)
        self._child: Child | None = None
        self._ended_s = 0.0
        self._restarts_left = limits.max_reader_restarts
        # No page before this one is opened: it may have ended an earlier child.
        self._first = 1
        self.given_up: Reason | None = None
        self.count: int | None = None

    @property
    def cpu_s(self) -> float:
        """The processor time of all children, in seconds."""
        return self._ended_s + (self._child.cpu_s if self._child is not None else 0.0)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
            self._ended_s += self._child.cpu_s
            self._child = None

    def info(self, deadline: float) -> dict[str, Any] | None:
        """Return the number of pages and the metadata; None when the document cannot be opened."""
        return self._opened("info", deadline) if self.given_up is None else None

    def page(self, number: int, deadline: float) -> dict[str, Any] | Reason:
        """Return the answer for a page, or why there is none.

        A child may have died of an earlier page, or of drawing: a page is at fault only if its child has opened no
        other and has drawn nothing.
        """
        drawing_s = self._limits.parse_cpu_s * DRAWING_SHARE if self._name == PDFIUM else 0.0
        while self.given_up is None:
            is_alone = self._child is None and (self._first >= number or self._name == PYPDF)
            if self._child is None and self._opened("count", deadline) is None:
                break
            try:
                answer = self._ask(f"page {number} {self._first} {drawing_s}", deadline)
            except ChildError as error:
                self.close()
                is_last, drawing_s = is_alone and drawing_s == 0, 0.0
                self._first = number + 1 if is_last else number
                if self._restarts_left == 0:
                    self.given_up = error.reason
                self._restarts_left -= 1
                if is_last:
                    return error.reason
            else:
                return answer if answer["kind"] == "page" else Reason.CORRUPT
        return self.given_up or Reason.CORRUPT

    def _opened(self, request: str, deadline: float) -> dict[str, Any] | None:
        """Start a child and return its first answer; None, and give up, when it cannot open the document."""
        try:
            answer = self._ask(request, deadline)
        except ChildError as error:
            self.close()
            self.given_up = error.reason
            return None
        if answer["pages"] == 0:
            self.given_up = Reason.CORRUPT
            return None
        self.count = answer["pages"]
        return answer

    def _ask(self, request: str, deadline: float) -> dict[str, Any]:
        limits = self._limits
        if self._child is None:
            self._child = Child(
                self._path, self._name, limits.parse_memory_bytes, self._life_s, limits.max_page_characters
            )
        return self._child.ask(request, limits.parse_cpu_s, deadline)


def _reads_better(text: str, current: str) -> bool:
    return bool(text.strip()) and (not current.strip() or unreadable_share(text) < unreadable_share(current))
