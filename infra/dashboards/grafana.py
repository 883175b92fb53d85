"""Write the dashboard for Grafana, over its CloudWatch data source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from infra.dashboards.parts import COLUMNS, PANEL_HEIGHT, Formula, Graph, Line, Section, Table, places

_SOURCE = {"type": "cloudwatch", "uid": "${source}"}
# Grafana's names of units. Money has none, because the price file sets the currency.
_UNITS = {"milliseconds": "ms", "seconds": "s", "percent": "percent", "money": "short", "count": "short"}


def dashboard(sections: Iterable[Section], parameters: Mapping[str, str]) -> str:
    """Return JSON to import. `parameters` are the stack's parameters in panels, with their descriptions."""
    page = {
        "title": "docwell",
        "uid": "docwell",
        "description": "The same as the stack's CloudWatch dashboard.",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "templating": {"list": list(_variables(parameters))},
        "panels": list(_panels(sections)),
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _variables(parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Data source", "type": "datasource", "query": "cloudwatch"}
    # `default` is the region of the data source.
    region = {"text": "default", "value": "default"}
    yield {"name": "region", "label": "Region", "type": "textbox", "query": "default", "current": region}
    for name, description in parameters.items():
        yield {"name": name, "label": name, "description": description, "type": "textbox", "query": ""}


def _panels(sections: Iterable[Section]) -> Iterator[dict[str, Any]]:
    ids, top = count(1), 0
    for section in sections:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": next(ids), "type": "row", "title": section.question, "collapsed": False, "gridPos": place}
        for panel, x, y, width in places(section.panels, top + 1):
            place = {"x": x, "y": y, "w": width, "h": PANEL_HEIGHT}
            body = _graph(panel) if isinstance(panel, Graph) else _table(panel)
            yield {"id": next(ids), "title": panel.title, "gridPos": place, "datasource": _SOURCE, **body}
        top = y + PANEL_HEIGHT


def _graph(graph: Graph) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if graph.stacked else "none"}}
    return {
        "type": "timeseries",
        "fieldConfig": {"defaults": {"unit": _UNITS[graph.unit], "min": 0, "custom": custom}, "overrides": []},
        "targets": [_target(line, number, graph.period) for number, line in enumerate(graph.lines, 1)],
    }


def _target(line: Line | Formula, number: int, period: int) -> dict[str, Any]:
    common = {
        "refId": chr(ord("A") + number - 1),
        "datasource": _SOURCE,
        "queryMode": "Metrics",
        "metricQueryType": 0,  # search by name and dimensions, not SQL
        "region": "${region}",
        "period": str(period),
        "label": line.label,
    }
    if isinstance(line, Formula):
        # 1: Grafana sends the expression unchanged.
        return {**common, "id": f"e{number}", "metricEditorMode": 1, "expression": line.expression}
    return {
        **common,
        "id": f"m{number}",
        "metricEditorMode": 0,
        "namespace": line.metric.namespace,
        "metricName": line.metric.name,
        "statistic": line.statistic,
        "dimensions": dict(line.metric.dimensions),
        "matchExact": True,
        "hide": line.hidden,
    }


def _table(table: Table) -> dict[str, Any]:
    target = {
        "refId": "A",
        "id": "",
        "datasource": _SOURCE,
        "queryMode": "Logs",
        "region": "${region}",
        "logGroupNames": [table.query.log_group],
        "expression": table.query.text.strip(),
    }
    return {"type": "table", "targets": [target]}
