"""Read the pages of a PDF, inside the child process, with PDFium or with pypdf."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import importlib
import mmap
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from docwell.adapters.documents import pdf_hidden, pdf_layout, pdf_notes, pdf_text, pdfium, quality
from docwell.adapters.documents.parts import PageText
from docwell.errors import Refused

# pypdf imports these only when a document needs them. Import them early: the sandbox forbids opening files.
LATE_MODULES = (
    "pypdf._codecs._codecs",
    "pypdf._codecs.core_font_metrics",
    "pypdf.filters",
    "pypdf.generic._image_inline",
    "pypdf.generic._image_xobject",
    "pypdf.xmp",
)
# Modules that pypdf uses where they are installed. No function has them, and the text must not depend on them.
NOT_FOR_PYPDF = ("PIL", "fontTools", "brotli")
PDFIUM_CODEC = "utf-16-le"
LATE_CODECS = ("ascii", "charmap", "cp932", "cp950", "gb18030", "gb2312", "gbk", "latin-1", "utf-16", "utf-16-be")


class Pdfium:
    """PDFium: 20 times as fast as pypdf, but some damaged files crash it."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        import pypdfium2

        codecs.lookup(PDFIUM_CODEC)
        self._raw = pypdfium2.raw
        self._calls = pdfium.calls(self._raw)
        self.error = pypdfium2.PdfiumError
        self._advice = mmap.MADV_DONTNEED
        self._mapped = self._map(path)
        self._edges: dict[int, list[pdf_layout.Line]] = {}
        self._budget, self._drawing_s = pdf_hidden.Budget(self._raw), 0.0
        close_doors()
        try:
            self._document = pypdfium2.PdfDocument((ctypes.c_ubyte * len(self._mapped)).from_buffer(self._mapped))
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == self._raw.FPDF_ERR_PASSWORD
            raise Refused("encrypted" if locked else "corrupt", "") from None
        self._cover = pdf_notes.Cover(self._raw, self._calls, self._document)
        if self._cover.is_dynamic_form():
            raise Refused("dynamic_form", "")
        self.files = self._cover.count_files()

    def attached(self) -> Iterator[tuple[str, bytes | str]]:
        """Return the attached files (`pdf_notes.Cover.attached`)."""
        return self._cover.attached()

    def is_portfolio(self) -> bool:
        """Return whether the pages are only the cover of the attached files."""
        return self._cover.is_portfolio(self._mapped)

    def _map(self, path: str) -> mmap.mmap:
        # PDFium parses after this process has lost the right to open files, so it gets the file as a mapping. A
        # private mapping takes no memory until it is written to, and nothing writes to it.
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def count(self) -> int:
        """Return the number of pages."""
        return len(self._document)

    def metadata(self) -> dict[str, str | None]:
        """Return title, author and date of creation."""
        keys = {"title": "Title", "author": "Author", "created": "CreationDate"}
        metadata: dict[str, str | None] = {}
        for name, key in keys.items():
            with contextlib.suppress(ValueError):  # text that is no UTF-16
                metadata[name] = self._document.get_metadata_value(key)
        return metadata

    def page(self, index: int, first: int, drawing_s: float) -> PageText:
        """Return a page's text without the heads and feet that pages from `first` on have at the same place."""
        self._drawing_s = drawing_s
        for earlier in range(max(first, index - pdf_layout.PAGES_BACK), index):
            if earlier not in self._edges:
                # An unreadable page has no lines that this page could repeat.
                with contextlib.suppress(self.error):
                    self._read(earlier)
        return self._read(index)

    def _read(self, index: int) -> PageText:
        self._edges[index] = []  # not read again, even when reading fails
        with self._opened(index) as page:
            box = page.get_bbox()
            # Before the text page, which has the replacement texts that this removes.
            drawn = pdf_hidden.Objects(self._raw, self._calls, pdfium.address(page.raw), box).read()
            text_page = page.get_textpage()
            glyphs = self._glyphs_of(page, text_page)
            full_text, text, hidden = self._shown(page, text_page, glyphs, drawn)
            text = glyphs.mapped(text)
            lines = glyphs.lines(text)
            text_page.close()
            notes = self._cover.notes(pdfium.address(page.raw), box, glyphs)
        comments = notes.comments + (self._cover.named() if index == 0 and text.strip() else [])
        if drawn.images and not (text.strip() or notes.fields):
            comments = []  # else a commented scan would not be recognised; the recogniser adds them
        answer = PageText(
            "",
            self._label(index),
            suspect=not full_text.strip() and drawn.may_have_text(),
            hidden=hidden + notes.hidden,
            # Recognised text has no values of fields.
            picture=not notes.fields and drawn.is_picture(text),
            unreadable=quality.is_unreadable(text),
        )
        if not lines and (text.strip() or not notes.fields):
            return answer._replace(text="\n\n".join([text, *comments]))
        lines = pdf_notes.place_fields(lines, notes.fields)
        earlier = {back: self._edges.get(index - back, []) for back in range(1, pdf_layout.PAGES_BACK + 1)}
        low, high = glyphs.height(box)
        laid_out = pdf_layout.lay_out(lines, low, high, earlier)
        self._edges[index] = laid_out.edges
        text = "\n\n".join(filter(None, [laid_out.text, *comments]))
        return answer._replace(text=text, headings=laid_out.headings)

    def _shown(
        self, page: Any, text_page: Any, glyphs: pdf_text.Glyphs, drawn: pdf_hidden.Drawn
    ) -> tuple[str, str, int]:
        """Return the full text, the text with blanks for what no reader sees, and the number of these blanks."""
        box = page.get_bbox()
        full_text = text_page.get_text_range()
        # The full text includes invisible text off the page. The bounded text leaves that out, but also the
        # glyphs of odd fonts.
        bounded = text_page.get_text_bounded(*box)
        is_whole = len("".join(bounded.split())) == len("".join(full_text.split()))
        text, hidden = (full_text, 0) if is_whole else glyphs.within(full_text, box)
        if drawn.doubtful:
            address = pdfium.address(text_page.raw)
            self._budget.start(self._drawing_s)
            pictures = pdf_hidden.Pictures(self._raw, self._calls, page, address, box, self._budget)
            text, unseen = glyphs.without(text, lambda places: pictures.hidden(drawn, places))
            hidden += unseen
        return full_text, text, hidden

    def _glyphs_of(self, page: Any, text_page: Any) -> pdf_text.Glyphs:
        return pdf_text.Glyphs(self._raw, self._calls, pdfium.address(text_page.raw), page.get_rotation())

    @contextlib.contextmanager
    def _opened(self, index: int) -> Iterator[Any]:
        page = self._document[index]
        try:
            yield page
        finally:
            page.close()
            # Free the pages of the mapping; the kernel reads them from the file again on demand.
            self._mapped.madvise(self._advice)

    def _label(self, index: int) -> str | None:
        return self._document.get_page_label(index) or None


