"""Decide the next step of a document from its ledger record, its object and the event. Pure.

docs/develop/architecture.md draws the states and the steps between them. `docwell.ingest.ingest` takes the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from docwell.ingest import ranges
from docwell.models import SETTLED, DocumentRecord, Hint, ObjectVersion, Reason, Status


@dataclass(frozen=True, slots=True)
class Start:
    """Index the object's version from nothing.

    `record` is the document's record without progress. With `has_leftovers`, the index may hold chunks of an
    earlier attempt at the same version, under ids that this one will not overwrite.
    """

    head: ObjectVersion
    record: DocumentRecord
    has_leftovers: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Send a message for each missing range."""

    head: ObjectVersion
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recognise:
    """Make the text layers live, and plan a second generation that recognises the pages without text.

    A document that was settled before the pipeline had a recogniser also takes this step.
    """

    head: ObjectVersion


@dataclass(frozen=True, slots=True)
class Settle:
    """Store a final status. `head` is None where the object is deleted."""

    record: DocumentRecord
    head: ObjectVersion | None


@dataclass(frozen=True, slots=True)
class Refresh:
    """Renew the live version's tags and metadata: there is nothing to index.

    With `sweep`, also search the index for stale chunks.
    """

    head: ObjectVersion
    sweep: bool


Step = Start | Resume | Recognise | Settle | Refresh


def next_step(
    record: DocumentRecord, head: ObjectVersion | None, hint: Hint | None, *, recognises: bool
) -> Step | None:
    """Return the next step to make a document match its object, or None when they match.

    `head` is the object's current version; None where the key has none. `hint` is the event, but None after the
    first step. `recognises` says whether the pipeline recognises pages without text.
    """
    if head is None:
        matches = hint is None and record.status is Status.DELETED
        return None if matches else Settle(DocumentRecord(record.key, Status.DELETED), None)
    rebuild, sweep = (hint.rebuild, hint.sweep) if hint is not None else (False, False)
    planned = record.status is Status.PENDING and record.ranges is not None
    waits = record.reason == Reason.OVER_QUOTA and hint is not None
    if rebuild or waits or record.version != head.version or not (planned or record.status in SETTLED):
        return _start(record, head, has_leftovers=rebuild or record.version == head.version)
    recognise = recognises and record.lacks_recognition
    if planned:
        missing = tuple(sorted(set(range(record.ranges or 0)) - record.ranges_done))
        if not missing:
            return Recognise(head) if recognise else Settle(ranges.outcome(record), head)
        if sweep or not record.dispatched:  # the sweep also sends messages again, as if lost
            return Resume(head, missing)
    elif recognise and hint is not None:
        return Recognise(head)
    return None if hint is None else Refresh(head, sweep=sweep)


def _start(record: DocumentRecord, head: ObjectVersion, *, has_leftovers: bool) -> Start:
    begun = DocumentRecord(
        key=record.key,
        status=Status.PENDING,
        version=head.version,
        size=head.size,
        etag=head.etag,
        uploader=head.uploader,
        live_generation=record.live_generation,
        live_version=record.live_version,
        # A document that was never started has no chunks. If the ledger was lost, reconcile finds its chunks.
        swept=record.version is None and record.status is Status.PENDING,
        live_attributes=record.live_attributes,
    )
    return Start(head, begun, has_leftovers)
