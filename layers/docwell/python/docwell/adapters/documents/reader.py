"""PDF to text by programs that may die: PDFium first, pypdf for what PDFium cannot read.

Each document is opened in a fresh child process (`pdf_child.py`) with limits on memory and processor time,
no credentials, nothing of this process but the file's path and, where the kernel allows (`pdf_sandbox.py`), no
way to reach anything else. `pdf_process.py` is this side of it, and trusts nothing that the child says.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from docwell.adapters.documents.process import CHILD, Child, ChildLimits, Lost
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
# What of `parse_timeout_s` each call may take, so that `inspect` and one `pages` stay within it together; the
# rest is for starting and ending up to four children.
INSPECT_SHARE, PAGES_SHARE = 0.3, 0.65
# The first reader's share of a call; pypdf needs seconds where PDFium needs tenths.
FIRST_SHARE = 2 / 3
# Reasons that make a document dangerous rather than damaged.
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


class ChildPdfReader:
    """A `docwell.ports.PdfReader`. One `inspect` and one `pages` wait at most `parse_timeout_s` for children.

    Time that the caller spends between two pages is not counted. `child` is another program for tests.
    """

    def __init__(
        self,
        *,
        parse_timeout_s: float,
        parse_memory_bytes: int,
        max_document_pages: int,
        max_page_characters: int,
        child: Path = CHILD,
    ) -> None:
        self.parse_timeout_s = parse_timeout_s
        self.parse_memory_bytes = parse_memory_bytes
        self.max_document_pages = max_document_pages
        self.max_page_characters = max_page_characters
        self.child = child

    @property
    def of_child(self) -> ChildLimits:
        """What each child may take."""
        return ChildLimits(
            self.parse_memory_bytes, self.parse_timeout_s, self.max_page_characters, program=self.child
        )

    def inspect(self, path: Path) -> PdfInfo:
        """How many pages there are; title, author (tidied, None when empty) and the day it was made.

        Raises:
            Refused: empty_file, not_pdf, encrypted, corrupt, too_many_pages, or what a reader died of.
        """
        has_header = _check_content(path)
        with _Readers(self, path, INSPECT_SHARE) as readers:
            info = readers.ask(PDFIUM, "info") or readers.ask(PYPDF, "info")
            if info is None:
                raise _refused(readers.reason() if has_header else Reason.NOT_PDF)
        if info["pages"] > self.max_document_pages:
            detail = f"The document has {info['pages']} pages; {self.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        title, author = one_line(info["title"]), one_line(info["author"])
        return PdfInfo(info["pages"], title, author, day_of(info["created"]))

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Pages `first` to `last` (both included, 1-based) in order, their text tidied.

        A page that no reader can read, or whose text is unreadable, has no text and says so in `readable`.
        Closing the iterator ends the children.

        Raises:
            Refused: as `inspect`; too_much_text for one page over `max_page_characters`; corrupt when no
                page of a whole document can be read.
        """
        _check_content(path)
        failed = 0
        with _Readers(self, path, PAGES_SHARE) as readers:
            for number in range(first, last + 1):
                answer = readers.page(number)
                if answer is None:
                    if readers.reasons.keys() == {PDFIUM, PYPDF} or readers.poisoned:
                        raise _refused(readers.reason())
                    failed += 1
                    yield Page(number, "", readable=False)
                    continue
                readable = not is_unreadable(answer["text"])
                text = tidy(answer["text"]) if readable else ""
                yield Page(number, text, one_line(answer["label"]), readable, headings_of(answer))
        if first == 1 and last >= readers.count and failed == last:
            raise _refused(Reason.CORRUPT)


def _check_content(path: Path) -> bool:
    """Whether the content begins as a PDF's does. Raises `Refused` where no reader is worth a try."""
    size = path.stat().st_size
    if size == 0:
        raise _refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        has_header = b"%PDF" in file.read(HEADER_WITHIN)
        file.seek(max(0, size - TRAILER_WITHIN))
        end = file.read()
    # pypdf opens some files that lost their beginning.
    if not has_header and b"startxref" not in end and b"%%EOF" not in end:
        raise _refused(Reason.NOT_PDF)
    return has_header


def one_line(text: str | None) -> str | None:
    """A title or a label as it may be shown, None for one that says nothing."""
    return " ".join(tidy(text).split()) or None if text else None


def headings_of(answer: dict[str, Any]) -> tuple[Heading, ...]:
    """The headings of a page's answer, as they stand in its tidied text."""
    tidied = ((tidy(text).strip(), float(size)) for text, size in answer.get("headings", ()))
    return tuple(Heading(text, size) for text, size in tidied if text)


class _Readers:
    """Both readers of one document, started when first asked.

    `reasons` says why a reader is of no more use, `count` how many pages there are as far as one has said.
    """

    def __init__(self, limits: ChildPdfReader, path: Path, share: float) -> None:
        self._limits = limits
        self._path = path
        self._time_s = limits.parse_timeout_s * share
        self._children: dict[str, Child] = {}
        self._spent = 0.0
        self.reasons: dict[str, Reason] = {}
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    @property
    def poisoned(self) -> bool:
        """Whether the first reader was lost to what the document does to it."""
        return self.reasons.get(PDFIUM) in POISON

    def reason(self) -> Reason:
        """Why the document is refused: that of the first reader, unless one of them wants a password."""
        if Reason.ENCRYPTED in self.reasons.values():
            return Reason.ENCRYPTED
        return self.reasons.get(PDFIUM) or self.reasons.get(PYPDF) or Reason.CORRUPT

    def page(self, number: int) -> dict[str, Any] | None:
        """The better of both readers' answers for a page, or None; the second is asked only on need.

        Raises `Refused(too_much_text)`.
        """
        best = self.ask(PDFIUM, f"page {number}")
        if best is None or best["suspect"] or is_unreadable(best["text"]):
            other = self.ask(PYPDF, f"page {number}")
            if other is not None and (best is None or _reads_better(other["text"], best["text"])):
                best = other
        limit = self._limits.max_page_characters
        if best is not None and len(best["text"]) > limit:
            raise Refused(Reason.TOO_MUCH_TEXT, f"Page {number} has more than {limit} characters of text.")
        return best

    def ask(self, reader: str, request: str) -> dict[str, Any] | None:
        """One reader's answer, or None where it has none; the reason is kept when it is of no more use."""
        if reader in self.reasons:
            return None
        started = time.monotonic()
        share = FIRST_SHARE if reader == PDFIUM else 1.0
        deadline = started + self._time_s * share - self._spent
        try:
            child = self._children.get(reader)
            if child is None:
                child = self._children[reader] = Child(self._path, reader, self._limits.of_child)
            answer = child.ask(request, deadline)
        except Lost as lost:
            self.reasons[reader] = lost.reason
            if lost.reason is Reason.ENCRYPTED:
                # The password is asked for whoever reads: pypdf would open what only an empty owner's one unlocks.
                self.reasons[PYPDF] = lost.reason
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
