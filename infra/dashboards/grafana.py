"""Write the dashboard for Grafana, over its CloudWatch or its Prometheus data source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from infra.dashboards import promql
from infra.dashboards.parts import COLUMNS, PANEL_HEIGHT, Formula, Graph, Line, Section, Table, places

_SOURCE = {"type": "cloudwatch", "uid": "${source}"}
_PROMETHEUS = {"type": "prometheus", "uid": "${source}"}
# Grafana's names of units. Money has none, because the price file sets the currency.
_UNITS = {"milliseconds": "ms", "seconds": "s", "percent": "percent", "money": "short", "count": "short"}

Body = dict[str, Any]


def dashboard(sections: Iterable[Section], parameters: Mapping[str, str]) -> str:
    """Return JSON to import. `parameters` are the stack's parameters in panels, with their descriptions."""
    # `default` is the region of the data source.
    region = {"text": "default", "value": "default"}
    variables: list[Body] = [
        {"name": "region", "label": "Region", "type": "textbox", "query": "default", "current": region}
    ]
    for name, description in parameters.items():
        variables.append({"name": name, "label": name, "description": description, "type": "textbox", "query": ""})

    def body(panel: Graph | Table) -> Body:
        return _graph(panel, _targets(panel)) if isinstance(panel, Graph) else _table(panel)

    return _page("docwell", "The same as the stack's CloudWatch dashboard.", _SOURCE, variables, sections, body)


def prometheus_dashboard(sections: Iterable[Section]) -> str:
    """Return JSON to import, with the graphs only: Prometheus has no log lines for the tables."""
    graphs = [
        replace(section, panels=tuple(panel for panel in section.panels if isinstance(panel, Graph)))
        for section in sections
    ]

    def body(panel: Graph | Table) -> Body:
        if isinstance(panel, Table):
            raise TypeError(panel.title)
        queries = promql.queries_of(panel).items()
        targets: list[Body] = [
            {
                "refId": _letter(number),
                "datasource": _PROMETHEUS,
                "expr": expr,
                "legendFormat": label,
                "range": True,
            }
            for number, (label, expr) in enumerate(queries, 1)
        ]
        return _graph(panel, targets)

    description = "The graphs of the CloudWatch dashboard for a stack without CloudWatch."
    return _page("docwell-prometheus", description, _PROMETHEUS, [], graphs, body)


def _page(
    uid: str,
    description: str,
    source: Mapping[str, str],
    variables: Iterable[Body],
    sections: Iterable[Section],
    body: Callable[[Graph | Table], Body],
) -> str:
    chosen = {"name": "source", "label": "Data source", "type": "datasource", "query": source["type"]}
    page = {
        "title": uid,
        "uid": uid,
        "description": description,
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "templating": {"list": [chosen, *variables]},
        "panels": list(_panels(sections, source, body)),
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _panels(
    sections: Iterable[Section], source: Mapping[str, str], body: Callable[[Graph | Table], Body]
) -> Iterator[Body]:
    ids, top = count(1), 0
    for section in sections:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": next(ids), "type": "row", "title": section.question, "collapsed": False, "gridPos": place}
        for panel, x, y, width in places(section.panels, top + 1):
            place = {"x": x, "y": y, "w": width, "h": PANEL_HEIGHT}
            yield {"id": next(ids), "title": panel.title, "gridPos": place, "datasource": source, **body(panel)}
        top = y + PANEL_HEIGHT


def _letter(number: int) -> str:
    return chr(ord("A") + number - 1)


def _graph(graph: Graph, targets: list[Body]) -> Body:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if graph.stacked else "none"}}
    return {
        "type": "timeseries",
        "fieldConfig": {"defaults": {"unit": _UNITS[graph.unit], "min": 0, "custom": custom}, "overrides": []},
        "targets": targets,
    }


def _targets(graph: Graph) -> list[Body]:
    return [_target(line, number, graph.period) for number, line in enumerate(graph.lines, 1)]


def _target(line: Line | Formula, number: int, period: int) -> Body:
    common = {
        "refId": _letter(number),
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


def _table(table: Table) -> Body:
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
