"""Questions and documents over HTTP: translate the event, call the use case, return."""

from __future__ import annotations

from typing import Any

from docwell.http.routes import resolve
from docwell.http.streaming import StreamedResponse
from docwell.observability import logger, metrics, record_cold_start, tracer
from docwell.wiring import query as wiring

# docwell.http.streaming_runtime calls it before the first event, so that SnapStart's snapshot has its results.
prepare = wiring.prepare_query


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | StreamedResponse:
    """Answer one request of the REST API."""
    record_cold_start()
    return resolve(event, context)
