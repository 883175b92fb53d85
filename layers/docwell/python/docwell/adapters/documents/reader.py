"""The PDF reader that ingest uses: PDFium first, then pypdf for pages that PDFium cannot read.

Both libraries may crash or run away on a hostile file, so each document is opened in a fresh child process.
`process.py` starts and questions the child, `child.py` is its program, and `sandbox.py` its system call filter.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docwell.adapters.documents.process import Child, ChildError
from docwell.adapters.documents.text_quality import is_unreadable, tidy, unreadable_share
from docwell.attributes import day_of
from docwell.errors import Refused
from docwell.models import Heading, Page, PdfInfo, Reason

if TYPE_CHECKING:
    from collections.abc import Generator

PDFIUM, PYPDF = "pdfium", "pypdf"
# Where readers look for the header; Adobe's implementation notes to PDF 1.7, appendix H.
HEADER_WITHIN = 1024
TRAILER_WITHIN = 2048
# Shares of `parse_timeout_s`, so that one `inspect` and one `pages` together stay within it; the rest is for
# starting and ending up to four children.
INSPECT_SHARE, PAGES_SHARE = 0.3, 0.65
# PDFium's share of a call; pypdf takes seconds where PDFium takes tenths.
FIRST_SHARE = 2 / 3
# Reasons that make a document dangerous, not just damaged.
POISON = frozenset({Reason.TOO_SLOW, Reason.TOO_MUCH_MEMORY, Reason.READER_CRASHED})

_DETAIL = {
    Reason.EMPTY_FILE: "The file has no content.",
    Reason.NOT_PDF: "The file's content is not a PDF.",
    Reason.ENCRYPTED: "The document needs a password.",
    Reason.CORRUPT: "The document is damaged: no reader can open it.",
    Reason.TOO_SLOW: "Reading the document takes too long.",
    Reason.TOO_MUCH_MEMORY: "Reading the document takes too much memory.",
    Reason.READER_CRASHED: "Reading the document crashes the reader.",
}


def _refused(reason: Reason) -> Refused:
    return Refused(reason, _DETAIL[reason])


@dataclass(frozen=True, kw_only=True)
class ChildPdfReader:
    """`docwell.ports.PdfReader`. One `inspect` and one `pages` together take at most `parse_timeout_s`.

    The time that the caller spends between two pages does not count.
    """

    parse_timeout_s: float
    parse_memory_bytes: int
    max_document_pages: int
    max_page_characters: int

    def inspect(self, path: Path) -> PdfInfo:
        """Return the number of pages, the title and author (tidied, None when empty) and the day of creation.

        Raises:
            Refused: empty_file, not_pdf, encrypted, corrupt, too_many_pages, or the cause of a reader's death.
        """
        has_header = _check_content(path)
        with closing(_Readers(self, path, INSPECT_SHARE)) as readers:
            info = readers.ask(PDFIUM, "info") or readers.ask(PYPDF, "info")
            if info is None:
                raise _refused(readers.reason() if has_header else Reason.NOT_PDF)
        if info["pages"] > self.max_document_pages:
            detail = f"The document has {info['pages']} pages; {self.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        title, author = _one_line(info["title"]), _one_line(info["author"])
        return PdfInfo(info["pages"], title, author, day_of(info["created"]))

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order, with tidied text.

        A page that no reader can read, or whose text is unreadable, has no text and is not `readable`. Closing
        the iterator ends the children.

        Raises:
            Refused: as `inspect`; too_much_text for one page over `max_page_characters`; corrupt when no
                page of a whole document can be read.
        """
        _check_content(path)
        failed = 0
        with closing(_Readers(self, path, PAGES_SHARE)) as readers:
            for number in range(first, last + 1):
                answer = readers.page(number)
                if answer is None:
                    if readers.reasons.keys() == {PDFIUM, PYPDF} or readers.reasons.get(PDFIUM) in POISON:
                        raise _refused(readers.reason())
                    failed += 1
                    yield Page(number, "", readable=False)
                else:
                    page = page_of(number, answer)
                    yield replace(page, text="", readable=False) if is_unreadable(answer["text"]) else page
        if first == 1 and last >= readers.count and failed == last:
            raise _refused(Reason.CORRUPT)


