"""Index one range of a long document.

A range needs no lease: chunk ids are deterministic, and the ledger counts a range only while the document is
being indexed from the same version, in the same attempt. When the document changed meanwhile, the range worker, or
the redelivery of its message, removes what it wrote. To finish, refuse or clean the document it needs the lease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from docwell.errors import NotFound, Refused, Unavailable
from docwell.ingest import ranges
from docwell.ingest.ingest import Ingest, IngestReport
from docwell.ingest.lease import DocumentLease, require_time
from docwell.models import DocumentRecord, Hint, ObjectVersion, RangeTally, RangeTask, Status


@dataclass(frozen=True, slots=True)
class RangeWorker:
    """Handles one range message. `owner` and `remaining_s` are those of `Ingest.update`."""

    ingest: Ingest
    task: RangeTask
    owner: str
    remaining_s: Callable[[], float]

    def index_range(self) -> IngestReport:
        """Index the range; the last range of a generation makes it live. Raises as `Ingest.update` does."""
        task, ledger, tally = self.task, self.ingest.ledger, RangeTally()
        record = ledger.get(task.key)
        if record is not None and record.version == task.version and record.status is Status.FAILED:
            return self._update()  # redriven from the dead-letter queue
        if record is not None and ranges.is_current(task, record) and task.range not in record.ranges_done:
            try:
                tally = self._index(record)
                record = ledger.finish_range(task, tally)
                if record is not None:
                    read = record.characters + record.hidden_characters
                    ranges.check_length(read, record.size or 0, self.ingest.indexer.limits)
            except NotFound:
                return self._match_change()
            except Refused as refused:
                return self._refuse(refused)
        if record is None or not ranges.is_current(task, record):
            self._leave()
            return IngestReport(status=None, tally=tally)
        # Also when the range was done before: its worker may have died before it made the generation live.
        if ranges.is_generation_done(record, task.range):
            self._update()
            record = ledger.get(task.key) or record
        return IngestReport(record.status, record.reason, tally)

    def _update(self, *, again: bool = False) -> IngestReport:
        return self.ingest.update(Hint(self.task.key), self.owner, self.remaining_s, again=again)

    def _match_change(self) -> IngestReport:
        """Match the key, whose version was replaced or deleted: the event of that may not have arrived yet.

        Raises `Unavailable` while the document still waits for this range: its version may be back.
        """
        # Sweep again: a write of the last delivery may have reached the index after the change was swept.
        report = self._update(again=True)
        record = self.ingest.ledger.get(self.task.key)
        if record is not None and ranges.is_current(self.task, record):
            raise Unavailable("s3", "the document's version could not be read", retry_after=1.0)
        return report

    def _index(self, record: DocumentRecord) -> RangeTally:
        task, indexer, limits = self.task, self.ingest.indexer, self.ingest.indexer.limits
        span = ranges.span(record, task.range, limits)
        # A page that is being recognised cannot be stopped before its own time limit.
        least_s = limits.stop_before_s + (limits.ocr_page_timeout_s if span.recognise else 0.0)
        require_time(self.remaining_s, least_s)
        head = ObjectVersion(task.version, record.size or 0, record.etag or "")
        with indexer.downloaded(task.key, head) as path:
            generation = self.ingest.generation(record, recognised=span.recognise)
            return indexer.run(generation, path, task.range, span, lambda: require_time(self.remaining_s, least_s))

    def _refuse(self, refused: Refused) -> IngestReport:
        """Reject the whole document; its other ranges are then stale. If it changed meanwhile, only leave it.

        In both cases match the key last, see `_remove_stale`.
        """
        if self.ingest.is_unknown(self.task.key):
            return IngestReport(status=None)
        with self._acquire(retry_after=1.0) as lease:
            is_current = ranges.is_current(self.task, lease.record)
            if is_current:
                self.ingest.settle(lease, ranges.rejected(lease.record, refused.reason, refused.detail))
                self.ingest.match(lease, Hint(self.task.key))
            else:
                self._remove_stale(lease)
            self.ingest.release(lease)
        record = lease.record
        return IngestReport(record.status, record.reason) if is_current else IngestReport(status=None)

    def _leave(self) -> None:
        """Remove this task's chunks of a document that changed. An unknown document has none."""
        if self.ingest.is_unknown(self.task.key):
            return
        with self._acquire(retry_after=5.0) as lease:
            self._remove_stale(lease)
            self.ingest.release(lease)

    def _remove_stale(self, lease: DocumentLease) -> None:
        """Remove what any delivery of the task may have written for a document that changed.

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
