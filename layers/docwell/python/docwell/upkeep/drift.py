"""Find how bucket, ledger and index disagree about a document, and the hint that repairs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from docwell.models import SETTLED, DocumentRecord, Hint, ObjectSummary, Status
from docwell.ports import Standing


class Drift(StrEnum):
    """The kinds of disagreement."""

    MISSING = "missing"  # an object without a row, or with one that is FAILED for a while
    STALE = "stale"  # a row of other content or tags, or chunks of another generation
    ORPHAN = "orphan"  # a row or chunks of a key that is not in the bucket
    DUPLICATE = "duplicate"  # more chunks of the live generation than were written
    LOST = "lost"  # fewer chunks of the live generation than were written
    STUCK = "stuck"  # PENDING or leased, without a worker


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement and the hint that repairs it."""

    kind: Drift
    hint: Hint


def is_settled(row: Standing | None, one: ObjectSummary) -> bool:
    """Whether the row is settled for the object's content."""
    return row is not None and row.record.status in SETTLED and row.record.etag in (None, one.etag)


def judge_row(record: DocumentRecord, chunks: Mapping[str, int], *, in_bucket: bool) -> Finding | None:
    """Return what is wrong with a row without a worker. `chunks` counts its chunks by generation."""
    key, live = record.key, record.live_generation
    deleted = record.status is Status.DELETED
    if deleted or not in_bucket:
        return None if deleted and not chunks else Finding(Drift.ORPHAN, Hint(key, sweep=True))
    if record.status is Status.PENDING:
        return Finding(Drift.STUCK, Hint(key, sweep=True))  # sends its missing ranges again
    there = chunks.get(live, 0) if live else 0
    expected = record.chunks if live else 0
    if there != expected:
        return Finding(Drift.LOST if there < expected else Drift.DUPLICATE, Hint(key, rebuild=True))
    if set(chunks) - {live}:
        return Finding(Drift.STALE, Hint(key, sweep=True))
    return None
