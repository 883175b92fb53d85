"""Write the graphs of the dashboard for Grafana, over its Prometheus data source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from string import ascii_uppercase
from typing import Any

from infra.dashboards import promql
from infra.dashboards.parts import COLUMNS, PANEL_HEIGHT, Graph, Section, places

_SOURCE = {"type": "prometheus", "uid": "${source}"}
# Grafana's names of units. Money has no unit, because the price file sets the currency.
_UNITS = {"milliseconds": "ms", "seconds": "s", "percent": "percent", "money": "short", "count": "short"}


def dashboard(sections: Iterable[Section]) -> str:
    """Return JSON to import, with the graphs only: Prometheus has no log lines for the tables."""
    chosen = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    page = {
        "title": "docwell-prometheus",
        "uid": "docwell-prometheus",
        "description": "The graphs of the CloudWatch dashboard for a stack without CloudWatch.",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "templating": {"list": [chosen]},
        "panels": list(_panels(sections)),
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _panels(sections: Iterable[Section]) -> Iterator[dict[str, Any]]:
    ids, top = count(1), 0
    for section in sections:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": next(ids), "type": "row", "title": section.question, "collapsed": False, "gridPos": place}
        graphs = [panel for panel in section.panels if isinstance(panel, Graph) and not panel.of_aws]
        for graph, x, y, width in places(graphs, top + 1):
            place = {"x": x, "y": y, "w": width, "h": PANEL_HEIGHT}
            yield {"id": next(ids), "title": graph.title, "gridPos": place, "datasource": _SOURCE, **_body(graph)}
        top = y + PANEL_HEIGHT


def _body(graph: Graph) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if graph.stacked else "none"}}
    return {
        "type": "timeseries",
        "fieldConfig": {"defaults": {"unit": _UNITS[graph.unit], "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": letter, "datasource": _SOURCE, "expr": expr, "legendFormat": label, "range": True}
            for letter, (label, expr) in zip(ascii_uppercase, promql.queries_of(graph).items(), strict=False)
        ],
    }
