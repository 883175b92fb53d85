"""Work on one document under its lease: its record is written, its chunks are removed, the time is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import time

from docwell.errors import DeadlineExceeded
from docwell.ingest.indexing import IngestLimits
from docwell.models import DocumentRecord, Lease, RangeTally
from docwell.ports import Ledger, VectorIndex

_DELETE_AT_ONCE = 500  # ids of one delete


@dataclass(slots=True)
class Work:
    """The lease that is held, what was done under it, and how long this worker still has.

    `ahead` is the record of a document of one range while that is more than the ledger knows yet.
    """

    lease: Lease
    ledger: Ledger
    index: VectorIndex
    collection: str
    limits: IngestLimits
    remaining_s: Callable[[], float]
    tally: RangeTally = field(default_factory=RangeTally)
    ahead: DocumentRecord | None = None

    @property
    def record(self) -> DocumentRecord:
        """What the ledger knows."""
        return self.lease.record

    def write(self, record: DocumentRecord, *, fresh: bool = False) -> None:
        """As `docwell.ports.Ledger.write`. Raises `LeaseLost`."""
        self.lease = self.ledger.write(self.lease, record, fresh=fresh)

    def sweep(self) -> None:
        """Remove every chunk that is not of the live generation, page by page while the lease holds."""
        if not self.record.swept:
            self.remove(but=self.record.live_generation)
            self.write(replace(self.record, swept=True))

    def doubt(self) -> None:
        """Take nothing for removed: a worker that had lost the lease may have written since."""
        self.lease = replace(self.lease, record=replace(self.record, swept=False))

    def remove(self, *, of: str | None = None, but: str | None = None) -> None:
        """Remove the chunks of one generation, or of all but one. Raises `LeaseLost`."""
        key = self.lease.key
        while ids := self.index.ids(self.collection, key, of=of, but=but, limit=_DELETE_AT_ONCE):
            self.lease = self.ledger.renew(self.lease)
            self.index.delete(self.collection, ids)

    def alive(self) -> None:
        """Raises when this worker must stop: its time is nearly over, or the lease is another's by now."""
        stay_in_time(self.remaining_s, self.limits.stop_before_s)
        # A third of the lease is gone: renew it.
        if time() > self.lease.expires_at - self.limits.lease_s * 2 / 3:
            self.lease = self.ledger.renew(self.lease)


def stay_in_time(remaining_s: Callable[[], float], least_s: float) -> None:
    """Raises `DeadlineExceeded` when less than that is left."""
    if remaining_s() < least_s:
        raise DeadlineExceeded("time", "no time is left here; the rest follows when the message comes again")
