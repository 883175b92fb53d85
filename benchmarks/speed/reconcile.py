"""Hours of a reconcile pass over 10 million documents, against simulated stores.

The use case is the real one; bucket, ledger, index and queue are computed from a document's number. Each call
takes the time that `CALLS` assumes, on a simulated clock, and docwell's own processor time counts as a function of
1,024 MB needs it. Of 10,000 documents, one has each kind of drift: every pass must find exactly those.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import Any

from benchmarks.speed.options import Options
from docwell.config import ReconcileLimits
from docwell.models import DocumentRecord, ObjectSummary, ObjectVersion, Status
from docwell.ports import LedgerRow
from docwell.upkeep.reconcile import Drift, Phase, Reconcile, ReconcileReport
from infra.progress import CONSOLE, bar
from infra.report import Report

DOCUMENTS, SHORT_DOCUMENTS = 10_000_000, 20_000
PARTS = 6  # as infra/ingest.yaml's ReconcilePartitions
CHUNKS, SHARDS = 12, 4
EVERY = 10_000  # of so many documents, one has each kind of drift
# Assumed seconds of a call, with the work of its client. HEAD: its share of eight at once.
CALLS = {"list": 0.25, "changes": 0.3, "rows": 0.03, "scan": 0.06, "head": 0.003, "chunks": 0.15, "page": 0.1}
CALLS |= {"send": 0.02, "state": 0.01}
CPUS = 1024 / 1769  # of a function with 1,024 MB: 1,769 have one
RUN_S = 900.0
NOON = 1_800_000_000.0
DAY_S = 86_400.0
# The first document of each kind of drift.
WHOLE = {Drift.MISSING: 1, Drift.LOST: 2, Drift.ORPHAN: 3}
CHANGED = {Drift.STALE: 4, Drift.ORPHAN: 5}


@dataclass
class World:
    """The stores. Of each `EVERY` documents, 1 has no row, 2 lost chunks, 3 has no object.

    `later`, 4 is replaced and 5 deleted.
    """

    count: int
    later: bool = False
    now: float = NOON
    facts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def takes(self, call: str, times: float = 1) -> None:
        with self.lock:
            self.now += CALLS[call] * times

    def version(self, number: int) -> str:
        """The current version, empty where there is none."""
        rest = number % EVERY
        if rest == 3 or (self.later and rest == 5):
            return ""
        return "v2" if self.later and rest == 4 else "v1"

    def row(self, number: int) -> LedgerRow:
        record = DocumentRecord(
            _key(number),
            Status.INDEXED,
            version="v1",
            etag='"e1"',
            chunks=CHUNKS,
            live_generation="g",
            live_version="v1",
            updated_at=NOON - DAY_S,
        )
        return LedgerRow(record, 0.0)

    def kinds(self, kinds: Mapping[Drift, int]) -> dict[str, int]:
        """The differences of these kinds."""
        return {kind: len(range(first, self.count, EVERY)) for kind, first in kinds.items()}

    def summary(self, number: int) -> ObjectSummary:
        version = self.version(number)
        return ObjectSummary(_key(number), f'"e{version[1:]}"' if version else "", 1, version)

    # ObjectStore
    def head(self, key: str) -> ObjectVersion | None:
        self.takes("head")
        version = self.version(_number(key))
        return ObjectVersion(version, 1, f'"e{version[1:]}"') if version else None

    def list(self, after: str | None, limit: int) -> Sequence[ObjectSummary]:
        self.takes("list")
        numbers = (number for number in range(_number(after) + 1, self.count) if self.version(number))
        return [ObjectSummary(one.key, one.etag, one.size) for one in map(self.summary, islice(numbers, limit))]

    def changes(self, after: str | None, limit: int, _since: float) -> tuple[Sequence[ObjectSummary], str | None]:
        self.takes("changes")
        first = _number(after) + 1
        numbers = range(first, min(first + limit, self.count))
        found = [self.summary(number) for number in numbers if self.later and number % EVERY in (4, 5)]
        return found, _key(numbers[-1]) if numbers and numbers[-1] < self.count - 1 else None

    # LedgerRows
    def scan(
        self, cursor: str | None, limit: int, segment: tuple[int, int] = (0, 1)
    ) -> tuple[Sequence[LedgerRow], str | None]:
        self.takes("scan")
        part, parts = segment
        numbers = range(int(cursor) if cursor else part, self.count, parts)[:limit]
        following = numbers[-1] + parts if numbers else self.count
        rows = [self.row(number) for number in numbers if number % EVERY != 1]
        return rows, str(following) if following < self.count else None

    def rows_of(self, keys: Sequence[str]) -> Mapping[str, LedgerRow]:
        self.takes("rows", -(-len(keys) // 100))
        return {key: self.row(number) for key in keys if (number := _number(key)) % EVERY != 1}

    def observe(self, _record: DocumentRecord, _version: str) -> bool:
        self.takes("state")
        return True

    # IndexRows
    def generations(self, _collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        self.takes("chunks")
        return {key: {"g": CHUNKS - 2 * (_number(key) % EVERY == 2)} for key in documents}

    def collections(self) -> Sequence[str]:
        self.takes("state")
        return [f"shard-{number}" for number in range(SHARDS)]

    def page(self, name: str, offset: int, limit: int) -> Sequence[tuple[str, str, str]]:
        self.takes("page")
        first = int(name[-1])
        chunks = range(offset, min(offset + limit, len(range(first, self.count, SHARDS)) * CHUNKS))
        return [("", _key(first + SHARDS * (chunk // CHUNKS)), "g") for chunk in chunks]

    # HintQueue and StateStore
    def send(self, messages: Sequence[object]) -> None:
        self.takes("send", -(-len(messages) // 10))

    def waiting(self) -> int:
        return 0

    def read(self, name: str) -> Mapping[str, str]:
        return self.facts.get(name, {})

    def write(self, name: str, values: Mapping[str, str]) -> None:
        self.takes("state")
        self.facts[name] = values


@dataclass(frozen=True, slots=True)
class Measured:
    """A pass: its report, and the seconds of work and the runs of the slowest partition."""

    report: ReconcileReport
    seconds: float
    runs: int


def measure(report: Report, options: Options) -> None:
    """Simulate a pass of one run after the other, one of partitions, and one of changes."""
    count = SHORT_DOCUMENTS if options.short else DOCUMENTS
    CONSOLE.print(f"{count:,} documents; assumed seconds of a call: {CALLS}")
    name = f"{count:,} documents"
    _add(report, f"{name}, one run at a time", _pass(World(count), 1), World(count).kinds(WHOLE), None)
    world = World(count)
    _pass(world, PARTS)  # the first pass has no ranges of keys yet
    world.now += DAY_S
    goal = options.goal("<= 12")
    _add(report, f"{name}, {PARTS} partitions", _pass(world, PARTS), world.kinds(WHOLE), goal)
    world.later = True
    goal = options.goal("<= 1")
    _add(report, f"{name}, {PARTS} partitions, changes only", _pass(world, PARTS), world.kinds(CHANGED), goal)


def _add(report: Report, name: str, done: Measured, planted: Mapping[str, int], goal: str | None) -> None:
    report.add(f"{name}: work of the slowest partition", done.seconds / 3600, "h", goal)
    report.add(f"{name}: runs every 15 minutes", done.runs / 4, "h")
    report.add(f"{name}: runs every hour", done.runs, "h")
    found = {kind: count for kind, count in done.report.drift.items() if count}
    wrong = sum(abs(found.get(kind, 0) - planted.get(kind, 0)) for kind in {*found, *planted})
    report.add(f"{name}: differences missed, or found in error", wrong, "", "== 0")


def _pass(world: World, parts: int) -> Measured:
    """Run one pass: each partition in turn, from the same time on."""
    stores: dict[str, Any] = dict.fromkeys(("store", "ledger", "index", "queue", "state"), world)
    limits = ReconcileLimits(partitions=parts)
    reconcile = Reconcile("f", **stores, limits=limits, clock=lambda: world.now, pause=lambda _: None)
    begun = world.now
    done: list[Measured] = []
    with bar("partitions", parts) as step:
        for part in range(parts):
            world.now, runs, seconds = begun, 0, 0.0
            place = f"reconcile/f/{part}" if part else "reconcile/f"
            while not runs or world.facts[place]["phase"] != Phase.DONE:
                report, spent = _run(world, reconcile, part)
                runs, seconds = runs + 1, seconds + spent
            done.append(Measured(report, seconds, runs))
            step()
    slowest = max(done, key=lambda one: one.seconds)
    world.now = begun + slowest.seconds
    return replace(slowest, report=reconcile.run(lambda: 0.0) if parts > 1 else slowest.report)


def _run(world: World, reconcile: Reconcile, part: int) -> tuple[ReconcileReport, float]:
    """Return the report of one run, and its seconds: those of the calls, and of the processor."""
    started, processor = world.now, time.process_time()

    def spent() -> float:
        return world.now - started + (time.process_time() - processor) / CPUS

    return reconcile.run(lambda: RUN_S - spent(), partition=part), spent()


def _key(number: int) -> str:
    return f"{number:08}.pdf"


def _number(key: str | None) -> int:
    return int(key[:8]) if key else -1
