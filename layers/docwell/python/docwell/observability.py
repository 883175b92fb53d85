"""The one Logger, Metrics and Tracer, and how docwell's figures become metrics.

Logs and metrics hold no document text and no question. Dimensions are `service` and `model` alone: each
distinct value of a dimension is a metric that AWS bills.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from docwell.models import AnswerStatus, Status

if TYPE_CHECKING:  # each function loads its own use case alone
    from docwell.ingest import IngestReport
    from docwell.query import QueryReport

NAMESPACE = "Docwell"

# `docwell` is also the root of the package's own loggers, so that use cases log through the standard library.
logger = Logger(service=None, logger_name="docwell", use_rfc3339=True)
metrics = Metrics(namespace=NAMESPACE)
tracer = Tracer(auto_patch=False)

# Listing documents has no figures of its own, and says so at each request.
warnings.filterwarnings("ignore", message="No application metrics to publish")

_environment = {"cold": True}


def record_cold_start() -> None:
    """`ColdStart` once for each execution environment (Powertools' own adds a dimension)."""
    if _environment["cold"]:
        _environment["cold"] = False
        metrics.add_metric("ColdStart", MetricUnit.Count, 1)


def record_ingest(report: IngestReport) -> None:
    """Metrics of one document event."""
    if report.status is None:
        return
    metrics.add_metric("IngestLatency", MetricUnit.Milliseconds, report.seconds * 1000)
    metrics.add_metric("PagesIngested", MetricUnit.Count, report.tally.pages)
    metrics.add_metric("ChunksIngested", MetricUnit.Count, report.tally.chunks)
    metrics.add_metric("EmbeddedTokens", MetricUnit.Count, report.tally.tokens)
    if report.status is Status.REJECTED:
        metrics.add_metric("DocumentsRejected", MetricUnit.Count, 1)


def record_unknown_event() -> None:
    """A message that is of no known kind was acknowledged."""
    metrics.add_metric("UnknownEvents", MetricUnit.Count, 1)


def record_drift(kinds: Mapping[str, int]) -> None:
    """What reconcile found, by kind: 0 is a figure too."""
    for kind, count in kinds.items():
        metrics.add_metric(f"Drift{kind.capitalize()}", MetricUnit.Count, count)
    metrics.add_metric("Drift", MetricUnit.Count, sum(kinds.values()))


def record_query(report: QueryReport, request_id: str) -> None:
    """Metrics of one question; the request id and the prompt's version are properties, not dimensions."""
    answer = report.answer
    timings, usage = answer.timings_ms, answer.usage
    metrics.add_dimension("model", answer.model)
    metrics.add_metadata("request_id", request_id)
    metrics.add_metadata("prompt_version", answer.prompt_version)
    metrics.add_metric("PromptTokens", MetricUnit.Count, usage.prompt_tokens)
    metrics.add_metric("CompletionTokens", MetricUnit.Count, usage.completion_tokens)
    metrics.add_metric("EmbedLatency", MetricUnit.Milliseconds, timings.embed)
    metrics.add_metric("RetrieveLatency", MetricUnit.Milliseconds, timings.retrieve)
    metrics.add_metric("QueryLatency", MetricUnit.Milliseconds, timings.total)
    if report.first_token_ms is not None:
        metrics.add_metric("GenerateLatency", MetricUnit.Milliseconds, timings.generate)
        metrics.add_metric("TimeToFirstToken", MetricUnit.Milliseconds, report.first_token_ms)
        metrics.add_metric("TruncatedPrompts", MetricUnit.Count, int(report.truncated))
    metrics.add_metric("DroppedPassages", MetricUnit.Count, answer.dropped_passages)
    metrics.add_metric("Refusals", MetricUnit.Count, int(answer.status is AnswerStatus.REFUSED))