def _check_content(path: Path) -> bool:
    """Return whether the file begins like a PDF. Raises `Refused` when it is not worth starting a reader."""
    size = path.stat().st_size
    if size == 0:
        raise _refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        has_header = b"%PDF" in file.read(HEADER_WITHIN)
        file.seek(max(0, size - TRAILER_WITHIN))
        end = file.read()
    # pypdf opens some files whose beginning is lost.
    if not has_header and b"startxref" not in end and b"%%EOF" not in end:
        raise _refused(Reason.NOT_PDF)
    return has_header


def page_of(number: int, answer: dict[str, Any]) -> Page:
    """Return the page that a child's answer describes, with tidied text and headings as they occur in it."""
    headings = ((tidy(text).strip(), float(size)) for text, size in answer["headings"])
    return Page(
        number,
        tidy(answer["text"]),
        _one_line(answer["label"]),
        headings=tuple(Heading(text, size) for text, size in headings if text),
        confidence=answer["confidence"],
        hidden=answer["hidden"],
    )


def _one_line(text: str | None) -> str | None:
    return " ".join(tidy(text).split()) or None if text else None


class _Readers:
    """The child processes of both readers for one document, each started at its first request.

    `reasons` says why a reader can no longer be used. `count` is the number of pages, 0 until a reader returns it.
    """

    def __init__(self, limits: ChildPdfReader, path: Path, share: float) -> None:
        self._limits = limits
        self._path = path
        self._time_s = limits.parse_timeout_s * share
        self._children: dict[str, Child] = {}
        self._spent = 0.0
        self.reasons: dict[str, Reason] = {}
        self.count = 0

    def close(self) -> None:
        """End the children."""
        for child in self._children.values():
            child.close()

    def reason(self) -> Reason:
        """Return why the document is refused: the first reader's reason, unless one needs a password."""
        if Reason.ENCRYPTED in self.reasons.values():
            return Reason.ENCRYPTED
        return self.reasons.get(PDFIUM) or self.reasons.get(PYPDF) or Reason.CORRUPT

    def page(self, number: int) -> dict[str, Any] | None:
        """Return the better of both readers' answers for a page, or None. Raises `Refused(too_much_text)`.

        Asks pypdf only when PDFium finds no usable text, and no hidden text, which pypdf would not notice.
        """
        best = self.ask(PDFIUM, f"page {number}")
        if best is None or (not best["hidden"] and (best["suspect"] or is_unreadable(best["text"]))):
            other = self.ask(PYPDF, f"page {number}")
            if other is not None and (best is None or _reads_better(other["text"], best["text"])):
                best = other
        limit = self._limits.max_page_characters
        if best is not None and len(best["text"]) > limit:
            raise Refused(Reason.TOO_MUCH_TEXT, f"Page {number} has more than {limit} characters of text.")
        return best

    def ask(self, reader: str, request: str) -> dict[str, Any] | None:
        """Return one reader's answer, or None; record the reason when the reader can no longer be used."""
        if reader in self.reasons:
            return None
        started = time.monotonic()
        share = FIRST_SHARE if reader == PDFIUM else 1.0
        deadline = started + self._time_s * share - self._spent
        try:
            if reader not in self._children:
                limits = self._limits.parse_memory_bytes, self._limits.parse_timeout_s
                self._children[reader] = Child(self._path, reader, *limits, self._limits.max_page_characters)
            answer = self._children[reader].ask(request, deadline)
        except ChildError as error:
            self.reasons[reader] = error.reason
            if error.reason is Reason.ENCRYPTED:
                # pypdf accepts an empty owner password and would bypass the user password.
                self.reasons[PYPDF] = error.reason
            self._children.pop(reader).close()
            return None
        finally:
            self._spent += time.monotonic() - started
        self.count = max(self.count, answer["pages"])
        if answer["pages"] == 0:
            self.reasons[reader] = Reason.CORRUPT
        return answer if answer["pages"] and answer["kind"] != "failed" else None


def _reads_better(text: str, other: str) -> bool:
    return bool(text.strip()) and (not other.strip() or unreadable_share(text) < unreadable_share(other))
