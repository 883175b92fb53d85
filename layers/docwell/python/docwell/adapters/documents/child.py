"""The program that opens a PDF: a process of its own that may hang, grow or die at no one else's cost.

`docwell.adapters.documents.process` runs this file by its path in a fresh interpreter with an almost empty
environment,
one process for one document and one reader (`pdfium`, `pypdf`, or `rapidocr` for pages that are pictures). Of
docwell it imports what lays out the text (`pdf_glyphs`, `pdf_layout`, `ocr_…`) and `pdf_sandbox`: once the
library is loaded and the document is open, the process gives up all other files, the network, and starting
programs, and only then parses.

In (stdin), a line each: `info`, or `page 7` (1-based). Out (stdout), one JSON object a line for each line in:

    {"kind": "info", "pages": 12, "title": "…", "author": null, "created": "D:20260301"}
    {"kind": "page", "pages": 12, "text": "…", "label": "iv", "suspect": false, "headings": [["…", 14.3]],
     "confidence": null}
    {"kind": "failed", "pages": 12}             this page cannot be read; others may
    {"kind": "refused", "reason": "corrupt"}    the document cannot be read; the process ends

`suspect` says that the reader found no text where there may be some. `headings` are lines of the text that are set
off by their type, with its size in points. `confidence` (0 to 1) is that of recognised text. What stands at the
head or the foot of a page as it does two pages before, or one, is not in the text. The end of stdin is the end.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import json
import os
import resource
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

# What Python and a library map before the document is read: 34 MiB with PDFium, 90 MiB with pypdf.
# Over that, `memory_bytes` is the document's own.
BASE_BYTES = 128 * 1024 * 1024
# Enough for the standard streams, the document and the imports.
OPEN_FILES = 64
# A title over this is not one that anybody reads.
MAX_TITLE = 500
# What pypdf imports only when a document needs it: too late once the process may open no file.
LATE_MODULES = (
    "pypdf._codecs._codecs",
    "pypdf._codecs.core_font_metrics",
    "pypdf.filters",
    "pypdf.generic._image_inline",
    "pypdf.generic._image_xobject",
    "pypdf.xmp",
)
# What pypdf uses where it is installed: no function has it, and text must not depend on what else is there.
NOT_FOR_PYPDF = ("PIL", "fontTools", "brotli")
PDFIUM_CODEC = "utf-16-le"
LATE_CODECS = ("ascii", "charmap", "cp932", "cp950", "gb18030", "gb2312", "gbk", "latin-1", "utf-16", "utf-16-be")


class Refusal(Exception):  # noqa: N818 - the name says what it is
    """The document cannot be read at all. `reason` is one of `docwell.models.Reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PageText(NamedTuple):
    """What one page says. `headings`: lines of the text that are set off by their type, and its size in points."""

    text: str
    label: str | None
    suspect: bool
    headings: list[tuple[str, float]] = []  # noqa: RUF012 - a tuple's default, and never changed
    confidence: float | None = None  # of recognised text


class Reader(Protocol):
    """One opened document."""

    def count(self) -> int:
        """How many pages there are."""
        ...

    def metadata(self) -> dict[str, str | None]:
        """Title, author, and when it was created, as the file has it."""
        ...

    def page(self, index: int) -> PageText:
        """What is on the page at a 0-based position. Raises whatever the library does."""
        ...


class Pdfium:
    """PDFium: 20 times as fast as pypdf, and dead where a C++ program meets what it cannot take."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        import ctypes  # noqa: PLC0415 - after the limits are set, as all here
        import mmap  # noqa: PLC0415

        import pypdfium2  # noqa: PLC0415

        self._raw = pypdfium2.raw
        self._dont_need = mmap.MADV_DONTNEED
        # Mapped, not opened by PDFium, which has to do without opening files. A private mapping takes no memory
        # of its own until it is written to, and nothing writes.
        with open(path, "rb") as file:  # noqa: PTH123 - one import less
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        codecs.lookup(PDFIUM_CODEC)
        from docwell.adapters.documents import pdf_glyphs, pdf_layout  # noqa: PLC0415 - found by the path that `main` sets

        self._glyphs, self._layout = pdf_glyphs, pdf_layout
        self._error = pypdfium2.PdfiumError
        self._edges: dict[int, list[Any]] = {}
        close_doors()
        try:
            self._document = pypdfium2.PdfDocument((ctypes.c_ubyte * len(self._mapped)).from_buffer(self._mapped))
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == self._raw.FPDF_ERR_PASSWORD
            raise Refusal("encrypted" if locked else "corrupt") from None

    def count(self) -> int:  # noqa: D102 - the protocol says it
        return len(self._document)

    def metadata(self) -> dict[str, str | None]:  # noqa: D102 - the protocol says it
        names = {"title": "Title", "author": "Author", "created": "CreationDate"}
        return {name: self._document.get_metadata_value(of_pdf) for name, of_pdf in names.items()}

    def page(self, index: int) -> PageText:  # noqa: D102 - the protocol says it
        for earlier in range(max(0, index - self._layout.PAGES_BACK), index):
            if earlier not in self._edges:
                # A page that cannot be read has nothing that another one repeats.
                with contextlib.suppress(self._error):
                    self._read(earlier)
        return self._read(index)

    def _read(self, index: int) -> PageText:
        self._edges[index] = []  # read once, whatever comes of it
        page = self._document[index]
        try:
            text_page = page.get_textpage()
            text = text_page.get_text_range()
            glyphs = self._glyphs.Glyphs(self._raw, text_page, page.get_rotation())
            box = page.get_bbox()
            # The whole text has what stands off the page, where no reader sees it. The bounded one has not, but it
            # also leaves out the glyphs of odd fonts.
            seen = text_page.get_text_bounded(*box)
            on_page = (
                text if len("".join(seen.split())) == len("".join(text.split())) else glyphs.within(text, box)
            )
            lines = glyphs.lines(on_page)
            text_page.close()
            suspect = not text.strip() and self._may_have_text(page)
        finally:
            page.close()
            # What was read of the file need not stay resident: it comes back from the file when it is asked for.
            self._mapped.madvise(self._dont_need)
        label = self._document.get_page_label(index) or None
        if not lines:
            return PageText(text, label, suspect)
        laid_out = self._layout.lay_out(lines, *glyphs.height(box), self._edges_before(index))
        self._edges[index] = laid_out.edges
        return PageText(laid_out.text, label, suspect, laid_out.headings)

    def _edges_before(self, index: int) -> dict[int, list[Any]]:
        """What stands at the edges of the last pages, by how far back they are."""
        return {back: self._edges.get(index - back, []) for back in range(1, self._layout.PAGES_BACK + 1)}

    def _may_have_text(self, page: Any) -> bool:
        """Text objects without text, or nothing at all where a reader gave up. A scan has only images."""
        kinds = {item.type for item in page.get_objects(max_depth=3)}
        return not kinds or self._raw.FPDF_PAGEOBJ_TEXT in kinds


class Pypdf:
    """pypdf: slow and forgiving, with limits of its own on what one stream may grow to."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        import logging  # noqa: PLC0415 - only this reader needs it

        logging.disable()
        sys.modules.update(dict.fromkeys(NOT_FOR_PYPDF))  # type: ignore[arg-type] # None: not to be found
        import pypdf  # noqa: PLC0415 - after the limits are set

        for name in LATE_MODULES:
            # Where a release of pypdf has no such module it needs none.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        for name in (*LATE_CODECS, PDFIUM_CODEC):
            codecs.lookup(name)
        self._file = open(path, "rb")  # noqa: SIM115, PTH123 - open as long as the document is
        close_doors()
        try:
            self._reader = pypdf.PdfReader(self._file)
            locked = self._reader.is_encrypted and not self._reader.decrypt("")
        except NotImplementedError:  # a security handler that pypdf does not know
            raise Refusal("encrypted") from None
        if locked:
            raise Refusal("encrypted")
        self._labels: list[str] | None = None

    def count(self) -> int:  # noqa: D102 - the protocol says it
        return len(self._reader.pages)

    def metadata(self) -> dict[str, str | None]:  # noqa: D102 - the protocol says it
        found = self._reader.metadata
        if not found:
            return {}
        return {"title": found.title, "author": found.author, "created": found.creation_date_raw}

    def page(self, index: int) -> PageText:  # noqa: D102 - the protocol says it
        return PageText(self._reader.pages[index].extract_text(), self._label(index), suspect=False)

    def _label(self, index: int) -> str | None:
        if self._labels is None:
            self._labels = []
            # Labels are an ornament: a damaged label tree must not cost the text.
            with contextlib.suppress(Exception):
                if "/PageLabels" in self._reader.root_object:
                    self._labels = list(self._reader.page_labels)
        return (self._labels[index] or None) if index < len(self._labels) else None


class Rapidocr(Pdfium):
    """Draws a page with PDFium and recognises the text on the picture, in a process that has both."""

    def __init__(self, path: str, close_doors: Callable[[], object]) -> None:
        from docwell.adapters.documents import ocr_engine, ocr_layout  # noqa: PLC0415 - found by the path that `main` sets

        self._engine, self._ocr = ocr_engine.Engine(), ocr_layout
        self._longest = ocr_engine.LONGEST_SIDE
        # Its threads are there by now.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        super().__init__(path, close_doors)

    def page(self, index: int) -> PageText:  # noqa: D102 - the protocol says it
        page = self._document[index]
        try:
            scale = self._longest / max(*page.get_size(), 1.0)
            boxes, height = self._engine.read(page.render(scale=scale, may_draw_forms=False).to_numpy())
        finally:
            page.close()
            self._mapped.madvise(self._dont_need)
        label = self._document.get_page_label(index) or None
        # Nothing is taken for a running head: the pages before may be no pictures.
        found = self._layout.lay_out(self._ocr.lines(boxes, height, scale), 0.0, height / scale, {})
        return PageText(found.text, label, False, found.headings, self._ocr.confidence(boxes))  # noqa: FBT003


READERS: dict[str, Callable[[str, Callable[[], object]], Reader]] = {
    "pdfium": Pdfium,
    "pypdf": Pypdf,
    "rapidocr": Rapidocr,
}


def confine(memory_bytes: int, cpu_s: int, *, recognises: bool = False) -> None:
    """Bound what this process can take. Nothing that parses has been imported yet.

    A recogniser's libraries map far more than they use, so of its memory what it may write to is counted; and it
    starts threads first.
    """
    _leave_network()
    limits = {
        resource.RLIMIT_DATA if recognises else resource.RLIMIT_AS: memory_bytes + BASE_BYTES,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    if not recognises:
        limits[resource.RLIMIT_NPROC] = 0
    for kind, value in limits.items():
        # A hard limit that is lower already stands; macOS refuses some kinds.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))
    with contextlib.suppress(OSError):
        os.nice(5)


def _leave_network() -> None:
    """No network where Python (3.12) and the kernel allow it; Lambda's kernel does not."""
    if sys.version_info >= (3, 12) and sys.platform == "linux":
        for flags in (os.CLONE_NEWNET, os.CLONE_NEWUSER | os.CLONE_NEWNET):
            with contextlib.suppress(OSError):
                os.unshare(flags)
                return


def answer(reader: Reader, request: list[str], max_characters: int) -> dict[str, Any]:
    """The answer to one line. Raises `MemoryError`, and what a reader that cannot count its pages raises."""
    pages = reader.count()
    if request == ["info"]:
        return {"kind": "info", "pages": pages, **_metadata(reader)}
    try:
        number = int(request[1])
        if number > pages:
            return {"kind": "failed", "pages": pages}
        page = reader.page(number - 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - on damaged input these libraries raise anything
        return {"kind": "failed", "pages": pages}
    # One character more than allowed is enough for the parent to see that there is too much.
    text, label = page.text[: max_characters + 1], page.label and page.label[:100]
    found = {"text": text, "label": label, "suspect": page.suspect, "headings": page.headings}
    return {"kind": "page", "pages": pages, **found, "confidence": page.confidence}


def _metadata(reader: Reader) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    with contextlib.suppress(Exception):  # a document with broken metadata is still a document
        found = reader.metadata()
    texts = {name: found.get(name) for name in ("title", "author", "created")}
    return {name: text[:MAX_TITLE] if isinstance(text, str) else None for name, text in texts.items()}


def serve(out: BinaryIO, settings: dict[str, Any]) -> None:
    """Open the document and answer until stdin ends or the document is refused."""

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode("ascii") + b"\n")
        out.flush()

    from docwell.adapters.documents.sandbox import close_doors  # noqa: PLC0415 - found by the path that `main` sets

    try:
        reader = READERS[settings["reader"]](settings["path"], close_doors)
        for line in sys.stdin:
            send(answer(reader, line.split(), settings["max_page_characters"]))
    except BrokenPipeError:
        return
    except MemoryError:
        send({"kind": "refused", "reason": "too_much_memory"})
    except Refusal as refusal:
        send({"kind": "refused", "reason": refusal.reason})
    except Exception:  # noqa: BLE001 - on damaged input these libraries raise anything
        send({"kind": "refused", "reason": "corrupt"})


def main() -> None:
    """Run with one argument: the settings that `docwell.adapters.documents.process` makes, as a JSON object."""
    settings = json.loads(sys.argv[1])
    # The document is mapped, which counts as address space and takes no memory.
    memory_bytes = settings["memory_bytes"] + os.path.getsize(settings["path"])  # noqa: PTH202
    confine(memory_bytes, settings["cpu_s"], recognises=settings["reader"] == "rapidocr")
    sys.path[:] = settings["sys_path"]
    # A library that prints must not be able to spoil an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(out, settings)
    out.flush()
    # Libraries' clean-up at exit can crash on a damaged document; all has been said.
    os._exit(0)


if __name__ == "__main__":
    main()
