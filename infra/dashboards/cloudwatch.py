"""Write the dashboard and a query definition for each saved query as CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from textwrap import indent
from typing import Any

from infra.dashboards.parts import COLUMNS, PANEL_HEIGHT, Formula, Graph, Line, SavedQuery, Section, Table, places

BEGIN = "  # --- `make dashboards` writes from here to the next mark, see infra/dashboards ---\n"
END = "  # --- `make dashboards` writes up to here ---\n"

_HEADING_HEIGHT = 2
_ALARM = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm"
_AXIS = {
    "milliseconds": "ms",
    "seconds": "s",
    "percent": "%",
    "money": "in the price file's currency",
    "count": "",
}


def resources(sections: Iterable[Section], queries: Iterable[SavedQuery], alarms: Iterable[str]) -> str:
    """Return YAML of the resources, indented for `Resources:`. `alarms` are names, with `${SystemName}`."""
    widgets = ",\n".join(json.dumps(widget, separators=(", ", ": ")) for widget in _widgets(sections, alarms))
    body = f'{{"periodOverride": "inherit", "start": "-PT12H", "widgets": [\n{widgets}\n]}}'
    dashboard = f"""  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Condition: HasAll
    Properties:
      DashboardName: !Sub "${{SystemName}}"
      DashboardBody: !Sub |
{indent(body, " " * 8)}
"""
    return dashboard + "".join(_definition(query) for query in queries)


def _definition(query: SavedQuery) -> str:
    logical = "".join(word.capitalize() for word in query.name.split("-"))
    return f"""  {logical}Query:
    Type: AWS::Logs::QueryDefinition
    Properties:
      Name: !Sub "${{SystemName}}/{query.name}"
      LogGroupNames: [!Ref {query.log_group[2:-1]}]
      QueryString: {json.dumps(query.text.strip())}
"""


def _widgets(sections: Iterable[Section], alarms: Iterable[str]) -> Iterator[dict[str, Any]]:
    top = 0
    arns = [f"{_ALARM}:{name}" for name in alarms]
    yield _widget("alarm", (0, top, COLUMNS, PANEL_HEIGHT), {"title": "Alarms", "alarms": arns})
    top += PANEL_HEIGHT
    for section in sections:
        markdown = f"## {section.question}\n{section.explanation}"
        yield _widget("text", (0, top, COLUMNS, _HEADING_HEIGHT), {"markdown": markdown})
        top += _HEADING_HEIGHT
        for panel, x, y, width in places(section.panels, top):
            place = (x, y, width, PANEL_HEIGHT)
            if isinstance(panel, Graph):
                yield _widget("metric", place, _graph(panel))
            else:
                yield _widget("log", place, _table(panel))
        top = y + PANEL_HEIGHT


def _widget(kind: str, place: tuple[int, int, int, int], properties: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = place
    return {"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": properties}


def _graph(graph: Graph) -> dict[str, Any]:
    axis = {"min": 0, "showUnits": False} | ({"label": _AXIS[graph.unit]} if _AXIS[graph.unit] else {})
    return {
        "title": graph.title,
        "view": "timeSeries",
        "region": "${AWS::Region}",
        "period": graph.period,
        "stacked": graph.stacked,
        "yAxis": {"left": axis},
        "metrics": [_line(line, number) for number, line in enumerate(graph.lines, 1)],
    }


def _line(line: Line | Formula, number: int) -> list[Any]:
    if isinstance(line, Formula):
        return [{"expression": line.expression, "label": line.label, "id": f"e{number}"}]
    options = {"label": line.label, "stat": line.statistic, "id": f"m{number}"}
    names = [part for dimension in line.metric.dimensions for part in dimension]
    hidden = {"visible": False} if line.hidden else {}
    return [line.metric.namespace, line.metric.name, *names, options | hidden]


def _table(table: Table) -> dict[str, Any]:
    source = f"SOURCE '{table.query.log_group}' | "
    return {
        "title": table.title,
        "view": "table",
        "region": "${AWS::Region}",
        "query": source + table.query.text.strip(),
    }
