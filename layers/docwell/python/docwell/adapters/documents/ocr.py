"""The PDF reader that also recognises the text of pages without a text layer.

A child process draws and recognises the page, with the limits and the system call filter of the child that reads
text (`child.py`). A page that takes too much processor time or memory loses only its own text: the next page gets
a fresh child.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from docwell.adapters.documents.document_reader import page_of
from docwell.adapters.documents.process import Child, ChildError
from docwell.config import IngestLimits, SettingsError
from docwell.errors import Unavailable
from docwell.models import DocumentInfo, Page, Reason
from docwell.pipeline import RAPIDOCR_VERSION
from docwell.ports import DocumentReader

RAPIDOCR = "rapidocr"
# The wall time to start and to load the models: 2 s alone, 10 s beside other work.
START_S = 60.0
# The processor time for the same: two threads.
START_CPU_S = 2 * START_S
# Reasons that come from the document, not from this machine.
_OF_THE_DOCUMENT = frozenset({Reason.CORRUPT, Reason.ENCRYPTED})


def check_installed() -> None:
    """Raise `SettingsError` unless the recogniser is installed in the version of the fingerprint."""
    try:
        installed = version(RAPIDOCR)
    except PackageNotFoundError:
        installed = None
    if installed != RAPIDOCR_VERSION:
        has = f"rapidocr {installed} is installed" if installed else "it is not installed"
        raise SettingsError(
            f"DOCWELL_OCR=rapidocr needs rapidocr {RAPIDOCR_VERSION}, and {has}: on this machine `make ocr` "
            "installs it; an image is built with --build-arg OCR=rapidocr"
        )


@dataclass(frozen=True)
class RecognisingReader:
    """`docwell.ports.DocumentReader`: the pages of another reader, with recognised text where they have none.

    A recognised page has a `confidence`. A page over a limit is unreadable. A page that is mostly a picture keeps
    its own text unless about as much is recognised, with `ocr_min_confidence`.
    """

    reader: DocumentReader
    limits: IngestLimits

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the other reader's answer."""
        return self.reader.inspect(path)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last` (both included, 1-based) in order. Close the iterator when done.

        Raises:
            Refused: as the other reader.
            Unavailable: the recogniser does not start, or gets no answer within `ocr_page_timeout_s` of wall time.
        """
        life_s = START_CPU_S + self.limits.ocr_page_cpu_s * (last - first + 1)
        # It starts for the first page that needs it.
        child = Child(path, RAPIDOCR, self.limits.ocr_memory_bytes, life_s, self.limits.max_page_characters)
        with closing(self.reader.pages(path, first, last)) as pages, closing(child):
            for page in pages:
                yield self._recognised(page, child) if page.may_be_picture else page

    def _recognised(self, page: Page, child: Child) -> Page:
        """Return the page with its recognised text, and with the processor time of both readers."""
        before = child.cpu_s
        recognised = self._read(page, child)
        if letters := len("".join(page.text.split())):
            share = len("".join(recognised.text.split())) / letters
            if (recognised.confidence or 0.0) < self.limits.ocr_min_confidence:
                recognised = page
            elif share < 1:  # a slide, say: its picture is the ground of its text
                recognised = replace(page, picture=False)
        return replace(recognised, hidden=page.hidden, cpu_s=page.cpu_s + child.cpu_s - before)

    def _read(self, page: Page, child: Child) -> Page:
        try:
            if not child.is_running:
                _start(child)
            deadline = time.monotonic() + self.limits.ocr_page_timeout_s
            answer = child.ask(f"page {page.number} {page.number} 0", self.limits.ocr_page_cpu_s, deadline)
        except ChildError as error:
            return replace(page, text="", unreadable=error.reason)
        if answer.page is None:
            return replace(page, text="", unreadable=Reason.CORRUPT)
        if len(answer.page.text) > self.limits.max_page_characters:
            return replace(page, text="", unreadable=Reason.TOO_MUCH_TEXT)
        recognised = page_of(page.number, answer.page)
        confidence = recognised.confidence if recognised.text.strip() else None
        units = page.citation_units
        return replace(recognised, label=page.label, confidence=confidence, citation_units=units)


def _start(child: Child) -> None:
    try:
        child.ask("info", START_CPU_S, time.monotonic() + START_S)
    except ChildError as error:
        if error.reason in _OF_THE_DOCUMENT:
            raise
        raise Unavailable("ocr", f"the recogniser does not start ({error.reason})") from None
