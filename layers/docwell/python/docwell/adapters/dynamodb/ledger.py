"""The ledger: one row for each document and pipeline, changed only under a lease's fence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb import ledger_rows
from docwell.adapters.dynamodb.ledger_pages import LedgerPages, decode_cursor, encode_cursor
from docwell.adapters.dynamodb.ledger_rows import lease_of, live_of, record_of, row_key, standing_of
from docwell.adapters.dynamodb.table import Place, Row, Selection, Table
from docwell.errors import LeaseLost, Unavailable
from docwell.models import PROGRESS, DocumentRecord, Lease, RangeTally, RangeTask, Status, collection_of
from docwell.ports import LiveDocument, Standing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ACQUIRE_ATTEMPTS = 5
_HELD_BY_ME = "fence = :fence AND lease_owner = :owner"


class DynamoLedger:
    """`docwell.ports.Ledger`, `Catalogue` and `LedgerRows` of one pipeline."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        pipeline: str,
        lease_s: float = 90.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = Table(client, table, "ledger")
        self._pipeline = pipeline
        self._lease_s = lease_s
        self._clock = clock

    def acquire(self, key: str, owner: str) -> Lease | None:
        """Take the lease; None when another worker holds it, which is then marked to look again."""
        for _ in range(_ACQUIRE_ATTEMPTS):
            now = self._clock()
            taken = self._table.update(
                self._key(key),
                "SET lease_owner = :owner, lease_expires = :expires, fence = if_not_exists(fence, :zero) + :one, "
                "look_again = :no, #collection = :collection, #status = if_not_exists(#status, :pending)",
                {
                    "owner": owner,
                    "expires": now + self._lease_s,
                    "now": now,
                    "zero": 0,
                    "one": 1,
                    "no": False,
                    "collection": collection_of(key),
                    "pending": Status.PENDING.value,
                },
                condition="attribute_not_exists(lease_owner) OR lease_expires < :now OR lease_owner = :owner",
            )
            if taken is not None:
                return lease_of(taken)
            marked = self._table.update(
                self._key(key),
                "SET look_again = :yes",
                {"yes": True, "now": now},
                condition="attribute_exists(lease_owner) AND lease_expires >= :now",
            )
            if marked is not None:
                return None
        raise Unavailable("ledger", f"the lease of {key!r} changes hands too fast", retry_after=1.0)

    def renew(self, lease: Lease) -> Lease:
        """Extend the lease. Raises `LeaseLost`."""
        return self._update_held(lease, "SET lease_expires = :expires", {})

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        """Store the record's fields, its progress only when `fresh`, and renew. Raises `LeaseLost`."""
        stamped = replace(record, updated_at=self._clock())
        names = sorted(ledger_rows.RECORD_FIELDS if fresh else ledger_rows.RECORD_FIELDS - PROGRESS)
        values = {name: getattr(stamped, name) for name in names}
        if stamped.live_attributes is not None:
            values["live_attributes"] = ledger_rows.attributes_row(stamped.live_attributes)
        # DynamoDB stores neither None nor an empty set: such a field has no attribute.
        present = {name: value for name, value in values.items() if value not in (None, frozenset())}
        expression = f"SET {', '.join(f'#{name} = :{name}' for name in present)}, lease_expires = :expires"
        if absent := [f"#{name}" for name in names if name not in present]:
            expression += f" REMOVE {', '.join(absent)}"
        return self._update_held(lease, expression, present)

    def release(self, lease: Lease) -> Lease | None:
        """Let go and return None; when marked to look again, clear the mark and return the renewed lease."""
        gone = self._table.update(
            self._key(lease.key),
            "REMOVE lease_owner, lease_expires, look_again",
            {"fence": lease.fence, "owner": lease.owner, "no": False},
            condition=f"{_HELD_BY_ME} AND look_again = :no",
        )
        if gone is not None:
            return None
        return self._update_held(lease, "SET look_again = :no, lease_expires = :expires", {"no": False})

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        """Add a range to the record, once, while the document is still being indexed by the same attempt."""
        added: dict[str, object] = {
            "ranges_done": {task.range},
            "pages_done": tally.pages,
            "chunks": tally.chunks,
            "characters": tally.characters,
            "textless_pages": tally.textless_pages,
        }
        sets = {"unreadable_pages": tally.unreadable_pages, "doubtful_pages": tally.doubtful_pages}
        added |= {name: pages for name, pages in sets.items() if pages}  # DynamoDB has no empty set
        row = self._table.update(
            self._key(task.key),
            f"SET updated_at = :now ADD {', '.join(f'{name} :{name}' for name in added)}",
            {
                **added,
                "number": task.range,
                "version": task.version,
                "attempt": task.attempt,
                "pending": Status.PENDING.value,
                "now": self._clock(),
            },
            condition="version = :version AND attempt = :attempt AND #status = :pending "
            "AND NOT contains(ranges_done, :number)",
        )
        if row is not None:
            return record_of(row)
        record = self.get(task.key)
        if record is None or (record.version, record.attempt) != (task.version, task.attempt):
            return None
        return record if record.status is Status.PENDING and task.range in record.ranges_done else None

    def get(self, key: str) -> DocumentRecord | None:
        """Return one document's record, read consistently."""
        row = self._table.get(self._key(key))
        return record_of(row) if row else None

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the live generation of each key that has one, read consistently."""
        rows = self._rows(keys, ledger_rows.LIVE_GENERATION)
        return {row["document"]: row["live_generation"] for row in rows if "live_generation" in row}

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        """Return the live ones of the documents with their attributes, read consistently."""
        return live_of(self._rows(keys, ledger_rows.LIVE_DOCUMENT))

    def under(self, collection: str, prefix: str, limit: int) -> tuple[Mapping[str, LiveDocument], int | None]:
        """Return the live documents under a prefix from the index, and how many rows it read.

        The number is None when there are more than `limit` rows and some documents may be missing.
        """
        selection = Selection(
            filter="pipeline = :pipeline AND attribute_exists(live_generation)",
            values={"collection": collection, "pipeline": self._pipeline},
            index="by_collection",
            key="#collection = :collection",
            only=ledger_rows.LIVE_DOCUMENT,
        ).beginning("document", prefix)
        found: dict[str, LiveDocument] = {}
        read = 0
        place: Place | None = None
        while read < limit:
            page = self._table.page(selection, limit - read, place)
            found |= live_of(page.rows)
            read += page.read
            place = page.next
            if place is None:
                return found, read
        return found, None

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
    ) -> tuple[list[DocumentRecord], str | None]:
        """Return documents of the collections by name and key, from the index; of all collections in no order."""
        selection = Selection(
            filter=f"pipeline = :pipeline AND #status {'=' if status else '<>'} :status",
            values={"status": (status or Status.DELETED).value, "pipeline": self._pipeline},
        )
        pages = LedgerPages(self._table, selection, prefix)
        rows, following = (
            pages.every(cursor, limit) if collections is None else pages.of(collections, cursor, limit)
        )
        return [record_of(row) for row in rows], following

    def scan(self, cursor: str | None, limit: int) -> tuple[list[Standing], str | None]:
        """Return rows of the pipeline, DELETED ones too; a page may be empty and not the last."""
        selection = Selection(filter="pipeline = :pipeline", values={"pipeline": self._pipeline})
        page = self._table.page(selection, limit, decode_cursor(cursor))
        return [standing_of(row) for row in page.rows], encode_cursor(page.next)

    def standings(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        """Return the rows of the keys that have one."""
        return {row["document"]: standing_of(row) for row in self._rows(keys)}

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, even leased ones; missing rows are no error."""
        self._table.delete_many([self._key(key) for key in keys])

    def _rows(self, keys: Sequence[str], only: str = "") -> list[Row]:
        return list(self._table.get_many((self._key(key) for key in dict.fromkeys(keys)), only))

    def _update_held(self, lease: Lease, expression: str, values: Mapping[str, object]) -> Lease:
        """Update the row if this worker still holds it, and renew the lease. Raises `LeaseLost`."""
        held = {"fence": lease.fence, "owner": lease.owner, "expires": self._clock() + self._lease_s}
        row = self._table.update(self._key(lease.key), expression, {**values, **held}, condition=_HELD_BY_ME)
        if row is None:
            raise LeaseLost(lease.key)
        return lease_of(row)

    def _key(self, document: str) -> Row:
        return row_key(document, self._pipeline)
