"""The program of the child process: open one document with one library and print its pages as JSON.

`process.py` runs this file by its path in a fresh interpreter with an almost empty environment: one process for
one document and one reader (`pdfium`, `pypdf`, `formats` for all that is no PDF, `attached` for the files in a
PDF, or `rapidocr` for pages that are pictures). The process may hang, grow or die without harm to its parent. It
limits its memory and time, imports the library, opens the document, gives up other files, the network and new
processes (`sandbox.py`), and only then parses.

Requests (stdin), one on a line: `info`, `count`, or `page 7 5 1.5`, which is page 7 (1-based) without opening a
page before 5, and with 1.5 s of processor time for drawing a page. Answers (stdout), one JSON object on a line:

    {"kind": "info", "pages": 12, "files": 0, "title": "…", "author": null, "created": "D:20260301",
     "media_type": null}
    {"kind": "count", "pages": 12}
    {"kind": "page", "pages": 12, "text": "…", "label": "iv", "suspect": false, "headings": [["…", 14.3]],
     "confidence": null, "hidden": 0, "units": [[0, "slide", "slide 3", "slide=3"]], "partial": false,
     "picture": false, "unreadable": false}
    {"kind": "failed", "pages": 12}             this page cannot be read; others may
    {"kind": "refused", "reason": "corrupt"}    the document cannot be read; the process ends

`suspect` means that the reader found no text where there may be some. `hidden` counts the characters that the page
does not show and the text leaves out; pypdf cannot tell them. `unreadable` means that most of the text is none,
and `partial` that a font has a wrong map to Unicode: the text lacks its words, or has some of its letters wrong.
`picture` means that images have most of the page and its text is short. `headings` are lines of the text that
their type sets off, with its size in points. `confidence` (0 to 1) is that of recognised text. The text leaves out
a running head or foot: a line that one of the last two pages has at the same place. The citation `units` of a
document that is no PDF have their start in the text, kind, label and anchor. The process ends with stdin.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import json
import mmap
import os
import pkgutil
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAX_TITLE, MAX_LABEL = 500, 100  # characters
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


class PageText(NamedTuple):
    """The fields of a `page` answer."""

    text: str
    label: str | None = None
    suspect: bool = False
    headings: Sequence[tuple[str, float]] = ()
    confidence: float | None = None
    hidden: int = 0
    units: Sequence[tuple[int, str, str, str]] = ()
    partial: bool = False
    picture: bool = False
    unreadable: bool = False


class Pdfium:
    """PDFium: 20 times as fast as pypdf, but some damaged files crash it."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        import ctypes

        import pypdfium2

        from docwell.adapters.documents import (
            pdf_doubts,
            pdf_fields,
            pdf_fonts,
            pdf_glyphs,
            pdf_layout,
            pdf_pictures,
            pdfium_calls,
            text_quality,
        )
        from docwell.errors import Refused

        codecs.lookup(PDFIUM_CODEC)
        self._raw = pypdfium2.raw
        self._dont_need = mmap.MADV_DONTNEED
        self._mapped = self._map(path)
        self._fields, self._fonts, self._glyphs, self._layout = pdf_fields, pdf_fonts, pdf_glyphs, pdf_layout
        self._doubts, self._pictures, self._quality = pdf_doubts, pdf_pictures, text_quality
        self._calls, self._address = pdfium_calls.calls(self._raw), pdfium_calls.address
        self.error = pypdfium2.PdfiumError
        self._edges: dict[int, list[Any]] = {}
        self._budget, self._drawing_s = pdf_pictures.Budget(self._raw), 0.0
        close_doors()
        try:
            self._document = pypdfium2.PdfDocument((ctypes.c_ubyte * len(self._mapped)).from_buffer(self._mapped))
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == self._raw.FPDF_ERR_PASSWORD
            raise Refused("encrypted" if locked else "corrupt", "") from None
        self._cover = pdf_fields.Cover(self._raw, self._calls, self._document)
        if self._cover.is_dynamic_form():
            raise Refused("dynamic_form", "")
        self.files = self._cover.count_files()

    def attached(self) -> tuple[Iterator[tuple[str, Any]], bool]:
        """Return the attached files (`pdf_fields.Cover.attached`), and whether the pages are only their cover."""
        return self._cover.attached(), self._cover.is_portfolio(self._mapped)

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
        found: dict[str, str | None] = {}
        for name, key in keys.items():
            with contextlib.suppress(ValueError):  # text that is no UTF-16
                found[name] = self._document.get_metadata_value(key)
        return found

    def page(self, index: int, first: int, drawing_s: float) -> PageText:
        """Return a page's text without the heads and feet that pages from `first` on have at the same place."""
        self._drawing_s = drawing_s
        for earlier in range(max(first, index - self._layout.PAGES_BACK), index):
            if earlier not in self._edges:
                # An unreadable page has no lines that this page could repeat.
                with contextlib.suppress(self.error):
                    self._read(earlier)
        return self._read(index)

    def _read(self, index: int) -> PageText:
        self._edges[index] = []  # not read again, even when reading fails
        with self._opened(index) as page:
            box = page.get_bbox()
            drawn = self._doubts.Objects(self._raw, self._calls, self._address(page.raw), box).read()
            text_page = page.get_textpage()
            text = text_page.get_text_range()
            glyphs = self._glyphs_of(page, text_page)
            # The whole text includes invisible text off the page. The bounded text leaves that out, but also the
            # glyphs of odd fonts.
            seen = text_page.get_text_bounded(*box)
            is_whole = len("".join(seen.split())) == len("".join(text.split()))
            suspect = not text.strip() and drawn.may_have_text()
            text, hidden = (text, 0) if is_whole else glyphs.within(text, box)
            if drawn.doubtful:
                address = self._address(text_page.raw)
                self._budget.start(self._drawing_s)
                pictures = self._pictures.Pictures(self._raw, self._calls, page, address, box, self._budget)
                text, unseen = glyphs.without(text, lambda found: pictures.hidden(drawn, found))
                hidden += unseen
            text = glyphs.mapped(text)
            fonts = self._fonts.Fonts(glyphs, text)
            unreadable, wrong = self._quality.judge(text, fonts.words())
            draws_others = fonts.draw_other_letters()
            if wrong and not unreadable:
                text = fonts.without(wrong)
            lines = glyphs.lines(text)
            text_page.close()
            notes = self._cover.notes(self._address(page.raw), box, glyphs)
            hidden += notes.hidden
        comments = notes.comments + (self._cover.named() if index == 0 and text.strip() else [])
        if drawn.images and not (text.strip() or notes.fields):
            comments = []  # else a commented scan would not be recognised; the recogniser adds them
        # Recognised text has no values of fields.
        partial = bool(wrong) or (draws_others and not notes.fields)
        picture = not notes.fields and drawn.is_picture(text)
        found = PageText(
            "", self._label(index), suspect, hidden=hidden, partial=partial, picture=picture, unreadable=unreadable
        )
        if not lines and (text.strip() or not notes.fields):
            return found._replace(text="\n\n".join([text, *comments]))
        lines = self._fields.placed(lines, notes.fields)
        earlier = {back: self._edges.get(index - back, []) for back in range(1, self._layout.PAGES_BACK + 1)}
        low, high = glyphs.height(box)
        laid_out = self._layout.lay_out(lines, low, high, earlier)
        self._edges[index] = laid_out.edges
        text = "\n\n".join(filter(None, [laid_out.text, *comments]))
        return found._replace(text=text, headings=laid_out.headings)

    def _glyphs_of(self, page: Any, text_page: Any) -> Any:
        return self._glyphs.Glyphs(self._raw, self._calls, self._address(text_page.raw), page.get_rotation())

    @contextlib.contextmanager
    def _opened(self, index: int) -> Iterator[Any]:
        page = self._document[index]
        try:
            yield page
        finally:
            page.close()
            # Free the pages of the mapping; the kernel reads them from the file again on demand.
            self._mapped.madvise(self._dont_need)

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

        from docwell.adapters.documents.text_quality import is_unreadable
        from docwell.errors import Refused

        self._is_unreadable = is_unreadable
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
        found = self._reader.metadata
        return {"title": found.title, "author": found.author, "created": found.creation_date_raw} if found else {}

    def page(self, index: int, _first: int, _drawing_s: float) -> PageText:
        """Return a page's text as pypdf extracts it, without headings."""
        text = self._reader.pages[index].extract_text()
        label = self._labels[index] if index < len(self._labels) else None
        return PageText(text, label or None, unreadable=self._is_unreadable(text))

    @cached_property
    def _labels(self) -> list[str]:
        # A damaged label tree must not cost the text.
        with contextlib.suppress(Exception):
            if "/PageLabels" in self._reader.root_object:
                return list(self._reader.page_labels)
        return []


