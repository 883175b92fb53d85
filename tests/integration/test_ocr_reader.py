"""`RecognisingReader` with a recogniser that misbehaves, and with RapidOCR where it is installed."""

from __future__ import annotations

import logging
import os
import re
import resource
from collections.abc import Generator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from fpdf import FPDF

from benchmarks.reading import default_reader
from docwell.adapters.documents import document_reader, process
from docwell.adapters.documents.document_reader import RecognisingReader, check_installed
from docwell.config import IngestLimits, SettingsError
from docwell.errors import Unavailable
from docwell.models import CitationUnit, DocumentInfo, Page, Reason, UnitKind
from docwell.pipeline import RAPIDOCR_VERSION

MIB = 1024 * 1024
logger = logging.getLogger(__name__)


def is_installed() -> bool:
    try:
        return version("rapidocr") == RAPIDOCR_VERSION
    except PackageNotFoundError:
        return False


# `make check-ocr` sets it: then a missing recogniser is an error.
NEEDED = "DOCWELL_CHECK_OCR" in os.environ
with_rapidocr = pytest.mark.skipif(not (NEEDED or is_installed()), reason="rapidocr is not installed: make ocr")


class ThreePages:
    """A reader of a document of three pages; the first one has text."""

    def inspect(self, path: Path) -> DocumentInfo:
        return DocumentInfo(3)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for number in range(first, last + 1):
            yield Page(number, "text" if number == 1 else "", label=str(number))


@dataclass(frozen=True)
class OnePage:
    """A reader of a document of one page."""

    page: Page

    def inspect(self, path: Path) -> DocumentInfo:
        return DocumentInfo(1)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        yield self.page


def recogniser(tmp_path: Path, answers: str, **changes: Any) -> RecognisingReader:
    """A reader whose child runs the Python lines `answers` for each `request`."""
    program = tmp_path / "child.py"
    program.write_text(
        "import json, os, sys, time\n"
        "sys.path[:] = json.loads(sys.argv[1])['sys_path']\n"
        "from docwell.adapters.documents import child\n"
        "def say(**answer): print(json.dumps({'pages': 3, **answer}), flush=True)\n"
        "def page(text, confidence): say(page={'text': text, 'confidence': confidence})\n"
        "def read_document(settings):\n"
        f"    open({str(tmp_path / 'started')!r}, 'a').write('x')\n"
        "    for line in sys.stdin:\n"
        "        request = ' '.join(line.split()[:2])\n"
        "        if line.strip() == 'info':\n"
        "            say()\n"
        "            continue\n"
        + "".join(f"        {line}\n" for line in answers.splitlines())
        + "child.read_document, child.load = read_document, str\nchild.main()\n"
    )
    limits = {"ocr_page_cpu_s": 5.0, "ocr_memory_bytes": 100 * MIB, "max_page_characters": 50}
    process.CHILD = program
    return RecognisingReader(ThreePages(), IngestLimits(**(limits | changes)))


def pages(reader: RecognisingReader, tmp_path: Path) -> list[Page]:
    path = tmp_path / "document.pdf"
    path.write_bytes(b"%PDF-1.7")
    return list(reader.pages(path, 1, 3))


def children(tmp_path: Path) -> int:
    started = tmp_path / "started"
    return len(started.read_text()) if started.exists() else 0


def test_only_pages_without_text_are_recognised_and_they_keep_their_labels(tmp_path: Path) -> None:
    found = pages(recogniser(tmp_path, "page('seen on ' + request, 0.9)"), tmp_path)
    assert [(one.text, one.confidence, one.label) for one in found] == [
        ("text", None, "1"),
        ("seen on page 2", 0.9, "2"),
        ("seen on page 3", 0.9, "3"),
    ]
    assert children(tmp_path) == 1


def test_a_page_without_recognised_text_is_blank_and_not_unreadable(tmp_path: Path) -> None:
    found = pages(recogniser(tmp_path, "page('', None)"), tmp_path)
    assert [(one.text, one.unreadable, one.confidence) for one in found[1:]] == [("", None, None)] * 2


MISBEHAVIOUR = {
    "dies": ("os._exit(1)", Reason.READER_CRASHED),
    "takes processor time": ("while True: pass", Reason.TOO_SLOW),
    "talks nonsense": ("print('nonsense', flush=True)", Reason.READER_CRASHED),
    "boasts": ("page('sure', 7.5)", Reason.READER_CRASHED),
    "says too much": ("page('x' * 51, 0.9)", Reason.TOO_MUCH_TEXT),
    "fails": ("say()", Reason.CORRUPT),
}


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOUR)
def test_a_page_that_cannot_be_recognised_loses_only_its_own_text(tmp_path: Path, misbehaviour: str) -> None:
    lines, reason = MISBEHAVIOUR[misbehaviour]
    answers = f"if request == 'page 2':\n    {lines}\nelse:\n    page('seen', 0.9)"
    found = pages(recogniser(tmp_path, answers, ocr_page_cpu_s=0.5), tmp_path)
    assert [(one.text, one.unreadable) for one in found] == [("text", None), ("", reason), ("seen", None)]
    assert reason is not Reason.TOO_SLOW or found[1].cpu_s >= 0.5


@pytest.mark.parametrize("waiting", ["time.sleep(60)", "os.kill(os.getpid(), 19)"], ids=["sleeps", "is stopped"])
def test_a_recogniser_that_gets_no_processor_time_is_no_fault_of_the_document(
    tmp_path: Path, waiting: str
) -> None:
    with pytest.raises(Unavailable):
        pages(recogniser(tmp_path, waiting, ocr_page_timeout_s=1.0), tmp_path)


