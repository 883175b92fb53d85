"""The parts of a dashboard, independent of CloudWatch and Grafana.

`contents` has docwell's dashboard and `queries` the saved Logs Insights queries. `cloudwatch` and `grafana` write
the files (`make dashboards`). A `${Name}` is a parameter of infra/dashboard.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from runtime.exported import DOCWELL

Dimensions = tuple[tuple[str, str], ...]

MINUTES_5 = 300
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Metric:
    """A CloudWatch metric. A value of `dimensions` may be a `${Parameter}`."""

    namespace: str
    name: str
    dimensions: Dimensions


def of_answers(name: str) -> Metric:
    """Return a metric that docwell emits with each answer."""
    return Metric(DOCWELL, name, (("service", "query"), ("model", "${ModelName}")))


def of_service(service: str, name: str) -> Metric:
    """Return a metric that docwell emits for a function."""
    return Metric(DOCWELL, name, (("service", service),))


def of_function(function: str, name: str) -> Metric:
    """Return a metric of Lambda. `function` is Query, Ingest or Reconcile."""
    return Metric("AWS/Lambda", name, (("FunctionName", f"${{{function}FunctionName}}"),))


def of_api(name: str) -> Metric:
    """Return a metric of API Gateway, which identifies a REST API by its name."""
    return Metric("AWS/ApiGateway", name, (("ApiName", "${SystemName}"), ("Stage", "live")))


def of_model_hosts(name: str) -> Metric:
    """Return a metric of the auto scaling group of the model hosts."""
    return Metric("AWS/AutoScaling", name, (("AutoScalingGroupName", "${ModelHostGroupName}"),))


def of_queue(queue: str, name: str) -> Metric:
    """Return a metric of SQS. `queue` is Ingest, Ocr or DeadLetter."""
    return Metric("AWS/SQS", name, (("QueueName", f"${{{queue}QueueName}}"),))


def of_table(table: str, name: str) -> Metric:
    """Return a metric of DynamoDB. `table` is Ledger, Principals or Receipts."""
    return Metric("AWS/DynamoDB", name, (("TableName", f"${{{table}TableName}}"),))


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
    """Lines over time. `unit` is count, milliseconds, seconds, percent or money; `period` is in seconds."""

    title: str
    lines: tuple[Line | Formula, ...]
    unit: str = "count"
    stacked: bool = False
    period: int = MINUTES_5


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
