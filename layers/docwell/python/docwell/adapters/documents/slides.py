"""Presentations: the text of the shown slides, with marked speaker notes and comments."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator
from typing import Any

from pptx import Presentation
from pptx.oxml import parse_xml
from pptx.oxml.ns import qn

from docwell.adapters.documents.parts import MIN_CELLS, WHITE, Cell, Parts, Rows, is_seen, raised
from docwell.models import CitationUnit, UnitKind

_TEXT, _PARAGRAPH = qn("a:t"), qn("a:p")
_DIAGRAM, _COMMENTS, _THEMES = "/diagramData", "/comments", ("/theme", "/themeOverride")
# The text of a comment in the older and the newer form of the file.
_OLD_TEXT = qn("p:text")
_ALTERNATE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_CHOICE = _ALTERNATE.replace("AlternateContent", "Choice")
_NO_STRIKE = "noStrike"
# What may be behind text or around its letters: pictures, filled shapes, tables, charts, and any ground but the
# first of a theme.
_EDGES = "a:ln[not(a:noFill)] or a:effectLst/* or a:effectDag"
_GROUNDS = f"""boolean(.//p:pic | .//p:style | .//p:graphicFrame | .//a:defRPr[a:highlight or {_EDGES}]
 | .//p:bg[not(p:bgRef[@idx = '1001']/a:schemeClr[not(*)]/@val = 'bg1')] | .//a:overrideClrMapping[@bg1 != 'lt1']
 | .//p:spPr/*[contains(name(), 'Fill') and name() != 'a:noFill'] | .//p:clrMap[@bg1 != 'lt1'])"""
_LIGHT_THEME = re.compile(rb'<a:lt1>\s*<[^>]*"FFFFFF"')


def read(data: bytes, parts: Parts) -> None:
    """Add the slides of a presentation."""
    presentation = Presentation(io.BytesIO(data))
    for number, slide in enumerate(presentation.slides, 1):
        if slide._element.get("show") in {"0", "false"}:
            parts.hide("".join(slide._element.itertext(_TEXT)))
            continue
        parts.start_part()
        # Replace alternate content by its first choice: python-pptx overlooks shapes in it.
        for alternate in list(slide._element.iter(_ALTERNATE)):
            for child in alternate.findall(f"{_CHOICE}[1]/*"):
                alternate.addprevious(child)
        width, height = presentation.slide_width, presentation.slide_height
        for shape in list(slide.shapes):
            spans = (shape.left, shape.width, width), (shape.top, shape.height, height)
            is_off = any(
                start is not None and (start + (size or 0) < 0 or start > end) for start, size, end in spans
            )
            if is_off and not shape.rotation:
                parts.hide("".join(shape._element.itertext(_TEXT)))
                slide.shapes._spTree.remove(shape._element)
        _add(slide, number, parts)


def _add(slide: Any, number: int, parts: Parts) -> None:
    levels = slide, slide.slide_layout, slide.slide_layout.slide_master
    is_light = all(_LIGHT_THEME.search(theme) for level in levels for theme in _blobs(level, *_THEMES))
    parts.ground = WHITE if is_light and not any(level._element.xpath(_GROUNDS) for level in levels) else ""
    unit = CitationUnit(UnitKind.SLIDE, f"slide {number}", f"slide={number}")
    title = slide.shapes.title
    if title is not None and (text := " ".join(_framed(title.text_frame, parts).split())):
        parts.add(text, unit)
        parts.mark_heading(text, 1)
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            for text in _texts(shape, parts):
                parts.add(text, unit)
    for text in _related(slide, _DIAGRAM):
        parts.add(text, unit)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) and frame.text.strip():
        parts.add(f"[Speaker notes: {frame.text.strip()}]", unit)
    for text in _related(slide, _COMMENTS):
        parts.add(f"[Comment: {text}]", unit)


def _texts(shape: Any, parts: Parts) -> Iterator[str]:
    """Yield the texts of a shape and of the shapes in it: paragraphs, rows of a table, a chart's values."""
    stack = [shape]
    while stack:
        inner = stack.pop()
        if inner._element.xpath("boolean(./*/p:cNvPr[@hidden='1' or @hidden='true'])"):
            parts.hide("".join(inner._element.itertext(_TEXT)))
        elif hasattr(inner, "shapes"):
            stack += reversed(list(inner.shapes))
        elif getattr(inner, "has_table", False):
            yield from _rows(inner.table, parts)
        elif getattr(inner, "has_chart", False):
            yield from _chart(inner.chart)
        elif inner.has_text_frame:
            yield _framed(inner.text_frame, parts)


