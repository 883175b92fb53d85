"""The dashboards, alarms and saved queries use exactly the metrics that the functions emit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.dashboards import __main__ as dashboards
from infra.dashboards.contents import NAMED
from infra.dashboards.parts import SavedQuery
from infra.local.prometheus import stack_exporter
from runtime.exported import DOCWELL, EXPORTED
from tests.unit.infra.templates import content

ROOT = Path(__file__).parents[3]
RUNBOOK = ROOT / "docs" / "operate" / "runbook.md"
SERVICES = ("ingest", "query", "reconcile", "canary", "authorizer")
NAMESPACE = "Docwell/${SystemName}"
# Metrics that the servers' user data and the authorizer function send.
FROM_OTHERS = {(name, (("service", "chroma"),)) for name in ("MemoryUsed", "DiskUsed", "SnapshotAge")}
FROM_OTHERS.add(("ServerFailures", (("service", "server"),)))
MODEL = "fake-model"

Emitted = tuple[str, tuple[tuple[str, str], ...]]  # a metric's name and its dimensions, sorted


@dataclass
class Recording:
    """The output of a function's run: metrics, and the fields of each log message."""

    output: str = ""
    metrics: set[Emitted] = field(default_factory=set)
    lines: dict[str, set[str]] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        if "_aws" not in line:
            self.lines.setdefault(line["message"], set()).update(fields_of(line))
            return
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "Docwell/one"
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted((name, line[name]) for name in names))
                self.metrics |= {(metric["Name"], dimensions) for metric in directive["Metrics"]}


def fields_of(value: Any, path: str = "") -> Iterator[str]:
    """The fields by their names in Logs Insights: nested ones with dots, list items by position."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from fields_of(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path


def record(service: str) -> Recording:
    names = {
        "POWERTOOLS_SERVICE_NAME": service,
        "POWERTOOLS_METRICS_NAMESPACE": "Docwell/one",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [sys.executable, "-m", "tests.unit.infra.emissions", service]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | names, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    recording = Recording(ran.stdout)
    for line in ran.stdout.splitlines():
        recording.add(json.loads(line))
    return recording


@pytest.fixture(scope="module")
def emitted() -> dict[str, Recording]:
    with ThreadPoolExecutor() as threads:
        return dict(zip(SERVICES, threads.map(record, SERVICES), strict=True))


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The alarms, the dashboard and the saved queries of all templates."""
    parts = (content(path)["Resources"] for path in dashboards.ALARMS)
    return {"Resources": {name: resource for part in parts for name, resource in part.items()}}


