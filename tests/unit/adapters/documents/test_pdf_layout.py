"""A page's text from the places of its lines, without a PDF."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters.documents.pdf_layout import Line, headings, lay_out

LOW, HIGH = 0.0, 800.0
CASES = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text(encoding="utf-8"))


def line(text: str, y: float, x: float = 50.0, size: float = 10.0, bold: str = "") -> Line:
    """A line whose letters are half as wide as they are high."""
    return Line(text, x, x + len(text) * size / 2, y, size, bool(bold))


@pytest.mark.parametrize("case", CASES["layout"], ids=lambda case: case["text"][:30])
def test_lines_are_put_together_by_their_places(case: dict[str, Any]) -> None:
    assert lay_out([line(*values) for values in case["lines"]], LOW, HIGH, {}).text == case["text"]


@pytest.mark.parametrize("case", CASES["pages"], ids=lambda case: " ".join(case["first"]))
def test_running_heads_of_an_earlier_page_are_left_out(case: dict[str, Any]) -> None:
    pages = [[line(*values) for values in lines] for lines in case["lines"]]
    edges = [lay_out(lines, LOW, HIGH, {}).edges for lines in pages]
    texts = [
        lay_out(lines, LOW, HIGH, {back: edges[at - back] for back in (1, 2) if back <= at}).text
        for at, lines in enumerate(pages)
    ]
    assert [text.split("\n")[0] for text in texts] == case["first"]


def test_a_line_up_the_page_joins_nothing() -> None:
    stamp = line("arXiv", 500)._replace(level=False)
    assert lay_out([line("Text", 500, x=20), stamp], LOW, HIGH, {}).text == "Text\narXiv"


def test_headings_are_larger_or_bold() -> None:
    lines = [
        line("The report", 700, size=18),
        line("Results", 660, bold="bold"),
        line("Plain text.", 648),
        line("small print", 600, size=7, bold="bold"),
        line("1,234", 580, size=18),
    ]
    assert headings(lines, 10.0) == [("The report", 18), ("Results", 10.2)]


def test_a_watermark_or_a_large_first_letter_is_no_heading() -> None:
    slanted = line("DRAFT", 300, size=60)._replace(level=False)
    assert headings([slanted, line("T", 600, size=40), line("he text", 620)], 10.0) == []
    column = line("第一章", 600, size=20)._replace(level=False)
    assert headings([column, line("序", 600, size=20)], 10.0) == [("第一章", 20), ("序", 20)]
