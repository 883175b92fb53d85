"""Find where bucket, ledger and index disagree, and ask ingest to repair it.

Reconcile changes no document. Each repair is a hint on the ingest queue, so ingest does it under the document's
lease. Only a version that the bucket no longer has is hidden from queries at once.

A pass has three phases. Each walks through one store and remembers its place: the bucket (does the ledger know
each object?), the ledger (is each row true, and are its chunks in the index?) and the index (does each chunk have
a row?). A run does as much of the pass as its time allows, and the next run continues. It skips leased documents.
A recent PENDING document without a lease still waits for its message: reconcile judges only its live version.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, groupby
from time import time
from typing import Any, TypeVar

from docwell.config import ReconcileLimits
from docwell.errors import NotFound, ObjectDenied
from docwell.models import (
    SETTLED,
    Attributes,
    DocumentRecord,
    Hint,
    ObjectVersion,
    Reason,
    Status,
    StoredObject,
    collection_of,
)
from docwell.ports import HintQueue, IndexRows, LedgerRow, LedgerRows, ObjectStore, StateStore

_LEDGER_PAGE = 200
_REMOVED_AT_ONCE = 1000  # rows of a ledger
_INDEX_PAGE = 1000
_EXAMPLES = 100  # findings listed in a report
# A retry seldom helps after an unexpected error: once a day is enough.
_TRY_AGAIN_AFTER_S = 24 * 3600.0
_AT_ONCE = 8  # requests to the bucket

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconcile:
    """The use case for one pipeline."""

    fingerprint: str
    store: ObjectStore
    ledger: LedgerRows
    index: IndexRows
    queue: HintQueue
    state: StateStore
    limits: ReconcileLimits
    clock: Callable[[], float] = time

    def run(
        self, remaining_s: Callable[[], float], *, dry_run: bool = False, force: bool = False
    ) -> dict[str, Any]:
        """Continue the pass, or start the next one, for as long as time allows. Return the report to print.

        A pass starts only when the queue is nearly empty, because it would find the queued documents again;
        `force` starts one anyway. `dry_run` sends no hints, and has a separate pass. In the report, `complete`
        means that the pass has ended, `waiting` is the number of queued messages that stopped the run, or None,
        and `found` has the first findings of the run as (kind, key). The counts are of the pass so far.
        """
        fact = fact_of(self.fingerprint, dry_run=dry_run)
        now = Pass.of(self.state.read(fact))
        fresh = now.phase is Phase.DONE
        if fresh:
            now = Pass(started=self.clock())
        findings, sent = list[Finding](), 0
        steps = {Phase.BUCKET: self._objects, Phase.LEDGER: self._rows, Phase.INDEX: self._chunks}
        waiting = None if dry_run or (fresh and force) else self._too_many(fresh=fresh)
        while waiting is None and now.phase is not Phase.DONE and remaining_s() > self.limits.stop_before_s:
            page = steps[now.phase](now)
            now.drift.update(finding.kind.value for finding in page)
            if page and not dry_run:
                self._observe([finding.hint.key for finding in page])
                self.queue.send([finding.hint for finding in page])
                sent += len(page)
            # Store after sending: a run that is killed in between repeats its hints and loses none.
            self.state.write(fact, now.fact())
            findings += page[: _EXAMPLES - len(findings)]
            if sent >= self.limits.pause_above:
                waiting = sent
        return {
            "pipeline": self.fingerprint,
            "complete": now.phase is Phase.DONE,
            "phase": now.phase.value,
            "dry_run": dry_run,
            "ocr": self.limits.ocr,
            "keys": now.keys,
            "rows": now.rows,
            "chunks": now.chunks,
            "drift": {kind.value: now.drift[kind.value] for kind in Drift},
            "documents": {status.value: now.documents[status.value] for status in Status},
            "sent": sent,
            "waiting": waiting,
            "found": [(finding.kind.value, finding.hint.key) for finding in findings],
        }

    def forget_passes(self) -> None:
        """Make the next run start a new pass."""
        for dry_run in (False, True):
            self.state.write(fact_of(self.fingerprint, dry_run=dry_run), {})

    def progress(self, remaining_s: Callable[[], float], active: LedgerRows) -> dict[str, int]:
        """Count the bucket's keys, and how many of them this pipeline has settled, until time runs out.

        A key that the `active` pipeline has not settled either counts as settled: it was just uploaded or
        replaced. Else constant uploads would keep the count from ever being complete.
        """
        keys = settled = failed = 0
        after, counted_all = "", False
        while not counted_all and remaining_s() > self.limits.stop_before_s:
            page, last = self.store.page(after)
            rows = self.ledger.rows_of([summary.key for summary in page])
            keys += len(page)
            waiting = [summary for summary in page if not is_settled(rows.get(summary.key), summary)]
            active_rows = active.rows_of([summary.key for summary in waiting])
            settled += len(page) - sum(is_settled(active_rows.get(summary.key), summary) for summary in waiting)
            failed += sum(row.record.status is Status.FAILED for row in rows.values())
            after, counted_all = last or "", last is None
        counts = {"keys": keys, "settled": settled, "failed": failed}
        return {**counts, "counted_all": counted_all, "complete": counted_all and settled == keys}

    def remove(self, remaining_s: Callable[[], float]) -> bool:
        """Remove the pipeline's whole index and ledger. Return false when time ran out: call it again."""
        for collection in self.index.collections():
            self.index.drop(collection)
        cursor: str | None = None
        while remaining_s() > self.limits.stop_before_s:
            rows, cursor = self.ledger.scan(cursor, _REMOVED_AT_ONCE)
            self.ledger.forget([row.record.key for row in rows])
            if cursor is None:
                self.forget_passes()
                return True
        return False

    # --- the three phases; each method does one page ---

    def _objects(self, now: Pass) -> list[Finding]:
        """Find objects that have no row, or whose row has other content."""
        listed_at = self.clock()
        page, last = self.store.page(now.cursor)
        rows = self.ledger.rows_of([summary.key for summary in page])
        now.keys += len(page)
        now.advance(last)
        return [
            Finding(kind, Hint(summary.key))
            for summary in page
            if (kind := self._judge_object(summary, rows.get(summary.key), listed_at)) is not None
        ]

    def _judge_object(self, summary: StoredObject, row: LedgerRow | None, listed_at: float) -> Drift | None:
        if row is None:
            return Drift.MISSING
        record = row.record
        # Skip PENDING rows, which the ledger phase judges, and rows that a worker changed after the listing.
        if record.status is Status.PENDING or row.leased_until > listed_at or record.updated_at >= listed_at:
            return None
        if record.reason == Reason.OVER_QUOTA:  # a day of quotas begins at midnight UTC
            return Drift.MISSING if record.updated_at < listed_at - listed_at % _TRY_AGAIN_AFTER_S else None
        if record.status is Status.FAILED:
            pause = _TRY_AGAIN_AFTER_S if record.reason == Reason.INTERNAL else self.limits.stuck_after_s
            is_due = record.etag not in (None, summary.etag) or record.updated_at < listed_at - pause
            return Drift.MISSING if is_due else None
        if record.status is Status.DELETED:
            return Drift.MISSING
        return None if is_settled(row, summary) else Drift.STALE

    def _rows(self, now: Pass) -> list[Finding]:
        """Find rows that disagree with their object or their chunks."""
        rows, cursor = self.ledger.scan(now.cursor or None, _LEDGER_PAGE)
        now.rows += len(rows)
        now.documents.update(row.record.status.value for row in rows)
        now.advance(cursor)
        suspects = self._judge_rows(rows)
        if not suspects:
            return []
        # Judge twice: ingest may have changed a document while its row, object and chunks were read.
        before = {row.record.key: row for row in rows}
        unchanged = [row for key, row in self.ledger.rows_of(list(suspects)).items() if row == before[key]]
        return [finding for key, finding in self._judge_rows(unchanged).items() if suspects[key] == finding]

    def _judge_rows(self, rows: Sequence[LedgerRow]) -> dict[str, Finding]:
        """Return the findings by key. The first phase retries FAILED documents."""
        now = self.clock()
        idle = {row.record.key: row for row in rows if row.leased_until <= now}
        objects = readable(lambda key: self._compare(idle[key].record), idle)
        chunks = count_chunks(self.index, [key for key in objects if not self._is_queued(idle[key], now)])
        findings: dict[str, Finding] = {}
        for key, (head, retagged) in objects.items():
            finding = self._judge(idle[key], head, chunks.get(key, {}), now)
            if finding is None and retagged and not self._is_queued(idle[key], now):
                finding = Finding(Drift.STALE, Hint(key))
            if finding is not None:
                findings[key] = finding
        return findings

    def _judge(
        self, row: LedgerRow, head: ObjectVersion | None, chunks: Mapping[str, int], now: float
    ) -> Finding | None:
        record = row.record
        if self._is_queued(row, now):
            return judge_answers(record, head)
        if head is not None and record.status is Status.PENDING and self._is_recent(record, now):
            # Its worker died, but its message comes again: do not send its ranges a second time.
            return Finding(Drift.STUCK, Hint(record.key))
        if (wrong := judge_row(record, chunks, in_bucket=head is not None)) is not None:
            return wrong
        if row.leased_until > 0:
            return Finding(Drift.STUCK, Hint(record.key))
        return self._judge_pages(record, now) or judge_answers(record, head)

    def _judge_pages(self, record: DocumentRecord, now: float) -> Finding | None:
        """Return the disagreement of a row that has pages to recognise."""
        pause = _TRY_AGAIN_AFTER_S if record.live_generation else self.limits.stuck_after_s
        was_given_up = record.was_given_up and record.updated_at < now - pause
        if self.limits.ocr == "off" or record.status not in SETTLED:
            return None
        is_due = was_given_up or record.lacks_recognition
        return Finding(Drift.STALE, Hint(record.key, rebuild=was_given_up)) if is_due else None

    def _is_queued(self, row: LedgerRow, now: float) -> bool:
        """Return whether the document waits for a message that a worker may still get."""
        return row.record.status is Status.PENDING and row.leased_until == 0 and self._is_recent(row.record, now)

    def _is_recent(self, record: DocumentRecord, now: float) -> bool:
        waits = self.limits.stuck_after_s if record.recognised_from is None else self.limits.ocr_stuck_after_s
        return record.updated_at > now - waits

    def _compare(self, record: DocumentRecord) -> tuple[ObjectVersion | None, bool]:
        """Return the object's head, and whether its live version's tags or metadata changed."""
        head = None if record.status is Status.DELETED else self.store.head(record.key)
        if head is None or record.live_generation is None:
            return head, False
        attributes = record.live_attributes or Attributes()
        if head.metadata != attributes.metadata:
            return head, True
        if head.tag_count == 0 and not attributes.tags:  # neither side has tags: save the request
            return head, False
        try:
            return head, self.store.tags(record.key, head) != attributes.tags
        except NotFound:  # it was replaced meanwhile
            return head, False

    def _observe(self, keys: Sequence[str]) -> None:
        """Hide versions that the bucket no longer has at once: the workers of the hints may die, too."""

        def observe(record: DocumentRecord) -> None:
            # If `observe` stores nothing, another worker has just stored the version.
            head = self.store.head(record.key)
            self.ledger.observe(record, head.version if head is not None else "")

        live = {key: row.record for key, row in self.ledger.rows_of(keys).items() if row.record.live_generation}
        readable(lambda key: observe(live[key]), live)

    def _chunks(self, now: Pass) -> list[Finding]:
        """Find chunks of documents without a row; the ledger phase judged the others."""
        last, offset = json.loads(now.cursor) if now.cursor else ("", 0)
        names = [name for name in self.index.collections() if name >= last]
        if not names:
            now.advance(None)
            return []
        offset = offset if names[0] == last else 0
        page = self.index.page(names[0], offset, _INDEX_PAGE)
        documents = list(dict.fromkeys(document for _, document, _ in page))
        rows = self.ledger.rows_of(documents)
        without_row = [key for key in documents if key not in rows]
        now.chunks += len(page)
        if len(page) == _INDEX_PAGE:
            now.advance(json.dumps([names[0], offset + len(page)]))
        else:
            now.advance(json.dumps([names[1], 0]) if len(names) > 1 else None)
        # Report only keys that are not in the bucket: the bucket phase finds the others.
        gone = sorted(key for key, head in readable(self.store.head, without_row).items() if head is None)
        return [Finding(Drift.ORPHAN, Hint(key, sweep=True)) for key in gone]

    def _too_many(self, *, fresh: bool) -> int | None:
        """Return the number of queued messages if it is too high to start or continue a pass, else None."""
        waiting = self.queue.waiting()
        return waiting if waiting >= (self.limits.begin_below if fresh else self.limits.pause_above) else None


