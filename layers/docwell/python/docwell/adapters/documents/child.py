"""The program of the child process: open one document with one library and print its pages as JSON.

`process.py` runs this file by its path in a fresh interpreter with an almost empty environment: one process for
one document and one reader (`pdfium`, `formats` for all that is no PDF, `attached` for the files in a PDF, or
`rapidocr` for pages that are pictures). The process may hang, grow or die without harm to its parent. It limits
its memory and time, imports the library, opens the document, gives up other files, the network and new processes
(`sandbox.py`), and only then parses.

Requests (stdin), one on a line: `info`, or `page 7 5 1.5`, which is page 7 (1-based) without opening a page before
5, and with 1.5 s of processor time for drawing a page. Answers (stdout), one JSON object on a line:

    {"kind": "info", "pages": 12, "files": 0, "title": "…", "author": null, "created": "D:20260301",
     "media_type": null}
    {"kind": "page", "pages": 12, "text": "…", "label": "iv", "headings": [["…", 14.3]], "confidence": null,
     "hidden": 0, "units": [[0, "slide", "slide 3", "slide=3"]], "picture": false, "unreadable": false}
    {"kind": "failed", "pages": 12}             this page cannot be read; others may
    {"kind": "refused", "reason": "corrupt"}    the document cannot be read; the process ends

`docwell.adapters.documents.parts.PageText` says what the fields of a page mean. The process ends with stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TITLE, MAX_LABEL = 500, 100  # characters
# The module and the name of each reader.
READERS = {
    "pdfium": ("pdf_pages", "Pdfium"),
    "formats": ("formats", "Formats"),
    "attached": ("formats", "AttachedFiles"),
    "rapidocr": ("ocr_pages", "open_pictures"),
}


def load(module: str) -> Any:
    """Import a module of readers, and all that they need once the sandbox is closed."""
    readers = import_module(f"docwell.adapters.documents.{module}")
    readers.load()
    return readers


def open_reader(name: str, path: str, close_doors: Callable[[], object]) -> Any:
    """Open a document with a reader, which has the methods of `pdf_pages.Pdfium`."""
    module, reader = READERS[name]
    return getattr(load(module), reader)(path, close_doors)


def answer(reader: Any, request: list[str], max_characters: int) -> dict[str, Any]:
    """Return the answer to one request. Raises `MemoryError`, and any error of counting the pages."""
    pages = reader.count()
    if request == ["info"]:
        return {"kind": "info", "pages": pages, "files": reader.files, **_metadata(reader)}
    try:
        number, first, drawing_s = int(request[1]), int(request[2]), float(request[3])
        if number > pages:
            return {"kind": "failed", "pages": pages}
        page = reader.page(number - 1, first - 1, drawing_s)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the libraries raise anything on damaged input
        return {"kind": "failed", "pages": pages}
    # Keep one character over the limit: it shows the parent that there is too much text.
    page = page._replace(text=page.text[: max_characters + 1], label=page.label and page.label[:MAX_LABEL])
    return {"kind": "page", "pages": pages, **page._asdict()}


def _metadata(reader: Any) -> dict[str, str | None]:
    metadata: dict[str, str | None] = {}
    with contextlib.suppress(Exception):  # a document with broken metadata is still a document
        metadata = reader.metadata()
    texts = {name: metadata.get(name) for name in ("title", "author", "created", "media_type")}
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
    """Serve with the settings that `process.py` passes as the only argument, a JSON object."""
    settings = json.loads(sys.argv[1])
    sys.path[:] = settings["sys_path"]
    from docwell.adapters.documents import sandbox

    sandbox.leave_network()
    # The mapped document counts as address space but takes no memory, so add its size to the limit.
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
