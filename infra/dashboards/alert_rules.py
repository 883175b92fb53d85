"""Write the alarms for people as Prometheus alert rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.dashboards import promql
from infra.dashboards.parts import Metric

RUNBOOK = "docs/operate/runbook.md"
# Metrics that one machine does not have. The canary checks a deployed version, so its silence must not alert.
_WITHOUT_SOURCE = {"CanaryFound"}
AWS_ALONE = {"AccountConcurrencyAlarm", "BlockedRequestsAlarm", "ServerFailuresAlarm", "SnapshotsAlarm"}

_COMPARISONS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
}


def rules(resources: Mapping[str, Any], parameters: Mapping[str, object]) -> str:
    """Return the rules file (YAML). `resources` are CloudFormation's, `parameters` values for their `Ref`s.

    Raises `KeyError` for a metric that is not exported, `ValueError` for an alarm that PromQL cannot express.
    """
    written = "".join(_written(resources, parameters))
    return f"# `make dashboards` writes this file.\ngroups:\n- name: docwell\n  rules:\n{written}"


def _written(resources: Mapping[str, Any], parameters: Mapping[str, object]) -> Iterator[str]:
    for name, resource in resources.items():
        if not resource["Type"].endswith("Alarm") or name in AWS_ALONE:
            continue
        alarm = resource["Properties"]
        summary, _, section = alarm["AlarmDescription"].partition(f" {RUNBOOK}#")
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            expression = _expression(_Alarm(alarm, parameters))
        else:
            expression = _any_of(alarm["AlarmRule"]["Fn::If"][1]["Fn::Sub"])
        # An alarm without an action notifies through a composite alarm.
        severity = "page" if "AlarmActions" in alarm else "info"
        yield (
            f"  - alert: {name.removesuffix('Alarm')}\n"
            f"    expr: {json.dumps(expression)}\n"
            f"    labels: {{severity: {severity}}}\n"
            f"    annotations:\n"
            f"      summary: {json.dumps(summary)}\n"
            f"      runbook: {json.dumps(f'{RUNBOOK}#{section}')}\n"
        )


def _any_of(rule: str) -> str:
    members = re.findall(r'ALARM\("\$\{(\w+)Alarm\}"\)', rule)
    if rule.split() != " OR ".join(f'ALARM("${{{member}Alarm}}")' for member in members).split():
        raise ValueError(f"no PromQL for this composite alarm: {rule}")
    return f'max(ALERTS{{alertstate="firing",alertname=~"{"|".join(members)}"}}) > 0'


class _Alarm:
    """The properties of one alarm, with values instead of parameters."""

    def __init__(self, alarm: Mapping[str, Any], parameters: Mapping[str, object]) -> None:
        self._alarm = alarm
        self._parameters = parameters
        self.periods = int(alarm["EvaluationPeriods"])
        self.breaches = int(alarm.get("DatapointsToAlarm", self.periods))
        self.comparison = _COMPARISONS[alarm["ComparisonOperator"]]
        threshold, missing = alarm["Threshold"], alarm["TreatMissingData"]
        self.threshold = parameters[threshold["Ref"]] if isinstance(threshold, dict) else threshold
        # Take the branch for a stack with a Chroma server, as on one machine.
        self.missing = missing["Fn::If"][1] if isinstance(missing, dict) else missing
        value, *metrics = alarm.get("Metrics", [alarm])
        self._math = value.get("Expression")
        self.statistic = str(alarm.get("Statistic") or alarm.get("ExtendedStatistic"))
        self._parts = {metric["Id"]: metric["MetricStat"] for metric in metrics}
        self.period = int(alarm.get("Period") or metrics[0]["MetricStat"]["Period"])

    def value(self) -> str:
        """The query of the value to compare."""
        if self._math is None:
            return promql.query(_metric(self._alarm), self.statistic, self.period)
        text = self._math["Fn::Sub"] if isinstance(self._math, dict) else self._math
        text = re.sub(r"\$\{(\w+)\}", lambda match: str(self._parameters[match[1]]), text)
        parts = {
            id_: promql.query(_metric(metric["Metric"]), metric["Stat"], int(metric["Period"]))
            for id_, metric in self._parts.items()
        }
        return promql.formula(text, parts)

    @property
    def silence_breaches(self) -> bool:
        """Whether a missing value counts as a breach."""
        return self.missing == "breaching" and self._alarm.get("MetricName") not in _WITHOUT_SOURCE


def _expression(alarm: _Alarm) -> str:
    value = alarm.value()
    condition = f"{value} {alarm.comparison} {alarm.threshold}"
    if alarm.silence_breaches:
        condition = _with_silence(condition, value, alarm)
    if alarm.periods == 1:
        return condition
    if (alarm.statistic, alarm.breaches) == ("Maximum", 2):
        # A gauge keeps its value until the next one, and a pass begins at any time: compare two periods up to now.
        span = promql.duration(alarm.period)
        before = condition.replace(f"[{span}]", f"[{span}] offset {span}")
        return f"({condition.replace('max', 'min', 2)}) and ({before})"
    # `for` would count one short breach twice, in sliding windows. A subquery's steps equal CloudWatch's periods.
    window = f"[{promql.duration(alarm.periods * alarm.period)}:{promql.duration(alarm.period)}]"
    lasting = f"count_over_time(({condition}){window}) >= {alarm.breaches}"
    # After a gap in all data, the steps lie in the gap: the present must breach, too.
    return f"({lasting}) and ({condition})" if alarm.silence_breaches else lasting


def _with_silence(condition: str, value: str, alarm: _Alarm) -> str:
    """Return the condition with silence as a breach, if there was data before.

    Subqueries look back to before the first data. A sum is too small until there is data of a whole period.
    """
    if alarm.comparison == "<":
        condition = f"{condition} and count_over_time(({value})[5m:1m] offset {promql.duration(alarm.period)})"
    series = re.findall(r"docwell_\w+(?:{[^}]*})?", value)[0]
    # The series, too: an increase needs two samples.
    return (
        f"({condition}) or (absent({value}) and on() absent({series}) and on() count_over_time({series}[7d:5m]))"
    )


def _metric(described: Mapping[str, Any]) -> Metric:
    def text(value: Any) -> str:
        return f"${{{value['Ref']}}}" if isinstance(value, dict) else str(value)

    namespace = described["Namespace"]
    pairs = tuple((dimension["Name"], text(dimension["Value"])) for dimension in described["Dimensions"])
    return Metric(
        namespace["Fn::Sub"] if isinstance(namespace, dict) else namespace, described["MetricName"], pairs
    )
