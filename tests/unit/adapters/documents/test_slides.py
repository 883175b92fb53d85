"""Tables and charts of slides, and shapes that a slide holds in two forms."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from lxml import etree
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from tests.unit.adapters.documents.made import parts_of, presentation, saved

SPACE = "http://schemas.openxmlformats.org/markup-compatibility/2006"
PLACE = Inches(1), Inches(1), Inches(4), Inches(1)


def slide_with(shapes: Any) -> list[str]:
    made = presentation()
    slide = made.slides.add_slide(made.slide_layouts[6])
    shapes(slide.shapes)
    return parts_of(saved(made))[0][1].text.split("\n\n")


def test_a_merged_cell_of_a_slide_names_all_that_it_spans() -> None:
    def shapes(found: Any) -> None:
        table = found.add_table(4, 3, *PLACE).table
        for row, texts in enumerate([("Region", "Plan", ""), ("North", "4", ""), ("", "5", "6"), ("", "", "")]):
            for column, text in enumerate(texts):
                table.cell(row, column).text = text
        table.cell(0, 1).merge(table.cell(0, 2))
        table.cell(1, 0).merge(table.cell(2, 0))

    assert slide_with(shapes) == ["Region | Plan", "Region: North | Plan: 4", "Region: North | Plan: 5 | Plan: 6"]


def test_a_shape_in_two_forms_is_read_once_wherever_it_is() -> None:
    def shapes(found: Any) -> None:
        inner = found.add_group_shape().shapes
        for number, holder in enumerate((found, inner)):
            box = holder.add_textbox(*PLACE)
            box.text_frame.text = f"Flow {number}"
            both = etree.SubElement(box._element.getparent(), f"{{{SPACE}}}AlternateContent")
            for form in ("Choice", "Fallback"):
                etree.SubElement(both, f"{{{SPACE}}}{form}").append(
                    box._element if form == "Fallback" else etree.fromstring(etree.tostring(box._element))
                )

    assert sorted(slide_with(shapes)) == ["Flow 0", "Flow 1"]


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
