"""A document's row in the ledger's table: its key, and its record in plain values.

Row: `document` (partition key), `pipeline` (sort key: the fingerprint), `collection` (with `document` the key of
the index `by_collection`), the fields of `DocumentRecord`, and the lease: `lease_owner`, `lease_expires`
(seconds), `fence` and `look_again`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from docwell.adapters.dynamodb.table import Row
from docwell.attributes import Attributes
from docwell.models import DocumentRecord, Lease, Status
from docwell.ports import LiveDocument, Standing

LIVE_GENERATION = "document, live_generation"
LIVE_DOCUMENT = "document, live_generation, live_attributes"
RECORD_FIELDS = {field.name for field in fields(DocumentRecord)} - {"key"}
_ATTRIBUTES = {field.name for field in fields(Attributes)}


def row_key(document: str, pipeline: str) -> Row:
    """Return the key of a document's row for one pipeline."""
    return {"document": document, "pipeline": pipeline}


def record_of(row: Row) -> DocumentRecord:
    """Return the record; fields that this release does not know are ignored."""
    values = {name: value for name, value in row.items() if name in RECORD_FIELDS}
    values["status"] = Status(values.get("status", Status.PENDING))
    if "updated_at" in values:
        values["updated_at"] = float(values["updated_at"])
    if "live_attributes" in values:
        values["live_attributes"] = attributes_of(values["live_attributes"])
    return DocumentRecord(key=row["document"], **values)


def lease_of(row: Row) -> Lease:
    """Return the lease of a row that is held."""
    return Lease(row["document"], row["lease_owner"], row["fence"], float(row["lease_expires"]), record_of(row))


def standing_of(row: Row) -> Standing:
    """Return the record with the end of its lease."""
    return Standing(record_of(row), float(row.get("lease_expires", 0)))


def live_of(rows: Iterable[Row]) -> dict[str, LiveDocument]:
    """Return the live ones among the documents, by key."""
    return {
        row["document"]: LiveDocument(row["live_generation"], attributes_of(row.get("live_attributes", {})))
        for row in rows
        if "live_generation" in row
    }


def attributes_row(attributes: Attributes) -> Row:
    """Return the attributes as a row stores them, without empty ones."""
    return {name: value for name, value in asdict(attributes).items() if value}


def attributes_of(row: Mapping[str, Any]) -> Attributes:
    """Read attributes that this or another release wrote, which may know fewer or more."""
    return Attributes(**{name: value for name, value in row.items() if name in _ATTRIBUTES})
