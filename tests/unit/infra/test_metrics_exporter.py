"""The metrics that functions and parts print, as Prometheus reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from infra.local.prometheus import stack_exporter
from runtime.emf import metric_line
from runtime.metrics import MAX_SERIES, Exporter

ANSWER = {"service": "query", "model": "m"}
OF_ANSWER = {"service": "query", "gen_ai_request_model": "m"}
DAMAGED = "docwell_metric_lines_damaged_total"
DROPPED = "docwell_metric_values_dropped_total"


@pytest.fixture
def exporter() -> Exporter:
    return stack_exporter("m")


def value(exporter: Exporter, name: str, **labels: str) -> float | None:
    return exporter.registry.get_sample_value(name, labels)


def emf(directives: list[dict[str, Any]], **fields: Any) -> str:
    return json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": directives}, **fields})


def directive(name: str, *dimensions: str, namespace: str = "Docwell") -> dict[str, Any]:
    return {"Namespace": namespace, "Dimensions": [list(dimensions)], "Metrics": [{"Name": name}]}


def test_counters_add_up_and_latencies_become_seconds(exporter: Exporter) -> None:
    for tokens, latency in ((40, 1500), (2, 250)):
        exporter.read(metric_line("Docwell/one", ANSWER, {"PromptTokens": tokens, "QueryLatency": latency}))
    assert value(exporter, "docwell_prompt_tokens_total", **OF_ANSWER) == 42
    assert value(exporter, "docwell_query_latency_seconds_sum", **OF_ANSWER) == pytest.approx(1.75)
    assert value(exporter, "docwell_query_latency_seconds_count", **OF_ANSWER) == 2
    assert value(exporter, "docwell_query_latency_seconds_bucket", **OF_ANSWER, le="0.25") == 1
    assert value(exporter, "docwell_query_latency_seconds_bucket", **OF_ANSWER, le="2.5") == 2


def test_a_gauge_has_the_last_value_and_a_summary_the_sum(exporter: Exporter) -> None:
    for result in (7, 3):
        exporter.read(metric_line("Docwell", {"service": "reconcile"}, {"Drift": result}))
        exporter.read(metric_line("Docwell", {"service": "query"}, {"Feedback": result % 2}))
    exporter.read(metric_line("Docwell", {"service": "chroma"}, {"DiskUsed": 85}))
    assert value(exporter, "docwell_drift", service="reconcile") == 3
    assert value(exporter, "docwell_feedback_sum", service="query") == 2
    assert value(exporter, "docwell_feedback_count", service="query") == 2
    assert value(exporter, "docwell_disk_used_ratio", service="chroma") == pytest.approx(0.85)


@pytest.mark.parametrize("line", Path(__file__).with_name("damaged_metrics.txt").read_text().splitlines())
def test_a_damaged_line_counts_as_one_and_leaves_no_half_of_it(exporter: Exporter, line: str) -> None:
    exporter.read(line)
    exporter.read(metric_line("Docwell", {"service": "ingest"}, {"PagesIngested": 4}))
    assert value(exporter, DAMAGED) == 1
    assert value(exporter, "docwell_pages_ingested_total", service="ingest") == 4


def test_unknown_metrics_and_values_that_no_counter_has_are_dropped(exporter: Exporter) -> None:
    before = generate_latest(exporter.registry)
    exporter.read(metric_line("Docwell", {"service": "query"}, {"Invented": 1}))
    exporter.read(metric_line("Other", {"service": "query"}, {"Problems": 1}))
    exporter.read(metric_line("Docwell", {"service": "query"}, {"PromptTokens": 1}))  # without its model
    exporter.read(metric_line("Docwell", {"service": "query"}, {"Problems": -1}))
    assert value(exporter, DROPPED) == 4
    assert generate_latest(exporter.registry).replace(b"dropped_total 4.0", b"dropped_total 0.0") == before


def test_the_number_of_series_is_limited(exporter: Exporter) -> None:
    for number in range(MAX_SERIES + 20):
        exporter.read(metric_line("Docwell", {"service": "query", "model": f"m{number}"}, {"PromptTokens": 1}))
    output = generate_latest(exporter.registry).decode()
    assert len(re.findall("^docwell_prompt_tokens_total{", output, re.MULTILINE)) == MAX_SERIES
    assert value(exporter, DROPPED) == 21  # the stack's own model has a series from the start
