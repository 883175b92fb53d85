"""S3 notifications through SQS: for each key, make the index match the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from docwell.ingest.events import handle_record
from docwell.observability import logger, metrics, record_cold_start, tracer
from docwell.wiring import ingest as wiring

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> Mapping[str, Any]:
    """Process a batch; what failed is reported by message id and comes again, the rest is done."""
    record_cold_start()
    settings, pipelines = wiring.ingest_settings(), wiring.ingest()

    def process(record: Any) -> None:
        remaining_s = lambda: context.get_remaining_time_in_millis() / 1000  # noqa: E731 - said where it is used
        delay = wiring.source_queue(record.event_source_arn).delay
        handle_record(pipelines, record, settings.max_receives, remaining_s, delay)

    return process_partial_response(event, process, processor, context=context)
