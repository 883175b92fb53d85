"""``python -m infra.dashboards``: write dashboards, saved queries and alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from infra.dashboards import alert_rules, cloudwatch, grafana
from infra.dashboards.contents import NAMED, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "observability.yaml"
# The templates with alarms for people, in the order of the dashboard.
ALARMS = [ROOT / "template.yaml", TEMPLATE]
GRAFANA = ROOT / "infra" / "grafana" / "docwell-prometheus.json"
ALERTS = ROOT / "infra" / "prometheus" / "alerts.yaml"

_ALARMS = ("AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::Alarm")


def generated() -> dict[Path, str]:
    """Return each file with its new content. Raises `ValueError` if the template lacks the marks."""
    template = TEMPLATE.read_text()
    before, begin, tail = template.partition(cloudwatch.BEGIN)
    _, end, after = tail.partition(cloudwatch.END)
    if not (begin and end):
        raise ValueError(f"{TEMPLATE} must hold the two marks of infra/dashboards/cloudwatch.py")
    resources = {name: alarm for path in ALARMS for name, alarm in _decoded(path)["Resources"].items()}
    alarms = [
        alarm["Properties"]["AlarmName"]["Fn::Sub"]
        for kind in _ALARMS
        for alarm in resources.values()
        if alarm["Type"] == kind
    ]
    written = cloudwatch.resources(SECTIONS, NAMED.values(), alarms)
    return {
        TEMPLATE: before + begin + written + end + after,
        GRAFANA: grafana.dashboard(SECTIONS),
        ALERTS: alert_rules.rules(resources, _ON_ONE_MACHINE),
    }


# The parameters of alarms on one machine, whose owner pays no price per hour.
_ON_ONE_MACHINE = {"CostLimit": 50, "HostHourPrice": 0, "NoHostWeight": 3}


def main() -> None:
    """Write the files that are not current."""
    for path, text in generated().items():
        if not path.exists() or path.read_text() != text:
            print(f"written: {path.relative_to(ROOT)}")
            path.write_text(text)


def _decoded(path: Path) -> dict[str, Any]:
    content, problems = decode(str(path))
    if problems or not isinstance(content, dict):
        raise ValueError(f"{path} cannot be read: {problems}")
    return content


if __name__ == "__main__":
    main()
