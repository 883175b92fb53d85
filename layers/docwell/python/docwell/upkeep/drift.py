"""How bucket, ledger and index can disagree, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from docwell.models import DocumentRecord, Hint, ObjectSummary, Status
from docwell.ports import Standing

_SETTLED = frozenset({Status.INDEXED, Status.EMPTY, Status.REJECTED})


class Drift(StrEnum):
    """How bucket, ledger and index can disagree."""

    MISSING = "missing"  # an object that the ledger does not know, or that could not be indexed for a while
    STALE = "stale"  # the row is of other content or tags, or chunks of another generation are left
    ORPHAN = "orphan"  # a row or chunks of a key that is not in the bucket
    DUPLICATE = "duplicate"  # more chunks of the live generation than were written
    LOST = "lost"  # fewer
    STUCK = "stuck"  # PENDING, or leased, and nobody is at work on it


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement and the hint that mends it."""

    kind: Drift
    hint: Hint


def is_settled(row: Standing | None, one: ObjectSummary) -> bool:
    """Whether the row is a final one of the object's content."""
    return row is not None and row.record.status in _SETTLED and row.record.etag in (None, one.etag)


def judge_row(
    record: DocumentRecord, chunks: Mapping[str, int], *, deleted: bool, missing: bool
) -> Finding | None:
    """What is wrong with a row that nobody works on. `chunks` counts its chunks by generation."""
    key, live = record.key, record.live_generation
    if missing:
        return None if deleted and not chunks else Finding(Drift.ORPHAN, Hint(key, sweep=True))
    if record.status is Status.PENDING:
        return Finding(Drift.STUCK, Hint(key, sweep=True))  # what is missing of it is sent again
    there = chunks.get(live, 0) if live else 0
    expected = record.chunks if live else 0
    if there != expected:
        return Finding(Drift.LOST if there < expected else Drift.DUPLICATE, Hint(key, rebuild=True))
    if set(chunks) - {live}:
        return Finding(Drift.STALE, Hint(key, sweep=True))
    return None
