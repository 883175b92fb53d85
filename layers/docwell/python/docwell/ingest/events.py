"""What reaches the ingest function: SQS messages with S3 notifications, or with docwell's own hints and ranges.

S3 encodes keys in its notifications (a blank is `+`). `s3:TestEvent` names no key, and what is no known
message at all can never be done: both are acknowledged, with a metric for the second.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote_plus

from docwell.errors import BadInput, DocwellError, Unavailable
from docwell.ingest.ingest import Ingest, IngestReport
from docwell.ingest.metrics import record_ingest, record_unknown_event
from docwell.models import Hint, RangeTask, Reason
from docwell.observability import logger

# The first wait before a message comes again; it doubles with each receive, up to the second.
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 300.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receipt of one message. `receives` counts from 1; `last` says that no other try follows."""

    message_id: str
    receipt: str
    work: tuple[Hint | RangeTask, ...]
    receives: int
    last: bool

    @classmethod
    def from_sqs(cls, record: Any, max_receives: int) -> Self:
        """Read an SQS record. Raises `BadInput` when its body is no message of a known kind."""
        receives = int(record.attributes.approximate_receive_count or 1)
        return cls(
            record.message_id, record.receipt_handle, parse(record.body), receives, receives >= max_receives
        )

    def delay_s(self, error: DocwellError) -> int:
        """Seconds until the next try: full jitter over a wait that doubles, at least what the error asks for."""
        least = error.retry_after if isinstance(error, Unavailable) and error.retry_after else 0.0
        longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (self.receives - 1))
        return round(max(least, random.uniform(1.0, longest)))  # noqa: S311 - no secret


def parse(body: str) -> tuple[Hint | RangeTask, ...]:
    """What a message asks for, each once and in order. Raises `BadInput`.

    >>> parse('{"Records": [{"s3": {"object": {"key": "a+b%2Bc.pdf"}}}]}')
    (Hint(key='a b+c.pdf', rebuild=False, sweep=False),)
    """
    try:
        event = json.loads(body)
        if event.get("Event") == "s3:TestEvent":
            return ()
        if "docwell" in event:
            own = event["docwell"]
            return (RangeTask(**own) if "range" in own else Hint(**own),)
        keys = [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"the message is of no known kind ({type(error).__name__})") from None
    return tuple(Hint(key) for key in dict.fromkeys(keys))


def handle_record(
    pipelines: Sequence[Ingest],
    record: Any,
    max_receives: int,
    remaining_s: Callable[[], float],
    delay: Callable[[str, int], None],
) -> None:
    """Do what one SQS record asks for.

    Raises what must be delivered again, after `delay(receipt, seconds)` has said when. At the last try the
    document becomes FAILED first, so that it ends in a named status while its message goes to the
    dead-letter queue.
    """
    try:
        delivery = Delivery.from_sqs(record, max_receives)
    except BadInput as error:
        logger.warning("unknown event", extra={"detail": error.detail})
        record_unknown_event()
        return
    for work in delivery.work:
        for pipeline in pipelines:
            if isinstance(work, Hint) or work.pipeline == pipeline.fingerprint:
                _do(pipeline, work, delivery, remaining_s, delay)


def _do(
    pipeline: Ingest,
    work: Hint | RangeTask,
    delivery: Delivery,
    remaining_s: Callable[[], float],
    delay: Callable[[str, int], None],
) -> None:
    try:
        if isinstance(work, Hint):
            report = pipeline.update(work, delivery.message_id, remaining_s, again=delivery.receives > 1)
        else:
            report = pipeline.index_range(work, delivery.message_id, remaining_s)
    except Exception as error:
        # Of an unforeseen error the type alone: its message may quote the document.
        known = error if isinstance(error, DocwellError) else DocwellError(type(error).__name__)
        logger.warning("not done", extra={"document": work.key, "problem": known.problem, "detail": known.detail})
        if delivery.last:
            reason = Reason.UNAVAILABLE if isinstance(known, Unavailable) else Reason.INTERNAL
            pipeline.fail(work, delivery.message_id, reason, known.detail)
        else:
            delay(delivery.receipt, delivery.delay_s(known))
        raise
    record_ingest(report)
    _log(work, report)


def _log(work: Hint | RangeTask, report: IngestReport) -> None:
    logger.info(
        "done",
        extra={
            "document": work.key,
            "range": work.range if isinstance(work, RangeTask) else None,
            "outcome": report.status.value if report.status else "nothing left to do here",
            "reason": report.reason,
            "pages": report.tally.pages,
            "chunks": report.tally.chunks,
            "seconds": round(report.seconds, 3),
        },
    )
