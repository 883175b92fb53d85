"""Which texts are tables of values, and where their header is."""

from __future__ import annotations

import pytest

from docwell.adapters.documents.kinds import Kind, text_kind
from tests.unit.adapters.documents.made import parts_of

ROWS = "Region;Sales;Share\nNorth;1;2\nSouth;3;4\n"
LAST = "Region: South | Sales: 3 | Share: 4"
LONG = "".join(f'{at},"Line of {at},\n{"word " * 300}\nend."\n' for at in range(90))


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (ROWS, LAST),
        ("sep=;\n" + ROWS, LAST),
        ("Report 2025\n\n" + ROWS, LAST),
        ("Report 2025;;\n;;\n" + ROWS, LAST),
        (ROWS + "Total;4\n", "Region: Total | Sales: 4"),
        ("Name,Active?\nAnn,yes\nBob,no\n", "Name: Bob | Active?: no"),
        ("Art.;Nr.\na;1\nb;2\n", "Art.: b | Nr.: 2"),
        ("2024-01-01,5\n2024-01-02,6\n2024-01-03,7\n", "2024-01-03 | 7"),
        ("id,text\n" + LONG, f"id: 89 | text: Line of 89, {'word ' * 300}end."),
    ],
)
def test_a_row_has_its_header_whatever_stands_around_the_table(text: str, last: str) -> None:
    parts, _ = parts_of(text.encode())
    assert parts[-1].text.split("\n\n")[-1] == last


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("We met on Monday, late.\nThe pump failed, again.\nIt was fixed, finally.\n", Kind.TEXT),
        (
            "Dear all,\nbring oil, seals, bolts,\nnuts, pumps, valves,\nwater, soap, towels,\nand come.\n",
            Kind.TEXT,
        ),
        ("10:00 INFO start, a, b\n10:01 INFO stop, a, b\n10:02 INFO go, a, b\nend\n", Kind.TEXT),
        ("# Pumps\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n", Kind.MARKDOWN),
        ("| a | b |\n|:--|--:|\n| 1 | 2 |\n", Kind.MARKDOWN),
    ],
)
def test_lines_with_commas_or_bars_are_no_table_of_values(text: str, kind: Kind) -> None:
    assert text_kind(text) == kind
