"""The names of a sheet's columns and rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import openpyxl
import pytest
from openpyxl.styles import Font

from tests.unit.adapters.documents.made import parts_of, saved

Rows = Sequence[Sequence[object]]
YEARS: Rows = [["Region", 2024, 2025], ["North", 5, 6]]
LEVELS: Rows = [
    ["Region", "Plan", None, "Actual", None],
    [None, "Q1", "Q2", "Q1", "Q2"],
    ["North", 1, 2, 3, 4],
    [None, 5, 6, 7, 8],
]
BOTH = "Region: North | Plan Q1: {} | Plan Q2: {} | Actual Q1: {} | Actual Q2: {}"


def lines(rows: Rows, *merged: str, bold: Sequence[int] = ()) -> list[str]:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for place in merged:
        book.active.merge_cells(place)
    for number in bold:
        for cell in book.active[number]:
            cell.font = Font(bold=True)
    return parts_of(saved(book))[0][0].text.split("\n\n")


@pytest.mark.parametrize(
    ("rows", "last"),
    [
        (YEARS, "Region: North | 2024: 5 | 2025: 6"),
        ([[None, "Q1", "Q2"], ["North", 5, 6]], "North | Q1: 5 | Q2: 6"),
        ([["Region", *(dt.date(2024, month, 1) for month in (1, 2))], ["North", 5, 6]],
         "Region: North | 2024-01-01: 5 | 2024-02-01: 6"),
        ([["Name", "City", "Age"], ["Ann", "Bonn", "?"], ["Bob", "Kiel", 5]], "Name: Bob | City: Kiel | Age: 5"),
        ([["Company:", "Acme"], ["Contact:", "Bob"], ["Since:", 2001]], "Since: | 2001"),
        ([["Bolt", 2000], ["Nut", 1500]], "Nut | 1500"),
        ([["Budget"], ["Region", "Sales"], ["North", 1]], "Region: North | Sales: 1"),
        ([["Report", "Acme"], ["Region", "Sales", "Share"], ["North", 1, 2]],
         "Region: North | Sales: 1 | Share: 2"),
        ([["a", "b"], ["x", 1], ["South"], ["Region", "Sales"], ["North", 7]], "Region: North | Sales: 7"),
        ([["a", "b"], ["x", 1], [], ["Region", "Sales"], ["North", 7]], "Region: North | Sales: 7"),
        ([["a", "b"], [None, 1]], "b: 1"),
    ],
)  # fmt: skip
def test_a_cell_stands_after_the_name_of_its_column(rows: Rows, last: str) -> None:
    assert lines(rows)[-1] == last


def test_a_merged_cell_names_all_that_it_spans() -> None:
    found = lines(LEVELS, "A1:A2", "B1:C1", "D1:E1", "A3:A4")
    assert found[2:] == [BOTH.format(*"1234"), BOTH.format(*"5678")]


def test_a_name_over_columns_that_are_not_merged_goes_with_its_own() -> None:
    assert lines(LEVELS)[2] == "Region: North | Plan Q1: 1 | Q2: 2 | Actual Q1: 3 | Q2: 4"


def test_the_title_of_rows_has_no_column() -> None:
    found = lines([*YEARS, ["South and east", None, None], ["South", 7, 8]], "A3:C3")
    assert found[2:] == ["South and east", "Region: South | 2024: 7 | 2025: 8"]


def test_a_row_in_bold_names_columns_again() -> None:
    found = lines([*YEARS, ["Item", "Mass"], ["Pump", "3 kg"]], bold=[3])
    assert found[3] == "Item: Pump | Mass: 3 kg"


def test_a_label_in_a_hidden_column_stays_hidden() -> None:
    book = openpyxl.Workbook()
    for row in [["Code", "Sales", "Share"], ["secret", 1, 2], [None, 3, 4]]:
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.active.column_dimensions["A"].hidden = True
    assert "secret" not in parts_of(saved(book))[0][0].text
