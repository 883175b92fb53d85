"""Make the index match the bucket for one key.

An event is only a hint that something may have changed. Whatever it says, the key's current version is
read, indexed as a generation of its own, made live in one write, and the generations before it are
removed; then the key is looked at again. A document longer than a range is cut into ranges, which are
messages of their own: whoever finishes the last one makes the generation live. Doing any of this twice,
late, side by side or after a crash gives the same state. `docwell.ingest.ranges` says how pages without text are
recognised after the others are live.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Protocol

from docwell.attributes import Attributes
from docwell.errors import DocwellError, LeaseLost, NotFound, Refused, Unavailable
from docwell.ingest import ranges
from docwell.ingest.indexing import Generation, IngestLimits, RangeIndexer
from docwell.ingest.lease import Work, stay_in_time
from docwell.models import (
    DocumentRecord,
    DocumentRef,
    Hint,
    ObjectVersion,
    RangeTally,
    RangeTask,
    Reason,
    Status,
)
from docwell.ports import Ledger, ObjectStore, RangeLedger, TaskQueue, VectorIndex

logger = logging.getLogger(__name__)

# Statuses that need no work while the object stays as it is. FAILED is not one: the next event tries again.
_SETTLED = frozenset({Status.INDEXED, Status.EMPTY, Status.REJECTED})


class WholeLedger(Ledger, RangeLedger, Protocol):
    """The ledger as ingest needs it."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was done for one message. `status` is None when the message had nothing left to do here."""

    status: Status | None
    reason: str | None = None
    tally: RangeTally = field(default_factory=RangeTally)
    seconds: float = 0.0


