"""Outcomes in the ledger's rows, and in the changes of its DynamoDB stream.

A row has `outcome`, its last final status with the version, and `outcome_at`, in seconds. Both change in the write
that brings another outcome, so progress, leases and a repetition of the same status are no news.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from docwell.adapters.dynamodb.table import plain_row
from docwell.events import Outcome
from docwell.models import FINAL, DocumentRecord, Status

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.table import Row

logger = logging.getLogger(__name__)


def outcome_name(record: DocumentRecord) -> str | None:
    """Return the value of `outcome` for a record, or None while the document is PENDING."""
    return f"{record.status.value} {record.version or ''}" if record.status in FINAL else None


def outcome_in(change: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome that a record of the stream brings, or None.

    A status of another release is logged and skipped: to fail would stop the stream.
    """
    images = change.get("dynamodb", {})
    row, before = plain_row(images.get("NewImage", {})), plain_row(images.get("OldImage", {}))
    at = row.get("outcome_at")
    if at is None or at == before.get("outcome_at"):
        return None
    status, _, version = str(row.get("outcome", "")).partition(" ")
    if status not in FINAL:
        logger.warning("unknown outcome", extra={"status": status})
        return None
    return Outcome(_record(row, Status(status), version), float(at))


def _record(row: Row, status: Status, version: str) -> DocumentRecord:
    return DocumentRecord(
        row["document"],
        status,
        row.get("reason"),
        version=version or None,
        pages=row.get("pages"),
        chunks=row.get("chunks", 0),
        live_generation=row.get("live_generation"),
    )