def _framed(frame: Any, parts: Parts) -> str:
    """Return the text of a frame without struck-out text."""
    return "\n".join(_paragraph(paragraph, parts) for paragraph in frame._txBody.p_lst)


def _paragraph(paragraph: Any, parts: Parts) -> str:
    runs: list[str] = []
    for run in paragraph.content_children:
        text, looks = str(run.text), run.find(qn("a:rPr"))
        looks = {} if looks is None else looks.attrib
        if looks.get("strike", _NO_STRIKE) != _NO_STRIKE or not _is_drawn(run, looks.get("sz", ""), parts.ground):
            parts.hide(text)
        else:
            runs.append(text if looks.get("baseline", "0")[:1] in "-0" else raised(text, runs))
    return "".join(runs)


def _is_drawn(run: Any, size: str, ground: str) -> bool:
    """Return whether the properties of a run draw it. The size is in hundredths of a point."""
    if run.xpath(f"boolean(./a:rPr[a:highlight or {_EDGES}])"):
        ground = ""
    elif run.xpath("boolean(./a:rPr[a:noFill or a:solidFill/*/a:alpha[@val < 8000]])"):
        return False
    colour = str(run.xpath("string(./a:rPr/a:solidFill/*[not(*)]/@val)")).replace("bg1", WHITE)
    return is_seen(colour, ground, int(size) / 100 if size.isdecimal() else None)


def _rows(table: Any, parts: Parts) -> Iterator[str]:
    rows = Rows()
    for number, row in enumerate(table.rows):
        cells = [
            Cell(" ".join(_framed(cell.text_frame, parts).split()), cell.span_width, cell.span_height)
            for cell in row.cells
            if not cell.is_spanned
        ]
        yield rows.line(cells, heads=number == 0 and table.first_row and len(cells) >= MIN_CELLS)


def _chart(chart: Any) -> Iterator[str]:
    if chart.has_title and chart.chart_title.has_text_frame:
        yield chart.chart_title.text_frame.text
    # Read the XML: python-pptx raises for 3D and stock charts, and has no names for the points of a scatter chart.
    for series in chart._chartSpace.iter(qn("c:ser")):
        names, values = _points(series, "c:cat", "c:xVal"), _points(series, "c:val", "c:yVal")
        name = "".join(value.text or "" for value in series.xpath("./c:tx//c:v")[:1])
        shown = [f"{names.get(place, place + 1)}: {value}" for place, value in values.items()]
        yield " | ".join(filter(None, [name, *shown]))


def _points(series: Any, *names: str) -> dict[int, str]:
    """Return the saved points of a series by their place; if they have several levels, the innermost."""
    points: dict[int, str] = {}
    for point in series.xpath("|".join(f"./{name}//c:pt" for name in names)):
        value = point.find(qn("c:v"))
        if value is not None and value.text:
            points.setdefault(int(point.get("idx")), _plain(value.text))
    return points


def _plain(value: str) -> str:
    """Return a number without its binary rounding noise."""
    with contextlib.suppress(ValueError):
        return f"{number:.11g}" if math.isfinite(number := float(value)) else value
    return value


def _blobs(level: Any, *kinds: str) -> list[bytes]:
    """Return the parts of these kinds that a slide, layout or master refers to."""
    relations = (relation for relation in level.part.rels.values() if relation.reltype.endswith(kinds))
    return [relation.target_part.blob for relation in relations if not relation.is_external]


def _related(slide: Any, kind: str) -> Iterator[str]:
    """Yield the paragraphs of the parts of this kind that a slide refers to."""
    for blob in _blobs(slide, kind):
        for element in parse_xml(blob).iter(_PARAGRAPH, _OLD_TEXT):
            is_old = element.tag == _OLD_TEXT
            text = (element.text or "" if is_old else "".join(element.itertext(_TEXT))).strip()
            if text:
                yield text