@pytest.mark.parametrize("reason", [Reason.TOO_MUCH_TEXT, Reason.READER_CRASHED, Reason.TOO_SLOW])
def test_a_page_that_broke_a_limit_is_not_recognised(tmp_path: Path, reason: Reason) -> None:
    class OneBadPage(ThreePages):
        def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
            yield Page(1, "", unreadable=reason)

    reader = replace(recogniser(tmp_path, "page('seen', 0.9)"), reader=OneBadPage())
    assert pages(reader, tmp_path) == [Page(1, "", unreadable=reason)]
    assert children(tmp_path) == 0


def test_a_recogniser_that_does_not_start_is_no_fault_of_the_document(tmp_path: Path) -> None:
    reader = recogniser(tmp_path, "")
    process.CHILD.write_text("raise SystemExit(1)")
    with pytest.raises(Unavailable):
        pages(reader, tmp_path)


def test_a_recogniser_that_is_not_installed_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(document_reader, "version", missing)
    with pytest.raises(SettingsError, match=r"DOCWELL_OCR=rapidocr needs rapidocr .*make ocr"):
        check_installed()


# --- RapidOCR itself ---

SENTENCES = [
    "The pump of the north station was replaced in March.",
    "Its warranty of 36 months ends when the seal is broken.",
    "Invoice 4711 over 12,850 euros was paid on the ninth of May.",
    "Nobody may enter the tank before the valve is locked.",
]


def page_of_text() -> FPDF:
    document = FPDF()
    document.set_font("helvetica", size=14)
    document.add_page()
    document.multi_cell(0, 9, "\n".join(SENTENCES))
    return document


def scan(*turns: int) -> bytes:
    """A PDF with a page of text, then a picture of it for each of `turns` (degrees), without a text layer."""
    drawn = pypdfium2.PdfDocument(bytes(page_of_text().output()))[0].render(scale=150 / 72).to_pil()
    document = page_of_text()
    for turn in turns:
        document.add_page()
        document.image(drawn.rotate(turn, expand=True), 10, 10, 190, 134 if turn % 180 else 269)
    return bytes(document.output())


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def real(**changes: Any) -> RecognisingReader:
    limits = {"ocr_page_cpu_s": 200.0, "ocr_page_timeout_s": 200.0} | changes
    return RecognisingReader(default_reader(parse_cpu_s=60), IngestLimits(**limits))


def commented_scan() -> bytes:
    """A picture of a page of text with a comment."""
    drawn = pypdfium2.PdfDocument(bytes(page_of_text().output()))[0].render(scale=150 / 72).to_pil()
    document = FPDF()
    document.add_page()
    document.image(drawn, 10, 10, 190, 269)
    document.text_annotation(100, 100, "Paid in full.", title="Ada")
    return bytes(document.output())


def test_a_comment_does_not_make_a_scan_a_page_of_text(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(commented_scan())
    (page,) = real().reader.pages(path, 1, 1)
    assert page.may_be_picture


@with_rapidocr
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_recognised_page_keeps_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(commented_scan())
    (page,) = real().pages(path, 1, 1)
    assert SENTENCES[0] in page.text
    assert page.text.endswith("[Comment by Ada: Paid in full.]")


@with_rapidocr
@pytest.mark.integration
@pytest.mark.timeout(120)
def test_one_scanned_page_is_recognised_within_the_limits_of_the_settings(tmp_path: Path) -> None:
    page_cpu_s = IngestLimits().ocr_page_cpu_s
    path = tmp_path / "scan.pdf"
    path.write_bytes(scan(0))
    (page,) = real(ocr_page_cpu_s=page_cpu_s).pages(path, 2, 2)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    logger.info("one scanned page: %.1f s of processor time, %.0f MiB", page.cpu_s, peak)
    assert all(words(sentence) <= words(page.text) for sentence in SENTENCES)
    assert page.cpu_s < page_cpu_s


@with_rapidocr
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_scanned_page_has_its_text_in_any_rotation(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(scan(0, 180, 90))
    printed, upright, on_its_head, on_its_side = real().pages(path, 1, 4)
    assert printed.confidence is None
    for page in (upright, on_its_head, on_its_side):
        assert page.confidence is not None
        assert page.confidence > 0.9
        missed = words(printed.text) - words(page.text)
        assert len(missed) <= 0.05 * len(words(printed.text)), missed
    positions = [upright.text.index(sentence[:8]) for sentence in SENTENCES]
    assert positions == sorted(positions)


def test_a_recognised_image_keeps_its_citation_unit(tmp_path: Path) -> None:
    unit = (0, CitationUnit(UnitKind.IMAGE, "image 1", "image=1"))
    reader = recogniser(tmp_path, "page('seen', 0.9)")
    image = Page(1, "", citation_units=(unit,))
    reader = replace(reader, reader=OnePage(image))
    path = tmp_path / "image"
    path.write_bytes(b"image")
    (found,) = reader.pages(path, 1, 1)
    assert (found.text, found.citation_units) == ("seen", (unit,))


def test_an_empty_page_of_a_document_that_cannot_be_drawn_starts_no_recogniser(tmp_path: Path) -> None:
    empty = Page(1, "", citation_units=((0, CitationUnit(UnitKind.PARAGRAPH, "", "")),))
    reader = replace(recogniser(tmp_path, "page('seen', 0.9)"), reader=OnePage(empty))
    assert list(reader.pages(tmp_path, 1, 1)) == [empty]
    assert children(tmp_path) == 0


@with_rapidocr
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_recogniser_with_too_little_memory_never_invents_text(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(scan(0))
    try:
        found = list(real(ocr_memory_bytes=250 * MIB).pages(path, 2, 2))
    except Unavailable:
        return
    assert [(one.text, one.unreadable is not None) for one in found] == [("", True)]
