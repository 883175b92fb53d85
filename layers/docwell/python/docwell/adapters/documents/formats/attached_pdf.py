"""PDFs attached to messages: PDFium reads them inside the message's child, from memory."""

from __future__ import annotations

import contextlib
import importlib
import mmap
import pkgutil

from docwell.adapters import documents
from docwell.adapters.documents.child import Pdfium
from docwell.adapters.documents.formats.parts import Metadata, Parts
from docwell.adapters.documents.text_quality import is_unreadable
from docwell.citation_units import CitationUnit, UnitKind

# The processor time for drawing a page, which finds hidden text: that of a PDF by itself (reader.DRAWING_SHARE).
DRAWING_S = 1.5


def load() -> None:
    """Import what `Pdfium` would import when it opens a file: a message has given up that right by then."""
    names = [found.name for found in pkgutil.iter_modules(documents.__path__) if found.name.startswith("pdf")]
    for name in ("pypdfium2", *(f"{documents.__name__}.{name}" for name in names)):
        importlib.import_module(name)


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
    """Add the pages with readable text. A page that PDFium cannot read is left out."""
    document = _Attached(data)
    for index in range(document.count()):
        with contextlib.suppress(document.error):
            page = document.page(index, 0, DRAWING_S)
            parts.hidden += page.hidden
            if not is_unreadable(page.text):
                label = page.label or str(index + 1)
                parts.add(page.text, CitationUnit(UnitKind.PAGE, f"page {label}", f"page={index + 1}"))
    return Metadata()
