"""The ingest function: handles SQS messages, most of them S3 notifications, and dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from docwell.ingest.events import Delivery, delayed_on_error, handle_dead_letter, handle_delivery
from docwell.observability import logger, metrics, record_cold_start, tracer
from docwell.wiring import ingest as wiring

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> Mapping[str, Any]:
    """Process a batch. Return the ids of the messages that failed: SQS delivers only these again."""
    record_cold_start()
    settings = wiring.ingest_settings()

    def remaining_s() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    def process(record: SQSRecord) -> None:
        receives = int(record.attributes.approximate_receive_count or 1)
        last, (queue, is_dead) = receives >= settings.max_receives, wiring.source_queue(record.event_source_arn)
        delivery = Delivery(
            record.message_id, record.receipt_handle, record.body, receives, last, remaining_s, queue.delay
        )
        with delayed_on_error(delivery):
            use_cases = wiring.ingest()
        if is_dead:
            handle_dead_letter(use_cases, delivery, wiring.parked_queue().forward)
        else:
            handle_delivery(use_cases, delivery)

    return process_partial_response(event, process, processor, context=context)
