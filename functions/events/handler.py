"""The events function: changes of the ledger's rows, from its stream, become events about documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from docwell.observability import logger, tracer
from docwell.wiring import small_functions as wiring

processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: Any) -> Mapping[str, Any]:
    """Publish a batch. Return the numbers of the changes that failed: Lambda goes back to the first of them."""
    publisher = wiring.publisher()

    def process(record: DynamoDBRecord) -> None:
        publisher.publish(record.raw_event)

    return process_partial_response(event, process, processor, context=context)
