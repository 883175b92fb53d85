"""Make the index match the bucket for one key.

An event is a hint: whatever it says, ingest reads the key's current version and takes steps until the ledger
and the bucket agree. Doing so twice, late, in parallel or after a crash leads to the same state. `steps` decides
each step, `lease` keeps other workers out, and `range_worker` indexes the ranges of a long document.

Before all this, `observe` hides what the bucket no longer has. It needs no lease, so the death of a worker cannot
delay it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from secrets import randbits

from docwell.attributes import Attributes
from docwell.errors import NotFound, Refused, Unavailable
from docwell.ingest import ranges
from docwell.ingest.indexing import Generation, RangeIndexer
from docwell.ingest.lease import DocumentLease
from docwell.ingest.steps import Recognise, Refresh, Resume, Settle, Start, Step, next_step
from docwell.models import (
    DocumentRecord,
    DocumentRef,
    Hint,
    ObjectVersion,
    RangeTally,
    RangeTask,
    Reason,
    Status,
    collection_of,
)
from docwell.ports import Ledger, ObjectStore, TaskQueue, VectorIndex

# Each attempt fails only where another worker observed the document meanwhile.
_OBSERVE_ATTEMPTS = 5
_ATTEMPT_BITS = 53  # JSON keeps such a number exactly everywhere

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of one message. `status` is None when this worker had nothing to do."""

    status: Status | None
    reason: str | None = None
    tally: RangeTally = field(default_factory=RangeTally)


