"""The disagreements of bucket, ledger and index, and the hints that repair them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from docwell.models import SETTLED, DocumentRecord, Hint, ObjectSummary, ObjectVersion, Status
from docwell.ports import LedgerRow


class Drift(StrEnum):
    """The ways in which bucket, ledger and index can disagree."""

    MISSING = "missing"  # an object without a row, or whose row has been FAILED for a while
    STALE = "stale"  # a row with old content or tags, or chunks of another generation
    ORPHAN = "orphan"  # a row or chunks of a key that is not in the bucket
    DUPLICATE = "duplicate"  # more chunks of the live generation than were written
    LOST = "lost"  # fewer chunks of the live generation than were written
    STUCK = "stuck"  # PENDING for long, or under a lease that has expired: its worker died


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement and the hint that repairs it."""

    kind: Drift
    hint: Hint


def is_settled(row: LedgerRow | None, one: ObjectSummary) -> bool:
    """Whether the row is settled for the object's content."""
    return row is not None and row.record.status in SETTLED and row.record.etag in (None, one.etag)


def judge_answers(record: DocumentRecord, head: ObjectVersion | None) -> Finding | None:
    """Return the disagreement of a row whose live version is hidden, or not, against what the bucket has."""
    live = record.live_generation is not None
    if not live or record.answers == (head is not None and head.version == record.live_version):
        return None
    if head is None:
        return Finding(Drift.ORPHAN, Hint(record.key, sweep=True))
    # The bucket phase counts settled rows of other content.
    other = record.status in SETTLED and record.etag not in (None, head.etag)
    return None if other else Finding(Drift.STALE, Hint(record.key))


def judge_row(record: DocumentRecord, chunks: Mapping[str, int], *, in_bucket: bool) -> Finding | None:
    """Return the disagreement of a row that no worker holds, if any. `chunks` counts its chunks by generation."""
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