class Pypdf:
    """pypdf: slow and tolerant, with its own limits on the size of each stream."""

    files = 0

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        import logging

        logging.disable()
        sys.modules.update(dict.fromkeys(NOT_FOR_PYPDF))  # type: ignore[arg-type] # None: importing it fails
        import pypdf

        for name in LATE_MODULES:
            # Another release of pypdf may not have the module, and then does not need it.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        for name in (*LATE_CODECS, PDFIUM_CODEC):
            codecs.lookup(name)
        self._file = open(path, "rb")  # noqa: SIM115 - pypdf reads from it until the process ends
        close_doors()
        try:
            self._reader = pypdf.PdfReader(self._file)
            locked = self._reader.is_encrypted and not self._reader.decrypt("")
        except NotImplementedError:  # a security handler that pypdf does not know
            raise Refused("encrypted", "") from None
        if locked:
            raise Refused("encrypted", "")

    def count(self) -> int:
        """Return the number of pages."""
        return len(self._reader.pages)

    def metadata(self) -> dict[str, str | None]:
        """Return title, author and date of creation."""
        info = self._reader.metadata
        return {"title": info.title, "author": info.author, "created": info.creation_date_raw} if info else {}

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return a page's text as pypdf extracts it, without headings."""
        text = self._reader.pages[index].extract_text()
        label = self._labels[index] if index < len(self._labels) else None
        return PageText(text, label or None, unreadable=quality.is_unreadable(text))

    @cached_property
    def _labels(self) -> list[str]:
        # A damaged label tree must not cost the text.
        with contextlib.suppress(Exception):
            if "/PageLabels" in self._reader.root_object:
                return list(self._reader.page_labels)
        return []


def load_pdfium() -> None:
    """Import what `Pdfium` would import when it opens a file."""
    importlib.import_module("pypdfium2")
    codecs.lookup(PDFIUM_CODEC)
