"""Handle SQS messages: S3 notifications, and docwell's own hints and ranges.

A message of an unknown kind can never succeed, so acknowledge and count it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from random import SystemRandom
from threading import Event, Thread
from time import monotonic
from urllib.parse import unquote_plus

from docwell.errors import BadInput, DocwellError, Unavailable
from docwell.ingest import ranges
from docwell.ingest.ingest import Ingest, IngestReport, RangeWorker
from docwell.ingest.metrics import record_ingest, record_unknown_event
from docwell.ingest.steps import next_step
from docwell.models import DocumentRecord, Hint, ObjectVersion, RangeTask, Reason, Status

# The longest first delay before a redelivery. It doubles with each receive, up to LONGEST_DELAY_S.
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 300.0
# A dead letter must be handled within a minute after its cause is gone.
DEAD_LETTER_DELAY_S = 15.0
# A lease that a dead worker left expires in `lease_s` (90 s); a living worker may renew its lease for minutes.
_RETRY_S = 10.0

# A message, and a use case that handles it.
_Work = tuple[Ingest, Hint | RangeTask]
# The same, with its error.
_Failure = tuple[Ingest, Hint | RangeTask, Exception]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receive of one SQS message.

    `receives` counts from 1; `last` means that no other receive follows. `remaining_s` returns the seconds until
    this worker is stopped. `set_delay(receipt, seconds)` sets the wait until the next receive.
    """

    message_id: str
    receipt: str
    body: str
    receives: int
    last: bool
    remaining_s: Callable[[], float]
    set_delay: Callable[[str, int], None]

    def delay_s(self, error: DocwellError) -> int:
        """Return the seconds until redelivery: full jitter, and at least what the error asks for."""
        least = error.retry_after if isinstance(error, Unavailable) and error.retry_after else 0.0
        # Apply the limit before multiplying: the product overflows a float at receive 1,025.
        longest = FIRST_DELAY_S * min(LONGEST_DELAY_S / FIRST_DELAY_S, 2 ** (self.receives - 1))
        return round(max(least, SystemRandom().uniform(1.0, longest)))


def parse(body: str) -> tuple[Hint | RangeTask, ...]:
    """Return the messages in an SQS body, in order and without repeats. Raises `BadInput`.

    S3 encodes keys in its notifications: a blank is `+`. `s3:TestEvent` names no key.
    """
    try:
        event = json.loads(body)
        if event.get("Event") == "s3:TestEvent":
            return ()
        if "docwell" in event:
            message = event["docwell"]
            kind = RangeTask if "range" in message else Hint
            names = {field.name for field in fields(kind)}.intersection(message)  # a later release may add fields
            return (kind(**{name: message[name] for name in names}),)
        objects = [record["s3"]["object"] for record in event["Records"]]
        versions = [(unquote_plus(item["key"]), item.get("versionId") or item.get("eTag")) for item in objects]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"the message is of an unknown kind ({type(error).__name__})") from None
    return tuple(Hint(key, version=version) for key, version in dict.fromkeys(versions))


@contextmanager
def delayed_on_error(delivery: Delivery) -> Iterator[None]:
    """Set a short delay when the block raises: the queue's own timeout would hide the message for 90 minutes.

    Use it for errors that come before the work on a document.
    """
    try:
        yield
    except Exception as error:
        delivery.set_delay(delivery.receipt, round(min(DEAD_LETTER_DELAY_S, delivery.delay_s(_typed(error)))))
        raise


def handle_delivery(use_cases: Sequence[Ingest], delivery: Delivery) -> None:
    """Handle a delivery with the `Ingest` of each pipeline that it concerns.

    The failure of one key or pipeline does not stop the others. If any fails, set the message's delay and raise
    the first error, so that SQS delivers it again. At the last receive, mark each document with work left FAILED
    instead of setting a delay; SQS then moves the message to the dead-letter queue.
    """
    with delayed_on_error(delivery):
        work = _work(use_cases, delivery)
        with _extended(work, delivery):
            failures = _failures(work, delivery)
    if failures:
        _fail(failures, delivery)
        _, _, first = failures[0]
        raise first


def handle_dead_letter(use_cases: Sequence[Ingest], delivery: Delivery, park: Callable[[str], None]) -> None:
    """Give up a message that was never handled to the end, then move its body to the parked queue with `park`.

    If that fails for one key or pipeline, still give up the others. Then set the message's delay and raise the
    first error: the message stays in the dead-letter queue. Handling a message twice only parks it twice.
    """
    work, errors = _work(use_cases, delivery), list[DocwellError]()
    with delayed_on_error(delivery), _extended(work, delivery):
        for ingest, message in work:
            try:
                record = give_up(ingest, message, delivery.message_id)
                ingest.audit(message.key, message.version)
                logger.warning("given up", extra={"document": message.key, "outcome": record.status.value})
            except DocwellError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        park(delivery.body)


def _work(use_cases: Sequence[Ingest], delivery: Delivery) -> list[_Work]:
    """Return each message of the delivery with each use case that handles it."""
    try:
        messages = parse(delivery.body)
    except BadInput as error:
        logger.warning("unknown event", extra={"detail": error.detail})
        record_unknown_event()
        return []
    return [
        (ingest, message)
        for message in messages
        for ingest in use_cases
        if isinstance(message, Hint) or message.pipeline == ingest.fingerprint
    ]