def count_chunks(index: IndexRows, keys: Collection[str]) -> dict[str, Mapping[str, int]]:
    """Return the number of chunks of each generation of each document that has chunks."""
    counts: dict[str, Mapping[str, int]] = {}
    for collection, documents in groupby(sorted(keys, key=collection_of), collection_of):
        counts.update(index.generations(collection, list(documents)))
    return counts


class Drift(StrEnum):
    """The kinds of disagreement between bucket, ledger and index."""

    MISSING = "missing"  # an object without a row, or whose row has been FAILED for a while
    # A row with old content or tags, chunks of another generation, or pages that wait for a recogniser.
    STALE = "stale"
    ORPHAN = "orphan"  # a row or chunks of a key that is not in the bucket
    DUPLICATE = "duplicate"  # more chunks of the live generation than were written
    LOST = "lost"  # fewer chunks of the live generation than were written
    STUCK = "stuck"  # PENDING for long, or under a lease that has expired: its worker died


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement and the hint that repairs it."""

    kind: Drift
    hint: Hint


def is_settled(row: LedgerRow | None, summary: StoredObject) -> bool:
    """Return whether the row is settled for the object's content."""
    return row is not None and row.record.status in SETTLED and row.record.etag in (None, summary.etag)


def judge_answers(record: DocumentRecord, head: ObjectVersion | None) -> Finding | None:
    """Return the disagreement between the bucket and a row's live version, which is hidden or should be."""
    live = record.live_generation is not None
    if not live or record.answers == (head is not None and head.version == record.live_version):
        return None
    if head is None:
        return Finding(Drift.ORPHAN, Hint(record.key, sweep=True))
    # The bucket phase finds settled rows of other content.
    is_other = record.status in SETTLED and record.etag not in (None, head.etag)
    return None if is_other else Finding(Drift.STALE, Hint(record.key))


