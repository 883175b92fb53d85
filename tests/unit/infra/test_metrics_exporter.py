"""The metrics that functions and parts print, as Prometheus reads them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from infra.local.prometheus import stack_exporter
from runtime.emf import metric_line
from runtime.metrics import MAX_SERIES, Exporter

CASES = tomllib.loads(Path(__file__).with_name("exported.toml").read_text())
DAMAGED = "docwell_metric_lines_damaged_total"
DROPPED = "docwell_metric_values_dropped_total"


@pytest.fixture
def exporter() -> Exporter:
    return stack_exporter("m")


def value(exporter: Exporter, name: str, **labels: str) -> float | None:
    return exporter.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("sample", CASES["sample"], ids=str)
def test_counters_add_up_gauges_have_the_last_value_and_latencies_become_seconds(
    exporter: Exporter, sample: dict[str, Any]
) -> None:
    for row in CASES["printed"]:
        exporter.read(metric_line(row["namespace"], row["of"], row["values"]))
    assert value(exporter, sample["name"], **sample["of"]) == pytest.approx(sample["value"])


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
