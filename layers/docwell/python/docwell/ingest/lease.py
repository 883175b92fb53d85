"""The lease of one document, as a `with` block."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import time
from typing import Self

from docwell.config import IngestLimits
from docwell.errors import DeadlineExceeded, DocwellError, LeaseLost
from docwell.models import DocumentRecord, Hint, Lease, RangeTally, collection_of
from docwell.ports import Ledger, TaskQueue, VectorIndex

_DELETE_AT_ONCE = 500  # ids in one delete


@dataclass(slots=True)
class DocumentLease:
    """The right to change one document, held by this worker.

    Call `try_release` until it returns None, then leave the block. A block that raises releases the lease at once,
    so that the next delivery need not wait until it expires.

    `record` is the document as this worker knows it. It is ahead of the ledger while a document of one range is
    indexed but not live. `tally` counts what this worker indexed under the lease.
    """

    held: Lease
    ledger: Ledger
    index: VectorIndex
    queue: TaskQueue
    limits: IngestLimits
    remaining_s: Callable[[], float]
    record: DocumentRecord = field(init=False)
    tally: RangeTally = field(default_factory=RangeTally)

    def __post_init__(self) -> None:
        self.record = self.held.record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # Where either call fails, the lease expires by itself.
        with suppress(DocwellError):
            if isinstance(error, LeaseLost):
                self._request_sweep()
            elif error is not None:
                self.release_to_queue()

    def write(self, record: DocumentRecord, *, fresh: bool = False) -> None:
        """Store the record, see `docwell.ports.Ledger.write`. Raises `LeaseLost`."""
        self.held = self.ledger.write(self.held, record, fresh=fresh)
        self.record = self.held.record

    def try_release(self) -> Hint | None:
        """Release the lease and return None; if another event came meanwhile, keep it and return a hint."""
        again = self.ledger.release(self.held)
        if again is None:
            return None
        self.held, self.record = again, again.record
        self.require_sweep()
        return Hint(again.key)

    def release_to_queue(self) -> None:
        """Release the lease, and send a hint for events that came meanwhile: they relied on this worker."""
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
        collection = collection_of(self.held.key)
        while ids := self.index.ids(collection, self.held.key, of=of, but=but, limit=_DELETE_AT_ONCE):
            self.held = self.ledger.renew(self.held)
            self.index.delete(collection, ids)

    def heartbeat(self) -> None:
        """Renew the lease when a third of it has passed.

        Raises `LeaseLost`, or `DeadlineExceeded` when this worker's time is nearly over.
        """
        require_time(self.remaining_s, self.limits.stop_before_s)
        if time() > self.held.expires_at - self.limits.lease_s * 2 / 3:
            self.held = self.ledger.renew(self.held)

    def _request_sweep(self) -> None:
        """Send a hint that removes what this worker wrote after it lost the lease.

        A worker at the same version writes the same ids, so no sweep is needed. If another worker holds the lease,
        the hint makes it look again and sweep, even if it has swept before.
        """
        record = self.ledger.get(self.held.key)
        if record is None or record.version != self.record.version:
            self.queue.send([Hint(self.held.key, sweep=True)])


def require_time(remaining_s: Callable[[], float], least_s: float) -> None:
    """Raise `DeadlineExceeded` when less than `least_s` seconds are left."""
    if remaining_s() < least_s:
        raise DeadlineExceeded("time", "too little time is left; the message's next delivery continues")
