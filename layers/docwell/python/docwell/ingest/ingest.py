"""Make the index match the bucket for one key.

An event is only a hint: ingest always reads the key's current version and takes steps until the ledger and the
bucket agree. Repeated, late, parallel and crashed runs all lead to the same state. `steps` decides each step,
`DocumentLease` keeps other workers out, and `RangeWorker` indexes the ranges of a long document.

Before these steps, `observe` hides versions that the bucket no longer has. It needs no lease, so the death of a
worker cannot delay it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import randbits
from time import monotonic, time
from typing import Self

from docwell.audit import Action, AuditEvent
from docwell.config import IngestLimits
from docwell.errors import DeadlineExceeded, DocwellError, LeaseLost, NotFound, QuotaExceeded, Refused, Unavailable
from docwell.identity import READING, Use, uploader
from docwell.ingest import ranges
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.steps import Recognise, Refresh, Resume, Settle, Start, Step, next_step
from docwell.models import (
    COUNTED,
    Attributes,
    DocumentRecord,
    Generation,
    Hint,
    Lease,
    ObjectVersion,
    RangeTally,
    RangeTask,
    Reason,
    Status,
    collection_of,
)
from docwell.ports import AuditTrail, Ledger, ObjectStore, Principals, TaskQueue, VectorIndex

# An attempt fails only where another worker observed the document meanwhile.
_OBSERVE_ATTEMPTS = 5
_ATTEMPT_BITS = 53  # JSON readers keep 53 bits exactly
# Do not charge an older upload: it was restored, or the ledger was lost, and its uploader has paid for it.
_UNPAID_S = 86_400
_DELETE_AT_ONCE = 500  # ids

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of one message. `status` is None when this worker had nothing to do; `head` is as last read."""

    status: Status | None
    reason: str | None = None
    tally: RangeTally = field(default_factory=RangeTally)
    head: ObjectVersion | None = None


