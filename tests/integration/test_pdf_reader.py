"""`ChildDocumentReader` on real PDFs, on hostile ones, and on children that misbehave."""

from __future__ import annotations

import os
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pypdf
import pytest
from fpdf import FPDF
from pypdf.constants import PageLabelStyle

from benchmarks.reading import default_reader
from docwell.adapters.documents import process
from docwell.adapters.documents.document_reader import ChildDocumentReader
from docwell.errors import Refused, Unavailable
from docwell.media_types import PDF
from docwell.models import DocumentInfo, Page, Reason
from tests.unit.cases import rows

CHILD = process.CHILD


def reader(child: Path = CHILD, **changes: Any) -> ChildDocumentReader:
    """A reader whose children run the program `child`."""
    process.CHILD = child
    return default_reader(**changes)


def text_pdf(path: Path, pages: list[str]) -> Path:
    pdf = FPDF()
    pdf.set_title("A title")
    pdf.set_author("An author")
    pdf.set_creation_date(datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    pdf.set_font("Helvetica", size=12)
    for text in pages:
        pdf.add_page()
        pdf.multi_cell(0, text=text)
    pdf.output(str(path))
    return path


def rewritten(path: Path, change: Any) -> Path:
    writer = pypdf.PdfWriter(clone_from=path)
    change(writer)
    out = path.with_stem(f"{path.stem}-rewritten")
    writer.write(out)
    return out


def child_program(tmp_path: Path, body: str) -> Path:
    """A replacement for child.py: `body` runs with `say(text)` in place of reading the document."""
    start = """
        import json, os, signal, sys, time
        sys.path[:] = json.loads(sys.argv[1])["sys_path"]
        from docwell.adapters.documents import child
        def say(text):
            os.write(1, text if isinstance(text, bytes) else (text + "\\n").encode())
        def read_document(settings):
            sys.stdin.readline()
    """
    end = "child.read_document, child.load = read_document, str\nchild.main()\n"
    program = tmp_path / "fake_child.py"
    program.write_text(textwrap.dedent(start) + textwrap.indent(textwrap.dedent(body), "    ") + "\n" + end)
    return program


def reason_of_inspect(made: ChildDocumentReader, path: Path) -> str:
    with pytest.raises(Refused) as caught:
        made.inspect(path)
    return caught.value.reason


def reason_of_pages(made: ChildDocumentReader, path: Path, last: int = 1) -> str:
    with pytest.raises(Refused) as caught:
        list(made.pages(path, 1, last))
    return caught.value.reason


def children() -> set[psutil.Process]:
    # Not recursive: a local stack of the same process may start its workers meanwhile.
    return set(psutil.Process().children())


@pytest.fixture(autouse=True)
def _no_process_is_left(fork_servers: Any) -> Any:
    fork_servers.close()
    before = children()
    yield
    fork_servers.close()
    assert children() <= before


def test_text_title_author_and_page_numbers_come_out(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["First page.", "Second page."])
    assert reader().inspect(path) == DocumentInfo(2, "A title", "An author", "2026-03-01", PDF)
    assert list(reader().pages(path, 1, 2)) == [Page(1, "First page."), Page(2, "Second page.")]


def test_more_pages_than_allowed_are_refused(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"] * 4)
    assert reason_of_inspect(reader(max_document_pages=3), path) == Reason.TOO_MANY_PAGES
    assert reader(max_document_pages=4).inspect(path).page_count == 4


def test_a_page_with_too_much_text_is_lost_and_no_other(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["short", "long " * 50])
    found = list(reader(max_page_characters=100).pages(path, 1, 2))
    assert found == [Page(1, "short"), Page(2, "", unreadable=Reason.TOO_MUCH_TEXT)]
    assert all(page.text for page in reader(max_page_characters=300).pages(path, 1, 2))


def test_printed_page_labels_are_read_beside_positions(tmp_path: Path) -> None:
    def label(writer: pypdf.PdfWriter) -> None:
        writer.set_page_label(0, 2, style=PageLabelStyle.LOWERCASE_ROMAN)
        writer.set_page_label(3, 5, style=PageLabelStyle.DECIMAL, prefix="A-", start=7)

    path = rewritten(text_pdf(tmp_path / "a.pdf", ["x"] * 6), label)
    found = [page.label for page in reader().pages(path, 1, 6)]
    assert found == ["i", "ii", "iii", "A-7", "A-8", "A-9"]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_a_user_password_is_refused_and_an_owner_password_is_not(tmp_path: Path, algorithm: Any) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["Readable."])
    locked = rewritten(path, lambda writer: writer.encrypt("secret", algorithm=algorithm))
    assert reason_of_inspect(reader(), locked) == Reason.ENCRYPTED
    assert reason_of_pages(reader(), locked) == Reason.ENCRYPTED
    opened = rewritten(path, lambda writer: writer.encrypt("", "owner", algorithm=algorithm))
    assert [page.text for page in reader().pages(opened, 1, 1)] == ["Readable."]


def test_the_content_decides_the_kind_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"")
    assert reason_of_inspect(reader(), path) == Reason.EMPTY_FILE
    path.write_bytes(b"PK\x03\x04 a zip" * 1000)
    assert reason_of_inspect(reader(), path) == Reason.UNKNOWN_KIND
    path.write_bytes(b"%PDF-1.7\n" + os.urandom(5000))
    assert reason_of_inspect(reader(), path) == Reason.CORRUPT
    good = text_pdf(tmp_path / "b.txt", ["A PDF after all."]).read_bytes()
    path.with_suffix(".txt").write_bytes(b"junk before the header\n" + good)
    assert [page.text for page in reader().pages(path.with_suffix(".txt"), 1, 1)] == ["A PDF after all."]


