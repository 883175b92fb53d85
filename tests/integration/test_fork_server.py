"""Documents whose readers are forked from one process share nothing, and that process knows no document."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.poison.kinds import healthy
from benchmarks.reading import default_reader
from docwell.adapters.documents import process
from docwell.adapters.documents.document_reader import ChildDocumentReader
from docwell.adapters.documents.process import ChildError
from docwell.models import Reason

MIB = 1 << 20
# The real child, which does `do` for the title and gives `found` as the title, and does `bad` for a bad document.
SPY = """
    import builtins, os, signal, stat, sys, time
    from docwell.adapters.documents import child, pdf_pages
    known = set()
    read_document = child.read_document
    def read(settings):
        known.update(sys.modules)
        read_document(settings)
    child.read_document = read
    class Spy(pdf_pages.Pdfium):
        def count(self):
            if self._file[-3:] == b"bad":
                {bad}
            return super().count()
        def metadata(self):
            found = ""
            {do}
            return {{"title": str(found)}}
    pdf_pages.Pdfium = Spy
    child.main()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks readers")


class Bench:
    """Readers of a healthy document whose children do something before they give its title."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._program = folder / "a.pdf", folder / "spy.py"
        self.path.write_bytes(healthy())
        self.bad = folder / "bad.pdf"
        self.bad.write_bytes(healthy() + b"\n%bad")
        self._monkeypatch = monkeypatch

    def reader(self, do: str = "pass", bad: str = "pass") -> ChildDocumentReader:
        self._program.write_text(textwrap.dedent(SPY).format(do=do, bad=bad))
        self._monkeypatch.setattr(process, "CHILD", self._program)
        return default_reader(parse_cpu_s=2.0, parse_memory_bytes=256 * MIB)

    def titles(self, do: str, documents: int) -> list[str | None]:
        reader = self.reader(do)
        return [reader.inspect(self.path).title for _ in range(documents)]

    @property
    def server(self) -> psutil.Process | None:
        """The fork server's process, if it runs."""
        found = process.fork_server(self._program, "pdf_pages")._server
        return psutil.Process(found.pid) if found else None


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_what_a_reader_changes_does_not_reach_the_next_document(bench: Bench) -> None:
    first = bench.reader(
        "found = getattr(builtins, 'left', 'nothing'); builtins.left = 'text of another document'"
    )
    assert first.inspect(bench.path).title == "nothing"
    server = bench.server
    assert server is not None
    assert first.inspect(bench.path).title == "nothing"
    assert bench.server == server


def test_a_child_has_only_its_streams_and_its_document(bench: Bench) -> None:
    kinds = "sorted(stat.S_IFMT(os.fstat(n).st_mode) for n in range(64) if os.path.exists(n))"
    (found,) = bench.titles(f"found = {kinds}", 1)
    # Requests and answers; two for what libraries print; the document, which the mapping keeps.
    expected = [stat.S_IFIFO] * 2 + [stat.S_IFCHR] * 2 + [stat.S_IFREG]
    assert found == str(sorted(expected))


def test_the_server_has_loaded_all_that_a_child_needs(bench: Bench) -> None:
    (found,) = bench.titles("self.page(0, 0, 1.5); found = sorted(set(sys.modules) - known)", 1)
    assert found == "[]"


FAILURES = {
    "crashes": ("signal.raise_signal(signal.SIGSEGV)", Reason.READER_CRASHED),
    "takes memory": ("bytearray(500 << 20)", Reason.TOO_MUCH_MEMORY),
    "takes processor time": ("while True: pass", Reason.TOO_SLOW),
    "refuses": ("raise ValueError", Reason.CORRUPT),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_document_that_fails_the_next_one_gets_another_server(bench: Bench, failure: str) -> None:
    bad, reason = FAILURES[failure]
    reader = bench.reader(bad=bad)
    reader.inspect(bench.path)
    first = bench.server
    assert first is not None
    child = process.Child(bench.bad, "pdfium", 256 * MIB, 9.0, 9999)
    with pytest.raises(ChildError) as failed:
        child.ask("info", 2.0, time.monotonic() + 60)
    child.close()
    assert failed.value.reason == reason
    assert bench.server is None
    assert reader.inspect(bench.path).page_count == 1
    assert bench.server not in {None, first}


def test_a_server_that_was_killed_is_replaced(bench: Bench) -> None:
    reader = bench.reader()
    reader.inspect(bench.path)
    server = bench.server
    assert server is not None
    server.kill()
    assert reader.inspect(bench.path).page_count == 1
    assert reader.inspect(bench.path).page_count == 1
    assert bench.server not in {None, server}


def test_a_server_that_does_not_answer_is_killed_and_reaped_with_its_forks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "silent.py"
    program.write_text("import os, time\nos.fork()\nos.fork()\ntime.sleep(60)")
    monkeypatch.setattr(process, "START_S", 1.0)
    before = set(psutil.Process().children())
    assert process.ForkServer(program, "pdf_pages").fork({}) is None
    assert set(psutil.Process().children()) <= before


def test_the_server_ends_with_its_worker(tmp_path: Path) -> None:
    program = """
        import sys, time
        from docwell.adapters.documents import process
        server = process.fork_server(process.CHILD, "pdf_pages")
        server.start()
        print(server._server.pid, flush=True)
        time.sleep(60)
    """
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    server = psutil.Process(int(worker.stdout.readline()))
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    deadline = time.monotonic() + 30
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
