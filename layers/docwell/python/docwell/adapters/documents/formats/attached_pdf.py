"""PDFs inside other documents, which PDFium reads from memory, and the files inside PDFs."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable

from docwell.adapters.documents.child import PageText, Pdfium
from docwell.adapters.documents.formats import attachments, opening
from docwell.adapters.documents.formats.attachments import Attachment
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.adapters.documents.text_quality import is_unreadable
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import Refused
from docwell.models import Reason

# The processor time for drawing a page, which finds hidden text: that of a PDF by itself (reader.DRAWING_SHARE).
DRAWING_S = 1.5


class _Attached(Pdfium):
    """PDFium on bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        super().__init__("", lambda: None)
        # The system would clear the pages of a mapping without a file.
        self._dont_need = mmap.MADV_NORMAL

    def _map(self, path: str) -> mmap.mmap:  # noqa: ARG002 - there is no file
        mapped = mmap.mmap(-1, len(self._data))
        mapped.write(self._data)
        return mapped


def read(data: bytes, parts: Parts) -> Metadata:
    """Add the pages with readable text, and the attached files. A page that PDFium cannot read is left out.

    Raises `Refused` when PDFium cannot open it.
    """
    document = _Attached(data)
    for index in range(document.count()):
        with contextlib.suppress(document.error):
            page = document.page(index, 0, DRAWING_S)
            parts.hidden += page.hidden
            if not is_unreadable(page.text):
                label = page.label or str(index + 1)
                parts.add(page.text, CitationUnit(UnitKind.PAGE, f"page {label}", f"page={index + 1}"))
    _add_files(document, parts, "")
    return Metadata()


class AttachedFiles:
    """The child's reader of the files that are attached to a PDF: its parts are the pages behind the PDF's own.

    The constructor raises `Refused`: portfolio where the pages are only a cover and none of the files can be read.
    """

    files = 0

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        opening.load_for_attachments()
        document, parts = Pdfium(path, close_doors), Parts()
        if not _add_files(document, parts, "page=1&"):
            raise Refused(Reason.PORTFOLIO, "none of the attached files can be read")
        self._own, self._parts = document.count(), parts.end()

    def count(self) -> int:
        """Return the number of pages and parts."""
        return self._own + len(self._parts)

    def metadata(self) -> dict[str, str | None]:
        """Return nothing: the PDF's metadata describe the document."""
        return {}

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return a part. Raises `IndexError` for one of the PDF's own pages."""
        if index < self._own:
            raise IndexError(index)
        return self._parts[index - self._own]


def _add_files(document: Pdfium, parts: Parts, before: str) -> bool:
    """Add the files attached to a PDF. Return whether any was read, or the pages are more than a cover."""
    files, is_portfolio = document.attached()
    if parts.depth == attachments.MAX_DEPTH:
        files = iter([(f"{document.files} files", Reason.TOO_MANY_PAGES)] if document.files else [])
    found = (Attachment(name, Reason(data) if isinstance(data, str) else data) for name, data in files)
    return attachments.add(found, parts, before=before) > 0 or not is_portfolio
