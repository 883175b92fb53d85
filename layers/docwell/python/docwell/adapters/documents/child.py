"""The program that reads documents: a process that opens one document, or a server that forks such processes.

`process.py` runs this file by its path in a fresh interpreter with an almost empty environment. Its only argument
is a JSON object. A process reads one document with one reader: `pdfium`, `formats` for all that is no PDF, or
`rapidocr` for pages that are pictures. It may hang, grow or die without harm to its parent. It limits its memory
and time, imports the library, opens the document, gives up other files, the network and new processes
(`sandbox.py`), and only then parses.

Requests (stdin), one on a line: `info`, or `page 7 5 1.5`, which is page 7 (1-based) without opening a page before
5, and with 1.5 s of processor time for drawing a page. Answers (stdout), one JSON object on a line, with fields of
`process.Answer`; a page that cannot be read is null:

    {"pages": 12, "title": "…", "author": null, "created": "D:20260301", "media_type": null}
    {"pages": 12, "page": {"text": "…", "label": "iv", …}}
    {"refused": "corrupt"}    the document cannot be read; the process ends

The process ends with stdin.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TITLE, MAX_LABEL = 500, 100  # characters
# The module and the name of each reader.
READERS = {
    "pdfium": ("pdf_pages", "Pdfium"),
    "formats": ("formats", "Formats"),
    "rapidocr": ("ocr_pages", "open_pictures"),
}
# More than the kernel sends in one message (net.core.wmem_default is 212,992), so that none is cut.
MESSAGE_BYTES = 1 << 18
# The length of a forked process's id. Its first answer may follow before the id is read.
PID_BYTES = 16


def load(module: str) -> Any:
    """Import a module of readers, and all that they need once the sandbox is closed."""
    readers = import_module(f"docwell.adapters.documents.{module}")
    readers.load()
    return readers


def answer(reader: Any, request: list[str], max_characters: int) -> dict[str, Any]:
    """Return the answer to one request. Raises `MemoryError`, and any error of counting the pages."""
    pages = reader.count()
    if request == ["info"]:
        metadata: dict[str, str | None] = {}
        with contextlib.suppress(Exception):  # a document with broken metadata is still a document
            metadata = reader.metadata()
        texts = {name: text[:MAX_TITLE] for name, text in metadata.items() if isinstance(text, str)}
        return {"pages": pages, **texts}
    try:
        number, first, drawing_s = int(request[1]), int(request[2]), float(request[3])
        page = reader.page(number - 1, first - 1, drawing_s) if number <= pages else None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the libraries raise anything on damaged input
        page = None
    if page is not None:
        # Keep one character over the limit: it shows the parent that there is too much text.
        page = page._replace(text=page.text[: max_characters + 1], label=page.label and page.label[:MAX_LABEL])
    return {"pages": pages, "page": page and page._asdict()}


def serve(out: BinaryIO, settings: dict[str, Any], close_doors: Callable[[], object]) -> None:
    """Open the document and answer until stdin ends or the document is refused."""

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode("ascii") + b"\n")
        out.flush()

    from docwell.errors import Refused

    module, name = READERS[settings["reader"]]
    try:
        reader = getattr(load(module), name)(settings["path"], close_doors)
        for line in sys.stdin:
            send(answer(reader, line.split(), settings["max_page_characters"]))
    except BrokenPipeError:
        return
    except MemoryError:
        send({"refused": "too_much_memory"})
    except Refused as error:
        send({"refused": error.reason})
    except Exception:  # noqa: BLE001 - the libraries raise anything on damaged input
        send({"refused": "corrupt"})


def read_document(settings: dict[str, Any]) -> None:
    """Read a document within the limits, and end the process."""
    from docwell.adapters.documents import sandbox

    # The mapped document counts as address space but takes no memory, so add its size to the limit.
    memory_bytes = settings["memory_bytes"] + os.path.getsize(settings["path"])
    sandbox.confine(memory_bytes, settings["cpu_s"], recognises=settings["reader"] == "rapidocr")
    # Redirect stdout to stderr: a library that prints must not corrupt an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(out, settings, sandbox.close_doors)
    out.flush()
    # Skip the libraries' clean-up, which can crash on a damaged document.
    os._exit(0)


def fork_readers(control: socket.socket, module: str) -> None:
    """Import a module of readers, then fork a process for each message on the socket, until that is closed.

    A message is the settings of a process, with two files: its standard input and output. The server starts no
    thread, opens no document and reads no answer.
    """
    # A child inherits an ignored SIGCHLD from its worker; then no process can be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from docwell.adapters.documents import sandbox  # noqa: F401 - for the processes

    load(module)
    # Collecting these objects would copy their memory into each process.
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not message:
            return
        # Between them a process ends, so that the kernel makes `process.py` the parent of the reader.
        if (between := os.fork()) == 0:
            try:
                parent = os.getpid()
                if os.fork() == 0:
                    _read_as_orphan(json.loads(message), files, parent)
            finally:
                os._exit(0)
        os.waitpid(between, 0)
        for descriptor in files:
            os.close(descriptor)


def _read_as_orphan(settings: dict[str, Any], files: list[int], parent: int) -> None:
    """Wait for the end of the parent, then read the document with the two files and no other."""
    try:
        while os.getppid() == parent:
            time.sleep(0.0002)
        os.setpgid(0, 0)
        # `process.py` learns the id even if the server dies now.
        os.write(files[1], f"{os.getpid():0{PID_BYTES}}".encode())
        os.dup2(files[0], 0)
        os.dup2(files[1], 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.stdin = os.fdopen(0)
        read_document(settings)
    finally:
        os._exit(1)


def main() -> None:
    """Fork readers for the socket in the settings, or read the document there."""
    settings = json.loads(sys.argv[1])
    sys.path[:] = settings["sys_path"]
    if "socket" in settings:
        fork_readers(socket.socket(fileno=settings["socket"]), settings["module"])
    else:
        read_document(settings)


if __name__ == "__main__":
    main()
