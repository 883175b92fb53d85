"""The ingest queue, the recognition queue and the parked queue, for docwell's own messages.

A message is `{"docwell": {...}}`: a `Hint` or, with a `range`, a `RangeTask`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable
from docwell.models import Hint, RangeTask

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_BATCH = 10  # the most messages that SQS takes or gives in one call
# Without a wait, SQS asks only some of its servers, and may return nothing.
_WAIT_S = 1
# Hide received messages for longer than a redrive takes.
_REDRIVE_S = 60


class SqsTaskQueue:
    """`docwell.ports.HintQueue` over one queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        """Send all messages. Raises `Unavailable`; some may then have been sent."""
        for start in range(0, len(messages), _BATCH):
            batch = map(asdict, messages[start : start + _BATCH])
            # An older release, which may receive this during a deployment, does not know new fields.
            bodies = [{name: value for name, value in fields.items() if value is not None} for fields in batch]
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(i), "MessageBody": json.dumps({"docwell": fields})} for i, fields in enumerate(bodies)
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
            names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(map(int, answer["Attributes"].values()))


class SqsDeadLetters(SqsTaskQueue):
    """`docwell.ports.DeadLetters`: a redrive moves messages from the parked queue to `ingest`."""

    def __init__(self, client: SQSClient, parked: str, ingest: str) -> None:
        super().__init__(client, parked)
        self._ingest = SqsTaskQueue(client, ingest)

    def redrive(self, limit: int, document: str | None = None) -> int:
        """Send up to `limit` messages, or this document alone, to ingest again; return how many.

        Each is sent before it is deleted: a duplicate is harmless, a lost message is not.
        """
        if document:
            self._ingest.send([Hint(document)])
            return 1
        moved = 0
        while moved < limit:
            with vendor_errors("sqs"):
                answer = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(limit - moved, _BATCH),
                    VisibilityTimeout=_REDRIVE_S,
                    WaitTimeSeconds=_WAIT_S,
                )
                messages = answer.get("Messages", [])
                for message in messages:
                    self._ingest.forward(message["Body"])
                    self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            if not messages:
                break
            moved += len(messages)
        return moved
