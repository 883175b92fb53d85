"""Read the pages of a PDF with PDFium, inside the child process."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import mmap
import re
from collections.abc import Callable, Iterator
from typing import Any

import pypdfium2

from docwell.adapters.documents import pdf_hidden, pdf_layout, pdf_notes, pdf_text, quality
from docwell.adapters.documents.parts import PageText
from docwell.errors import Refused

# The catalog's entry that makes attached files a portfolio (PDF 32000-1, 12.3.5).
_COLLECTION = re.compile(rb"/Collection\b")


def load() -> None:
    """Load what reading needs later: the codec of PDFium's texts."""
    codecs.lookup("utf-16-le")


class Pdfium:
    """PDFium on one document, a file or, with an empty path, its content in memory."""

    def __init__(self, path: str, close_doors: Callable[[], object], data: bytes = b"") -> None:
        self._library = pdf_text.Library(pypdfium2.raw)
        self.error = pypdfium2.PdfiumError
        # MADV_DONTNEED would clear the pages of a mapping without a file.
        self._advice = mmap.MADV_NORMAL if data else mmap.MADV_DONTNEED
        if data:
            self._file = mmap.mmap(-1, len(data))
            self._file.write(data)
        else:
            # PDFium parses after this process has lost the right to open files, so it gets the file as a mapping.
            # A private mapping takes no memory until it is written to, and nothing writes to it.
            with open(path, "rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._edges: dict[int, list[pdf_layout.Line]] = {}
        self._budget, self._drawing_s = pdf_hidden.Budget(self._library), 0.0
        close_doors()
        try:
            self._document = pypdfium2.PdfDocument((ctypes.c_ubyte * len(self._file)).from_buffer(self._file))
        except pypdfium2.PdfiumError as error:
            locks = (self._library.FPDF_ERR_PASSWORD, self._library.FPDF_ERR_SECURITY)
            raise Refused("encrypted" if error.err_code in locks else "corrupt", "") from None
        self._attached = pdf_notes.attached(self._library, self._document)
        if len(self._document) == 1 and self._attached and _COLLECTION.search(self._file):
            raise Refused("portfolio", "")
        kind = self._document.get_formtype()
        self._document.init_forms()
        self._form = pdf_text.address(self._document.formenv.raw) if self._document.formenv else 0
        if kind == self._library.FORMTYPE_XFA_FULL or (
            kind == self._library.FORMTYPE_XFA_FOREGROUND and len(self._document) == 1 and not self._has_fields()
        ):
            raise Refused("dynamic_form", "")

    def count(self) -> int:
        """Return the number of pages."""
        return len(self._document)

    def metadata(self) -> dict[str, str | None]:
        """Return title, author and date of creation."""
        metadata: dict[str, str | None] = {}
        for name, key in (("title", "Title"), ("author", "Author"), ("created", "CreationDate")):
            with contextlib.suppress(ValueError):  # text that is no UTF-16
                metadata[name] = self._document.get_metadata_value(key)
        return metadata

    def page(self, index: int, first: int, drawing_s: float) -> PageText:
        """Return a page's text without the heads and feet that pages from `first` on have at the same place."""
        self._drawing_s = drawing_s
        for earlier in range(max(first, index - pdf_layout.PAGES_BACK), index):
            if earlier not in self._edges:
                # A page that cannot be read has no lines that this page could repeat.
                with contextlib.suppress(self.error, ValueError):
                    self._read(earlier)
        return self._read(index)

    def _read(self, index: int) -> PageText:
        self._edges[index] = []  # not read again, even when reading fails
        with self._opened(index) as page:
            library, box, address = self._library, page.get_bbox(), pdf_text.address(page.raw)
            blank = not (library.FPDFPage_CountObjects(address) or library.FPDFPage_GetAnnotCount(address))
            # Before the text page, which has the replacement texts that this removes.
            drawn = pdf_hidden.Objects(self._library, address, box).read()
            text_page = page.get_textpage()
            glyphs, notes = self._noted(page, text_page)
            text, hidden, unchecked = self._shown(page, text_page, glyphs, drawn)
            text = glyphs.mapped(text)
            lines = glyphs.lines(text)
            text_page.close()
        comments = notes.comments + (self._attached if index == 0 and text.strip() else [])
        if drawn.images and not (text.strip() or notes.fields):
            comments = []  # else a commented scan would not be recognised; the recogniser adds them
        # PDFium dies of labels that refer to each other in a circle: the second try reads none, and draws nothing.
        label = (self._document.get_page_label(index) or None) if self._drawing_s else None
        answer = PageText(
            "",
            label,
            hidden=hidden + notes.hidden,
            # Recognised text has no values of fields.
            picture=not notes.fields
            and drawn.image_share >= pdf_hidden.PICTURE_SHARE
            and len("".join(text.split())) < pdf_hidden.PICTURE_CHARACTERS,
            unreadable=quality.is_unreadable(text),
            unchecked=unchecked or notes.unchecked,
            blank=blank,
        )
        if not lines and (text.strip() or not notes.fields):
            return answer._replace(text="\n\n".join([text, *comments]))
        lines = pdf_notes.place_fields(lines, notes.fields)
        earlier = {back: self._edges.get(index - back, []) for back in range(1, pdf_layout.PAGES_BACK + 1)}
        _, low, _, high = glyphs.turned_box(box)
        laid_out = pdf_layout.lay_out(lines, low, high, earlier)
        self._edges[index] = laid_out.edges
        text = "\n\n".join(filter(None, [laid_out.text, *comments]))
        return answer._replace(text=text, headings=laid_out.headings)

    def _shown(
        self, page: Any, text_page: Any, glyphs: pdf_text.Glyphs, drawn: pdf_hidden.Drawn
    ) -> tuple[str, int, bool]:
        """Return the text with blanks for what no reader sees, their number, and whether time was too short."""
        box = page.get_bbox()
        # The full text includes invisible text off the page. The bounded text leaves that out, but also the
        # glyphs of odd fonts.
        bounded = text_page.get_text_bounded(*box)
        is_whole = len("".join(bounded.split())) == len("".join(glyphs.text.split()))
        (text, hidden), unchecked = (glyphs.text, 0) if is_whole else glyphs.within(glyphs.text, box), False
        if drawn.doubtful:
            characters = pdf_text.address(text_page.raw)
            self._budget.start(self._drawing_s)
            pictures = pdf_hidden.Pictures(self._library, page, characters, box, self._budget)
            text, unseen = glyphs.without(text, lambda places: pictures.hidden(drawn, places))
            hidden, unchecked = hidden + unseen, pictures.unchecked
        return text, hidden, unchecked

    def _noted(self, page: Any, text_page: Any) -> tuple[pdf_text.Glyphs, pdf_notes.Notes]:
        """Return the glyphs of a page, and its fields and comments."""
        characters, text = pdf_text.address(text_page.raw), text_page.get_text_range()
        glyphs = pdf_text.Glyphs(self._library, characters, page.get_rotation(), text)
        notes = pdf_notes.Annotations(self._library, self._form, pdf_text.address(page.raw), page.get_bbox())
        return glyphs, notes.read(glyphs)

    def _has_fields(self) -> bool:
        with self._opened(0) as page:
            return bool(self._library.FPDFPage_GetAnnotCount(page) > 0)

    @contextlib.contextmanager
    def _opened(self, index: int) -> Iterator[Any]:
        page = self._document[index]
        try:
            yield page
        finally:
            page.close()
            # Free the pages of the mapping; the kernel reads them from the file again on demand.
            self._file.madvise(self._advice)
