"""Metrics of ingest."""

from __future__ import annotations

from aws_lambda_powertools.metrics import MetricUnit

from docwell.ingest.ingest import IngestReport
from docwell.models import Status
from docwell.observability import metrics


def record_ingest(report: IngestReport, seconds: float) -> None:
    """Record one message, unless this worker had nothing to do for it."""
    if report.status is None:
        return
    metrics.add_metric("IngestLatency", MetricUnit.Milliseconds, seconds * 1000)
    metrics.add_metric("PagesIngested", MetricUnit.Count, report.tally.pages)
    metrics.add_metric("ChunksIngested", MetricUnit.Count, report.tally.chunks)
    metrics.add_metric("HiddenCharacters", MetricUnit.Count, report.tally.hidden_characters)
    metrics.add_metric("EmbeddedTokens", MetricUnit.Count, report.tally.tokens)
    if report.status is Status.REJECTED:
        metrics.add_metric("DocumentsRejected", MetricUnit.Count, 1)


def record_unknown_event() -> None:
    """Record a message of an unknown kind, which was acknowledged."""
    metrics.add_metric("UnknownEvents", MetricUnit.Count, 1)
