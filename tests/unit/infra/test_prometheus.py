"""The dashboard and the alarms as Prometheus has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from prometheus_client import generate_latest

from infra.dashboards import __main__ as dashboards
from infra.dashboards.alert_rules import AWS_ALONE
from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.local.prometheus import stack_exporter
from tests.unit.infra.templates import content

GRAPHS = [item for part in SECTIONS for item in part.panels if isinstance(item, Graph) and not item.of_aws]
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: scripts/install-programs prometheus"
)


def alarms() -> dict[str, Any]:
    resources = [pair for path in dashboards.ALARMS for pair in content(path)["Resources"].items()]
    return {name: item for name, item in resources if item["Type"].endswith("Alarm") and name not in AWS_ALONE}


def alerts() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(dashboards.ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def families() -> set[str]:
    """The names that `/metrics` declares, with the endings of their samples."""
    declared = re.findall(
        r"^# TYPE (\w+) (\w+)", generate_latest(stack_exporter("m").registry).decode(), re.MULTILINE
    )
    endings = {"summary": ("_sum", "_count"), "histogram": ("_sum", "_count", "_bucket")}
    return {name + ending for name, kind in declared for ending in endings.get(kind, ("",))}


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\bdocwell_\w+", expression))


def test_every_graph_has_a_query_for_each_visible_line_over_metrics_that_exist() -> None:
    page = json.loads(dashboards.GRAFANA.read_text())
    shown = {row["title"]: row["targets"] for row in page["panels"] if row["type"] != "row"}
    assert list(shown) == [item.title for item in GRAPHS]
    names = families()
    for graph in GRAPHS:
        visible = [line.label for line in graph.lines if not (isinstance(line, Line) and line.hidden)]
        assert [entry["legendFormat"] for entry in shown[graph.title]] == visible
        for target in shown[graph.title]:
            assert metrics_of(target["expr"])
            assert metrics_of(target["expr"]) <= names
            assert target["datasource"]["type"] == "prometheus"


def test_every_alarm_has_a_rule_over_metrics_that_exist() -> None:
    written, names = alerts(), families()
    assert list(written) == [name.removesuffix("Alarm") for name in alarms()]
    for name, alarm in alarms().items():
        rule = written[name.removesuffix("Alarm")]
        properties = alarm["Properties"]
        assert metrics_of(rule["expr"]) <= names
        assert metrics_of(rule["expr"]) or alarm["Type"] == "AWS::CloudWatch::CompositeAlarm"
        assert rule["labels"]["severity"] == ("page" if "AlarmActions" in properties else "info")
        assert (
            f"{rule['annotations']['summary']} {rule['annotations']['runbook']}" == properties["AlarmDescription"]
        )


@NEEDS_PROMTOOL
def test_alerts_fire_as_the_alarms_do_and_never_on_an_empty_start(tmp_path: Path) -> None:
    def expected(alert: str, fires: bool) -> list[dict[str, Any]]:
        rule = alerts()[alert]
        return [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}] if fires else []

    cases = tomllib.loads(Path(__file__).with_name("alerts.toml").read_text())["case"]
    assert {(name, fires) for name in alerts() for fires in (True, False)} == {
        (case["alert"], case["fires"]) for case in cases
    }
    tests: list[dict[str, Any]] = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": text} for name, text in case.get("series", {}).items()],
            "alert_rule_test": [
                {
                    "eval_time": case["at"],
                    "alertname": case["alert"],
                    "exp_alerts": expected(case["alert"], case["fires"]),
                }
            ],
        }
        for case in cases
    ]
    silent: list[dict[str, Any]] = [
        {"eval_time": at, "alertname": name, "exp_alerts": []} for at in ("0m", "1h", "4h") for name in alerts()
    ]
    tests.append({"interval": "1m", "alert_rule_test": silent})
    path = tmp_path / "test.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(dashboards.ALERTS)], "evaluation_interval": "5m", "tests": tests})
    )
    ran = subprocess.run(["promtool", "test", "rules", path], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
