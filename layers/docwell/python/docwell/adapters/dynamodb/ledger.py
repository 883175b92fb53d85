"""The ledger: one item for each document and pipeline, changed only under a lease's fence.

Item: `document` (partition key), `pipeline` (sort key: the fingerprint), `collection` (with `document` the
index `by_collection`), the fields of `DocumentRecord`, and `lease_owner`, `lease_expires` (seconds), `fence`,
`look_again`.
Facts of the whole index are items under the pipeline `#state`, which no fingerprint is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from docwell.adapters.aws import error_code, until_processed, vendor_errors
from docwell.adapters.dynamodb import ledger_attributes
from docwell.adapters.dynamodb.ledger_pages import LedgerPages, decode_cursor, encode_cursor
from docwell.attributes import Attributes
from docwell.errors import LeaseLost, Unavailable
from docwell.models import PROGRESS, DocumentRecord, Lease, RangeTally, RangeTask, Status, collection_of
from docwell.ports import LiveDocument, Standing

_CONDITION_FAILED = "ConditionalCheckFailedException"
_BATCH_WRITE_LIMIT = 25  # items of one BatchWriteItem
_ACQUIRE_ATTEMPTS = 5
_FIELDS = {field.name for field in fields(DocumentRecord)} - {"key"}
_STATE = "#state"
_HELD_BY_ME = "fence = :fence AND lease_owner = :owner"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class DynamoLedger:
    """`docwell.ports.Ledger`, `RangeLedger`, `Catalogue`, `LiveDocuments` and `LedgerRows` of one pipeline."""

    def __init__(
        self,
        client: Any,
        table: str,
        pipeline: str,
        lease_s: float = 90.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._pipeline = pipeline
        self._lease_s = lease_s
        self._clock = clock

    def acquire(self, key: str, owner: str) -> Lease | None:
        """Take the lease, or leave the holder a mark that it must look again and give None."""
        for _ in range(_ACQUIRE_ATTEMPTS):
            now = self._clock()
            taken = self._update(
                key,
                "SET lease_owner = :owner, lease_expires = :expires, fence = if_not_exists(fence, :zero) + :one, "
                "look_again = :no, #collection = :collection, #status = if_not_exists(#status, :pending)",
                "attribute_not_exists(lease_owner) OR lease_expires < :now OR lease_owner = :owner",
                {
                    ":owner": owner,
                    ":expires": now + self._lease_s,
                    ":now": now,
                    ":zero": 0,
                    ":one": 1,
                    ":no": False,
                    ":collection": collection_of(key),
                    ":pending": Status.PENDING.value,
                },
                names={"#collection": "collection", "#status": "status"},
            )
            if taken is not None:
                return _lease(taken)
            marked = self._update(
                key,
                "SET look_again = :yes",
                "attribute_exists(lease_owner) AND lease_expires >= :now",
                {":yes": True, ":now": now},
            )
            if marked is not None:
                return None
        raise Unavailable("ledger", f"the lease of {key!r} changes hands too fast", retry_after=1.0)

    def renew(self, lease: Lease) -> Lease:
        """The lease with a later expiry."""
        return self._held(lease, "SET lease_expires = :expires", {}, {})

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        """Store the record's fields, its progress only when `fresh`, and renew."""
        stamped = replace(record, updated_at=self._clock())
        wanted = _FIELDS if fresh else _FIELDS - PROGRESS
        values = {name: getattr(stamped, name) for name in wanted}
        names = {f"#{name}": name for name in values}
        # DynamoDB has no empty set: what has none has no attribute.
        sets = {name: value for name, value in values.items() if value not in (None, frozenset())}
        absent = [f"#{name}" for name in values if name not in sets]
        expression = f"SET {', '.join(f'#{name} = :{name}' for name in sets)}, lease_expires = :expires"
        if absent:
            expression += f" REMOVE {', '.join(absent)}"
        return self._held(lease, expression, {f":{name}": value for name, value in sets.items()}, names)

    def release(self, lease: Lease) -> Lease | None:
        """Let go, unless somebody asked for another look: then clear the mark and give the lease read anew."""
        holder = {":fence": lease.fence, ":owner": lease.owner}
        gone = self._update(
            lease.key,
            "REMOVE lease_owner, lease_expires, look_again",
            f"{_HELD_BY_ME} AND look_again = :no",
            {**holder, ":no": False},
        )
        if gone is not None:
            return None
        return self._held(lease, "SET look_again = :no, lease_expires = :expires", {":no": False}, {})

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        """Note a range as done, once, while the document is still being indexed from the same version."""
        grown: dict[str, Any] = {
            "ranges_done": {task.range},
            "pages_done": tally.pages,
            "chunks": tally.chunks,
            "characters": tally.characters,
            "textless_pages": tally.textless_pages,
        }
        # DynamoDB has no empty set.
        sets = {"unreadable_pages": tally.unreadable_pages, "doubtful_pages": tally.doubtful_pages}
        grown |= {name: numbers for name, numbers in sets.items() if numbers}
        item = self._update(
            task.key,
            f"SET updated_at = :now ADD {', '.join(f'{name} :{name}' for name in grown)}",
            "version = :version AND attempt = :attempt AND #status = :pending "
            "AND NOT contains(ranges_done, :number)",
            {
                **{f":{name}": value for name, value in grown.items()},
                ":number": task.range,
                ":version": task.version,
                ":attempt": task.attempt,
                ":pending": Status.PENDING.value,
                ":now": self._clock(),
            },
            names={"#status": "status"},
        )
        if item is not None:
            return _record(item)
        record = self.get(task.key)
        if record is None or (record.version, record.attempt) != (task.version, task.attempt):
            return None
        return record if record.status is Status.PENDING and task.range in record.ranges_done else None

    def get(self, key: str) -> DocumentRecord | None:
        """One document, read consistently."""
        with vendor_errors("ledger"):
            answer = self._client.get_item(TableName=self._table, Key=self._key(key), ConsistentRead=True)
        item = answer.get("Item")
        return _record(_plain(item)) if item else None

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The live generation of each key that has one, read consistently."""
        found = ledger_attributes.rows(
            self._client, self._table, self._pipeline, keys, "document, live_generation"
        )
        return {item["document"]["S"]: item["live_generation"]["S"] for item in found if "live_generation" in item}

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        """The live ones of the documents with what is said of them, read consistently."""
        return ledger_attributes.described(self._client, self._table, self._pipeline, keys)

    def under(self, collection: str, prefix: str, limit: int) -> tuple[Mapping[str, LiveDocument], int | None]:
        """The live documents under a prefix, from the collections' index; and how many rows were looked at."""
        return ledger_attributes.under(self._client, self._table, self._pipeline, (collection, prefix), limit)

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
    ) -> tuple[list[DocumentRecord], str | None]:
        """Documents of the collections by name and key (from their index, a moment behind); of all in no order."""
        values = {":status": (status or Status.DELETED).value, ":pipeline": self._pipeline}
        pages = LedgerPages(
            client=self._client,
            table=self._table,
            filter=f"pipeline = :pipeline AND #status {'=' if status else '<>'} :status",
            names={"#status": "status"},
            values={name: _serialize(value) for name, value in values.items()},
            prefix=prefix,
        )
        found, following = (
            pages.every(cursor, limit) if collections is None else pages.of(collections, cursor, limit)
        )
        return [_record(_plain(item)) for item in found], following

    def _held(self, lease: Lease, expression: str, values: dict[str, Any], names: dict[str, str]) -> Lease:
        holder = {":fence": lease.fence, ":owner": lease.owner, ":expires": self._clock() + self._lease_s}
        item = self._update(lease.key, expression, _HELD_BY_ME, {**values, **holder}, names)
        if item is None:
            raise LeaseLost(lease.key)
        return _lease(item)

    def _key(self, document: str) -> dict[str, Any]:
        return ledger_attributes.row_key(document, self._pipeline)

    def _update(
        self,
        key: str,
        expression: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """The item as it is now, or None when the condition did not hold."""
        with vendor_errors("ledger"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=self._key(key),
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={name: _serialize(_number(v)) for name, v in values.items()},
                    ReturnValues="ALL_NEW",
                    **({"ExpressionAttributeNames": names} if names else {}),
                )
            except ClientError as error:
                if error_code(error) == _CONDITION_FAILED:
                    return None
                raise
        return _plain(answer["Attributes"])

    # --- for reconcile ---

    def scan(self, cursor: str | None, limit: int) -> tuple[list[Standing], str | None]:
        """Every row of the pipeline, DELETED ones too; a page may be empty and not the last."""
        start = decode_cursor(cursor)
        with vendor_errors("ledger"):
            answer = self._client.scan(
                TableName=self._table,
                FilterExpression="pipeline = :pipeline",
                ExpressionAttributeValues={":pipeline": {"S": self._pipeline}},
                Limit=limit,
                **({"ExclusiveStartKey": start} if start else {}),
            )
        rows = [_standing(_plain(item)) for item in answer["Items"]]
        return rows, encode_cursor(answer.get("LastEvaluatedKey"))

    def standings(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        """The rows of those of the keys that have one."""
        found = ledger_attributes.rows(self._client, self._table, self._pipeline, keys)
        return {item["document"]["S"]: _standing(_plain(item)) for item in found}

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, whatever their leases; rows that are not there are no error."""
        for start in range(0, len(keys), _BATCH_WRITE_LIMIT):
            deletes = [
                {"DeleteRequest": {"Key": self._key(key)}} for key in keys[start : start + _BATCH_WRITE_LIMIT]
            ]
            call, request = self._client.batch_write_item, {self._table: deletes}
            for _ in until_processed("ledger", call, request, "UnprocessedItems"):
                pass


def _standing(item: Mapping[str, Any]) -> Standing:
    return Standing(_record(item), float(item.get("lease_expires", 0)))


def _number(value: object) -> object:
    """DynamoDB's serialiser takes Decimal, not float, set, not frozenset, and dict."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, Attributes):
        return ledger_attributes.stored(value)
    return set(value) if isinstance(value, frozenset) else value


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _lease(item: Mapping[str, Any]) -> Lease:
    return Lease(
        key=item["document"],
        owner=item["lease_owner"],
        fence=int(item["fence"]),
        expires_at=float(item["lease_expires"]),
        record=_record(item),
    )


def _record(item: Mapping[str, Any]) -> DocumentRecord:
    values = {name: value for name, value in item.items() if name in _FIELDS}
    for name, value in values.items():
        if isinstance(value, Decimal):
            values[name] = float(value) if name == "updated_at" else int(value)
        elif isinstance(value, set):
            values[name] = frozenset(int(number) for number in value)
        elif isinstance(value, dict):
            values[name] = ledger_attributes.attributes_of(value)
    values["status"] = Status(values.get("status", Status.PENDING))
    return DocumentRecord(key=item["document"], **values)


class DynamoState:
    """`docwell.ports.StateStore` in the same table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> Mapping[str, str]:
        """The fact, read consistently; empty where there is none."""
        with vendor_errors("ledger"):
            answer = self._client.get_item(TableName=self._table, Key=_state_key(name), ConsistentRead=True)
        return _plain(answer.get("Item", {}).get("values", {}).get("M", {}))

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Store the fact whole."""
        with vendor_errors("ledger"):
            self._client.put_item(
                TableName=self._table, Item={**_state_key(name), "values": _serialize(dict(values))}
            )


def _state_key(name: str) -> dict[str, Any]:
    return {"document": {"S": name}, "pipeline": {"S": _STATE}}
