"""The reader that ingest uses for every document: it finds the kind by the content, never by the name.

A PDF goes to `ChildPdfReader`. Everything else goes to a child process of the same kind with the reader `formats`,
which reads the whole document when it opens it (`formats/opening.py`). The files attached to a PDF are parts
behind its pages, from the reader `attached` (`formats/attached_pdf.py`). The parent looks only at the first and
last bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docwell.adapters.documents.formats import kinds
from docwell.adapters.documents.process import Child, ChildError
from docwell.adapters.documents.reader import (
    HEADER_WITHIN,
    TRAILER_MARKS,
    TRAILER_WITHIN,
    ChildPdfReader,
    one_line,
    page_of,
    refused,
)
from docwell.attributes import day_of
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import Refused
from docwell.media_types import MEDIA_TYPES, OTHER
from docwell.models import DocumentInfo, Page, Reason

FORMATS, ATTACHED = "formats", "attached"
# Not a page that a recogniser could draw.
_ATTACHED_UNIT = ((0, CitationUnit(UnitKind.PART, "attached files", "page=1")),)
_OTHER_SIGNATURES = (kinds.ZIP, kinds.OLE, *kinds.IMAGES)
_OBJECT = re.compile(rb"\d\s+obj\b|\bxref\b")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD = 4096


def is_pdf(path: Path) -> bool:
    """Return whether the PDF readers should read the file. Raises `Refused` when it is empty.

    A PDF has `%PDF` in its first 1,024 bytes, or has lost its beginning and has a trailer. A text that only
    mentions one of these is no PDF.
    """
    size = path.stat().st_size
    if size == 0:
        raise refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, size - TRAILER_WITHIN))
        tail = file.read()
    if head.startswith(b"%PDF"):
        return True
    if head.startswith(_OTHER_SIGNATURES):
        return False
    if b"%PDF" not in head[:HEADER_WITHIN] and not any(mark in tail for mark in TRAILER_MARKS):
        return False
    return bool(_NOT_TEXT.search(head) or _OBJECT.search(head))


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
            found = self.pdf.inspect(path)
            return replace(found, page_count=self._with_files(path, found.page_count)) if found.files else found
        with closing(self._child(path, FORMATS)) as child:
            info = self._ask(child, "info")
        self._check_count(info["pages"])
        return DocumentInfo(
            info["pages"],
            one_line(info["title"]),
            one_line(info["author"]),
            day_of(info["created"]),
            info["media_type"] if info["media_type"] in MEDIA_TYPES.values() else OTHER,
        )

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages or parts `first` to `last` (both included, 1-based). Close the iterator when done.

        Raises `Refused` and `Unavailable` as `inspect`.
        """
        if is_pdf(path):
            number = first - 1
            with closing(self.pdf.pages(path, first, last)) as found:
                for page in found:
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
