"""`docwell load` of a million documents over simulated stores, with its gate, its state and the real `Ingest`.

`benchmarks.speed.load_world` has the stores and the assumed times. Messages come twice, late and out of order,
workers die while they write, and the load is killed five times. A case simulates the first of the million
documents, as many as `CASES` says. The others take the pace of the second half of these, because the gate learns
the pace in the first. Other uploads come every half minute; their wait is the time from upload to the begin of
their indexing. SQS says that a count may be a minute late, which is the last case.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from benchmarks.speed.load_world import CHUNKS, OTHERS, SIZE, KilledError, World
from benchmarks.speed.options import Options
from docwell.bucket_ports import StoredObject
from docwell.cli.loading.gate import QueueGate
from docwell.cli.loading.plan import Route, partitions
from docwell.cli.loading.run import Copies, Load
from docwell.cli.loading.state import LoadState
from docwell.models import Status
from infra.measuring import quantile
from infra.progress import bar
from infra.report import Report

MILLION, SHORT_DOCUMENTS = 1_000_000, 3_000
# Ingest functions, simulated documents, and how many seconds late SQS counts its messages.
CASES = ((8, 20_000, 5.0), (40, 40_000, 5.0), (8, 20_000, 60.0))
LATEST_S = 60.0
KILLS = 5
WAIT_S = 30.0  # the command's default
ROUTE = Route("archive", "papers/", "documents")
_PAGE = 1000  # of a listing
_LIST_S = 0.25


@dataclass
class Bucket:
    """The archive, or with a world the documents bucket, as a listing."""

    count: int
    world: World | None = None

    def page(self, after: str, until: str = "") -> tuple[Sequence[StoredObject], str | None]:
        # A load may begin at a part of a key, which comes before it.
        first = _number(after) + after.endswith(".pdf") if after else 0
        end = min(self.count, _number(until) + 1 if until else self.count)
        numbers = range(first, min(first + _PAGE, end))
        if self.world:
            self.world.advance(_LIST_S)
        there = (number for number in numbers if self.world is None or self.world.copies.get(_key(number)))
        rows = [StoredObject(_key(number), "", SIZE, 0.0 if self.world is None else 1.0) for number in there]
        return rows, _key(numbers[-1]) if numbers and numbers[-1] + 1 < end else None

    def folders(self) -> Sequence[str]:
        return []


@dataclass
class MortalCopier:
    """Copies, and kills the load right before or after some of the copies."""

    world: World
    deadly: set[int]
    copied: int = 0
    kills: int = 0
    half: tuple[int, float, float] = (0, 0.0, 0.0)
    step: Callable[[], None] = lambda: None

    def copy(self, one: StoredObject, key: str) -> None:
        self.copied += 1
        if self.copied == self.half[0]:
            self.half = (self.copied, self.world.now, self.world.busy_s)
        is_deadly = self.copied in self.deadly
        self.kills += is_deadly
        if is_deadly and self.kills % 2:
            raise KilledError
        self.world.copy(one, key)
        self.step()
        if is_deadly:
            raise KilledError


def measure(report: Report, options: Options) -> None:
    """Simulate each case."""
    for workers, documents, lag_s in CASES:
        count = SHORT_DOCUMENTS if options.short else documents
        world, started = World(workers, lag_s), time.monotonic()
        copier = MortalCopier(world, {count * kill // (KILLS + 1) for kill in range(1, KILLS + 1)})
        with bar(f"{workers} workers", count) as step, tempfile.TemporaryDirectory() as folder:
            copier.step, copier.half = step, (count // 2, 0.0, 0.0)
            _load(world, copier, count, Path(folder))
            _, begun, busy_s = copier.half
            seconds = world.now - begun
            busy = (world.busy_s - busy_s) / seconds / workers
            million_s = world.now + seconds * (MILLION - count) / (count - count // 2)
            world.settle()
            first = copier.copied
            _load(world, copier, count, Path(folder))
        name = f"{workers} workers, counts {lag_s:g} s late"
        report.add(f"{name}: simulated documents", count, "")
        _add(report, options, name, world, count)
        report.add(f"{name}: time for a million", million_s / 3600, "h")
        goal = options.goal(">= 0.9") if lag_s < LATEST_S else None
        report.add(f"{name}: busy share of the workers, second half", busy, "", goal)
        report.add(f"{name}: kills of the load", copier.kills, "", f"== {KILLS}")
        report.add(f"{name}: copies of a second load", copier.copied - first, "", "== 0")
        report.add(f"{name}: simulated in", time.monotonic() - started, "s")


def _load(world: World, copier: MortalCopier, count: int, folder: Path) -> None:
    """Run the load again after each kill until it is complete, each time from its state file."""
    while True:
        stop = Event()
        gate = QueueGate(world.waiting, WAIT_S, stop, lambda: world.now, world.advance)
        state = LoadState.read(ROUTE, folder)
        load = Load(Bucket(count), Copies(ROUTE, Bucket(count, world), copier, SIZE, stop, state), gate, 1)
        if not state.partitions:
            found = load.survey()
            state.documents, state.bytes = found.documents, found.bytes
            state.partitions = partitions(found.pages, 128)
        try:
            load.run(state)
        except KilledError:
            continue
        return


def _add(report: Report, options: Options, name: str, world: World, count: int) -> None:
    keys = {_key(number) for number in range(count)}
    records = world.records
    not_indexed = sum(key not in records or records[key].status is not Status.INDEXED for key in keys)
    live = {key: records[key].live_generation for key in keys & records.keys()}
    wrong = sum(
        world.chunks.get(key, set()) != {f"{key}|{generation}|{number}" for number in range(CHUNKS)}
        for key, generation in live.items()
    )
    others = {key for key in records if key.startswith(OTHERS)}
    report.add(f"{name}: documents lost", not_indexed, "", "== 0")
    report.add(f"{name}: documents copied twice", sum(world.copies[key] > 1 for key in keys), "", "== 0")
    report.add(f"{name}: documents with other chunks than theirs", wrong, "", "== 0")
    report.add(f"{name}: other objects in the ledger", len(records.keys() - keys - others), "", "== 0")
    report.add(f"{name}: deaths of workers", world.deaths, "")
    goal = options.goal(f"<= {2 * WAIT_S:g}")
    report.add(f"{name}: wait of another upload, p95", quantile(world.waits, 0.95), "s", goal)
    report.add(f"{name}: wait of another upload, longest", max(world.waits), "s")


def _key(number: int) -> str:
    return f"papers/{number:07}.pdf"


def _number(key: str) -> int:
    return int(key[7:14])
