"""Pages that are pictures: their text is recognised where the file has none.

The page is drawn and recognised in a child process with the limits and the closed doors of one that reads text
(`pdf_child.py`); what it says is text that is not trusted, as all that comes out of a document. A page that takes
too long or too much costs its own text and no more: the next one gets a fresh child.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from docwell.adapters.documents.process import CHILD, Child, ChildLimits, Lost
from docwell.adapters.documents.reader import headings_of, one_line
from docwell.adapters.documents.text_quality import tidy
from docwell.config import SettingsError
from docwell.errors import Unavailable
from docwell.models import Page, PdfInfo, Reason
from docwell.pipeline import RAPIDOCR_VERSION
from docwell.ports import PdfReader

RAPIDOCR = "rapidocr"
# To start and to load the models: 2 s alone, 10 s beside other work.
START_S = 60.0
# Processor time is counted for all threads of a child, and wall time is what a page is given.
PROCESSORS = 4
# What a document does to PDFium, and not what this machine lacks.
_OF_THE_DOCUMENT = frozenset({Reason.CORRUPT, Reason.ENCRYPTED})


def check_installed() -> None:
    """Raises `SettingsError` where the recogniser is not installed, or is not the one of the fingerprint."""
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


class RecognisingReader:
    """A `docwell.ports.PdfReader`: the pages of another one, and of those without text what they show.

    A recognised page has a `confidence`. One that could not be recognised, in `page_timeout_s` seconds and
    `memory_bytes`, is not `readable`. `child` is another program for tests.
    """

    def __init__(
        self,
        reader: PdfReader,
        *,
        page_timeout_s: float,
        memory_bytes: int,
        max_page_characters: int,
        child: Path = CHILD,
    ) -> None:
        self.reader = reader
        self.page_timeout_s = page_timeout_s
        self.memory_bytes = memory_bytes
        self.max_page_characters = max_page_characters
        self.child = child

    def inspect(self, path: Path) -> PdfInfo:
        """As the other reader's."""
        return self.reader.inspect(path)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Pages `first` to `last` (both included, 1-based) in order. Close it when done.

        Raises:
            Refused: as the other reader.
            Unavailable: the recogniser does not start on this machine.
        """
        pages_of = self.reader.pages(path, first, last)
        with closing(pages_of) as pages, _Recogniser(self, path, last - first + 1) as recogniser:
            for page in pages:
                yield page if page.text.strip() else recogniser.read(page)


class _Recogniser:
    """The child for one document, started for the first page that needs it."""

    def __init__(self, limits: RecognisingReader, path: Path, pages: int) -> None:
        self._limits = limits
        self._path = path
        self._of_child = ChildLimits(
            limits.memory_bytes,
            PROCESSORS * (START_S + limits.page_timeout_s * pages),
            limits.max_page_characters,
            limits.child,
        )
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self, page: Page) -> Page:
        """The page with what it shows; not readable where that cannot be told."""
        try:
            child = self._child or self._started()
            answer = child.ask(f"page {page.number}", time.monotonic() + self._limits.page_timeout_s)
        except Lost:
            self._close()
            return replace(page, text="", readable=False)
        if answer["kind"] == "failed" or len(answer["text"]) > self._limits.max_page_characters:
            return replace(page, text="", readable=False)
        text = tidy(answer["text"])
        label = page.label or one_line(answer["label"])
        confidence = answer["confidence"] if text.strip() else None
        return Page(page.number, text, label, headings=headings_of(answer), confidence=confidence)

    def _started(self) -> Child:
        self._child = Child(self._path, RAPIDOCR, self._of_child)
        try:
            self._child.ask("info", time.monotonic() + START_S)
        except Lost as lost:
            if lost.reason in _OF_THE_DOCUMENT:
                raise
            self._close()
            raise Unavailable("ocr", f"the recogniser does not start ({lost.reason})") from None
        return self._child

    def _close(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None
