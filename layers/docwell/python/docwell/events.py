"""What reaches the ingest function: an SQS message that holds S3 notifications.

S3 encodes keys in its notifications (a blank is `+`). `s3:TestEvent` has no records and is acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote_plus

from docwell.errors import BadInput, DocwellError, Unavailable
from docwell.ingest import Ingest
from docwell.models import Reason
from docwell.observability import logger, record_ingest


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receipt of one message: the keys it hints at, and whether it is the last try."""

    message_id: str
    keys: tuple[str, ...]
    last: bool

    @classmethod
    def from_sqs(cls, record: Any, max_receives: int) -> Self:  # noqa: ANN401 - Powertools' SQSRecord
        """Read an SQS record. Raises `BadInput` when its body is no S3 notification."""
        receives = int(record.attributes.approximate_receive_count or 1)
        return cls(record.message_id, keys_of(record.body), receives >= max_receives)


def keys_of(body: str) -> tuple[str, ...]:
    """The S3 keys that a notification names, decoded, each once and in order. Raises `BadInput`.

    >>> keys_of('{"Records": [{"s3": {"object": {"key": "a+b%2Bc.pdf"}}}]}')
    ('a b+c.pdf',)
    """
    try:
        event = json.loads(body)
        if event.get("Event") == "s3:TestEvent":
            return ()
        keys = [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"the message is no S3 notification ({type(error).__name__})") from None
    return tuple(dict.fromkeys(keys))


def handle_delivery(ingest: Ingest, delivery: Delivery, remaining_s: Callable[[], float]) -> None:
    """Bring every key of a delivery up to date.

    Raises what must be delivered again. At the last try the document becomes FAILED first, so that it
    ends in a named status while its message goes to the dead-letter queue.
    """
    for key in delivery.keys:
        try:
            report = ingest.update(key, delivery.message_id, remaining_s)
        except DocwellError as error:
            logger.warning("not done", extra={"document": key, "problem": error.problem, "detail": error.detail})
            if delivery.last:
                reason = Reason.UNAVAILABLE if isinstance(error, Unavailable) else Reason.INTERNAL
                ingest.fail(key, delivery.message_id, reason, error.detail)
            raise
        except Exception as error:
            # The type alone: the message of an unforeseen error may quote the document.
            logger.error("bug", extra={"document": key, "exception": type(error).__name__})
            if delivery.last:
                ingest.fail(key, delivery.message_id, Reason.INTERNAL, type(error).__name__)
            raise
        record_ingest(report)
        logger.info(
            "done",
            extra={
                "document": key,
                "outcome": report.status.value if report.status else "left to the worker that has it",
                "reason": report.reason,
                "pages": report.pages,
                "chunks": report.chunks,
                "seconds": round(report.seconds, 3),
            },
        )