def of_type(template: dict[str, Any], *types: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if f"{resource['Type']}" in types
    }


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return of_type(template, "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


def value(text: Any) -> str:
    """A dimension's value with the model's parameter replaced."""
    return MODEL if text in ("${ModelName}", {"Ref": "ModelName"}) else str(text)


def widgets(template: dict[str, Any]) -> list[dict[str, Any]]:
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    result: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    return result


def shown(template: dict[str, Any]) -> set[Emitted]:
    """docwell's own metrics on the dashboard."""
    result = set()
    for widget in widgets(template):
        for line in widget["properties"].get("metrics", []):
            parts = [part for part in line if isinstance(part, str)]
            if parts[:1] == [NAMESPACE]:
                pairs = zip(parts[2::2], map(value, parts[3::2]), strict=True)
                result.add((parts[1], tuple(sorted(pairs))))
    return result


def watched(template: dict[str, Any]) -> set[Emitted]:
    """docwell's own metrics in alarms."""
    single = list(of_type(template, "AWS::CloudWatch::Alarm").values())
    inner = [
        metric["MetricStat"]["Metric"]
        for alarm in single
        for metric in alarm.get("Metrics", [])
        if "MetricStat" in metric
    ]
    return {
        (entry["MetricName"], tuple(sorted((pair["Name"], value(pair["Value"])) for pair in entry["Dimensions"])))
        for entry in (*single, *inner)
        if entry.get("Namespace") == {"Fn::Sub": NAMESPACE}
    }


def test_the_committed_files_equal_the_generated_ones() -> None:
    for path, text in dashboards.generated().items():
        assert path.read_text() == text, f"{path.name} is not current: run make dashboards"


def test_alarms_use_emitted_metrics_and_the_dashboard_all_of_them_with_those_dimensions(
    template: dict[str, Any], emitted: dict[str, Recording]
) -> None:
    really = {metric for recording in emitted.values() for metric in recording.metrics}
    assert shown(template) | watched(template) <= really | FROM_OTHERS
    assert really <= shown(template)


def test_the_price_of_a_month_counts_the_metrics_that_come_without_questions(
    emitted: dict[str, Recording],
) -> None:
    bill = tomllib.loads((ROOT / "scripts" / "costs.toml").read_text())["row"]
    by_clock = emitted["reconcile"].metrics | emitted["canary"].metrics
    idle = len(by_clock) + 1  # the canary starts the query function
    servers = len(FROM_OTHERS) - 1  # but for its failures
    assert [row["times"] for row in bill if row.get("price") == "metric"][:2] == [[idle], ["own_chroma", servers]]


def test_the_exporter_reads_every_metric_that_is_emitted_in_its_unit(emitted: dict[str, Recording]) -> None:
    exporter = stack_exporter(MODEL)
    ending = {"Milliseconds": "_seconds", "Seconds": "_seconds", "Percent": "_ratio"}
    for recording in emitted.values():
        for line in recording.output.splitlines():
            exporter.read(line)
            for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", []):
                for metric in directive["Metrics"]:
                    exported = EXPORTED[DOCWELL, metric["Name"]].name
                    assert exported.endswith(ending.get(metric["Unit"], "")), exported
                    assert exported.endswith(("_seconds", "_ratio")) is (metric["Unit"] in ending), exported
    for trouble in ("lines_damaged", "values_dropped"):
        assert exporter.registry.get_sample_value(f"docwell_metric_{trouble}_total") == 0


# --- log fields ---

# The keywords of the query language.
WORDS = {
    *("filter", "fields", "parse", "stats", "sort", "limit", "by", "as", "asc", "desc", "and", "or"),
    *("ispresent", "coalesce", "count", "sum", "avg", "max", "pct", "latest", "bin"),
}
# Fields that CloudWatch discovers in every line, and in Lambda's REPORT line.
BUILT_IN = frozenset({"@timestamp", "@message", "@type", "@initDuration", "@duration", "@maxMemoryUsed"})


def parsed(text: str) -> tuple[set[str], set[str]]:
    """The fields and messages of a query."""
    messages = set(re.findall(r'message = "([^"]+)"', text))
    bare = re.sub(r'"[^"]*"|/[^/\n]+/', " ", text)
    aliases = set(re.findall(r"\bas (\w+)", bare)) | set(re.findall(r"\(\?<(\w+)>", text))
    words = set(re.findall(r"@?[A-Za-z_][\w.]*", bare.replace("bin(1h)", "bin()")))
    return words - aliases - WORDS, messages


@pytest.mark.parametrize("query", NAMED.values(), ids=lambda query: query.name)
def test_a_saved_query_reads_fields_of_lines_that_are_written(
    query: SavedQuery, emitted: dict[str, Recording]
) -> None:
    fields, messages = parsed(query.text)
    lines = emitted[query.function.lower()].lines
    assert messages <= set(lines)
    written = {name for message in messages or lines for name in lines[message]}
    assert fields - BUILT_IN <= written


# --- alarms and their sections of the runbook ---


def anchors(runbook: str) -> dict[str, str]:
    """The sections by their headings' anchors."""
    sections = re.split(r"^## ", runbook, flags=re.MULTILINE)[1:]
    assert sections.pop().startswith("Restore what is lost\n")
    return {entry.partition("\n")[0].lower().replace(" ", "-"): entry for entry in sections}


def test_each_alarm_has_its_section_in_the_runbook_and_each_section_its_alarm(template: dict[str, Any]) -> None:
    links = {
        name: alarm["AlarmDescription"].partition("docs/operate/runbook.md#")[2]
        for name, alarm in alarms(template).items()
    }
    assert sorted(links.values()) == sorted(anchors(RUNBOOK.read_text()))
    for name, item in alarms(template).items():
        assert item["AlarmName"] == {"Fn::Sub": f"${{SystemName}}/{links[name]}"}


def test_each_alarm_notifies_the_topic_or_belongs_to_the_composite_alarm(template: dict[str, Any]) -> None:
    composite = template["Resources"]["CallersNoticeAlarm"]["Properties"]
    members = set(re.findall(r'ALARM\("\$\{(\w+)\}"\)', composite["AlarmRule"]["Fn::If"][1]["Fn::Sub"]))
    for name, alarm in alarms(template).items():
        (action,) = alarm.get("AlarmActions", [None])
        assert (action in ({"Ref": "AlarmTopic"}, {"Ref": "AlarmTopicArn"})) is (name not in members), name
    assert members < set(alarms(template))
