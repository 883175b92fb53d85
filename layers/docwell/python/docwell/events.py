"""The events about documents: one for each outcome that the ledger notes.

An outcome is a final status of a version. Receivers get its event at least once, always with the same id. They
order the events of a document by time, because no transport keeps the order.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from docwell.errors import DocwellError
from docwell.identity import RESERVED_COLLECTION
from docwell.models import DocumentRecord, Status, collection_of, digest

# Increase it when a field changes its meaning or is removed, but not for new fields.
SCHEMA = 1
TYPES = {
    Status.INDEXED: "DocumentIndexed",
    Status.EMPTY: "DocumentEmpty",
    Status.REJECTED: "DocumentRejected",
    Status.DELETED: "DocumentDeleted",
    Status.FAILED: "DocumentFailed",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A document that got a final status `at` a time, in seconds since the epoch."""

    record: DocumentRecord
    at: float


@dataclass(frozen=True, slots=True)
class DocumentEvent:
    """An event: `data` has only JSON's types, and no text of the document, its title included."""

    id: str
    type: str
    time: str
    data: Mapping[str, Any]

    @property
    def body(self) -> str:
        """The event as a webhook's JSON (Standard Webhooks)."""
        return json.dumps({"type": self.type, "timestamp": self.time, "data": self.data})


def event_of(outcome: Outcome, bucket: str) -> DocumentEvent | None:
    """Return the event about an outcome; None for the documents that docwell itself provides."""
    record = outcome.record
    if collection_of(record.key) == RESERVED_COLLECTION:
        return None
    time = datetime.fromtimestamp(outcome.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # The same version can get the same status again after another one, when a deleted version is restored.
    parts = (bucket, record.key, record.version or "", record.status, repr(outcome.at))
    id_ = digest(*parts)[:32]
    data = {
        "schema": SCHEMA,
        "id": id_,
        "bucket": bucket,
        "document": record.key,
        "collection": collection_of(record.key),
        "version": record.version,
        "generation": record.live_generation,
        "status": record.status.value,
        "reason": record.reason,
        "pages": record.pages,
        "chunks": record.chunks,
        "time": time,
    }
    return DocumentEvent(id_, TYPES[record.status], time, data)


@dataclass(frozen=True)
class Publisher:
    """Sends an event for each change of the ledger that brought an outcome.

    `outcome_in` returns the outcome of a change, or None. `send` returns once the receiver has the event.
    """

    bucket: str
    outcome_in: Callable[[Mapping[str, Any]], Outcome | None]
    send: Callable[[DocumentEvent], None]

    def publish(self, change: Mapping[str, Any]) -> None:
        """Send the event of a change, if it has one. Raises `Unavailable`: publish the change again."""
        outcome = self.outcome_in(change)
        event = event_of(outcome, self.bucket) if outcome is not None else None
        if event is None:
            return
        fields = {"event": event.id, "type": event.type}
        try:
            self.send(event)
        except DocwellError as error:
            logger.warning("event not sent", extra={**fields, "detail": error.detail})
            raise
        logger.info("event sent", extra=fields)
