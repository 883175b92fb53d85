"""Buckets, queue, ingest functions, ledger and index in memory on a simulated clock, for `bench-load`.

Each message is done by the real `Ingest`: its steps, leases and sweeps, on these stores. Reading and embedding are
replaced by a time for each page.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any, cast
from urllib.parse import quote_plus

from docwell.bucket_ports import StoredObject
from docwell.cli.loading.estimate import PAGE_S
from docwell.config import IngestLimits
from docwell.ingest.events import parse
from docwell.ingest.indexing import Generation, RangeIndexer
from docwell.ingest.ingest import Ingest
from docwell.models import (
    OBSERVED,
    PROGRESS,
    DocumentInfo,
    DocumentRecord,
    Hint,
    Lease,
    ObjectVersion,
    RangeTally,
    RangeTask,
)
from docwell.ports import Stamped

PAGES, CHUNKS = 20, 4  # of a document; chunks only count
SIZE = 300_000
COPY_S = 0.1 / 32  # a copy's share of 32 threads
NOTIFIED_S = (0.5, 3.0)  # from a copy to its message
HIDDEN_S = 60.0  # until the message of a dead worker comes again
# Of so many messages, one comes twice, and one's worker dies while it writes.
TWICE_OF, DEATHS_OF = 200, 500
OTHERS_EVERY_S = 30.0  # another upload
OTHERS = "interactive/"


class KilledError(BaseException):
    """The end of the process that loads. No handler of errors sees it."""


class DiedError(BaseException):
    """The end of a worker."""


@dataclass
class World:
    """All stores. `lag_s` is how late the queue counts its messages."""

    workers: int
    lag_s: float
    now: float = 0.0
    random: Random = field(default_factory=lambda: Random(7))
    copies: Counter[str] = field(default_factory=Counter)
    records: dict[str, DocumentRecord] = field(default_factory=dict)
    chunks: dict[str, set[str]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    deaths: int = 0
    _held: dict[str, tuple[str, int]] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)
    _uploaded: dict[str, float] = field(default_factory=dict)
    _fence: int = 0
    _dying: bool = False
    _visible: deque[tuple[str, str, int]] = field(default_factory=deque)
    _messages: int = 0
    _number: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _counts: deque[tuple[float, int]] = field(default_factory=lambda: deque([(0.0, 0)]))
    _idle: int = 0

    def __post_init__(self) -> None:
        self._idle = self.workers
        self._at(OTHERS_EVERY_S, self._other_upload)
        stores: Any = dict.fromkeys(("store", "ledger", "index", "queue"), self)
        indexer = cast("RangeIndexer", _Indexer(self))
        self.ingest = Ingest("documents", **stores, indexer=indexer, fingerprint="pipeline")

    # --- the clock ---

    def advance(self, seconds: float) -> None:
        """Let the time pass, and do what happens meanwhile."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heappop(self._events)
            event()
            if self.now - self._counts[-1][0] >= 1.0:
                self._counts.append((self.now, self._messages))
        self.now = until

    def settle(self) -> None:
        """Let the time pass until the queue is empty."""
        while self._messages:
            self.advance(1.0)

    def _at(self, seconds: float, event: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._events, (self.now + seconds, self._number, event))

    # --- the documents bucket ---

    def copy(self, _one: StoredObject, key: str) -> None:
        self.advance(COPY_S)
        self.copies[key] += 1
        self._notify(key)

    def head(self, key: str) -> ObjectVersion | None:
        version = self.copies.get(key, 0)
        return ObjectVersion(f"v{version}", SIZE, f'"e{version}"') if version else None

    def tags(self, _key: str, _version: ObjectVersion) -> Mapping[str, str]:
        return {}

    def _other_upload(self) -> None:
        key = f"{OTHERS}{len(self.waits)}-{self._number}.pdf"
        self.copies[key] += 1
        self._uploaded[key] = self.now
        self._notify(key)
        self._at(OTHERS_EVERY_S, self._other_upload)

    def _notify(self, key: str) -> None:
        event = {"Records": [{"s3": {"object": {"key": quote_plus(key)}}}]}
        for _ in range(1 + (self.random.randrange(TWICE_OF) == 0)):
            self._messages += 1
            self._number += 1
            body = (json.dumps(event), f"m{self._number}", 1)
            self._at(self.random.uniform(*NOTIFIED_S), lambda body=body: self._deliver(body))  # type: ignore[misc]

    # --- the queue, and its workers ---

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        for message in messages:
            self._notify(message.key)

    def waiting(self) -> int:
        """Return the messages, in flight or not, of some seconds ago."""
        at = self.now - self.lag_s
        while len(self._counts) > 1 and self._counts[1][0] <= at:
            self._counts.popleft()
        return self._counts[0][1]

    def _deliver(self, message: tuple[str, str, int]) -> None:
        self._visible.append(message)
        if self._idle:
            self._idle -= 1
            self._begin()

    def _begin(self) -> None:
        # A standard queue keeps the order only roughly.
        self._visible.rotate(-self.random.randrange(min(10, len(self._visible))))
        message, begun = self._visible.popleft(), self.now
        key = parse(message[0])[0].key
        seconds = PAGES * PAGE_S * self.random.uniform(0.3, 1.7) if key not in self.records else 0.05
        self.busy_s += seconds
        self._at(seconds, lambda: self._finish(message, key, begun))

    def _finish(self, message: tuple[str, str, int], key: str, begun: float) -> None:
        body, owner, receives = message
        self._dying = self.random.randrange(DEATHS_OF) == 0
        try:
            self.ingest.observe(key)
            self.ingest.update(Hint(key), owner, lambda: 900.0, again=receives > 1)
            self._messages -= 1
            if uploaded := self._uploaded.pop(key, None):
                self.waits.append(begun - uploaded)
        except DiedError:
            self.deaths += 1
            self._at(HIDDEN_S, lambda: self._deliver((body, owner, receives + 1)))
        if self._visible:
            self._begin()
        else:
            self._idle += 1

    # --- the ledger ---

    def get(self, key: str) -> DocumentRecord | None:
        return self.records.get(key)

    def acquire(self, key: str, owner: str) -> Lease | None:
        held = self._held.get(key)
        if held and held[0] != owner:
            self._again.add(key)
            return None
        self._fence += 1
        self._held[key] = (owner, self._fence)
        return Lease(key, owner, self._fence, 1e12, self.records.setdefault(key, DocumentRecord(key)))

    def renew(self, lease: Lease) -> Lease:
        return lease

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        now, kept = self.records[lease.key], OBSERVED if fresh else OBSERVED | PROGRESS
        record = replace(record, **{name: getattr(now, name) for name in kept})
        self.records[lease.key] = record
        return replace(lease, record=record)

    def release(self, lease: Lease) -> Lease | None:
        if self._dying:  # a dead worker releases nothing
            raise DiedError
        if lease.key in self._again:
            self._again.discard(lease.key)
            return replace(lease, record=self.records[lease.key])
        del self._held[lease.key]
        return None

    def observe(self, record: DocumentRecord, version: str) -> bool:
        now = self.records[record.key]
        self.records[record.key] = replace(now, observed_version=version, observations=now.observations + 1)
        return True

    # --- the index ---

    def ids(
        self, _collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> Stamped:
        found = ((one, one.split("|")[1]) for one in self.chunks.get(document, ()))
        wanted = [one for one, generation in found if of in (None, generation) and generation != but]
        return dict.fromkeys(wanted[:limit], ())

    def delete(self, _collection: str, ids: Stamped) -> None:
        for one in ids:
            self.chunks[one.split("|")[0]].discard(one)

    def write_chunks(self, generation: Generation) -> None:
        """Write the chunks of a document; a dying worker writes half of them."""
        key, count = generation.ref.key, CHUNKS // 2 if self._dying else CHUNKS
        self.chunks.setdefault(key, set()).update(f"{key}|{generation.id}|{number}" for number in range(count))
        if self._dying:
            raise DiedError


class _Indexer:
    """Takes the place of `RangeIndexer`: no file, no page and no vector."""

    limits = IngestLimits()
    recogniser = None

    def __init__(self, world: World) -> None:
        self._world = world
        self.reader = self

    @contextmanager
    def downloaded(self, _key: str, _head: ObjectVersion) -> Iterator[Path]:
        yield Path()

    def inspect(self, _path: Path) -> DocumentInfo:
        return DocumentInfo(PAGES)

    def run(self, generation: Generation, *_: object) -> RangeTally:
        self._world.write_chunks(generation)
        return RangeTally(pages=PAGES, chunks=CHUNKS)