@pytest.mark.parametrize("body", ["while True: pass", "say(b'{')\nwhile True: pass"])
def test_a_child_that_never_ends_is_too_slow(tmp_path: Path, body: str) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"])
    hanging = reader(child=child_program(tmp_path, body), parse_cpu_s=0.5)
    assert reason_of_inspect(hanging, path) == Reason.TOO_SLOW
    assert reason_of_pages(hanging, path) == Reason.TOO_SLOW


@pytest.mark.parametrize("body", ["time.sleep(60)", "while True: say(b'{'); time.sleep(0.02)"])
def test_a_child_that_waits_is_unavailable(tmp_path: Path, body: str) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"])
    hanging = reader(child=child_program(tmp_path, body), parse_timeout_s=1.0)
    with pytest.raises(Unavailable):
        hanging.inspect(path)
    with pytest.raises(Unavailable):
        list(hanging.pages(path, 1, 1))


@pytest.mark.parametrize("body", rows(__file__, "invalid_child_answers"))
def test_an_invalid_answer_of_a_child_is_a_crash(tmp_path: Path, body: str) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"])
    garbled = reader(child=child_program(tmp_path, body), max_page_characters=1000)
    assert reason_of_inspect(garbled, path) == Reason.READER_CRASHED


@pytest.mark.parametrize(
    ("sign", "reason"),
    [
        ("SIGSEGV", Reason.READER_CRASHED),
        ("SIGKILL", Reason.TOO_MUCH_MEMORY),
        ("SIGABRT", Reason.TOO_MUCH_MEMORY),
        ("SIGXCPU", Reason.TOO_SLOW),
    ],
)
def test_a_killed_child_gives_a_reason(tmp_path: Path, sign: str, reason: Reason) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"])
    killed = reader(child=child_program(tmp_path, f"os.kill(os.getpid(), signal.{sign})"))
    assert reason_of_inspect(killed, path) == reason


def test_the_child_sees_nothing_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setenv("PYTHONSTARTUP", "nowhere.py")
    body = "say(json.dumps({'pages': 1, 'title': ' '.join(os.environ)}))"
    path = text_pdf(tmp_path / "a.pdf", ["x"])
    info = reader(child=child_program(tmp_path, body)).inspect(path)
    assert info.title is not None
    assert set(info.title.split()) <= {"LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS"}


def test_an_iterator_closed_early_leaves_no_process(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", ["x"] * 20)
    process.fork_server(CHILD, "pdf_pages").start()
    before = children()
    pages = reader().pages(path, 1, 20)
    next(pages)
    assert children() - before
    pages.close()
    assert children() == before