@dataclass(frozen=True)
class Ingest:
    """The use case for one pipeline. `fingerprint` hashes its model, chunker and text extraction.

    `ocr_queue`, if there is one, takes the ranges to recognise, so that no other document waits behind them. A
    pipeline that is built beside the `active` one reads an upload only once that has charged its uploader.
    """

    bucket: str
    store: ObjectStore
    ledger: Ledger
    index: VectorIndex
    queue: TaskQueue
    indexer: RangeIndexer
    fingerprint: str
    ocr_queue: TaskQueue | None = None
    quotas: Principals | None = None
    active: Ledger | None = None
    trail: AuditTrail | None = None

    def audit(self, key: str, version: str | None, head: ObjectVersion | None = None) -> None:
        """Add an upload with a form to the audit trail: a version that S3 names. Its `head` saves a request."""
        if self.trail and version and (head is None or head.version != version):
            head = self.store.head(key, version)
        if self.trail and version and head and (payer := uploader(head.uploader)):
            stored = AuditEvent(payer.id, Action.STORED, frozenset({key}), head.version, at=head.modified)
            self.trail.append(stored)

    def charge(self, record: DocumentRecord, use: Use, *, begins: bool = False) -> None:
        """Charge the uploader of a document, if it has one. If it `begins`, raise `Refused` over a quota."""
        payer = uploader(record.uploader)
        try:
            if self.quotas and payer:
                self.quotas.charge(payer, use, READING if begins else ())
        except QuotaExceeded as over:
            raise Refused(Reason.OVER_QUOTA, f"its uploader: {over.detail}, when docwell tries again") from None

    @contextmanager
    def downloaded(self, record: DocumentRecord, head: ObjectVersion) -> Iterator[Path]:
        """Download a version, and charge its uploader for the seconds of this block. Raises `NotFound`."""
        begun = monotonic()
        try:
            with self.indexer.downloaded(record.key, head) as path:
                yield path
        finally:
            with suppress(Unavailable):  # keep the finished work, or its error
                self.charge(record, Use(reading_s=round(monotonic() - begun, 3)))

    def observe(self, key: str) -> None:
        """Store the version that the bucket has now, so that queries no longer see other versions.

        A document without a row needs no update: the worker that creates the row reads the bucket later.
        """
        for _ in range(_OBSERVE_ATTEMPTS):
            record = self.ledger.get(key)
            if record is None or self.ledger.observe(record, _version(self.store.head(key))):
                return
        raise Unavailable("ledger", f"{key!r} changes too fast", retry_after=1.0)

    def is_unknown(self, key: str) -> bool:
        """Return whether bucket, ledger and index do not know the key, for example after an erasure.

        A late message must not store an erased key in a new row. The bucket has most keys, so ask it first.
        """
        return (
            self.store.head(key) is None
            and self.ledger.get(key) is None
            and not self.index.ids(collection_of(key), key, limit=1)
        )

    def update(
        self, hint: Hint, owner: str, remaining_s: Callable[[], float], *, again: bool = False
    ) -> IngestReport:
        """Make the index match the bucket for the hint's key. Call `observe` first.

        `owner` names the message in all its deliveries; `again` marks a redelivery. `remaining_s` returns the
        seconds until this worker is stopped. Raises `Unavailable` if the queue must deliver the message again.
        """
        lease = None if self.is_unknown(hint.key) else self.acquire(hint.key, owner, remaining_s)
        if lease is None:  # a lease holder looks again before it releases the lease
            return IngestReport(status=None)
        with lease:
            if again:  # a write of the last delivery may have reached the index after another worker's sweep
                lease.require_sweep()
            self.match(lease, hint)
            self.release(lease)
        return IngestReport(lease.record.status, lease.record.reason, lease.tally, lease.head)

    def match(self, lease: DocumentLease, hint: Hint | None) -> None:
        """Take steps until the document matches its object, or waits for its ranges; then sweep."""
        while True:
            head = lease.head = self.store.head(lease.record.key)
            step = next_step(lease.record, head, hint, recognises=self.indexer.recogniser is not None)
            if step is None:
                break
            try:
                self._take(lease, step)
            except NotFound:  # the version was replaced or deleted while it was read
                continue
            hint = None
        # The object changed after it was observed, and its next event may be late or lost.
        if lease.record.observed_version not in (None, _version(head)):
            self.observe(lease.record.key)
        # Do not sweep a PENDING document: workers may be writing ranges of its next generation.
        if lease.record.status is not Status.PENDING:
            lease.sweep()

    def fail(self, message: Hint | RangeTask, owner: str, reason: Reason, detail: str) -> None:
        """Mark the document FAILED and hide it, unless the message leaves only a sweep to do."""
        lease = self.acquire(message.key, owner, lambda: 0.0)
        if lease is None:
            return
        with lease:
            unfinished = True
            with suppress(Exception):  # on an error hide it: its version or tags are unknown
                unfinished = self._is_unfinished(message, lease)
            if unfinished:
                self.mark_failed(lease, reason, detail)
            if lease.record.status is not Status.PENDING:
                with suppress(Exception):  # the dead-letter handler and reconcile sweep again
                    lease.sweep()
            lease.release_to_queue()  # this worker has no time to index

    def _is_unfinished(self, message: Hint | RangeTask, lease: DocumentLease) -> bool:
        """Return whether a failed message leaves work undone. If not, renew the attributes."""
        if isinstance(message, RangeTask):
            return ranges.is_current(message, lease.record)
        head = self.store.head(message.key)
        if next_step(lease.record, head, None, recognises=self.indexer.recogniser is not None) is not None:
            return True
        if head is not None:
            self.refresh(lease, head)
        return False

    def mark_failed(self, lease: DocumentLease, reason: Reason, detail: str) -> None:
        """Store FAILED and nothing live. The caller must then sweep all chunks."""
        lease.write(_hidden(replace(lease.record, status=Status.FAILED, reason=reason.value, detail=detail)))

    def remove_stale(self, lease: DocumentLease, task: RangeTask) -> None:
        """Remove the chunks that any delivery of the task may have written for a document that changed."""
        record = lease.record
        restarted = record.status is Status.PENDING and record.version == task.version
        for generation in self.generation_ids(task.key, task.version):
            if not restarted and generation != record.live_generation:
                lease.remove(of=generation)

    def acquire(self, key: str, owner: str, remaining_s: Callable[[], float]) -> DocumentLease | None:
        """Acquire the document's lease; None when another worker holds it, which then looks at the key again."""
        lease = self.ledger.acquire(key, owner)
        if lease is None:
            return None
        return DocumentLease(lease, self.ledger, self.index, self.queue, self.indexer.limits, remaining_s)

    def release(self, lease: DocumentLease) -> None:
        """Release the lease. Match the key again first for each event that arrived meanwhile."""
        while (again := lease.try_release()) is not None:
            self.match(lease, again)

    def settle(self, lease: DocumentLease, record: DocumentRecord) -> None:
        """Store a final status and its live generation in one write. The caller must then sweep the rest."""
        if record.status is Status.INDEXED:
            # The ledger already has the progress of several ranges.
            lease.write(record, fresh=record.ranges == 1)
            return
        if record.status is Status.REJECTED:
            logger.info("refused", extra={"reason": record.reason, "size": record.size})
        lease.write(_hidden(replace(record, chunks=0)), fresh=True)

    # --- the steps ---

    def _take(self, lease: DocumentLease, step: Step) -> None:
        match step:
            case Start():
                self._start(lease, step)
            case Resume():
                self.refresh(lease, step.head)
                self._send(lease, step.missing)
            case Recognise():
                planned = ranges.recognition(lease.record, self.indexer.limits.ocr_range_pages)
                if lease.record.chunks:
                    planned = self._live(planned, step.head, recognised=False)
                lease.write(planned, fresh=True)
                lease.sweep()  # before ranges of the second generation are sent: a later one would remove theirs
            case Settle(record, head):
                if head is not None and record.status is Status.INDEXED:
                    record = self._live(record, head, recognised=record.recognised_from is not None)
                self.settle(lease, record)
            case Refresh():
                self.refresh(lease, step.head)
                if step.sweep:
                    lease.require_sweep()

    def _start(self, lease: DocumentLease, step: Start) -> None:
        waits, age_s = lease.record.reason == Reason.OVER_QUOTA, time() - step.head.modified
        is_new = waits or (lease.record.version != step.head.version and age_s < _UNPAID_S)
        # Use a random number, not the fence: a worker that keeps its lease can start the same version twice.
        begun = replace(step.record, attempt=randbits(_ATTEMPT_BITS))
        try:
            if is_new:  # before the write, after which the next delivery of the message would not charge
                self.charge(begun, Use(bytes=step.head.size), begins=True)
            if self.active:
                _require_charge(begun, self.active.get(begun.key), is_new=is_new)
            lease.write(begun, fresh=True)
            for id_ in self.generation_ids(begun.key, step.head.version) if step.has_leftovers else ():
                lease.remove(of=id_)
            self._read(lease, step.head, is_new=is_new)
        except Refused as refused:
            record = lease.record if lease.record.attempt == begun.attempt else begun
            self.settle(lease, ranges.rejected(record, refused.reason, refused.detail))

    def _read(self, lease: DocumentLease, head: ObjectVersion, *, is_new: bool) -> None:
        """Plan the ranges, and index the document if it has only one. Raises `NotFound`, `Refused`."""
        limit = self.indexer.limits.max_document_bytes
        if head.size > limit:
            raise Refused(Reason.TOO_LARGE, f"{head.size:,} bytes; the limit is {limit:,} (max_document_bytes)")
        with self.downloaded(lease.record, head) as path:
            info = self.indexer.reader.inspect(path)
            count = ranges.count_ranges(info.page_count, self.indexer.limits.range_pages)
            planned = replace(lease.record, pages=info.page_count, title=info.title, ranges=count)
            planned = replace(planned, author=info.author, created=info.created, media_type=info.media_type)
            if is_new:
                self.charge(planned, Use(pages=info.page_count))
            if count > 1:
                lease.write(planned)
                return
            span = ranges.span(planned, 0, self.indexer.limits)
            # Store this record only once it is live: after a crash the next worker repeats the only range.
            lease.record = planned
            lease.tally = self.indexer.run(self.generation(planned), path, 0, span, lease.heartbeat)
            counted = {name: getattr(lease.tally, name) for name in COUNTED}
            lease.record = replace(planned, ranges_done=frozenset({0}), pages_done=lease.tally.pages, **counted)

    def _send(self, lease: DocumentLease, missing: tuple[int, ...]) -> None:
        record = lease.record
        task = RangeTask(record.key, str(record.version), self.fingerprint, record.attempt, 0)
        queue = self.ocr_queue if self.ocr_queue and record.recognised_from is not None else self.queue
        queue.send([replace(task, range=number) for number in missing])
        lease.write(replace(record, dispatched=True))

    def refresh(self, lease: DocumentLease, head: ObjectVersion) -> None:
        """Renew the live version's attributes: tags, and metadata in an unversioned bucket, can change alone."""
        record = lease.record
        if record.live_version == head.version:
            attributes = self._attributes(record, head)
            if attributes != record.live_attributes:
                lease.write(replace(record, live_attributes=attributes))

    # --- generations ---

    def generation_ids(self, key: str, version: str) -> tuple[str, ...]:
        """Return the ids of a version's two generations: from text layers, and with recognised pages."""
        text, recognised = self.fingerprint, self.fingerprint + ranges.RECOGNISED
        return tuple(Generation.of(self.bucket, key, version, name).id for name in (text, recognised))

    def generation(self, record: DocumentRecord, *, recognised: bool = False) -> Generation:
        """Return one of the generations of the record's version."""
        fingerprint = self.fingerprint + (ranges.RECOGNISED if recognised else "")
        return Generation.of(self.bucket, record.key, str(record.version), fingerprint)

    def _live(self, record: DocumentRecord, head: ObjectVersion, *, recognised: bool) -> DocumentRecord:
        """Return the record with one of its generations live."""
        id_, attributes = self.generation(record, recognised=recognised).id, self._attributes(record, head)
        return replace(record, live_generation=id_, live_version=head.version, live_attributes=attributes)

    def _attributes(self, record: DocumentRecord, head: ObjectVersion) -> Attributes:
        tags = self.store.tags(record.key, head)
        return Attributes(record.title, record.author, record.created, head.metadata, tags, record.media_type)


