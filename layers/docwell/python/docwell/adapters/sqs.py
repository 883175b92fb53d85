"""The ingest queue and those beside it, for docwell's own messages.

A message is `{"docwell": {...}}`: a `Hint` or, with a `range`, a `RangeTask`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable
from docwell.models import Hint, RangeTask

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_BATCH = 10  # the most messages that SQS takes in one call


class SqsTaskQueue:
    """`docwell.ports.HintQueue` over one queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        """Send every message, or raise `Unavailable`; then some may have been sent."""
        for start in range(0, len(messages), _BATCH):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(i), "MessageBody": json.dumps({"docwell": asdict(message)})}
                for i, message in enumerate(messages[start : start + _BATCH])
            ]
            with vendor_errors("sqs"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if failed := answer.get("Failed"):
                raise Unavailable("sqs", f"sqs took {len(entries) - len(failed)} of {len(entries)} messages")

    def forward(self, body: str) -> None:
        """Send the body of another queue's message, unchanged."""
        with vendor_errors("sqs"):
            self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def delay(self, receipt: str, seconds: int) -> None:
        """Make a received message visible again after `seconds`, and not earlier."""
        with vendor_errors("sqs"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )

    def waiting(self) -> int:
        """Return about how many messages are in the queue: visible, delayed or in flight."""
        with vendor_errors("sqs"):
            answer = self._client.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesDelayed",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )
        return sum(map(int, answer["Attributes"].values()))
