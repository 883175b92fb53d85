"""The ingest queue, as docwell itself sends to it.

A message is `{"docwell": {...}}`: a `Hint` or, with a `range`, a `RangeTask`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable
from docwell.models import Hint, RangeTask

_BATCH = 10  # SQS takes no more in one call


class SqsTaskQueue:
    """`docwell.ports.HintQueue` over one queue."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        """Send every message, or raise `Unavailable`; then some may have been sent."""
        for start in range(0, len(messages), _BATCH):
            entries = [
                {"Id": str(i), "MessageBody": json.dumps({"docwell": asdict(message)})}
                for i, message in enumerate(messages[start : start + _BATCH])
            ]
            with vendor_errors("sqs"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise Unavailable(
                    "sqs", f"sqs took {len(entries) - len(answer['Failed'])} of {len(entries)} messages"
                )

    def delay(self, receipt: str, seconds: int) -> None:
        """Let a received message come again after that time, and not before."""
        with vendor_errors("sqs"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )

    def waiting(self) -> int:
        """About how many messages are in the queue: to be received, delayed, or at work."""
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
        with vendor_errors("sqs"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"].get(name, 0)) for name in names)
