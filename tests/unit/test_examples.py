"""The example PDFs equal the output of their script and contain what examples/README.md says."""

from __future__ import annotations

import importlib.util
import io
import json
import runpy
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from docwell.upkeep.canary import PAGE

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"
HANDBOOK = "handbooks/mlops-llmops-handbook.pdf"
REPORT = "reports/data-centre-2025-q3.pdf"
GUIDE = "guides/when-the-lights-go-out.pdf"
QUESTIONS: list[dict[str, Any]] = json.loads((EXAMPLES / "questions.json").read_text("utf-8"))


def one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def by_pdfium(name: str | Path) -> list[str]:
    with pypdfium2.PdfDocument(EXAMPLES / name) as document:
        return [one_line(page.get_textpage().get_text_range()) for page in document]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES / "make_examples.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_examples"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [HANDBOOK, REPORT, GUIDE])
def test_the_committed_pdf_is_what_the_script_makes(name: str, script: ModuleType) -> None:
    fonts = {}
    if name == GUIDE:
        try:
            fonts = script.find_fonts()
        except script.FontsMissingError as missing:
            pytest.skip(str(missing))
    source = next(source for source, target in script.EXAMPLES if target == name)
    output = script.make(source, fonts)
    assert output == (EXAMPLES / name).read_bytes()
    assert len(output) < 300_000


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["phrase"][:30])
def test_the_answer_to_a_question_stands_on_its_page_and_on_no_other(question: dict[str, Any]) -> None:
    places = [
        (name, number)
        for name in (HANDBOOK, REPORT, GUIDE)
        for number, text in enumerate(by_pdfium(name), start=1)
        if question["phrase"] in text
    ]
    assert places == [(question["document"], question["page"])]
    assert question["facts"]
    assert all(fact in question["phrase"] for fact in question["facts"])


def content_of(data: bytes) -> dict[str, bytes] | bytes:
    """The files of an archive: their compressed bytes depend on the version of zlib."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_other_committed_examples_are_what_their_script_makes() -> None:
    output = runpy.run_path(str(EXAMPLES / "make_formats.py"))
    committed = {path.name: path.read_bytes() for path in (EXAMPLES / output["FOLDER"]).iterdir()}
    contents = {name: content_of(data) for name, data in committed.items()}
    assert contents == {name: content_of(data) for name, data in output["files"]().items()}


def test_the_canarys_pdf_is_what_the_script_makes_and_one_page_answers(script: ModuleType) -> None:
    assert script.CANARY_PDF.read_bytes() == script.make(script.CANARY, {})
    answers = ["winds the clock" in page for page in by_pdfium(script.CANARY_PDF)]
    assert answers == [number == PAGE for number in (1, 2, 3)]
