"""The figures of sheets and charts, as they are shown."""

from __future__ import annotations

import io
import zipfile

import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from docwell.adapters.documents.sheets import shown
from tests.unit.adapters.documents.made import parts_of, presentation, saved, workbook


def chart(tag: str) -> bytes:
    """A presentation with a pie under another tag: the library makes no chart in 3D."""
    made, data = presentation(), CategoryChartData()  # type: ignore[no-untyped-call] # python-pptx ships no types
    data.categories = ["North", "South"]
    data.add_series("Sales", (1234567, 0.1))  # type: ignore[no-untyped-call]
    made.slides[0].shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, Inches(3), Inches(3), data)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(made))) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"c:pieChart", tag.encode()))
    return out.getvalue()


@pytest.mark.parametrize("tag", ["c:pieChart", "c:pie3DChart", "c:bar3DChart", "c:stockChart"])
def test_every_chart_has_its_values_in_full(tag: str) -> None:
    assert "Sales | North: 1234567 | South: 0.1" in parts_of(chart(tag))[0][0].text


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (1234567, '0.0,,"M"', "1.2 M"),
        (1234567, "#,##0,", "1,235"),
        (1234567890, "#,##0.0,", "1,234,567.9"),
        (1234567, "#,##0", "1,234,567"),
    ],
)
def test_a_format_that_divides_by_thousands_is_followed(value: int, number_format: str, expected: str) -> None:
    cell = workbook().active["A9"]
    cell.value, cell.number_format = value, number_format
    assert shown(cell) == expected