def judge_row(record: DocumentRecord, chunks: Mapping[str, int], *, in_bucket: bool) -> Finding | None:
    """Return the disagreement of a row without a lease, if any. `chunks` counts its chunks by generation."""
    key, live = record.key, record.live_generation
    deleted = record.status is Status.DELETED
    if deleted or not in_bucket:
        return None if deleted and not chunks else Finding(Drift.ORPHAN, Hint(key, sweep=True))
    if record.status is Status.PENDING:
        return Finding(Drift.STUCK, Hint(key, sweep=True))  # send its missing ranges again
    count = chunks.get(live, 0) if live else 0
    expected = record.chunks if live else 0
    if count != expected:
        return Finding(Drift.LOST if count < expected else Drift.DUPLICATE, Hint(key, rebuild=True))
    if set(chunks) - {live}:
        return Finding(Drift.STALE, Hint(key, sweep=True))
    return None


def readable(read: Callable[[str], _Result], keys: Collection[str]) -> dict[str, _Result]:
    """Return the result of `read` for each key. Log and skip objects that the bucket refuses to show.

    Otherwise one such object would end each run at the same place.
    """

    def attempt(key: str) -> list[tuple[str, _Result]]:
        try:
            return [(key, read(key))]
        except ObjectDenied as error:
            logger.warning("object not readable", extra={"document": key, "detail": error.detail})
            return []

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(chain.from_iterable(pool.map(attempt, keys)))