@dataclass(frozen=True)
class Ingest:
    """The use case for one pipeline. `fingerprint` hashes its model, chunker and text extraction.

    Ranges to recognise go through `ocr_queue` if there is one, so that no other document waits behind them.
    """

    bucket: str
    store: ObjectStore
    ledger: Ledger
    index: VectorIndex
    queue: TaskQueue
    indexer: RangeIndexer
    fingerprint: str
    ocr_queue: TaskQueue | None = None

    def observe(self, key: str) -> None:
        """Store the version that the bucket has now, so that queries no longer see another one.

        A document without a row needs nothing: the worker that makes the row reads the bucket later.
        """
        for _ in range(_OBSERVE_ATTEMPTS):
            record = self.ledger.get(key)
            if record is None or self.ledger.observe(record, _version(self.store.head(key))):
                return
        raise Unavailable("ledger", f"{key!r} changes too fast", retry_after=1.0)

    def is_unknown(self, key: str) -> bool:
        """Return whether ledger, bucket and index have nothing of the key: it may be an erased document's.

        A late message about it must not make a row again, which would keep the key.
        """
        return (
            self.ledger.get(key) is None
            and self.store.head(key) is None
            and not self.index.ids(collection_of(key), key, limit=1)
        )

    def update(
        self, hint: Hint, owner: str, remaining_s: Callable[[], float], *, again: bool = False
    ) -> IngestReport:
        """Make the index match the bucket for the hint's key, which was observed.

        `owner` names the message, and its redelivery, which is `again`. `remaining_s` returns the seconds until
        this worker is stopped. Raises `Unavailable` if the queue must deliver the message again.
        """
        if self.is_unknown(hint.key):
            return IngestReport(status=None)
        lease = self.acquire(hint.key, owner, remaining_s)
        if lease is None:  # the holder looks at the key again before it releases the lease
            return IngestReport(status=None)
        with lease:
            if again:  # a write of the last delivery may have reached the index after another worker's sweep
                lease.require_sweep()
            self.match(lease, hint)
            self.release(lease)
        return IngestReport(lease.record.status, lease.record.reason, lease.tally)

    def match(self, lease: DocumentLease, hint: Hint) -> None:
        """Take steps until the document matches its object, or waits for its ranges; then sweep."""
        pending_hint: Hint | None = hint
        recognises = self.indexer.recogniser is not None
        while True:
            head = self.store.head(lease.record.key)
            step = next_step(lease.record, head, pending_hint, recognises=recognises)
            if step is None:
                break
            try:
                self._take(lease, step)
            except NotFound:  # the version was replaced or deleted while it was read
                continue
            pending_hint = None
        # The object changed after its event was observed, and its next event may be late or lost.
        if lease.record.observed_version not in (None, _version(head)):
            self.observe(lease.record.key)
        # Do not sweep a PENDING document: workers may be writing ranges of its next generation.
        if lease.record.status is not Status.PENDING:
            lease.sweep()

    def fail(self, message: Hint | RangeTask, owner: str, reason: Reason, detail: str) -> None:
        """Mark the document FAILED and hide it, unless the message leaves nothing of it to do but a sweep."""
        lease = self.acquire(message.key, owner, lambda: 0.0)
        if lease is None:
            return
        with lease:
            unfinished = True
            with suppress(Exception):  # then its version is unknown, or its tags, which rights depend on
                unfinished = self._is_unfinished(message, lease)
            if unfinished:
                self.mark_failed(lease, reason, detail)
            if lease.record.status is not Status.PENDING:
                with suppress(Exception):  # the dead letter's handler and reconcile sweep again
                    lease.sweep()
            lease.release_to_queue()  # this worker has no time to index

    def _is_unfinished(self, message: Hint | RangeTask, lease: DocumentLease) -> bool:
        """Whether a failed message leaves work undone. If not, renew the attributes."""
        if isinstance(message, RangeTask):
            return ranges.is_current(message, lease.record)
        head = self.store.head(message.key)
        if next_step(lease.record, head, None, recognises=self.indexer.recogniser is not None) is not None:
            return True
        if head is not None:
            self.refresh(lease, head)
        return False

    def mark_failed(self, lease: DocumentLease, reason: Reason, detail: str) -> None:
        """Store FAILED, with nothing live. The rest must then be swept."""
        failed = replace(lease.record, status=Status.FAILED, reason=reason.value, detail=detail)
        lease.write(_hidden(failed))

    def remove_stale(self, lease: DocumentLease, task: RangeTask) -> None:
        """Remove what any delivery of the task may have written for a document that changed."""
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
        """Release the lease. For each event that came meanwhile, match the key again first."""
        while (again := lease.try_release()) is not None:
            self.match(lease, again)

    def settle(self, lease: DocumentLease, record: DocumentRecord) -> None:
        """Store a final status and its live generation in one write. The rest must then be swept."""
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
                self._recognise(lease, step.head)
            case Settle(record, head):
                if head is not None and record.status is Status.INDEXED:
                    record = self._live(record, head, recognised=record.recognised_from is not None)
                self.settle(lease, record)
            case Refresh():
                self.refresh(lease, step.head)
                if step.sweep:
                    lease.require_sweep()

    def _start(self, lease: DocumentLease, step: Start) -> None:
        # Not the fence: a worker that holds the lease while its object changes can start the same version twice.
        lease.write(replace(step.record, attempt=randbits(_ATTEMPT_BITS)), fresh=True)
        if step.has_leftovers:
            for id_ in self.generation_ids(lease.record.key, step.head.version):
                lease.remove(of=id_)
        try:
            self._read(lease, step.head)
        except Refused as refused:
            self.settle(lease, ranges.rejected(lease.record, refused.reason, refused.detail))

    def _read(self, lease: DocumentLease, head: ObjectVersion) -> None:
        """Plan the ranges, and index the document if it has only one. Raises `NotFound`, `Refused`."""
        limit = self.indexer.limits.max_document_bytes
        if head.size > limit:
            detail = f"{head.size:,} bytes; the limit is {limit:,} (max_document_bytes)"
            raise Refused(Reason.TOO_LARGE, detail)
        with self.indexer.downloaded(lease.record.key, head) as path:
            info = self.indexer.reader.inspect(path)
            count = ranges.count_ranges(info.page_count, self.indexer.limits.range_pages)
            planned = replace(lease.record, pages=info.page_count, title=info.title, ranges=count)
            planned = replace(planned, author=info.author, created=info.created, media_type=info.media_type)
            if count > 1:
                lease.write(planned)
                return
            span = ranges.span(planned, 0, self.indexer.limits)
            # Store this record only once it is live: after a crash the next worker repeats the only range.
            lease.record = planned
            lease.tally = self.indexer.run(self.generation(planned), path, 0, span, lease.heartbeat)
            lease.record = ranges.with_only_range_done(planned, lease.tally)

    def _send(self, lease: DocumentLease, missing: tuple[int, ...]) -> None:
        record = lease.record
        task = RangeTask(record.key, str(record.version), self.fingerprint, record.attempt, 0)
        queue = self.ocr_queue if self.ocr_queue and record.recognised_from is not None else self.queue
        queue.send([replace(task, range=number) for number in missing])
        lease.write(replace(record, dispatched=True))

    def _recognise(self, lease: DocumentLease, head: ObjectVersion) -> None:
        planned = ranges.recognition(lease.record, self.indexer.limits.ocr_range_pages)
        if lease.record.chunks:
            planned = self._live(planned, head, recognised=False)
        lease.write(planned, fresh=True)
        lease.sweep()  # before ranges of the second generation are sent: a later sweep would remove their chunks

    def refresh(self, lease: DocumentLease, head: ObjectVersion) -> None:
        """Renew the live version's attributes: tags, and metadata in an unversioned bucket, can change alone."""
        record = lease.record
        if record.live_version == head.version:
            attributes = self._attributes(record, head)
            if attributes != record.live_attributes:
                lease.write(replace(record, live_attributes=attributes))

    # --- generations ---

    def generation_ids(self, key: str, version: str) -> tuple[str, str]:
        """Return the ids of a version's two generations: from text layers, and with recognised pages."""
        ref = DocumentRef(self.bucket, key)
        text = ref.generation(version, self.fingerprint)
        return text, ref.generation(version, self.fingerprint + ranges.RECOGNISED)

    def generation(self, record: DocumentRecord, *, recognised: bool = False) -> Generation:
        """Return one of the generations of the record's version."""
        version = str(record.version)
        id_ = self.generation_ids(record.key, version)[recognised]
        return Generation(DocumentRef(self.bucket, record.key), version, id_)

    def _live(self, record: DocumentRecord, head: ObjectVersion, *, recognised: bool) -> DocumentRecord:
        """Return the record with one of its generations live."""
        id_, attributes = self.generation(record, recognised=recognised).id, self._attributes(record, head)
        return replace(record, live_generation=id_, live_version=head.version, live_attributes=attributes)

    def _attributes(self, record: DocumentRecord, head: ObjectVersion) -> Attributes:
        tags = self.store.tags(record.key, head)
        return Attributes(record.title, record.author, record.created, head.metadata, tags, record.media_type)


def _version(head: ObjectVersion | None) -> str:
    """Return an object's version, empty where there is no object."""
    return head.version if head is not None else ""


def _hidden(record: DocumentRecord) -> DocumentRecord:
    """Return the record with nothing live: all its chunks must be swept."""
    return replace(record, live_generation=None, live_version=None, live_attributes=None, swept=False)
