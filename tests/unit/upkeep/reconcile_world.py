"""Bucket, ledger, index, queue and state as reconcile sees them, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from docwell.config import ReconcileLimits
from docwell.models import DocumentRecord, Hint, ObjectVersion, RangeTask, Status, StoredObject
from docwell.ports import LedgerRow
from docwell.upkeep.reconcile import Reconcile

NOW = 1_000_000.0
LONG_AGO = NOW - 100_000
JUST_NOW = NOW - 60


@dataclass
class World:
    """Bucket, ledger, index, queue and state in one object, as reconcile sees them."""

    objects: dict[str, str] = field(default_factory=dict)  # key -> etag
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    tagged: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, LedgerRow] = field(default_factory=dict)
    chunks: dict[str, dict[str, int]] = field(default_factory=dict)  # key -> generation -> count
    sent: list[Hint | RangeTask] = field(default_factory=list)
    facts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    backlog: int = 0
    page_size: int = 1000
    now: float = NOW
    after_chunks: Callable[[], None] = lambda: None

    def add(self, key: str, record: DocumentRecord, leased_until: float = 0.0) -> None:
        self.rows[key] = LedgerRow(record, leased_until)

    def indexed(self, key: str, **changes: object) -> None:
        """Add an object with a row and three chunks that agree, except for the changes to the row."""
        record = DocumentRecord(
            key, Status.INDEXED, version="v1", etag="e1", chunks=3, live_generation="g1", live_version="v1"
        )
        self.objects[key] = "e1"
        self.chunks[key] = {"g1": 3}
        self.add(key, replace(record, **{"updated_at": LONG_AGO, **changes}))  # type: ignore[arg-type]

    # ObjectStore
    def head(self, key: str) -> ObjectVersion | None:
        if key not in self.objects:
            return None
        tags = len(self.tagged.get(key, {}))
        return ObjectVersion("v1", 1, self.objects[key], self.metadata.get(key, {}), tags)

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        return self.tagged.get(key, {})

    def download(self, key: str, version: ObjectVersion, path: object) -> None:
        raise AssertionError("reconcile reads no document")

    def page_of_objects(self, after: str) -> tuple[Sequence[StoredObject], str | None]:
        keys = sorted(key for key in self.objects if key > after)
        page = [StoredObject(key, self.objects[key], 1) for key in keys[:1000]]
        return page, page[-1].key if len(keys) > len(page) else None

    # LedgerRows
    def scan(self, cursor: str | None, limit: int) -> tuple[Sequence[LedgerRow], str | None]:
        keys = sorted(key for key in self.rows if cursor is None or key > cursor)
        page = keys[: min(limit, self.page_size)]
        return [self.rows[key] for key in page], page[-1] if len(page) < len(keys) else None

    def rows_of(self, keys: Sequence[str]) -> Mapping[str, LedgerRow]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def observe(self, record: DocumentRecord, version: str) -> bool:
        row = self.rows[record.key]
        assert row.record == record
        self.rows[record.key] = row._replace(record=replace(record, observed_version=version, observations=1))
        return True

    def forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            del self.rows[key]

    # IndexRows
    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        found = {key: self.chunks[key] for key in documents if self.chunks.get(key)}
        self.after_chunks()
        return found

    def page(self, collection: str, offset: int, limit: int) -> Sequence[tuple[str, str, str]]:
        rows = [
            (f"{key}{generation}{n}", key, generation)
            for key, counts in sorted(self.chunks.items())
            for generation, count in counts.items()
            for n in range(count)
        ]
        return rows[offset : offset + limit]

    def collections(self) -> Sequence[str]:
        return ["default"] if any(self.chunks.values()) else []

    def drop(self, collection: str) -> None:
        self.chunks.clear()

    # HintQueue
    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        self.sent += messages

    def waiting(self) -> int:
        return self.backlog

    # StateStore
    def read(self, name: str) -> Mapping[str, str]:
        return self.facts.get(name, {})

    def write(self, name: str, values: Mapping[str, str]) -> None:
        self.facts[name] = values

    def reconcile(self, fingerprint: str = "f1", **limits: Any) -> Reconcile:
        parts: dict[str, object] = dict.fromkeys(("ledger", "index", "queue", "state"), self)
        parts["store"] = _Bucket(self)
        return Reconcile(fingerprint, limits=ReconcileLimits(**limits), clock=lambda: self.now, **parts)  # type: ignore[arg-type]

    def run(self, remaining_s: Callable[[], float] = lambda: 100.0, **options: bool) -> SimpleNamespace:
        return SimpleNamespace(**self.reconcile().run(remaining_s, **options))


class _Bucket:
    """The bucket of a world, whose index has pages too."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, "page_of_objects" if name == "page" else name)


def drift(report: SimpleNamespace) -> dict[str, int]:
    return {kind: count for kind, count in report.drift.items() if count}
