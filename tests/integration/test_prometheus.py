"""The local stack's metrics, from the parts that print them to the queries of a real Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.dashboards.promql import labels_of, queries_of
from infra.local import prometheus
from infra.local.ports import answers, free_port
from infra.local.prometheus import served, stack_exporter
from infra.local.stack import base_environment
from runtime.emf import metric_line
from runtime.exported import EXPORTED
from runtime.process import Child

from .waiting import until

pytestmark = pytest.mark.integration


GRAPHS = [
    panel for section in SECTIONS for panel in section.panels if isinstance(panel, Graph) and not panel.of_aws
]


def lines() -> Iterator[str]:
    """A line for each line of the dashboard, as if all had happened."""
    shown = (line for graph in GRAPHS for line in graph.lines)
    for metric in (entry.metric for entry in shown if isinstance(entry, Line)):
        labels = labels_of(metric)
        names_of = dict(EXPORTED[metric.namespace, metric.name].labels)
        dimensions = {name: labels.get(label, "m") for name, label in names_of.items()}
        yield metric_line(metric.namespace, dimensions, {metric.name: 1})


def missing(client: httpx.Client, since: float) -> set[str]:
    """The graphs of which a query has returned no number since that Unix time."""

    def has_data(expression: str) -> bool:
        span: dict[str, str | float] = {"query": expression, "start": since, "end": time.time(), "step": 1}
        answer = client.get("/api/v1/query_range", params=span).raise_for_status().json()
        values = (value for series in answer["data"]["result"] for _, value in series["values"])
        return any(math.isfinite(float(value)) for value in values)

    return {graph.title for graph in GRAPHS if not all(map(has_data, queries_of(graph).values()))}


@pytest.mark.slow
@pytest.mark.skipif(
    not prometheus.installed(), reason="Prometheus is not installed: scripts/install-programs prometheus"
)
def test_every_query_of_the_dashboard_returns_data_in_prometheus(tmp_path: Path) -> None:
    exporter, since = stack_exporter("m"), time.time()
    local = f"http://docwell:token@127.0.0.1:{free_port()}"
    output: list[str] = []
    with served(exporter, "token") as metrics, httpx.Client(base_url=local) as client:
        command = prometheus.prometheus_command(metrics, local, tmp_path / "prometheus", "token", scrape_s=1)
        child = Child(command, base_environment({}), output.append, lambda _: None)
        try:
            until(lambda: answers(f"{local}/-/ready"))
            # A scrape before the first event, as in a stack: an increase needs two.
            until(lambda: "Requests" not in missing(client, since))
            assert "Whole question" in missing(client, since)
            for line in lines():
                exporter.read(line)
            until(lambda: not missing(client, since))
            (group,) = client.get("/api/v1/rules").json()["data"]["groups"]
            assert {rule["name"] for rule in group["rules"]} >= {"AnswersFail", "Drift"}
            assert not output
        finally:
            child.stop(5)
