"""The PDF reader that ingest uses: PDFium first, then pypdf for pages that PDFium cannot read.

Both libraries may crash or run away on a hostile file, so each document is opened in a fresh child process. A page
that ends its child costs only itself: the next page gets another child. `process.py` starts and questions the
child, `child.py` is its program, and `sandbox.py` its system call filter.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docwell.adapters.documents.process import Child, ChildError
from docwell.adapters.documents.text_quality import tidy, unreadable_share
from docwell.attributes import day_of
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import Refused
from docwell.media_types import PDF
from docwell.models import DocumentInfo, Heading, Page, Reason

if TYPE_CHECKING:
    from collections.abc import Generator

PDFIUM, PYPDF = "pdfium", "pypdf"
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


def refused(reason: Reason) -> Refused:
    """Return the refusal for a reason, with its detail."""
    return Refused(reason, _DETAIL[reason])


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
        has_header = _check_content(path)
        with closing(_Readers(self, path, 1)) as readers:
            info = readers.info()
            if info is None:
                raise refused(readers.reason() if has_header else Reason.UNKNOWN_KIND)
        if info["pages"] > self.max_document_pages:
            detail = f"The document has {info['pages']} pages; {self.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        title, author = one_line(info["title"]), one_line(info["author"])
        return DocumentInfo(info["pages"], title, author, day_of(info["created"]), PDF, info["files"])

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order, with tidied text, to the file's end.

        A page that no reader can read within the limits, or whose text is unreadable, has no text and says why. A
        page of which a font has a wrong map to Unicode keeps the rest of its text, and says so.
        Closing the iterator ends the children.

        Raises:
            Refused: as `inspect`, when no reader can open the file.
            Unavailable: the readers get too little processor time.
        """
        _check_content(path)
        with closing(_Readers(self, path, last - first + 1)) as readers:
            for number in range(first, last + 1):
                page = readers.page(number)
                if readers.end_before(number):
                    return
                yield page


def _check_content(path: Path) -> bool:
    """Return whether the file begins like a PDF. Raises `Refused` when it is not worth starting a reader."""
    size = path.stat().st_size
    if size == 0:
        raise refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        has_header = b"%PDF" in file.read(HEADER_WITHIN)
        file.seek(max(0, size - TRAILER_WITHIN))
        end = file.read()
    # pypdf opens some files whose beginning is lost.
    if not has_header and not any(mark in end for mark in TRAILER_MARKS):
        raise refused(Reason.UNKNOWN_KIND)
    return has_header


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


def one_line(text: str | None) -> str | None:
    """Return tidied text on one line; None when it is empty."""
    return " ".join(tidy(text).split()) or None if text else None


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
            other = self._second().page(number, deadline)
            if isinstance(best, Reason):
                # A reader that broke a limit says more than one that cannot decode the page.
                best = other if best not in POISON or isinstance(other, dict) else best
            elif isinstance(other, dict) and _reads_better(other["text"], best["text"]):
                best = other
        if isinstance(best, Reason):
            if self._pdfium.count is None and self._pypdf.count is None:
                raise refused(self.reason())
            return Page(number, "", unreadable=best if best in POISON else Reason.CORRUPT)
        if len(best["text"]) > self._limits.max_page_characters:
            return Page(number, "", unreadable=Reason.TOO_MUCH_TEXT)
        page = page_of(number, best)
        if best["unreadable"]:
            return replace(page, text="", headings=(), unreadable=Reason.UNREADABLE)
        return replace(page, unreadable=Reason.PARTLY_UNREADABLE) if best["partial"] else page

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


def _reads_better(text: str, other: str) -> bool:
    return bool(text.strip()) and (not other.strip() or unreadable_share(text) < unreadable_share(other))
