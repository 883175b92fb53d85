"""The alarms of infra/ollama.yaml that stop the last model host and start one, on minutes of their metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from docwell.query.metrics import record_sleep
from infra.container.sam import ROOT
from tests.unit.cases import rows
from tests.unit.infra.templates import content

RESOURCES: dict[str, Any] = content(ROOT / "infra" / "ollama.yaml")["Resources"]
# A minute of the metric ModelAsleep: its values, one for each question. None: no question.
Minute = Sequence[int] | None


def rings(alarm: dict[str, Any], minutes: Sequence[Minute]) -> bool:
    """Whether CloudWatch sets the alarm after these minutes: missing ones count as TreatMissingData says."""
    periods, missing = alarm["EvaluationPeriods"], alarm["TreatMissingData"] == "breaching"
    breaches = sum(missing if entry is None else _breaches(alarm, entry) for entry in list(minutes)[-periods:])
    return bool(breaches >= alarm.get("DatapointsToAlarm", periods))


def _breaches(alarm: dict[str, Any], minute: Sequence[int]) -> bool:
    value = sum(minute) if alarm["Statistic"] == "Sum" else len(minute)
    below = alarm["ComparisonOperator"] == "LessThanThreshold"
    return bool(value < alarm["Threshold"] if below else value >= alarm["Threshold"])


def state(*minutes: Minute) -> str:
    """The order that the two alarms give after these minutes."""
    start = rings(RESOURCES["QuestionFoundNoHost"]["Properties"], minutes)
    stop = rings(RESOURCES["HostsAreUnused"]["Properties"], minutes)
    return {(True, False): "start", (False, True): "stop", (False, False): "keep"}[start, stop]


@pytest.mark.parametrize(("minutes", "idle", "order"), rows(__file__, "sleep_minutes"), ids=str)
def test_a_question_that_finds_no_host_starts_one_and_unused_hosts_stop(
    minutes: list[Minute], idle: int, order: str
) -> None:
    assert state(*[None] * 60, *minutes, *[None] * idle) == order


def test_both_read_the_metric_of_the_query_function(capsys: pytest.CaptureFixture[str]) -> None:
    record_sleep(asleep=True)
    emitted = json.loads(capsys.readouterr().out)
    (lines,) = emitted["_aws"]["CloudWatchMetrics"]
    for name in ("QuestionFoundNoHost", "HostsAreUnused"):
        alarm = RESOURCES[name]["Properties"]
        assert alarm["Namespace"] == {"Ref": "MetricsNamespace"}  # test_observability_stack.py compares it
        assert alarm["MetricName"] == lines["Metrics"][0]["Name"]
        assert [[dimension["Name"] for dimension in alarm["Dimensions"]]] == lines["Dimensions"]
        assert alarm["Period"] == 60
