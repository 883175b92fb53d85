"""The audit trail in DynamoDB: a row for each event under its actor; several rows for many documents.

Row: `actor` (partition key), `event` (sort key: the UTC time, then 64 random bits), `action`, `at` (seconds),
`documents` (a string set), `subject`, `request_id`. No row expires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Row, Selection, Table
from docwell.audit import Action, AuditEvent, pseudonym

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The most documents in a row: a row has at most 400 KB, and a key up to 1,024 bytes.
_DOCUMENTS = 300


class DynamoAudit:
    """`docwell.ports.AuditTrail`. The functions may only append; operators read and erase."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "audit")

    def append(self, event: AuditEvent) -> None:
        """Store the event under a new name; split many documents into several rows."""
        moment = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
        documents = sorted(event.documents)
        for start in range(0, max(len(documents), 1), _DOCUMENTS):
            row = {
                "actor": event.actor,
                "event": f"{moment}#{token_hex(8)}",
                "action": event.action.value,
                "at": event.at,
                "documents": frozenset(documents[start : start + _DOCUMENTS]),
                "subject": event.subject,
                "request_id": event.request_id,
            }
            self._table.put(row, only_if_new=True)

    def events(self, actor: str | None = None, document: str | None = None) -> list[AuditEvent]:
        """Return the events of an actor, or those that name a document, or all; oldest first."""
        return sorted((_event(row) for row in self._rows(actor, document)), key=lambda event: event.at)

    def erase(self, documents: Collection[str]) -> int:
        """Replace the keys of documents by their pseudonyms; return the number of events changed."""
        changed = 0
        for row in self._rows():
            documents_named: frozenset[str] = row.get("documents", frozenset())
            if erased := documents_named.intersection(documents):
                self._table.update(
                    {"actor": row["actor"], "event": row["event"]},
                    "SET documents = :documents",
                    {"documents": set(documents_named - erased | set(map(pseudonym, erased)))},
                    returns="NONE",
                )
                changed += 1
        return changed

    def _rows(self, actor: str | None = None, document: str | None = None) -> Iterator[Row]:
        condition, values = "", dict[str, object]()
        if document is not None:
            condition = "contains(documents, :document) OR contains(documents, :pseudonym)"
            values = {"document": document, "pseudonym": pseudonym(document)}
        if actor is not None:
            values["actor"] = actor
        key = "#actor = :actor" if actor is not None else ""
        return self._table.rows(Selection(condition, values, key=key))


def _event(row: Row) -> AuditEvent:
    return AuditEvent(
        actor=row["actor"],
        action=Action(row["action"]),
        documents=row.get("documents", frozenset()),
        subject=row.get("subject"),
        request_id=row.get("request_id"),
        at=float(row["at"]),
    )