@dataclass(frozen=True)
class Ingest:
    """The use case for one pipeline. `fingerprint` is the pipeline's: model, chunker and text extraction.

    Ranges that are recognised go through `ocr_queue` where there is one: no other document waits behind them.
    """

    bucket: str
    store: ObjectStore
    ledger: WholeLedger
    index: VectorIndex
    queue: TaskQueue
    indexer: RangeIndexer
    fingerprint: str
    ocr_queue: TaskQueue | None = None

    @property
    def limits(self) -> IngestLimits:
        """The limits of each document."""
        return self.indexer.limits

    def update(
        self, hint: Hint, owner: str, remaining_s: Callable[[], float], *, again: bool = False
    ) -> IngestReport:
        """Make the index match the bucket for the hint's key.

        Args:
            hint: the S3 key, and whether to distrust what the ledger says of it.
            owner: names this delivery; its redelivery comes with the same name.
            remaining_s: the seconds left until this worker is stopped.
            again: the delivery is not the message's first. A write that got no answer then may have been done
                since, and by now the document may be another worker's, and swept.

        Raises:
            Unavailable: nothing is lost; the same message must be delivered again.
        """
        started = monotonic()

        def match(held: Work) -> None:
            if again:
                held.doubt()
            self._match(held, hint)

        work = self._hold(hint.key, owner, remaining_s, match)
        if work is None:
            return IngestReport(status=None)
        return IngestReport(work.record.status, work.record.reason, work.tally, monotonic() - started)

    def index_range(self, task: RangeTask, owner: str, remaining_s: Callable[[], float]) -> IngestReport:
        """Index one range of a long document; the last range to be done makes the generation live.

        No lease is held: what was written for a document that moved on meanwhile is removed again here,
        or by the redelivery of this message.
        """
        started = monotonic()
        record = self.ledger.get(task.key)
        if record is not None and record.version == task.version and record.status is Status.FAILED:
            return self.update(Hint(task.key), owner, remaining_s)  # redriven from the dead-letter queue
        tally = RangeTally()
        try:
            if record is not None and _wants(record, task) and task.range not in record.ranges_done:
                tally = self._run_range(task, record, remaining_s)
                record = self.ledger.finish_range(task, tally)
                self._check_characters(record)
        except NotFound:  # replaced or deleted: its own event may still be on its way
            return self.update(Hint(task.key), owner, remaining_s)
        except Refused as refused:
            return self._refuse_range(task, refused, owner, remaining_s)
        if record is None or not _wants(record, task):
            self._remove_stale(task, owner, remaining_s)
            return IngestReport(status=None, tally=tally)
        # A worker may have died under this message before it sent the ranges of the next generation, or let go.
        if ranges.is_generation_done(record, task.range):
            self.update(Hint(task.key), owner, remaining_s)
            record = self.ledger.get(task.key) or record
        return IngestReport(record.status, record.reason, tally, monotonic() - started)

    def fail(self, message: Hint | RangeTask, owner: str, reason: Reason, detail: str) -> None:
        """Give up on its key: FAILED with a reason, and nothing of it is shown any more.

        A range of a document that moved on fails nothing but itself.
        """

        def give_up(work: Work) -> None:
            if isinstance(message, RangeTask) and not _wants(work.record, message):
                return
            failed = replace(work.record, status=Status.FAILED, reason=reason.value, detail=detail, swept=False)
            work.write(replace(failed, live_generation=None, live_version=None, live_attributes=None))
            with suppress(DocwellError):  # what cannot be removed now, reconcile finds
                work.sweep()

        self._hold(message.key, owner, lambda: 0.0, give_up)

    # --- under the lease ---

    def _hold(
        self, key: str, owner: str, remaining_s: Callable[[], float], action: Callable[[Work], None]
    ) -> Work | None:
        """Do something under the document's lease, and look again as long as somebody asks for it."""
        lease = self.ledger.acquire(key, owner)
        if lease is None:
            return None
        collection = DocumentRef(self.bucket, key).collection
        work = Work(lease, self.ledger, self.index, collection, self.limits, remaining_s)
        try:
            action(work)
            while (again := self.ledger.release(work.lease)) is not None:
                work.lease = again
                work.doubt()
                self._match(work, Hint(key))
        except LeaseLost:
            with suppress(DocwellError):
                self._leave(work)
            raise
        except BaseException:
            # Free the document for the next delivery at once; where this fails the lease runs out by itself.
            with suppress(DocwellError):
                self.ledger.release(work.lease)
            raise
        return work

    def _leave(self, work: Work) -> None:
        """Leave a document that is another worker's by now.

        What was written here last may have come after the other one's sweep, unless that is at the same version,
        and our own message may be done with that. Whoever gets this one sweeps, or has the other look again.
        """
        record = self.ledger.get(work.lease.key)
        if record is None or record.version != work.record.version:
            self.queue.send([Hint(work.lease.key, sweep=True)])

    def _match(self, work: Work, hint: Hint) -> None:
        """Look at the key until the ledger says of it what the bucket does, as far as it goes here."""
        while True:
            key, record = work.lease.key, work.record
            head = self.store.head(key)
            if head is None:
                self._settle(work, DocumentRecord(key, Status.DELETED))
                return
            trusted = record.version == head.version and not hint.rebuild
            try:
                if trusted and record.status in _SETTLED:
                    self._describe(work, head)
                    if hint.sweep:
                        work.doubt()
                    work.sweep()
                    return
                if trusted and record.status is Status.PENDING and record.ranges is not None:
                    self._describe(work, head)
                    self._go_on(work, again=hint.sweep)
                else:
                    self._start(work, head, rebuild=hint.rebuild)
            except NotFound:
                continue  # replaced or deleted while it was being read
            except Refused as refused:
                self._settle_refused(work, head, refused)
            hint = Hint(key)
            if self.store.head(key) == head:
                return

    def _describe(self, work: Work, head: ObjectVersion) -> None:
        """Renew what is said of a live version: tags, and metadata without VersionIds, change by themselves."""
        record = work.record
        if record.live_version == head.version:
            said = self._attributes(record, head)
            if said != record.live_attributes:
                work.write(replace(record, live_attributes=said))

    def _attributes(self, record: DocumentRecord, head: ObjectVersion) -> Attributes:
        tags = self.store.tags(record.key, head)
        return Attributes(record.title, record.author, record.created, head.metadata, tags)

    def _start(self, work: Work, head: ObjectVersion, *, rebuild: bool) -> None:
        key = work.lease.key
        # What is there under these ids is distrusted: an earlier try may have read more text, with the other
        # reader, and more chunks may be there than will be written.
        tried = rebuild or work.record.version == head.version
        # Nothing is written for a document before this, so of one that was never begun nothing is there, unless
        # the ledger was lost and the index was not: then reconcile finds what is too much.
        first = work.record.version is None and work.record.status is Status.PENDING
        begun = DocumentRecord(
            key=key,
            status=Status.PENDING,
            version=head.version,
            size=head.size,
            etag=head.etag,
            attempt=work.lease.fence,
            live_generation=work.record.live_generation,
            live_version=work.record.live_version,
            swept=first,
            live_attributes=work.record.live_attributes,
        )
        work.ahead = None
        work.write(begun, fresh=True)
        for id_ in self._generations(key, head.version) if tried else ():
            work.remove(of=id_)
        if head.size > self.limits.max_document_bytes:
            limit = self.limits.max_document_bytes
            raise Refused(Reason.TOO_LARGE, f"{head.size:,} bytes; the limit is {limit:,} (max_document_bytes)")
        with self.indexer.downloaded(key, head) as path:
            info = self.indexer.reader.inspect(path)
            count = ranges.count_ranges(info.page_count, self.limits.range_pages)
            planned = replace(work.record, pages=info.page_count, title=info.title, ranges=count)
            planned = replace(planned, author=info.author, created=info.created)
            if count == 1:
                work.ahead, generation = planned, self._generation(planned)
                work.tally = self.indexer.run(generation, path, 0, self._span(planned, 0), work.alive)
        if count == 1:
            # Stored once it is live, not before: a worker that dies in between does its one range again.
            work.ahead = ranges.with_progress(planned, work.tally)
            self._complete(work, work.ahead)
        else:
            work.write(planned)
            self._go_on(work)

    def _go_on(self, work: Work, *, again: bool = False) -> None:
        """Send what was not sent, or make live what is complete; else the ranges' own messages go on.

        With `again` the messages are taken for lost, and those that are missing are sent once more.
        """
        record = work.record
        assert record.ranges is not None  # noqa: S101 - a plan comes first
        if len(record.ranges_done) == record.ranges:
            self._complete(work, record)
        elif again or not record.dispatched:
            missing = sorted(set(range(record.ranges)) - record.ranges_done)
            task = RangeTask(record.key, str(record.version), self.fingerprint, record.attempt, 0)
            queue = self.ocr_queue if self.ocr_queue and record.recognised_from is not None else self.queue
            queue.send([replace(task, range=number) for number in missing])
            work.write(replace(record, dispatched=True))

    def _complete(self, work: Work, record: DocumentRecord) -> None:
        """Every range is in the index: make the generation live, unless the object has changed meanwhile."""
        head = self.store.head(record.key)
        if head is None or head.version != record.version:
            return
        if self.indexer.recogniser is not None and ranges.needs_recognition(record):
            self._recognise(work, record, head)
            return
        found, recognised = ranges.outcome(record), record.recognised_from is not None
        if found.status is Status.INDEXED:
            found = self._live(found, head, recognised=recognised)
            # What the text layers gave is there beside it.
            found = replace(found, swept=found.swept and not recognised)
        self._settle(work, found)

    def _recognise(self, work: Work, record: DocumentRecord, head: ObjectVersion) -> None:
        """Let the text layers answer, and begin the generation in which the other pages are recognised."""
        begun = ranges.recognition(record, self.limits.ocr_range_pages)
        work.write(self._live(begun, head) if record.chunks else begun, fresh=True)
        work.ahead = None
        # Now or when all is done, never in between: it takes what ranges have written for the next generation.
        work.sweep()
        self._go_on(work)

    def _live(self, record: DocumentRecord, head: ObjectVersion, *, recognised: bool = False) -> DocumentRecord:
        """The record with one of its generations as the one that answers."""
        generation, said = self._generation(record, recognised=recognised), self._attributes(record, head)
        return replace(record, live_generation=generation.id, live_version=head.version, live_attributes=said)

    def _settle_refused(self, work: Work, head: ObjectVersion, refused: Refused) -> None:
        logger.info("refused", extra={"reason": refused.reason, "size": head.size})
        known = replace(work.ahead or work.record, version=head.version, size=head.size, etag=head.etag)
        rejected = replace(known, status=Status.REJECTED, reason=str(refused.reason), detail=refused.detail)
        self._settle(work, rejected)

    def _settle(self, work: Work, record: DocumentRecord) -> None:
        """Switch what is live in one write, then remove everything else of the document."""
        if record.status is Status.INDEXED:
            work.write(record, fresh=record.ranges == 1)
        else:
            gone = replace(record, live_generation=None, live_version=None, live_attributes=None)
            work.write(replace(gone, chunks=0, swept=False), fresh=True)
        work.sweep()

    # --- ranges ---

    def _generations(self, key: str, version: str) -> list[str]:
        """The ids of both generations of a version: from its text layers, and with what is recognised."""
        ref = DocumentRef(self.bucket, key)
        return [ref.generation(version, self.fingerprint + suffix) for suffix in ("", ranges.RECOGNISED)]

    def _generation(self, record: DocumentRecord, *, recognised: bool = False) -> Generation:
        version = str(record.version)
        id_ = self._generations(record.key, version)[recognised]
        return Generation(DocumentRef(self.bucket, record.key), version, id_, record.title)

    def _span(self, record: DocumentRecord, number: int) -> ranges.Span:
        return ranges.span(record, number, self.limits.range_pages, self.limits.ocr_range_pages)

    def _run_range(self, task: RangeTask, record: DocumentRecord, remaining_s: Callable[[], float]) -> RangeTally:
        head = ObjectVersion(task.version, record.size or 0, record.etag or "")
        recognised = ranges.is_recognised(record, task.range)
        # A picture that is begun may take so much longer.
        least_s = self.limits.stop_before_s + (self.limits.ocr_page_timeout_s if recognised else 0.0)
        stay_in_time(remaining_s, least_s)
        with self.indexer.downloaded(task.key, head) as path:
            generation, span = self._generation(record, recognised=recognised), self._span(record, task.range)
            return self.indexer.run(generation, path, task.range, span, lambda: stay_in_time(remaining_s, least_s))

    def _refuse_range(
        self, task: RangeTask, refused: Refused, owner: str, remaining_s: Callable[[], float]
    ) -> IngestReport:
        """One range cannot be read: the document is refused, and its other ranges find that out."""

        def refuse(work: Work) -> None:
            if _wants(work.record, task):
                head = ObjectVersion(task.version, work.record.size or 0, work.record.etag or "")
                self._settle_refused(work, head, refused)

        work = self._hold(task.key, owner, remaining_s, refuse)
        if work is None:
            raise Unavailable("ledger", "another worker has the document just now", retry_after=1.0)
        return IngestReport(work.record.status, work.record.reason)

    def _check_characters(self, record: DocumentRecord | None) -> None:
        limit = self.limits.max_document_characters
        if record is not None and record.characters > limit:
            raise Refused(Reason.TOO_MUCH_TEXT, f"over {limit:,} characters (max_document_characters)")

    def _remove_stale(self, task: RangeTask, owner: str, remaining_s: Callable[[], float]) -> None:
        """Remove what this or an earlier delivery of the task may have written for a document that moved on.

        Under the lease, or the same version could be begun anew between our look and our deleting. And a worker
        that died under this message may have held the lease: then others were told that it would look again,
        and nobody but its redelivery does.
        """

        def remove(work: Work) -> None:
            record = work.record
            pending = record.status is Status.PENDING and record.version == task.version  # in a later attempt
            for generation in self._generations(task.key, task.version):
                if not pending and record.live_generation != generation:
                    work.remove(of=generation)
            self._match(work, Hint(task.key))

        if self._hold(task.key, owner, remaining_s, remove) is None:
            raise Unavailable("ledger", "another worker has the document just now", retry_after=5.0)


def _wants(record: DocumentRecord, task: RangeTask) -> bool:
    """Whether the document is still being indexed from the task's version, in the task's attempt."""
    wanted = (Status.PENDING, task.version, task.attempt)
    return (record.status, record.version, record.attempt) == wanted