def load_pdfium() -> None:
    """Import what `Pdfium` would import when it opens a file."""
    from docwell.adapters import documents

    own = [found.name for found in pkgutil.iter_modules(documents.__path__) if found.name.startswith("pdf")]
    own = [f"{documents.__name__}.{name}" for name in (*own, "text_quality")]
    for name in ("pypdfium2", "docwell.errors", *own):
        importlib.import_module(name)
    codecs.lookup(PDFIUM_CODEC)


Reader = Pdfium | Pypdf
READERS: dict[str, type[Reader]] = {"pdfium": Pdfium, "pypdf": Pypdf}


def open_reader(name: str, path: str, close_doors: Callable[[], object]) -> Any:
    """Open a document with a reader, which has the methods of `Pdfium`."""
    if name == "formats":
        from docwell.adapters.documents.formats.opening import Formats

        return Formats(path, close_doors)
    if name == "attached":
        from docwell.adapters.documents.formats.attached_pdf import AttachedFiles

        return AttachedFiles(path, close_doors)
    if name == "rapidocr":
        from docwell.adapters.documents.ocr_pictures import Pictures, Scan, is_picture

        return (Pictures if is_picture(path) else Scan)(path, close_doors)
    return READERS[name](path, close_doors)


def answer(reader: Reader, request: list[str], max_characters: int) -> dict[str, Any]:
    """Return the answer to one request. Raises `MemoryError`, and any error of counting the pages."""
    pages = reader.count()
    if request == ["info"]:
        return {"kind": "info", "pages": pages, "files": reader.files, **_metadata(reader)}
    if request == ["count"]:
        return {"kind": "count", "pages": pages}
    try:
        number, first, drawing_s = int(request[1]), int(request[2]), float(request[3])
        if number > pages:
            return {"kind": "failed", "pages": pages}
        page = reader.page(number - 1, first - 1, drawing_s)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the libraries raise anything on damaged input
        return {"kind": "failed", "pages": pages}
    # One character over the limit shows the parent that there is too much text.
    page = page._replace(text=page.text[: max_characters + 1], label=page.label and page.label[:MAX_LABEL])
    return {"kind": "page", "pages": pages, **page._asdict()}


