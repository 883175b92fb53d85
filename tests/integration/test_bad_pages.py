"""A bad page costs one page, and a reader that gets no processor time is no fault of the document."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from benchmarks.poison.kinds import healthy
from benchmarks.reading import default_reader
from docwell.adapters.documents import process
from docwell.adapters.documents.document_reader import ChildDocumentReader
from docwell.errors import Unavailable
from docwell.models import Page, Reason

TEXT = "The pump is serviced every ninety days."
BAD = 50
# The real child, which runs `bad` (with the page number) before it reads a page.
PROGRAM = """
    import json, os, signal, sys, time
    sys.path[:] = json.loads(sys.argv[1])["sys_path"]
    from docwell.adapters.documents import child, parts, pdf_pages
    read_document = child.read_document
    def started(settings):
        open({started!r}, "a").write("x")
        read_document(settings)
    child.read_document = started
    read = 0
    def bad(number):
        global read
        read += 1
        {bad}
    class Pdfium(pdf_pages.Pdfium):
        def _read(self, index):
            return bad(index + 1) or super()._read(index)
    pdf_pages.Pdfium = Pdfium
    child.main()
"""


class Bench:
    """Readers of a healthy document of 100 pages, whose children do `bad` before they read a page."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._started, self._program = folder / "a.pdf", folder / "started", folder / "child.py"
        self.path.write_bytes(healthy(100))
        self._monkeypatch = monkeypatch

    def reader(self, bad: str, **limits: Any) -> ChildDocumentReader:
        self._program.write_text(textwrap.dedent(PROGRAM).format(started=str(self._started), bad=bad))
        self._monkeypatch.setattr(process, "CHILD", self._program)
        chosen: dict[str, Any] = {"parse_cpu_s": 1.5, "parse_memory_bytes": 1 << 28, "max_page_characters": 10_000}
        return default_reader(**(chosen | limits))

    def pages(self, bad: str, first: int = 1, last: int = 100, **limits: Any) -> list[Page]:
        return list(self.reader(bad, **limits).pages(self.path, first, last))

    @property
    def children(self) -> int:
        return len(self._started.read_text())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def failures(pages: list[Page]) -> dict[int, Reason]:
    assert all(page.unreadable or page.text == TEXT for page in pages)
    return {page.number: page.unreadable for page in pages if page.unreadable}


MISDEEDS = {
    "crashes": ("signal.raise_signal(signal.SIGSEGV)", Reason.READER_CRASHED),
    "exits": ("os._exit(3)", Reason.READER_CRASHED),
    "takes processor time": ("pass", Reason.TOO_SLOW),
    "takes memory": ("raise MemoryError", Reason.TOO_MUCH_MEMORY),
    "aborts": ("signal.raise_signal(signal.SIGABRT)", Reason.TOO_MUCH_MEMORY),
    "cannot be decoded": ("raise ValueError", Reason.CORRUPT),
    "has too much text": ("return parts.PageText('word ' * 9_999)", Reason.TOO_MUCH_TEXT),
    "has text of nonsense": ("return parts.PageText('\\ue000' * 99, unreadable=True)", Reason.UNREADABLE),
}


@pytest.mark.slow
@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_one_bad_page_among_a_hundred_costs_one_page(bench: Bench, misdeed: str) -> None:
    lines, reason = MISDEEDS[misdeed]
    pages = bench.pages(f"{'while' if lines == 'pass' else 'if'} number == {BAD}: {lines}")
    assert [page.number for page in pages] == list(range(1, 101))
    assert failures(pages) == {BAD: reason}


@pytest.mark.parametrize("behind", [1, 2])
def test_a_range_behind_a_page_that_crashes_is_read_whole(bench: Bench, behind: int) -> None:
    pages = bench.pages(f"if number == {BAD}: os._exit(3)", first=BAD + behind)
    assert failures(pages) == {}


def test_pages_that_all_crash_cost_a_bounded_number_of_children(bench: Bench) -> None:
    pages = bench.pages("os._exit(3)", max_reader_restarts=4)
    assert failures(pages) == dict.fromkeys(range(1, 101), Reason.READER_CRASHED)
    assert bench.children == 1 + 4


@pytest.mark.slow
def test_a_page_knows_the_processor_time_that_all_its_children_took(bench: Bench) -> None:
    pages = bench.pages("while number == 2: pass", last=3, parse_cpu_s=1.0)
    # The page is read twice.
    assert pages[1].cpu_s >= 2.0
    assert 0 < pages[2].cpu_s < 1.0


@pytest.mark.parametrize("where", ["number == 1", "number == 60"])
def test_a_stopped_child_is_no_fault_of_the_document(bench: Bench, where: str) -> None:
    with pytest.raises(Unavailable):
        bench.pages(f"if {where}: signal.raise_signal(signal.SIGSTOP)", parse_timeout_s=2.0)
