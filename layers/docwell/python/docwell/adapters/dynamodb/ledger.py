"""The ledger: one row for each document and pipeline, changed only under a lease's fence.

Row: `document` (partition key), `pipeline` (sort key: the fingerprint), `collection` (with `document` the key of
the index `by_collection`), the fields of `DocumentRecord`, and the lease: `lease_owner`, `lease_expires`
(seconds), `fence` and `look_again`. Ranges and observations need no lease; their own conditions guard them.

`outcome` is the last final status with its version, and `outcome_at` its time in seconds. Both change in the write
that brings another outcome, so progress, leases and a repetition of the same status make no event.

A caller who may see some collections reads only their index: no row of another collection is read, and a cursor is
valid only in one of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from docwell.adapters.dynamodb.table import Place, Row, Selection, Table, can_be_key, plain_row
from docwell.errors import BadInput, LeaseLost, Unavailable
from docwell.events import Outcome
from docwell.identity import RESERVED_COLLECTION
from docwell.models import (
    COUNTED,
    FINAL,
    KEY_BYTES,
    OBSERVED,
    PROGRESS,
    Attributes,
    DocumentRecord,
    Lease,
    RangeTally,
    RangeTask,
    Status,
    collection_of,
)
from docwell.ports import LedgerRow, LiveDocument

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The `pipeline` value of rows that hold state facts.
_STATE = "#state"
_ACQUIRE_ATTEMPTS = 5
_HELD_BY_ME = "fence = :fence AND lease_owner = :owner"
_LIVE_DOCUMENT = "document, live_generation, live_version, observed_version, live_attributes"
# `DocumentRecord.answers` as a condition.
_ANSWERS = (
    "attribute_exists(live_generation)"
    " AND (attribute_not_exists(observed_version) OR observed_version = live_version)"
)
_RECORD_FIELDS = {field.name for field in fields(DocumentRecord)} - {"key"}
_ATTRIBUTES = {field.name for field in fields(Attributes)}


class DynamoState:
    """`docwell.ports.StateStore`: rows under the pipeline `#state`, which no fingerprint equals.

    Row: `document` (the fact's name), `pipeline` = `#state`, `values` (a map of strings).
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "ledger")

    def read(self, name: str) -> Mapping[str, str]:
        """Return the fact, read consistently; empty where there is none."""
        row = self._table.get(_key(name, _STATE)) or {}
        values: Mapping[str, str] = row.get("values", {})
        return values

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Store the whole fact."""
        self._table.put({**_key(name, _STATE), "values": dict(values)})


class DynamoLedger:
    """`docwell.ports.Ledger`, `Catalogue` and `LedgerRows` of one pipeline."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        pipeline: str,
        lease_s: float = 90.0,
        clock: Callable[[], float] = time.time,
        *,
        notes_outcomes: bool = False,
    ) -> None:
        """With `notes_outcomes`, `write` notes each new outcome, which becomes an event."""
        self._table = Table(client, table, "ledger")
        self._pipeline = pipeline
        self._lease_s = lease_s
        self._clock = clock
        self._notes_outcomes = notes_outcomes
        # The other pipelines whose rows occurred in the current or the last scan.
        self.others: set[str] = set()

    def acquire(self, key: str, owner: str) -> Lease | None:
        """Take the lease. When another worker holds it, ask that worker to look again and return None."""
        for _ in range(_ACQUIRE_ATTEMPTS):
            now = self._clock()
            values: Row = {"owner": owner, "expires": now + self._lease_s, "now": now, "one": 1, "no": False}
            values |= {"collection": collection_of(key), "pending": Status.PENDING.value}
            row = self._table.update(
                _key(key, self._pipeline),
                "SET lease_owner = :owner, lease_expires = :expires, look_again = :no, #collection = :collection, "
                "#status = if_not_exists(#status, :pending) ADD fence :one",
                values,
                condition="attribute_not_exists(lease_owner) OR lease_expires < :now OR lease_owner = :owner",
            )
            if row is not None:
                return _lease(row)
            marked = self._table.update(
                _key(key, self._pipeline),
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
        stamped, before = replace(record, updated_at=self._clock()), lease.record
        # Skip unchanged fields: other workers change only `PROGRESS` and `OBSERVED` meanwhile.
        same = {name for name in _RECORD_FIELDS - PROGRESS if getattr(stamped, name) == getattr(before, name)}
        names = sorted(_RECORD_FIELDS - OBSERVED - same - (frozenset() if fresh else PROGRESS))
        values = {name: getattr(stamped, name) for name in names}
        if values.get("live_attributes") is not None:
            attributes = asdict(values["live_attributes"])
            values["live_attributes"] = {name: value for name, value in attributes.items() if value}
        outcome = outcome_name(record)
        # Rows from before the pipeline was active have their last outcome only in their status.
        if self._notes_outcomes and outcome not in (None, lease.outcome or outcome_name(lease.record)):
            values |= {"outcome": outcome, "outcome_at": stamped.updated_at}
        # DynamoDB stores neither None nor an empty set: omit such an attribute.
        present = {name: value for name, value in values.items() if value not in (None, frozenset())}
        changes = [*(f"#{name} = :{name}" for name in present), "lease_expires = :expires"]
        expression = f"SET {', '.join(changes)}"
        if absent := [f"#{name}" for name in names if name not in present]:
            expression += f" REMOVE {', '.join(absent)}"
        return self._update_held(lease, expression, present)

    def release(self, lease: Lease) -> Lease | None:
        """Release the lease and return None; when marked to look again, clear the mark and return it renewed."""
        gone = self._table.update(
            _key(lease.key, self._pipeline),
            "REMOVE lease_owner, lease_expires, look_again",
            {"fence": lease.fence, "owner": lease.owner, "no": False},
            condition=f"{_HELD_BY_ME} AND look_again = :no",
        )
        if gone is not None:
            return None
        return self._update_held(lease, "SET look_again = :no, lease_expires = :expires", {"no": False})

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        """Add a range to the record, once, while the document is still being indexed by the same attempt."""
        counted = {name: getattr(tally, name) for name in COUNTED}
        counted |= {"ranges_done": {task.range}, "pages_done": tally.pages}
        added = {name: value for name, value in counted.items() if value != frozenset()}  # DynamoDB has none
        attempt = {"number": task.range, "version": task.version, "attempt": task.attempt}
        row = self._table.update(
            _key(task.key, self._pipeline),
            f"SET updated_at = :now ADD {', '.join(f'{name} :{name}' for name in added)}",
            {**added, **attempt, "pending": Status.PENDING.value, "now": self._clock()},
            condition="version = :version AND attempt = :attempt AND #status = :pending "
            "AND NOT contains(ranges_done, :number)",
        )
        if row is not None:
            return _record(row)
        record = self.get(task.key)
        if record is None or (record.version, record.attempt) != (task.version, task.attempt):
            return None
        return record if record.status is Status.PENDING and task.range in record.ranges_done else None

    def observe(self, record: DocumentRecord, version: str) -> bool:
        """Store the version that the bucket has now, unless the row was observed meanwhile, or is gone."""
        unchanged = "observations = :before" if record.observations else "attribute_not_exists(observations)"
        values = {"version": version, "next": record.observations + 1}
        row = self._table.update(
            _key(record.key, self._pipeline),
            "SET observed_version = :version, observations = :next",
            values | ({"before": record.observations} if record.observations else {}),
            condition=f"attribute_exists(document) AND {unchanged}",
            returns="NONE",
        )
        return row is not None

    def get(self, key: str) -> DocumentRecord | None:
        """Return one document's record, read consistently."""
        if not can_be_key(key, KEY_BYTES):  # DynamoDB would refuse the request: 503 for a path that a caller sends
            return None
        row = self._table.get(_key(key, self._pipeline))
        return _record(row) if row else None

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        """Return the documents that are live, with their attributes, read consistently."""
        return _live(self._rows(keys, _LIVE_DOCUMENT))

    def under(
        self, collection: str | None, prefix: str, limit: int
    ) -> tuple[Mapping[str, LiveDocument], int | None]:
        """Return the live documents under a prefix, for a collection from its index, and the number of rows read.

        The number is None when there are more than `limit` rows and some documents may be missing.
        """
        selection = Selection(
            filter=f"pipeline = :pipeline AND {_ANSWERS}", values={"pipeline": self._pipeline}, only=_LIVE_DOCUMENT
        )
        if collection is not None and not can_be_key(collection, KEY_BYTES):
            return {}, 0
        selection = narrowed(selection, collection, prefix)
        documents: dict[str, LiveDocument] = {}
        read = 0
        place: Place | None = None
        while read < limit:
            page = self._table.page(selection, limit - read, place)
            documents |= _live(page.rows)
            read += page.read
            place = page.next
            if place is None:
                return documents, read
        return documents, None

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
        visible: Callable[[DocumentRecord], bool] | None = None,
    ) -> tuple[list[DocumentRecord], str | None]:
        """Return documents of the collections by name and key, from the index; with None, by a scan."""
        condition = f"pipeline = :pipeline AND #status {'=' if status else '<>'} :status"
        values = {"status": (status or Status.DELETED).value, "pipeline": self._pipeline}
        left: Sequence[str | None] = [None]
        if collections is None:
            condition, values = (
                f"{condition} AND #collection <> :reserved",
                values | {"reserved": RESERVED_COLLECTION},
            )
        else:
            left = sorted({name for name in collections if can_be_key(name, KEY_BYTES)})
        place = decode_cursor(cursor)
        if place is not None:
            left = left[_index(left, place, prefix) :]
        records, read = list[DocumentRecord](), 0
        for _ in range(_READS):
            if not left or len(records) >= limit or (visible is None and read >= _MOST_ROWS):
                break
            after = None if place is None or set(place) == _COLLECTION else place
            at_once = _ROWS_AT_ONCE if visible or status else limit - len(records)
            page = self._table.page(narrowed(Selection(condition, values), left[0], prefix), at_once, after)
            records += filter(visible, map(_record, page.rows)) if visible else map(_record, page.rows)
            place, read = page.next, read + page.read
            if place is None:
                left = left[1:]
        if place is None and left:
            place = {"collection": {"S": left[0]}}
        if len(records) > limit or (visible is not None and place is not None):
            if records:
                key = records[:limit][-1].key
                in_collection = {} if collections is None else {"collection": {"S": collection_of(key)}}
                place = {**in_collection, "document": {"S": key}, "pipeline": {"S": self._pipeline}}
            elif place is not None and set(place) != _COLLECTION:
                raise BadInput("too many documents that you may not read come first: give a longer prefix")
        return records[:limit], encode_cursor(place)

    def scan(self, cursor: str | None, limit: int) -> tuple[list[LedgerRow], str | None]:
        """Return rows of the pipeline, DELETED ones too; an empty page may not be the last."""
        if cursor is None:
            self.others.clear()
        selection = Selection(filter="pipeline <> :state", values={"state": _STATE})
        page = self._table.page(selection, limit, decode_cursor(cursor))
        rows = [row for row in page.rows if row["pipeline"] == self._pipeline]
        self.others |= {row["pipeline"] for row in page.rows} - {self._pipeline}
        return [_ledger_row(row) for row in rows], encode_cursor(page.next)

    def rows_of(self, keys: Sequence[str]) -> Mapping[str, LedgerRow]:
        """Return the rows of the keys that have a row."""
        return {row["document"]: _ledger_row(row) for row in self._rows(keys)}

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, even with a lease; missing rows are no error."""
        self._table.delete_many([_key(key, self._pipeline) for key in keys])

    def _rows(self, keys: Sequence[str], only: str = "") -> list[Row]:
        return list(self._table.get_many((_key(key, self._pipeline) for key in dict.fromkeys(keys)), only))

    def _update_held(self, lease: Lease, expression: str, values: Mapping[str, object]) -> Lease:
        """Update the row if this worker still holds it, and renew the lease. Raises `LeaseLost`."""
        fenced = {"fence": lease.fence, "owner": lease.owner, "expires": self._clock() + self._lease_s}
        row = self._table.update(
            _key(lease.key, self._pipeline), expression, {**values, **fenced}, condition=_HELD_BY_ME
        )
        if row is None:
            raise LeaseLost(lease.key)
        return _lease(row)


def _key(document: str, pipeline: str) -> Row:
    return {"document": document, "pipeline": pipeline}


def _record(row: Row) -> DocumentRecord:
    """Return the record; ignore fields that this release does not know."""
    values = {name: value for name, value in row.items() if name in _RECORD_FIELDS}
    values["status"] = Status(values.get("status", Status.PENDING))
    if "updated_at" in values:
        values["updated_at"] = float(values["updated_at"])
    if "live_attributes" in values:
        values["live_attributes"] = _attributes(values["live_attributes"])
    return DocumentRecord(key=row["document"], **values)


def _lease(row: Row) -> Lease:
    held = row["document"], row["lease_owner"], row["fence"], float(row["lease_expires"])
    return Lease(*held, _record(row), row.get("outcome"))


def _ledger_row(row: Row) -> LedgerRow:
    return LedgerRow(_record(row), float(row.get("lease_expires", 0)))


def _live(rows: Iterable[Row]) -> dict[str, LiveDocument]:
    return {
        row["document"]: LiveDocument(row["live_generation"], _attributes(row.get("live_attributes", {})))
        for row in rows
        if _record(row).answers
    }


def _attributes(row: Mapping[str, Any]) -> Attributes:
    """Return the attributes; another release may have written more or fewer of them."""
    return Attributes(**{name: value for name, value in row.items() if name in _ATTRIBUTES})


# The most bytes of a place: two keys of 1,024 bytes, escaped in JSON, and names.
_LONGEST_PLACE = 16 * 1024
_COLLECTION = {"collection"}
_ROW = {"document", "pipeline"}
# The most reads for one page, which bounds a request over thousands of empty collections.
_READS = 50
# The most rows of one filtered read: DynamoDB returns 1 MB, and a row takes about 1 KB.
_ROWS_AT_ONCE, _MOST_ROWS = 1000, 2000


def narrowed(selection: Selection, collection: str | None, prefix: str) -> Selection:
    """Return the selected rows of one collection (from its index) or of all, whose documents have the prefix."""
    values = dict(selection.values)
    condition = " AND begins_with(document, :prefix)" if prefix else ""  # DynamoDB takes no empty prefix
    if prefix:
        values["prefix"] = prefix
    if collection is None:
        return replace(selection, values=values, filter=selection.filter + condition)
    values["collection"] = collection
    return replace(selection, values=values, index="by_collection", key="#collection = :collection" + condition)


def encode_cursor(place: Place | None) -> str | None:
    """Return a place as text that fits a URL."""
    if place is None:
        return None
    # Compress the place: a key can take twice its length in JSON, and occurs twice.
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(place).encode())).decode()


def decode_cursor(cursor: str | None) -> Place | None:
    """Return the place of a cursor. Raises `BadInput` for a text that no ledger wrote."""
    if cursor is None:
        return None
    try:
        text = zlib.decompressobj().decompress(base64.urlsafe_b64decode(cursor.encode()), _LONGEST_PLACE)
        place = json.loads(text)
    except (ValueError, RecursionError, binascii.Error, zlib.error) as error:
        raise _wrong_cursor() from error
    kinds = (_ROW, _COLLECTION, _ROW | _COLLECTION)
    if (
        not isinstance(place, dict)
        or set(place) not in kinds
        or not all(
            isinstance(value, dict) and set(value) == {"S"} and can_be_key(value["S"], KEY_BYTES)
            for value in place.values()
        )
    ):
        raise _wrong_cursor()
    return place


def _index(collections: Sequence[str | None], place: Place, prefix: str) -> int:
    """Return the position of the place's collection, which is None for a row of a listing of all."""
    values = {name: value["S"] for name, value in place.items()}
    collection, document = values.get("collection"), values.get("document")
    if collection not in collections:
        raise _wrong_cursor()
    if collection and document and not (collection_of(document) == collection and document.startswith(prefix)):
        raise _wrong_cursor()
    return collections.index(collection)


def _wrong_cursor() -> BadInput:
    # The same message for a damaged and a foreign cursor, so that existence does not leak.
    return BadInput("the cursor is not one that this service gave for this request")


logger = logging.getLogger(__name__)


def outcome_name(record: DocumentRecord) -> str | None:
    """Return the value of `outcome` for a record, or None while the document is PENDING."""
    return f"{record.status.value} {record.version or ''}" if record.status in FINAL else None


def outcome_in(change: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome in a stream record, or None.

    An unknown status, from another release, is logged and skipped: an error would stop the stream.
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
    return Outcome(_record({**row, "status": status, "version": version or None}), float(at))