def _require_charge(begun: DocumentRecord, active: DocumentRecord | None, *, is_new: bool) -> None:
    """Raise `Refused` if the active pipeline waits for a quota, `Unavailable` if it has not charged the upload."""
    if active is None or active.version != begun.version:
        if is_new and uploader(begun.uploader):
            raise Unavailable("quota", "the active pipeline has not charged this upload")
    elif active.reason == Reason.OVER_QUOTA:
        raise Refused(Reason.OVER_QUOTA, active.detail or "")


def _version(head: ObjectVersion | None) -> str:
    """Return an object's version; empty where there is no object."""
    return head.version if head is not None else ""


def _hidden(record: DocumentRecord) -> DocumentRecord:
    """Return the record with nothing live. The caller must then sweep all chunks."""
    return replace(record, live_generation=None, live_version=None, live_attributes=None, swept=False)


@dataclass(slots=True)
class DocumentLease:
    """The right to change one document, held by this worker.

    Call `try_release` until it returns None, then leave the block. A block that raises releases the lease at once,
    so that the next delivery need not wait until it expires.

    `record` is the document as this worker knows it. It is ahead of the ledger while a document of one range is
    indexed but not live. `tally` counts what this worker indexed under the lease. `head` is as last read.
    """

    lease: Lease
    ledger: Ledger
    index: VectorIndex
    queue: TaskQueue
    limits: IngestLimits
    remaining_s: Callable[[], float]
    record: DocumentRecord = field(init=False)
    tally: RangeTally = field(default_factory=RangeTally)
    head: ObjectVersion | None = None

    def __post_init__(self) -> None:
        self.record = self.lease.record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # If either call fails, the lease expires by itself.
        with suppress(DocwellError):
            if isinstance(error, LeaseLost):
                record = self.ledger.get(self.lease.key)
                # It may have written chunks since. At the same version, the other worker writes the same ids.
                if record is None or record.version != self.record.version:
                    self.queue.send([Hint(self.lease.key, sweep=True)])
            elif error is not None:
                self.release_to_queue()

    def write(self, record: DocumentRecord, *, fresh: bool = False) -> None:
        """Store the record, see `docwell.ports.Ledger.write`. Raises `LeaseLost`."""
        self.lease = self.ledger.write(self.lease, record, fresh=fresh)
        self.record = self.lease.record

    def try_release(self) -> Hint | None:
        """Release the lease and return None; if another event came meanwhile, keep it and return a hint."""
        again = self.ledger.release(self.lease)
        if again is None:
            return None
        self.lease, self.record = again, again.record
        self.require_sweep()
        return Hint(again.key)

    def release_to_queue(self) -> None:
        """Release the lease; send a hint if events arrived meanwhile, because they relied on this worker."""
        while (again := self.try_release()) is not None:
            self.queue.send([again])

    def sweep(self) -> None:
        """Remove every chunk outside the live generation, page by page. Raises `LeaseLost`."""
        if not self.record.swept:
            self.remove(but=self.record.live_generation)
            self.write(replace(self.record, swept=True))

    def require_sweep(self) -> None:
        """Make the next `sweep` search the index again: a worker that lost the lease may have written to it."""
        self.record = replace(self.record, swept=False)

    def remove(self, *, of: str | None = None, but: str | None = None) -> None:
        """Remove the chunks of one generation, or of all but one. Raises `LeaseLost`."""
        collection = collection_of(self.lease.key)
        while ids := self.index.ids(collection, self.lease.key, of=of, but=but, limit=_DELETE_AT_ONCE):
            self.lease = self.ledger.renew(self.lease)
            self.index.delete(collection, ids)

    def heartbeat(self) -> None:
        """Renew the lease when a third of it has passed.

        Raises `LeaseLost`, or `DeadlineExceeded` when this worker's time is nearly over.
        """
        require_time(self.remaining_s, self.limits.stop_before_s)
        if time() > self.lease.expires_at - self.limits.lease_s * 2 / 3:
            self.lease = self.ledger.renew(self.lease)


