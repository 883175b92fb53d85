"""The metrics of the dashboard and the alarms for Prometheus: name, kind, base unit and labels.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

# The namespace of docwell's metrics. Each stack has one.
DOCWELL = "Docwell/${SystemName}"
# The bounds of a histogram's buckets. The first is a warm embedding, the last the longest run of a function.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0)
# The bounds of ratios. The alarm on token counts is at 0.5.
RATIOS = (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


class Kind(StrEnum):
    """The type of a Prometheus metric. It decides which statistics a query can use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Exported:
    """One metric. `name` has the base unit, but not the `_total` of a counter.

    A CloudWatch value times `scale` is in the base unit. `labels` maps CloudWatch's dimensions to labels; other
    dimensions are dropped.
    """

    name: str
    kind: Kind
    source: str
    scale: float = 1.0
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def buckets(self) -> tuple[float, ...]:
        """The upper bounds of a histogram's buckets."""
        return RATIOS if self.name.endswith("_ratio") else SECONDS


_SERVICE = (("service", "service"),)
# OpenTelemetry's name: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
_ANSWERS = (*_SERVICE, ("model", "gen_ai_request_model"))
# CloudWatch's unit: the suffix of the base unit, and the scale.
_UNITS = {"Milliseconds": ("_seconds", 0.001), "Seconds": ("_seconds", 1.0), "Percent": ("_ratio", 0.01)}

_Entry = tuple[tuple[str, str], Exported]


def _docwell(kind: Kind, labels: tuple[tuple[str, str], ...], names: str, unit: str = "") -> Iterator[_Entry]:
    suffix, scale = _UNITS.get(unit, ("", 1.0))
    for name in names.split():
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        full = f"docwell_{snake.removesuffix(suffix)}{suffix}"
        yield (DOCWELL, name), Exported(full, kind, f"{name} of docwell", scale, labels)


def _aws(
    namespace: str, labels: tuple[tuple[str, str], ...], *metrics: tuple[str, str, Kind, float]
) -> Iterator[_Entry]:
    for name, exported, kind, scale in metrics:
        yield (namespace, name), Exported(f"docwell_{exported}", kind, f"{name} of {namespace}", scale, labels)


# By CloudWatch's namespace and name. docwell's metrics keep their names; AWS's get names that need no AWS.
EXPORTED: dict[tuple[str, str], Exported] = dict(
    chain(
        _docwell(
            Kind.COUNTER, _SERVICE, "Problems Overloads QuotaRejections Unauthenticated ModelAsleep ColdStart"
        ),
        _docwell(Kind.COUNTER, _SERVICE, "PagesIngested ChunksIngested EmbeddedTokens HiddenCharacters"),
        _docwell(Kind.COUNTER, _SERVICE, "DocumentsRejected UnknownEvents"),
        _docwell(Kind.COUNTER, _ANSWERS, "PromptTokens CompletionTokens DroppedPassages SuspiciousPassages"),
        _docwell(Kind.COUNTER, _ANSWERS, "Refusals Fallbacks TruncatedPrompts SkippedStages"),
        _docwell(Kind.COUNTER, _ANSWERS, "ModelHostSeconds FunctionSeconds", "Seconds"),
        _docwell(Kind.SUMMARY, _SERVICE, "Feedback"),
        _docwell(Kind.SUMMARY, _ANSWERS, "Cost UnsupportedSentences"),
        _docwell(Kind.HISTOGRAM, _SERVICE, "IngestLatency", "Milliseconds"),
        _docwell(Kind.HISTOGRAM, _ANSWERS, "QueryLatency TimeToFirstToken GenerateLatency", "Milliseconds"),
        _docwell(Kind.HISTOGRAM, _ANSWERS, "EmbedLatency RetrieveLatency", "Milliseconds"),
        _docwell(Kind.HISTOGRAM, _ANSWERS, "TokenCountError", "Percent"),
        _docwell(Kind.GAUGE, _SERVICE, "MemoryUsed DiskUsed", "Percent"),
        _docwell(Kind.GAUGE, _SERVICE, "CanaryFound Drift DriftMissing DriftStale DriftOrphan DriftDuplicate"),
        _docwell(Kind.GAUGE, _SERVICE, "DriftLost DriftStuck DocumentsIndexed DocumentsPending DocumentsEmpty"),
        _docwell(Kind.GAUGE, _SERVICE, "DocumentsRejectedNow DocumentsFailed DocumentsDeleted"),
        _aws(
            "AWS/ApiGateway",
            (),
            ("Count", "http_requests", Kind.COUNTER, 1.0),
            ("4XXError", "http_client_errors", Kind.COUNTER, 1.0),
            ("5XXError", "http_server_errors", Kind.COUNTER, 1.0),
            ("Latency", "http_request_duration_seconds", Kind.HISTOGRAM, 0.001),
        ),
        _aws(
            "AWS/Lambda",
            (("FunctionName", "function"),),
            ("Invocations", "function_invocations", Kind.COUNTER, 1.0),
            ("Errors", "function_errors", Kind.COUNTER, 1.0),
            ("Throttles", "function_throttles", Kind.COUNTER, 1.0),
            ("ConcurrentExecutions", "function_concurrent_executions", Kind.GAUGE, 1.0),
            ("Duration", "function_duration_seconds", Kind.HISTOGRAM, 0.001),
            ("IteratorAge", "function_oldest_change_age_seconds", Kind.GAUGE, 0.001),
        ),
        _aws(
            "AWS/SQS",
            (("QueueName", "queue"),),
            ("ApproximateNumberOfMessagesVisible", "queue_visible_messages", Kind.GAUGE, 1.0),
            ("ApproximateNumberOfMessagesNotVisible", "queue_hidden_messages", Kind.GAUGE, 1.0),
            ("ApproximateAgeOfOldestMessage", "queue_oldest_message_age_seconds", Kind.GAUGE, 1.0),
        ),
        _aws(
            "AWS/DynamoDB",
            (("TableName", "table"),),
            ("ReadThrottleEvents", "table_read_throttles", Kind.COUNTER, 1.0),
            ("WriteThrottleEvents", "table_write_throttles", Kind.COUNTER, 1.0),
        ),
        _aws(
            "AWS/AutoScaling",
            (),
            ("GroupDesiredCapacity", "model_hosts_desired", Kind.GAUGE, 1.0),
            ("GroupInServiceInstances", "model_hosts_in_service", Kind.GAUGE, 1.0),
            ("GroupPendingInstances", "model_hosts_pending", Kind.GAUGE, 1.0),
            ("GroupTotalInstances", "model_hosts", Kind.GAUGE, 1.0),
        ),
    )
)
