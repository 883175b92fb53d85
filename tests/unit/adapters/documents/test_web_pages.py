"""Web pages: heads beside their cells, numbers of items, and what style rules hide."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters.documents.parts import MAX_HEAD, Cell, Rows
from tests.unit.adapters.documents.made import parts_of

PAGES = tomllib.loads(Path(__file__).with_name("pages.toml").read_text(encoding="utf-8"))["page"]


@pytest.mark.parametrize("page", PAGES, ids=[page["body"][:60] for page in PAGES])
def test_a_page_has_the_blocks_that_a_browser_shows(page: dict[str, Any]) -> None:
    part = parts_of(f"<!doctype html>{page['body']}".encode())[0][0]
    assert (part.text.split("\n\n"), part.hidden) == (page["blocks"], page.get("hidden", part.hidden))


def test_a_heading_in_a_cell_is_a_separate_heading() -> None:
    assert parts_of(b"<html><table><td>Intro<h2>Pumps</h2>text</table>")[0][0].headings == [("Pumps", 98.0)]


def test_a_long_head_is_cut_and_a_long_text_is_not_repeated() -> None:
    rows, long = Rows(), "word " * MAX_HEAD
    rows.line([Cell(long), Cell("Mass")], heads=True)
    assert rows.line([Cell("a"), Cell("3 kg")]) == f"{long[:MAX_HEAD].rstrip()}: a | Mass: 3 kg"
    rows.line([Cell(long, down=2), Cell("3 kg")])
    assert rows.line([Cell("4 kg")]) == "Mass: 4 kg"


@pytest.mark.parametrize(("columns", "are_named"), [(3_000, True), (3_001, False), (5_000, False)])
def test_a_very_wide_table_does_not_repeat_its_heads(columns: int, *, are_named: bool) -> None:
    rows = Rows()
    rows.line([Cell("a")] * columns, heads=True)
    assert rows.line([Cell("b")] * columns).startswith("a: b" if are_named else "b | b")


def test_the_title_of_a_drawing_is_not_the_title_of_the_page() -> None:
    drawing = "<p>Seen<svg><title>Close</title></svg>"
    assert parts_of(f"<html><body>{drawing}".encode())[1].title is None
    assert parts_of(f"<html><title>Guide</title><body>{drawing}".encode())[1].title == "Guide"
