"""Metrics of reconcile and of the canary."""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools.metrics import MetricUnit

from docwell.models import Status
from docwell.observability import metrics
from docwell.upkeep.canary import Finding


def record_drift(kinds: Mapping[str, int]) -> None:
    """Record reconcile's findings by kind, also those that are 0."""
    for kind, count in kinds.items():
        metrics.add_metric(f"Drift{kind.capitalize()}", MetricUnit.Count, count)
    metrics.add_metric("Drift", MetricUnit.Count, sum(kinds.values()))


def record_documents(counts: Mapping[str, int]) -> None:
    """Record the number of documents by status (`docwell.models.Status`) at the end of a pass."""
    for status, count in counts.items():
        # Use another name: ingest's DocumentsRejected counts refusals, and this counts refused documents.
        name = "DocumentsRejectedNow" if status == Status.REJECTED else f"Documents{status.capitalize()}"
        metrics.add_metric(name, MetricUnit.Count, count)


def record_canary(finding: Finding) -> None:
    """Record whether the live version found the canary's page: 1 or 0."""
    metrics.add_metric("CanaryFound", MetricUnit.Count, int(finding is Finding.FOUND))
