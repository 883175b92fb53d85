"""The audit trail in DynamoDB: a row for each event under its actor; several rows for many documents.

Row: `actor` (partition key), `event` (sort key: the UTC time, then 64 random bits), `action`, `at` (seconds),
`documents` (a string set), `subject`, `request_id`. No row expires.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Row, Selection, Table
from docwell.audit import Action, AuditEvent, pseudonym

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The most documents in a row: a row has at most 400 KB, and a key up to 1,024 bytes.
_DOCUMENTS = 300
# Of a process in a minute: an attacker can have many addresses.
_MOST_REFUSALS = 60
_ALL = Selection(filter="", values={})


class DynamoAudit:
    """`docwell.ports.AuditTrail`. The functions may only append; operators read and erase."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "audit")
        self._refusals = set[tuple[str, str | None, str]]()

    def append(self, event: AuditEvent) -> None:
        """Store the event under a new name; split many documents into rows. Store equal refusals once a minute."""
        is_refusal = event.action is Action.REFUSED
        timespec = "minutes" if is_refusal else "milliseconds"
        moment = datetime.fromtimestamp(event.at, UTC).isoformat(timespec=timespec)
        if is_refusal:
            refusal = (event.actor, event.subject, moment)
            self._refusals = {stored for stored in self._refusals if stored[2] == moment}
            if refusal in self._refusals or len(self._refusals) >= _MOST_REFUSALS:
                return
            self._refusals.add(refusal)
        documents = sorted(event.documents)
        for start in range(0, max(len(documents), 1), _DOCUMENTS):
            stored = pseudonym(f"{documents} {event.subject}") if event.action is Action.STORED else token_hex(8)
            name = f"{moment}#{event.subject if is_refusal else stored}"
            part = {"event": name, "documents": frozenset(documents[start : start + _DOCUMENTS])}
            self._table.put({**asdict(event), **part}, only_if_new=True)

    def events(self, actor: str | None = None, document: str | None = None) -> list[AuditEvent]:
        """Return the events of an actor, or those that name a document, or all; oldest first."""
        names = {document, pseudonym(document)} if document else None
        rows = self._table.rows(Selection("", {"actor": actor}, key="actor = :actor") if actor else _ALL)
        events = (event for event in map(_event, rows) if not names or names & event.documents)
        return sorted(events, key=lambda event: event.at)

    def erase(self, documents: Collection[str], prefix: str | None = None, *, dry_run: bool = False) -> int:
        """Replace the keys, and those below the prefix, by their pseudonyms; return the number of events."""
        changed = 0
        for row in self._table.rows(_ALL):
            documents_named: frozenset[str] = row.get("documents", frozenset())
            below = {name for name in documents_named if prefix and name.startswith(prefix)}
            if not (erased := documents_named.intersection(documents) | below):
                continue
            changed += 1
            if not dry_run:
                self._table.update(
                    {"actor": row["actor"], "event": row["event"]},
                    "SET documents = :documents",
                    {"documents": set(documents_named - erased | set(map(pseudonym, erased)))},
                    returns="NONE",
                )
        return changed


def _event(row: Row) -> AuditEvent:
    """Return the event of a row. A newer release may have written other fields, and other actions."""
    values = {field.name: row[field.name] for field in fields(AuditEvent) if field.name in row}
    return AuditEvent(**{**values, "at": float(row["at"])})
