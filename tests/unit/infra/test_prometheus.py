"""The dashboard and the alarms as Prometheus has them, and the check of the panels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from prometheus_client import generate_latest

from infra.dashboards import __main__ as dashboards
from infra.dashboards import promql
from infra.dashboards.alert_rules import WITHOUT_SOURCE, rules
from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line, Metric, of_answers, of_function, of_service
from infra.local import prometheus
from infra.local.metrics import stack_exporter
from runtime.exported import EXPORTED
from tests.unit.infra.templates import content

GRAPHS = [panel for section in SECTIONS for panel in section.panels if isinstance(panel, Graph)]
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: scripts/install-programs prometheus"
)


def alarms() -> dict[str, Any]:
    found = {name: one for path in dashboards.ALARMS for name, one in content(path)["Resources"].items()}
    return {name: one for name, one in found.items() if one["Type"].endswith("Alarm")}


def alerts() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(dashboards.ALERTS.read_text())["groups"]
    return {one["alert"]: one for one in group["rules"]}


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
    page = json.loads(dashboards.GRAFANA_PROMETHEUS.read_text())
    shown = {one["title"]: one["targets"] for one in page["panels"] if one["type"] != "row"}
    assert list(shown) == [one.title for one in GRAPHS]
    known = families()
    for graph in GRAPHS:
        visible = [one.label for one in graph.lines if not (isinstance(one, Line) and one.hidden)]
        assert [one["legendFormat"] for one in shown[graph.title]] == visible
        for target in shown[graph.title]:
            assert metrics_of(target["expr"])
            assert metrics_of(target["expr"]) <= known
            assert target["datasource"]["type"] == "prometheus"


def test_every_alarm_has_a_rule_over_metrics_that_exist() -> None:
    written, known = alerts(), families()
    assert list(written) == [name.removesuffix("Alarm") for name in alarms()]
    for name, alarm in alarms().items():
        rule = written[name.removesuffix("Alarm")]
        properties = alarm["Properties"]
        assert metrics_of(rule["expr"]) <= known
        assert metrics_of(rule["expr"]) or alarm["Type"] == "AWS::CloudWatch::CompositeAlarm"
        assert rule["labels"]["severity"] == ("page" if "AlarmActions" in properties else "info")
        assert (
            f"{rule['annotations']['summary']} {rule['annotations']['runbook']}" == properties["AlarmDescription"]
        )


def test_no_metric_is_exported_that_neither_graph_nor_alarm_uses() -> None:
    used = {
        (one.metric.namespace, one.metric.name) for graph in GRAPHS for one in graph.lines if isinstance(one, Line)
    }
    for alarm in alarms().values():
        stats = [
            one["MetricStat"]["Metric"] for one in alarm["Properties"].get("Metrics", []) if "MetricStat" in one
        ]
        for one in [*stats, *([alarm["Properties"]] if "MetricName" in alarm["Properties"] else [])]:
            namespace = one["Namespace"]
            used.add((namespace["Fn::Sub"] if isinstance(namespace, dict) else namespace, one["MetricName"]))
    assert used == set(EXPORTED)


def test_a_composite_alert_names_alerts_that_exist() -> None:
    (names,) = re.findall(r'alertname=~"([^"]+)"', alerts()["CallersNotice"]["expr"])
    assert set(names.split("|")) < set(alerts())


def test_silence_is_an_alert_where_the_alarm_says_so_and_this_machine_has_a_source() -> None:
    silent = {name for name, one in alerts().items() if "absent(" in one["expr"]}
    assert silent == {"ChromaServer", "ReconcileSilent"}
    assert "CanaryFound" in WITHOUT_SOURCE


@pytest.mark.parametrize(
    ("metric", "statistic", "period", "expected"),
    [
        (
            of_service("query", "Problems"),
            "Sum",
            300,
            'sum(increase(docwell_problems_total{service="query"}[5m]))',
        ),
        (
            of_function("Ingest", "Duration"),
            "Maximum",
            3600,
            (
                "1000 * histogram_quantile(1, sum by (le) (rate("
                'docwell_function_duration_seconds_bucket{function="docwell-ingest"}[1h])))'
            ),
        ),
        (
            of_answers("Cost"),
            "Average",
            86_400,
            (
                '(sum(increase(docwell_cost_sum{service="query"}[1d])) / '
                'sum(increase(docwell_cost_count{service="query"}[1d])))'
            ),
        ),
        (
            of_service("chroma", "DiskUsed"),
            "Maximum",
            90,
            '100 * max(max_over_time(docwell_disk_used_ratio{service="chroma"}[90s]))',
        ),
    ],
)
def test_a_statistic_becomes_promql_in_the_units_of_cloudwatch(
    metric: Metric, statistic: str, period: int, expected: str
) -> None:
    assert promql.query(metric, statistic, period) == expected


def test_a_statistic_that_a_kind_does_not_have_is_an_error() -> None:
    for metric, statistic in ((of_service("query", "Problems"), "p95"), (of_answers("Cost"), "p95")):
        with pytest.raises(ValueError, match=f"has no {statistic}"):
            promql.query(metric, statistic, 300)
    with pytest.raises(KeyError):
        promql.query(of_service("query", "Invented"), "Sum", 300)


def test_metric_math_becomes_promql() -> None:
    parts = {"a": "x", "b": "y"}
    assert promql.formula("100 * a / b", parts) == "((100 * (x)) / (y))"
    assert promql.formula("IF(a >= 3, b, 0)", parts) == "(((y) and ((x) >= 3)) or vector(0))"
    assert promql.formula("FILL(a, 0) - b", parts) == "(((x) or vector(0)) - (y))"
    assert promql.formula("MAX([a, b])", parts) == "(((x) >= (y)) or (y) or (x))"
    for unknown in ("SUM(METRICS())", "a ** b", "a if b else a"):
        with pytest.raises(ValueError, match="no PromQL"):
            promql.formula(unknown, parts)


def test_an_alarm_that_promql_cannot_express_is_an_error() -> None:
    composite = {"AlarmDescription": "x", "AlarmRule": {"Fn::Sub": 'ALARM("${AAlarm}") AND ALARM("${BAlarm}")'}}
    with pytest.raises(ValueError, match="composite"):
        rules({"CAlarm": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": composite}}, {})


@NEEDS_PROMTOOL
def test_promtool_accepts_the_rules() -> None:
    subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", dashboards.ALERTS], check=True, capture_output=True
    )


@NEEDS_PROMTOOL
def test_promtool_accepts_the_metrics() -> None:
    output = generate_latest(stack_exporter("m").registry)
    subprocess.run(["promtool", "check", "metrics"], input=output, check=True, capture_output=True)


ERRORS, REQUESTS = "docwell_http_server_errors_total", "docwell_http_requests_total"
PROBLEMS = 'docwell_problems_total{service="query"}'
DENIED, REJECTED = (f'docwell_unauthenticated_total{{service="{one}"}}' for one in ("authorizer", "query"))
DRIFT = 'docwell_drift{service="reconcile"}'
WANTED, SERVING = "docwell_model_hosts_desired", "docwell_model_hosts_in_service"
MEMORY, DISK = (f'docwell_{one}_used_ratio{{service="chroma"}}' for one in ("memory", "disk"))


def latencies(within_20_s: str, all_: str) -> dict[str, str]:
    name = 'docwell_query_latency_seconds_bucket{service="query",gen_ai_request_model="m",le="%s"}'
    return {name % "20.0": within_20_s, name % "30.0": all_, name % "+Inf": all_}


# An alert, a time, series of one value each minute, and whether the alert fires then.
CASES: list[tuple[str, str, dict[str, str], bool]] = [
    ("AnswersFail", "20m", {ERRORS: "0+1x30", REQUESTS: "0+2x30"}, True),
    ("AnswersFail", "20m", {ERRORS: "0+1x30", REQUESTS: "0+40x30"}, False),
    ("AnswersFail", "20m", {ERRORS: "0x20", REQUESTS: "0x20"}, False),
    # Streamed answers that fail have status 200. A problem with its status is in both counts, and is one.
    ("AnswersFail", "20m", {PROBLEMS: "0+1x30", REQUESTS: "0+2x30"}, True),
    ("AnswersFail", "20m", {ERRORS: "0x30", PROBLEMS: "0+1x30", REQUESTS: "0+2x30"}, True),
    ("AnswersFail", "20m", {ERRORS: "0+1x30", PROBLEMS: "0+1x30", REQUESTS: "0+30x30"}, False),
    ("Unauthenticated", "30m", {DENIED: "0+20x40"}, True),
    ("Unauthenticated", "30m", {DENIED: "0+6x40", REJECTED: "0+6x40"}, True),
    ("Unauthenticated", "30m", {DENIED: "0+4x40", REJECTED: "0+4x40"}, False),
    ("CallersNotice", "20m", {ERRORS: "0+1x30", REQUESTS: "0+2x30"}, True),
    ("CallersNotice", "20m", {ERRORS: "0x30", REQUESTS: "0+2x30"}, False),
    # A drift that one pass finds and the next does not, and one that stays.
    ("Drift", "150m", {DRIFT: "0x30 2x5 0x200"}, False),
    ("Drift", "150m", {DRIFT: "0x30 2x200"}, True),
    ("SlowAnswers", "30m", latencies("0x40", "0+1x40"), True),
    ("SlowAnswers", "30m", latencies("0+1x40", "0+1x40"), False),
    ("ChromaServer", "30m", {MEMORY: "0.5x40", DISK: "0.9x40"}, True),
    ("ChromaServer", "30m", {MEMORY: "0.9x40", DISK: "0.5x40"}, True),
    ("ChromaServer", "30m", {MEMORY: "0.5x40", DISK: "0.5x40"}, False),
    ("ChromaServer", "60m", {MEMORY: "0.5x20 stale", DISK: "0.5x20 stale"}, True),
    ("ModelHosts", "80m", {WANTED: "1x90", SERVING: "0x90"}, True),
    ("ModelHosts", "80m", {WANTED: "1x90", SERVING: "0x20 1x70"}, False),
    ("Canary", "120m", {}, False),
]


@NEEDS_PROMTOOL
def test_alerts_fire_as_the_alarms_do(tmp_path: Path) -> None:
    def expected(alert: str, fires: bool) -> list[dict[str, Any]]:
        rule = alerts()[alert]
        return [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}] if fires else []

    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected(alert, fires)}],
        }
        for alert, at, series, fires in CASES
    ]
    path = tmp_path / "test.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(dashboards.ALERTS)], "evaluation_interval": "5m", "tests": tests})
    )
    ran = subprocess.run(["promtool", "test", "rules", path], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- the check of the panels ---


def range_of(*values: str) -> dict[str, Any]:
    return {"data": {"result": [{"metric": {}, "values": [[1, one] for one in values]}] if values else []}}


def states(answer: dict[str, Any]) -> list[prometheus.PanelState]:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    with httpx.Client(transport=transport, base_url="http://prometheus") as client:
        return list(prometheus.panel_states(client, since=0))


def test_a_panel_has_data_if_each_line_had_a_number() -> None:
    found = states(range_of("NaN", "0"))
    assert [one.title for one in found] == [one.title for one in GRAPHS]
    assert not any(one.missing for one in found)


@pytest.mark.parametrize("values", [(), ("NaN", "+Inf")])
def test_no_series_and_no_number_are_no_data_and_a_known_reason_is_named(values: tuple[str, ...]) -> None:
    found = {one.title: one for one in states(range_of(*values))}
    assert found["Requests"].missing == ("all", "client errors (4xx)", "server errors (5xx)")
    assert found["Requests"].reason == ""
    assert found["Canary: 1 where its page is found"].reason
    assert found["Feedback"].reason


def test_a_query_that_prometheus_rejects_is_an_error() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(400))
    with httpx.Client(transport=transport, base_url="http://prometheus") as client, pytest.raises(httpx.HTTPError):
        list(prometheus.panel_states(client, since=0))


@pytest.mark.parametrize("reachable", [True, False])
def test_the_panels_are_said_after_the_first_answer(monkeypatch: pytest.MonkeyPatch, reachable: bool) -> None:
    counted = iter(["0.0", "0.0", "1.0"])

    def answer(request: httpx.Request) -> httpx.Response:
        if not reachable:
            raise httpx.ConnectError("refused")
        if request.url.path == "/metrics":
            return httpx.Response(
                200, text=f'docwell_query_latency_seconds_count{{service="query"}} {next(counted)}\n'
            )
        return httpx.Response(200, json=range_of("1"))

    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: client(transport=httpx.MockTransport(answer)))
    monkeypatch.setattr(prometheus, "SCRAPE_S", 0)
    calls: list[dict[str, Any]] = []
    functions = SimpleNamespace(invoke=lambda **call: calls.append(call))
    stack = SimpleNamespace(
        metrics="http://m", prometheus="http://p", reconcile_function="f", client=lambda _: functions
    )
    said: list[str] = []
    console = SimpleNamespace(say=lambda text, _style="": said.append(text))
    prometheus.say_panels(stack, console, 0.0)  # type: ignore[arg-type] # all that it uses of both
    if reachable:
        assert next(counted, None) is None
        assert calls == [{"FunctionName": "f", "Payload": b'{"action": "reconcile"}'}]
        assert said[0] == f"\n{len(GRAPHS)} of {len(GRAPHS)} graphs of the dashboard have data:"
        assert said[1:] == [f"  {one.title}: data" for one in GRAPHS]
    else:
        assert said == ["the panels of the dashboard cannot be checked: refused"]


def test_prometheus_reads_the_stack_and_lets_no_page_read_it(tmp_path: Path) -> None:
    command = prometheus.prometheus_command("http://127.0.0.1:9464", "http://127.0.0.1:9090", tmp_path / "p")
    settings = yaml.safe_load((tmp_path / "p" / "prometheus.yml").read_text())
    assert settings["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:9464"]}]
    assert settings["rule_files"] == [str(dashboards.ALERTS)]
    assert "--web.listen-address=127.0.0.1:9090" in command
    assert "--web.cors.origin=http://127.0.0.1:9090" in command