@contextmanager
def _extended(work: Sequence[_Work], delivery: Delivery) -> Iterator[None]:
    """Extend the message's visibility timeout in short steps: SQS redelivers it soon after this worker dies.

    The queue's own timeout must exceed the function's, and would hide the message for 90 minutes.
    """
    if not work:
        yield
        return
    seconds, done = work[0][0].indexer.limits.visibility_s, Event()

    def extend() -> None:
        while not done.is_set():
            with suppress(DocwellError):
                delivery.set_delay(delivery.receipt, round(seconds))
            done.wait(seconds / 3)

    thread = Thread(target=extend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _failures(work: Sequence[_Work], delivery: Delivery) -> list[_Failure]:
    """Observe every key in every pipeline, then handle each. Return those that failed, in the order of the work.

    Observe first: indexing takes long and may kill this worker. If an observation fails, index nothing before the
    last receive: the observation must be retried soon.
    """
    errors: dict[int, Exception] = {}
    for act in (_observe, _handle):
        for number, (ingest, message) in enumerate(work):
            if number not in errors:
                try:
                    act(ingest, message, delivery)
                except Exception as error:  # noqa: BLE001 - raised after the others were tried
                    errors[number] = error
        if errors and not delivery.last:
            break
    return [(*work[number], errors[number]) for number in sorted(errors)]


def _fail(failures: Sequence[_Failure], delivery: Delivery) -> None:
    """Delay the message; at the last receive mark the documents of the failures FAILED."""
    errors = [_typed(raised) for _, _, raised in failures]
    for (ingest, message, _), error in zip(failures, errors, strict=True):
        about = {"document": message.key, "problem": error.problem, "detail": error.detail}
        logger.warning("not done", extra=about)
        if delivery.last:
            reason = Reason.UNAVAILABLE if isinstance(error, Unavailable) else Reason.INTERNAL
            with suppress(DocwellError):  # the dead-letter handler marks it later
                ingest.fail(message, delivery.message_id, reason, error.detail)
    if not delivery.last:
        delivery.set_delay(delivery.receipt, max(map(delivery.delay_s, errors)))


def _typed(error: Exception) -> DocwellError:
    """Return the error; for an unforeseen one only its type, because its message may quote the document."""
    return error if isinstance(error, DocwellError) else DocwellError(type(error).__name__)


def _observe(ingest: Ingest, message: Hint | RangeTask, _delivery: Delivery) -> None:
    if isinstance(message, Hint):
        ingest.observe(message.key)


def _handle(ingest: Ingest, message: Hint | RangeTask, delivery: Delivery) -> None:
    started, owner, remaining_s = monotonic(), delivery.message_id, delivery.remaining_s
    if isinstance(message, Hint):
        report = IngestReport(status=None)
        try:
            report = ingest.update(message, owner, remaining_s, again=delivery.receives > 1)
        finally:  # last: a trail that cannot be written stops no document
            ingest.audit(message.key, message.version, report.head)
    else:
        report = RangeWorker(ingest, message, owner, remaining_s, is_last=delivery.last).index_range()
    seconds = monotonic() - started
    record_ingest(report, seconds)
    logger.info(
        "done",
        extra={
            "document": message.key,
            "range": message.range if isinstance(message, RangeTask) else None,
            "outcome": report.status.value if report.status else "nothing to do",
            "reason": report.reason,
            "pages": report.tally.pages,
            "chunks": report.tally.chunks,
            "seconds": round(seconds, 3),
        },
    )


def give_up(ingest: Ingest, message: Hint | RangeTask, owner: str) -> DocumentRecord:
    """Make the ledger match the bucket as far as possible without indexing, else mark the document FAILED.

    Indexing may be what killed the message's workers, so this only writes to the ledger and removes chunks.
    Return its record. Raises `Unavailable` while another worker holds the document.
    """
    if ingest.is_unknown(message.key):
        return DocumentRecord(message.key, Status.DELETED)
    ingest.observe(message.key)
    lease = ingest.acquire(message.key, owner, lambda: 0.0)
    if lease is None:
        raise Unavailable("ledger", "another worker holds the document's lease", retry_after=_RETRY_S)
    with lease:
        head = ingest.store.head(message.key)
        if head is None:
            ingest.settle(lease, DocumentRecord(message.key, Status.DELETED))
        elif _leaves_work(ingest, message, lease.record, head):
            tried = lease.record.version
            detail = "each worker that received the message was killed, or ran out of time"
            ingest.mark_failed(lease, Reason.INTERNAL, detail)
            if tried not in (None, head.version):  # the older version may have killed them: try the new one
                ingest.queue.send([Hint(message.key)])
        else:
            ingest.refresh(lease, head)  # the event may be about new tags, which set rights
        with suppress(DocwellError):  # queries see none of these chunks, and reconcile finds them
            # Dead workers may have written chunks for a version that is not live.
            if lease.record.status is not Status.PENDING:
                lease.require_sweep()
                lease.sweep()
            elif isinstance(message, RangeTask):
                ingest.remove_stale(lease, message)
        record = lease.record
        lease.release_to_queue()  # this worker indexes nothing
    return record


def _leaves_work(ingest: Ingest, message: Hint | RangeTask, record: DocumentRecord, head: ObjectVersion) -> bool:
    """Return whether the message leaves work undone that no other message will do."""
    if record.status is Status.FAILED:
        return False
    if (
        isinstance(message, RangeTask)
        and ranges.is_current(message, record)
        and message.range not in record.ranges_done
    ):
        return True
    return next_step(record, head, None, recognises=ingest.indexer.recogniser is not None) is not None
