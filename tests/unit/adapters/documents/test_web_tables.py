"""Tables of web pages: heads beside their cells, spans, and pages that a table lays out."""

from __future__ import annotations

import time

import pytest

from docwell.adapters.documents.parts import MAX_HEAD, Cell, Rows, are_heads
from tests.unit.adapters.documents.made import parts_of

HEADS = "<tr><th>Item<th>2024<th>2025</tr>"
ITEMS = ["Item | 2024 | 2025"]
LEVELS = (
    "<tr><th rowspan=2>Region<th colspan=2>Plan<th colspan=2>Actual</tr><tr><th>Q1<th>Q2<th>Q1<th>Q2</tr>"
    "<tr><td rowspan=2>North<td>1<td>2<td>3<td>4</tr><tr><td>5<td>6<td>7<td>8</tr>"
)
NAMES = "Region: North | Plan Q1: {} | Plan Q2: {} | Actual Q1: {} | Actual Q2: {}"
INNER = "<table><tr><td>in 1<td>in 2</tr></table>"


def blocks(body: str) -> list[str]:
    return parts_of(f"<!doctype html>{body}".encode())[0][0].text.split("\n\n")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (HEADS + "<tr><td>Pumps<td><td>5</tr>", [*ITEMS, "Item: Pumps | 2025: 5"]),
        (HEADS + "<tr><td>Pumps<td colspan=2>n/a</tr>", [*ITEMS, "Item: Pumps | 2024, 2025: n/a"]),
        (HEADS + "<tr><th colspan=3>Oil</tr><tr><td>Pumps<td>4<td>5</tr>",
         [*ITEMS, "Oil", "Item: Pumps | 2024: 4 | 2025: 5"]),
        ("<tr><td><td><b>2024</b></td><td><strong>2025</strong></tr><tr><td>Pumps<td>4<td>5</tr>",
         ["2024 | 2025", "Pumps | 2024: 4 | 2025: 5"]),
        ("<tr><th>Item:<th>Mass</tr><tr><td>Pump<td>3 kg</tr>", ["Item: | Mass", "Item: Pump | Mass: 3 kg"]),
        (LEVELS, ["Region | Plan | Actual", "Q1 | Q2 | Q1 | Q2", NAMES.format(*"1234"), NAMES.format(*"5678")]),
        ("<caption>Sales</caption><tr><th>A<th>B</tr><tr><td>1<td>2</tr>", ["Sales", "A | B", "A: 1 | B: 2"]),
        ("<tr><td>Item<td>2024<td>2025</tr><tr><td>Pumps<td><td>5</tr>", [*ITEMS, "Pumps | \u2013 | 5"]),
        ("<tr><th>Name<td>Ann</tr><tr><th>Age<td>5</tr>", ["Name | Ann", "Age | 5"]),
        ("<tr><td><b>Total</b><td><b>12</b></tr><tr><td>a<td>1</tr>", ["Total | 12", "a | 1"]),
    ],
)  # fmt: skip
def test_a_cell_has_the_heads_of_its_columns(rows: str, expected: list[str]) -> None:
    assert blocks(f"<table>{rows}</table>") == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"<table><tr><td>{INNER}<td>x<td>y</tr></table>", ["in 1 | in 2", "x | y"]),
        (f"<table><tr><td>a<td>b{INNER}c<td>d</tr></table>", ["a | b", "in 1 | in 2", "c | d"]),
        ("<table><tr><td>left<td>Intro<h2>Pumps</h2>text</tr></table>", ["left | Intro", "Pumps", "text"]),
        ("<table><tr><td><p>One.</p><p>Two.</p></td></tr></table>", ["One.", "Two."]),
        ("<table><tr><td>a<p>b</p><td>c</tr></table>", ["a b | c"]),
        ("<p>The pump<br>is closed.</p>", ["The pump\nis closed."]),
        ("<select><option>Red</option><option>Blue</option></select>", ["Red Blue"]),
        ("<button>Save</button><button>Stop</button>", ["Save Stop"]),
    ],
)
def test_words_of_two_places_are_not_joined(body: str, expected: list[str]) -> None:
    assert blocks(body) == expected


def test_a_heading_in_a_cell_is_a_heading_of_its_own() -> None:
    page = b"<!doctype html><table><tr><td>Intro<h2>Pumps</h2>text</tr></table>"
    assert parts_of(page)[0][0].headings == [("Pumps", 98.0)]


def test_a_long_text_names_no_column_and_is_not_repeated() -> None:
    rows, long = Rows(), "word " * MAX_HEAD
    rows.line([Cell(long), Cell("Mass")], heads=True)
    assert rows.line([Cell(long, down=2), Cell("3 kg")]) == f"{long} | Mass: 3 kg"
    assert rows.line([Cell("4 kg")]) == "4 kg"


def test_a_span_that_no_table_has_takes_no_time() -> None:
    began = time.process_time()
    assert Rows().line([Cell("a", 10**9, 10**9), Cell("b")]) == "a | b"
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([("Item", True), ("2024", True)], True),
        ([("", False), ("Q1", True)], True),
        ([("", True), ("2021\u20132023", True)], True),
        ([("Item", True), ("2023/24", True), ("2024/25", True)], True),
        ([("Item", True), ("31.12.2023", True), ("31/12/2024", True)], True),
        ([("Total", True), ("1,200", True)], False),
        ([("Total", True), ("12/24", True)], False),
        ([("Total", True), ("2024.50", True)], False),
        ([("Item", True), ("Mass", False)], False),
        ([("Item", True)], False),
        ([("", True), ("", True)], False),
    ],
)
def test_heads_are_set_off_and_no_figures(cells: list[tuple[str, bool]], expected: bool) -> None:
    assert are_heads(cells) is expected


@pytest.mark.parametrize(("columns", "are_named"), [(600, True), (700, False), (5_000, False)])
def test_a_very_wide_table_does_not_repeat_its_heads(columns: int, *, are_named: bool) -> None:
    rows = Rows()
    rows.line([Cell("a")] * columns, heads=True)
    assert rows.line([Cell("b")] * columns).startswith("a: b" if are_named else "b | b")
