"""The PDF reader that also recognises the text of pages without a text layer.

A child process draws and recognises the page, with the limits and the system call filter of the child that reads
text (`child.py`). A page that takes too long or too much memory loses only its own text: the next page gets a
fresh child.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from docwell.adapters.documents.process import Child, ChildError
from docwell.adapters.documents.reader import page_of
from docwell.config import SettingsError
from docwell.errors import Unavailable
from docwell.models import Page, PdfInfo, Reason
from docwell.pipeline import RAPIDOCR_VERSION
from docwell.ports import PdfReader

RAPIDOCR = "rapidocr"
# The time to start and to load the models: 2 s alone, 10 s beside other work.
START_S = 60.0
# The child's CPU time limit counts all threads; a page's limit is wall time.
PROCESSORS = 4
# Reasons that come from the document, not from this machine.
_OF_THE_DOCUMENT = frozenset({Reason.CORRUPT, Reason.ENCRYPTED})


def check_installed() -> None:
    """Raise `SettingsError` unless the recogniser is installed in the version of the fingerprint."""
    try:
        found = version(RAPIDOCR)
    except PackageNotFoundError:
        found = None
    if found != RAPIDOCR_VERSION:
        has = f"rapidocr {found} is installed" if found else "it is not installed"
        raise SettingsError(
            f"DOCWELL_OCR=rapidocr needs rapidocr {RAPIDOCR_VERSION}, and {has}: on this machine `make ocr` "
            "installs it; an image is built with --build-arg OCR=rapidocr"
        )


@dataclass(frozen=True)
class RecognisingReader:
    """`docwell.ports.PdfReader`: the pages of another reader, with recognised text where they have none.

    A recognised page has a `confidence`. A page that takes more than `page_timeout_s` or `memory_bytes` is not
    `readable`.
    """

    reader: PdfReader
    _: KW_ONLY
    page_timeout_s: float
    memory_bytes: int
    max_page_characters: int

    def inspect(self, path: Path) -> PdfInfo:
        """Return the other reader's answer."""
        return self.reader.inspect(path)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order. Close the iterator when done.

        Raises:
            Refused: as the other reader.
            Unavailable: the recogniser does not start.
        """
        recogniser = _Recogniser(self, path, last - first + 1)
        with closing(self.reader.pages(path, first, last)) as pages, closing(recogniser):
            for page in pages:
                yield page if page.text.strip() else recogniser.read(page)


class _Recogniser:
    """The recogniser's child for one document, started for the first page that needs it."""

    def __init__(self, limits: RecognisingReader, path: Path, pages: int) -> None:
        self._limits = limits
        self._path = path
        self._pages = pages
        self._child: Child | None = None

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
        self._child = None

    def read(self, page: Page) -> Page:
        """Return the page with its recognised text; not `readable` where recognition fails."""
        try:
            child = self._child or self._started()
            answer = child.ask(f"page {page.number}", time.monotonic() + self._limits.page_timeout_s)
        except ChildError:
            self.close()
            return replace(page, text="", readable=False)
        if answer["kind"] == "failed" or len(answer["text"]) > self._limits.max_page_characters:
            return replace(page, text="", readable=False)
        found = page_of(page.number, answer)
        confidence = found.confidence if found.text.strip() else None
        return replace(found, label=page.label or found.label, confidence=confidence)

    def _started(self) -> Child:
        limits = self._limits
        self._child = Child(
            self._path,
            RAPIDOCR,
            limits.memory_bytes,
            PROCESSORS * (START_S + limits.page_timeout_s * self._pages),
            limits.max_page_characters,
        )
        try:
            self._child.ask("info", time.monotonic() + START_S)
        except ChildError as error:
            if error.reason in _OF_THE_DOCUMENT:
                raise
            self.close()
            raise Unavailable("ocr", f"the recogniser does not start ({error.reason})") from None
        return self._child