def _metadata(reader: Reader) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    with contextlib.suppress(Exception):  # a document with broken metadata is still a document
        found = reader.metadata()
    texts = {name: found.get(name) for name in ("title", "author", "created", "media_type")}
    return {name: text[:MAX_TITLE] if isinstance(text, str) else None for name, text in texts.items()}


def serve(out: BinaryIO, settings: dict[str, Any]) -> None:
    """Open the document and answer until stdin ends or the document is refused."""

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode("ascii") + b"\n")
        out.flush()

    from docwell.adapters.documents.sandbox import close_doors
    from docwell.errors import Refused

    try:
        reader = open_reader(settings["reader"], settings["path"], close_doors)
        for line in sys.stdin:
            send(answer(reader, line.split(), settings["max_page_characters"]))
    except BrokenPipeError:
        return
    except MemoryError:
        send({"kind": "refused", "reason": "too_much_memory"})
    except Refused as error:
        send({"kind": "refused", "reason": error.reason})
    except Exception:  # noqa: BLE001 - the libraries raise anything on damaged input
        send({"kind": "refused", "reason": "corrupt"})


def main() -> None:
    """Serve with the settings that `process.py` passes as the one argument, a JSON object."""
    settings = json.loads(sys.argv[1])
    sys.path[:] = settings["sys_path"]
    from docwell.adapters.documents import sandbox

    sandbox.leave_network()
    # The mapped document counts as address space but takes no memory.
    memory_bytes = settings["memory_bytes"] + os.path.getsize(settings["path"])
    sandbox.confine(memory_bytes, settings["cpu_s"], recognises=settings["reader"] == "rapidocr")
    # Redirect stdout to stderr: a library that prints must not corrupt an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(out, settings)
    out.flush()
    # Skip the libraries' clean-up, which can crash on a damaged document.
    os._exit(0)


if __name__ == "__main__":
    main()