class Phase(StrEnum):
    """The phases of a pass, in order."""

    BUCKET = "bucket"
    LEDGER = "ledger"
    INDEX = "index"
    DONE = "done"


@dataclass
class Pass:
    """The place and the findings of a pass, stored between runs. `started` is in seconds since the epoch."""

    phase: Phase = Phase.BUCKET
    cursor: str = ""
    keys: int = 0
    rows: int = 0
    chunks: int = 0
    drift: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    started: float = 0.0

    @classmethod
    def of(cls, fact: Mapping[str, str]) -> Pass:
        """Return the stored pass; a completed one if none is stored."""
        names = ("keys", "rows", "chunks", "started", "drift", "documents")
        stored: dict[str, Any] = {name: json.loads(fact[name]) for name in names if name in fact}
        stored |= {name: Counter(stored.get(name, ())) for name in ("drift", "documents")}
        return cls(Phase(fact.get("phase", Phase.DONE)), fact.get("cursor", ""), **stored)

    def fact(self) -> dict[str, str]:
        """Return the pass as a fact to store; earlier releases need all of its values."""
        values = {name: json.dumps(value) for name, value in vars(self).items()}
        return {**values, "phase": self.phase.value, "cursor": self.cursor}

    def advance(self, cursor: str | None) -> None:
        """Move to the next page, or to the next phase when the cursor is None."""
        if cursor is None:
            phases = list(Phase)
            self.phase = phases[phases.index(self.phase) + 1]
        self.cursor = cursor or ""


def fact_of(fingerprint: str, *, dry_run: bool = False) -> str:
    """Return the name of the fact that holds a pipeline's pass."""
    return f"reconcile/{fingerprint}{'/dry-run' if dry_run else ''}"


def last_pass(state: StateStore, fingerprint: str) -> Pass | None:
    """Return the pass in progress, else the last one; None before the first."""
    stored = state.read(fact_of(fingerprint))
    return Pass.of(stored) if stored else None
