"""Metrics of reconcile."""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools.metrics import MetricUnit

from docwell.models import Status
from docwell.observability import metrics


def record_drift(kinds: Mapping[str, int]) -> None:
    """What reconcile found, by kind: 0 is a figure too."""
    for kind, count in kinds.items():
        metrics.add_metric(f"Drift{kind.capitalize()}", MetricUnit.Count, count)
    metrics.add_metric("Drift", MetricUnit.Count, sum(kinds.values()))


def record_documents(counts: Mapping[str, int]) -> None:
    """How many documents there are of each status (`docwell.models.Status`), at the end of reconcile's pass."""
    for status, count in counts.items():
        # DocumentsRejected counts refusals as ingest makes them; this is how many stand refused.
        name = "DocumentsRejectedNow" if status == Status.REJECTED else f"Documents{status.capitalize()}"
        metrics.add_metric(name, MetricUnit.Count, count)
