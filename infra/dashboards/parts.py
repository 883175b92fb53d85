"""The parts of a dashboard, independent of CloudWatch and Grafana.

contents.toml has docwell's dashboard and queries.toml the saved Logs Insights queries. `cloudwatch` and `grafana`
write the files (`make dashboards`). A `${Name}` is a parameter of infra/observability.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from runtime.exported import DOCWELL

Dimensions = tuple[tuple[str, str], ...]

MINUTES_5 = 300


@dataclass(frozen=True, slots=True)
class Metric:
    """A CloudWatch metric. A value of `dimensions` may be a `${Parameter}`."""

    namespace: str
    name: str
    dimensions: Dimensions


# The namespace and the dimensions of each kind of metric; {} is the service, function, queue or table.
_KINDS: dict[str, tuple[str, Dimensions]] = {
    "answers": (DOCWELL, (("service", "query"), ("model", "${ModelName}"))),
    "service": (DOCWELL, (("service", "{}"),)),
    "function": ("AWS/Lambda", (("FunctionName", "${{{}FunctionName}}"),)),
    "api": ("AWS/ApiGateway", (("ApiName", "${SystemName}"), ("Stage", "live"))),
    "firewall": ("AWS/WAFV2", (("WebACL", "${SystemName}"), ("Region", "${AWS::Region}"), ("Rule", "ALL"))),
    "model_hosts": ("AWS/AutoScaling", (("AutoScalingGroupName", "${ModelHostGroupName}"),)),
    "queue": ("AWS/SQS", (("QueueName", "${{{}QueueName}}"),)),
    "table": ("AWS/DynamoDB", (("TableName", "${{{}TableName}}"),)),
}


def metric(text: str) -> Metric:
    """Return the metric of `KIND NAME` or `KIND NAME OF`, such as `queue ApproximateAgeOfOldestMessage Ingest`."""
    kind, name, *source = text.split()
    namespace, dimensions = _KINDS[kind]
    return Metric(
        namespace, name, tuple((key, value.format(*source) if source else value) for key, value in dimensions)
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A metric on a graph. `statistic` is CloudWatch's name. A hidden line only feeds a formula."""

    metric: Metric
    label: str
    statistic: str = "Sum"
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Formula:
    """Metric math over the lines before it: `m1`, `m2`… in order."""

    expression: str
    label: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time, in count, milliseconds, seconds, percent or money. Only AWS has the metrics `of_aws`."""

    title: str
    lines: tuple[Line | Formula, ...]
    unit: str = "count"
    stacked: bool = False
    period: int = MINUTES_5
    of_aws: bool = False


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A Logs Insights query over the log group of one function: Query, Ingest or Reconcile."""

    name: str
    function: str
    text: str

    @property
    def log_group(self) -> str:
        """The parameter with the log group's name."""
        return f"${{{self.function}LogGroupName}}"


@dataclass(frozen=True, slots=True)
class Table:
    """The results of a saved query."""

    title: str
    query: SavedQuery


@dataclass(frozen=True, slots=True)
class Section:
    """A question that the dashboard answers, and the panels for it."""

    question: str
    explanation: str
    panels: tuple[Graph | Table, ...]


COLUMNS, PANEL_HEIGHT, PANELS_A_ROW = 24, 6, 3


_Panel = TypeVar("_Panel", bound=Graph | Table)


def places(panels: Sequence[_Panel], top: int) -> Iterator[tuple[_Panel, int, int, int]]:
    """Yield each panel with its x, y and width on a grid of 24 columns, in rows of three from `top` down.

    The last row's panels share its whole width.
    """
    for first in range(0, len(panels), PANELS_A_ROW):
        row = panels[first : first + PANELS_A_ROW]
        width = COLUMNS // len(row)
        for number, panel in enumerate(row):
            yield panel, number * width, top + first // PANELS_A_ROW * PANEL_HEIGHT, width