def require_time(remaining_s: Callable[[], float], least_s: float) -> None:
    """Raise `DeadlineExceeded` when fewer than `least_s` seconds are left."""
    if remaining_s() < least_s:
        raise DeadlineExceeded("time", "too little time is left; the message's next delivery continues")


@dataclass(frozen=True, slots=True)
class RangeWorker:
    """Indexes one range of a long document. `owner` and `remaining_s` are those of `Ingest.update`.

    `is_last` marks the last delivery: recognition has failed in each earlier one, so the range of a document with
    live text gets the text of its layers, and the document goes on answering.

    A range needs no lease: chunk ids are deterministic, and the ledger counts a range only while the document is
    being indexed from the same version, in the same attempt. When the document changed meanwhile, this worker, or
    the redelivery of its message, removes what it wrote. To finish, refuse or clean the document it needs the
    lease.
    """

    ingest: Ingest
    task: RangeTask
    owner: str
    remaining_s: Callable[[], float]
    is_last: bool = False

    def index_range(self) -> IngestReport:
        """Index the range; the last range of a generation makes it live. Raises as `Ingest.update` does."""
        task, ledger, tally = self.task, self.ingest.ledger, RangeTally()
        record = ledger.get(task.key)
        if record is not None and record.version == task.version and record.status is Status.FAILED:
            return self._update()  # from the dead-letter queue
        if record is not None and ranges.is_current(task, record) and task.range not in record.ranges_done:
            try:
                tally = self._index(record)
                record = ledger.finish_range(task, tally)
                if record is not None:
                    read = record.characters + record.hidden_characters
                    ranges.check_length(read, record.size or 0, self.ingest.indexer.limits)
            except NotFound:
                # Sweep again: a write of the last delivery may have reached the index after the change was swept.
                report, changed = self._update(again=True), ledger.get(task.key)
                if changed is not None and ranges.is_current(task, changed):  # the version may have come back
                    raise Unavailable("s3", "the document's version could not be read", retry_after=1.0) from None
                return report
            except Refused as refused:
                return self._refuse(refused)
        if record is None or not ranges.is_current(task, record):
            if not self.ingest.is_unknown(task.key):  # an unknown document has no chunks
                with self._acquire(retry_after=5.0) as lease:
                    self._remove_stale(lease)
                    self.ingest.release(lease)
            return IngestReport(status=None, tally=tally)
        # Check this even for a range that is done: its worker may have died before the generation was live.
        if task.range < (record.recognised_from or 0) or len(record.ranges_done) == record.ranges:
            self._update()
            record = ledger.get(task.key) or record
        return IngestReport(record.status, record.reason, tally)

    def _update(self, *, again: bool = False) -> IngestReport:
        return self.ingest.update(Hint(self.task.key), self.owner, self.remaining_s, again=again)

    def _index(self, record: DocumentRecord) -> RangeTally:
        task, indexer, limits = self.task, self.ingest.indexer, self.ingest.indexer.limits
        span = ranges.span(record, task.range, limits)
        is_final = bool(self.is_last and record.live_generation) or indexer.recogniser is None
        if span.recognise and not span.given_up and is_final:
            span = replace(span, given_up=Reason.UNAVAILABLE)
        # Recognition of a page cannot be stopped before its own time limit.
        least_s = limits.stop_before_s + (limits.ocr_page_timeout_s if span.recognise else 0.0)
        require_time(self.remaining_s, least_s)
        head = ObjectVersion(task.version, record.size or 0, record.etag or "")
        with self.ingest.downloaded(record, head) as path:
            generation = self.ingest.generation(record, recognised=span.recognise)
            return indexer.run(generation, path, task.range, span, lambda: require_time(self.remaining_s, least_s))

    def _refuse(self, refused: Refused) -> IngestReport:
        """Reject the whole document, so that its other ranges are stale. If it changed meanwhile, only clean up.

        In both cases match the key last, see `_remove_stale`.
        """
        if self.ingest.is_unknown(self.task.key):
            return IngestReport(status=None)
        with self._acquire(retry_after=1.0) as lease:
            is_current = ranges.is_current(self.task, lease.record)
            if is_current:
                record = replace(lease.record, ranges_done=frozenset())  # no recogniser reads it either
                self.ingest.settle(lease, ranges.rejected(record, refused.reason, refused.detail))
                self.ingest.match(lease, Hint(self.task.key))
            else:
                self._remove_stale(lease)
            self.ingest.release(lease)
        record = lease.record
        return IngestReport(record.status, record.reason) if is_current else IngestReport(status=None)

    def _remove_stale(self, lease: DocumentLease) -> None:
        """Remove the chunks that any delivery of the task may have written for a document that changed.

        This needs the lease, because another worker could start the same version again meanwhile. Then match the
        key: a worker that died with this message may have held the lease while other events relied on it to look
        again.
        """
        self.ingest.remove_stale(lease, self.task)
        self.ingest.match(lease, Hint(self.task.key))

    def _acquire(self, *, retry_after: float) -> DocumentLease:
        lease = self.ingest.acquire(self.task.key, self.owner, self.remaining_s)
        if lease is None:
            raise Unavailable("ledger", "another worker holds the document's lease", retry_after=retry_after)
        return lease
