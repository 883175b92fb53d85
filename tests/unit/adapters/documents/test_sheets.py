"""Workbooks: rows with the names of their columns, values as they are shown, and no hidden cell."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font

from docwell.adapters.documents.sheets import shown
from tests.unit.adapters.documents.made import cited, parts_of, saved, workbook

CASES = tomllib.loads(Path(__file__).with_name("sheets.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES["sheet"], ids=lambda case: case["last"][-1][:40])
def test_a_cell_follows_the_name_of_its_column(case: dict[str, Any]) -> None:
    book = openpyxl.Workbook()
    for row in case["rows"]:
        book.active.append([None if value == "" else value for value in row])
    for place in case.get("merged", []):
        book.active.merge_cells(place)
    for number in case.get("bold", []):
        for cell in book.active[number]:
            cell.font = Font(bold=True)
    lines = parts_of(saved(book))[0][0].text.split("\n\n")
    assert lines[-len(case["last"]) :] == case["last"]


@pytest.mark.parametrize("case", CASES["cell"], ids=lambda case: f"{case['value']} {case['format']}")
def test_a_cell_is_shown_in_its_format(case: dict[str, Any]) -> None:
    cell = workbook().active["A9"]
    cell.value, cell.number_format = case["value"], case["format"]
    assert shown(cell) == case["shown"]


def test_a_row_of_a_sheet_has_its_header_and_its_range() -> None:
    book = workbook()
    book.create_sheet("Secret").append(["hidden sheet"])
    book["Secret"].sheet_state = "hidden"
    parts, _ = parts_of(saved(book))
    assert cited(parts) == {
        "Budget!A1:C1": "Region | Sales | Share",
        "Budget!A2:C2": "Region: North | Sales: 1,234.50 EUR | Share: 25%",
        "Budget!B2": "[Comment on B2 by Ann: Before tax]",
        "Budget!A4:C4": "Region: West | Sales: 7 | Share: 0",
    }
    assert sum(part.hidden for part in parts) == len("South900.75") + len("hiddensheet")


def test_hidden_columns_and_formulas_are_no_text_and_label_no_row() -> None:
    book = workbook()
    book.active["D1"], book.active["D2"], book.active["D4"] = "Rank", '=WEBSERVICE("http://example.org")', 1
    book.active.merge_cells("B4:B5")
    book.active["A5"] = "East"
    book.active.column_dimensions.group("B", "C", hidden=True)
    found = cited(parts_of(saved(book))[0])
    assert found["Budget!A4:D4"] == "Region: West | Rank: 1"
    assert (found["Budget!A2"], found["Budget!A5"]) == ("Region: North", "Region: East")
