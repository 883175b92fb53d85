"""Give up a message that killed its workers: its document gets a status, and nothing is indexed.

Such a message comes from the dead-letter queue. Indexing may be what killed the workers, so this only writes to
the ledger and removes chunks. The message then waits in the parked queue until an operator redrives it.
"""

from __future__ import annotations

from contextlib import suppress

from docwell.errors import DocwellError, Unavailable
from docwell.ingest import ranges
from docwell.ingest.ingest import Ingest
from docwell.ingest.lease import DocumentLease
from docwell.ingest.steps import next_step
from docwell.models import DocumentRecord, Hint, ObjectVersion, RangeTask, Reason, Status

# A lease that a dead worker left expires in `lease_s` (90 s); a living worker may renew its lease for minutes.
_RETRY_S = 10.0


def give_up(ingest: Ingest, message: Hint | RangeTask, owner: str) -> DocumentRecord:
    """Make the ledger match the bucket as far as possible without indexing, else mark the document FAILED.

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
        elif _is_unfinished(ingest, message, lease.record, head):
            tried = lease.record.version
            detail = "each worker that received the message was killed, or ran out of time"
            ingest.mark_failed(lease, Reason.INTERNAL, detail)
            if tried not in (None, head.version):  # they may have died of the older version: try the new one once
                ingest.queue.send([Hint(message.key)])
        else:
            ingest.refresh(lease, head)  # the message may have told of new tags, which rights depend on
        with suppress(DocwellError):  # queries see none of these chunks, and reconcile finds them
            _remove_leftovers(ingest, message, lease)
        record = lease.record
        lease.release_to_queue()  # this worker indexes nothing
    return record


def _is_unfinished(ingest: Ingest, message: Hint | RangeTask, record: DocumentRecord, head: ObjectVersion) -> bool:
    """Whether the message leaves work behind that no other message does."""
    if record.status is Status.FAILED:
        return False
    if (
        isinstance(message, RangeTask)
        and ranges.is_current(message, record)
        and message.range not in record.ranges_done
    ):
        return True
    return next_step(record, head, None, recognises=ingest.indexer.recogniser is not None) is not None


def _remove_leftovers(ingest: Ingest, message: Hint | RangeTask, lease: DocumentLease) -> None:
    """Remove the chunks that dead workers may have written for a version that is not live."""
    if lease.record.status is not Status.PENDING:
        lease.require_sweep()
        lease.sweep()
    elif isinstance(message, RangeTask):
        ingest.remove_stale(lease, message)
