"""The ledger: one item for each document, changed only under a lease's fence.

Item: `document` (partition key), `collection` (with `document` the index `by_collection`), the fields of
`DocumentRecord`, and `lease_owner`, `lease_expires` (seconds), `fence`, `look_again`.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from docwell.adapters.aws import error_code, vendor_errors
from docwell.errors import BadInput, LeaseLost, Unavailable
from docwell.models import DocumentRecord, Lease, Status, collection_of

_CONDITION_FAILED = "ConditionalCheckFailedException"
_BATCH_GET_LIMIT = 100  # keys of one BatchGetItem
_BATCH_ATTEMPTS = 4
_ACQUIRE_ATTEMPTS = 5
_FIELDS = {field.name for field in fields(DocumentRecord)} - {"key"}
_HELD_BY_ME = "fence = :fence AND lease_owner = :owner"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class DynamoLedger:
    """`docwell.ports.Ledger` and `docwell.ports.Catalogue` over one table."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - boto3 makes its classes at run time
        table: str,
        lease_s: float = 90.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
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
                return Lease(key, owner, int(taken["fence"]), float(taken["lease_expires"]), _record(taken))
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
        return self._held(lease, "SET lease_expires = :expires", {}, {}, lease.record)

    def write(self, lease: Lease, record: DocumentRecord) -> Lease:
        """Store every field of the record and renew."""
        stamped = replace(record, updated_at=self._clock())
        values = {name: value for name, value in asdict(stamped).items() if name in _FIELDS}
        names = {f"#{name}": name for name in values}
        sets = [f"#{name} = :{name}" for name, value in values.items() if value is not None]
        absent = [f"#{name}" for name, value in values.items() if value is None]
        expression = f"SET {', '.join(sets)}, lease_expires = :expires"
        if absent:
            expression += f" REMOVE {', '.join(absent)}"
        stored = {f":{name}": value for name, value in values.items() if value is not None}
        return self._held(lease, expression, stored, names, stamped)

    def release(self, lease: Lease) -> bool:
        """Let go, unless somebody asked for another look: then clear the mark, keep the lease and say False."""
        holder = {":fence": lease.fence, ":owner": lease.owner}
        gone = self._update(
            lease.key,
            "REMOVE lease_owner, lease_expires, look_again",
            f"{_HELD_BY_ME} AND look_again = :no",
            {**holder, ":no": False},
        )
        if gone is not None:
            return True
        self._held(lease, "SET look_again = :no, lease_expires = :expires", {":no": False}, {}, lease.record)
        return False

    def get(self, key: str) -> DocumentRecord | None:
        """One document, read consistently."""
        with vendor_errors("ledger"):
            answer = self._client.get_item(
                TableName=self._table, Key={"document": {"S": key}}, ConsistentRead=True
            )
        item = answer.get("Item")
        return _record(_plain(item)) if item else None

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The live generation of each key that has one, read consistently."""
        found: dict[str, str] = {}
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _BATCH_GET_LIMIT):
            for item in self._batch_get(wanted[start : start + _BATCH_GET_LIMIT]):
                if "live_generation" in item:
                    found[item["document"]["S"]] = item["live_generation"]["S"]
        return found

    def page(
        self, collection: str | None, status: Status | None, cursor: str | None, limit: int
    ) -> tuple[list[DocumentRecord], str | None]:
        """Documents by key within a collection (from its index, a moment behind), in no order across all."""
        values: dict[str, Any] = {":status": (status or Status.DELETED).value}
        request: dict[str, Any] = {
            "TableName": self._table,
            "FilterExpression": "#status = :status" if status else "#status <> :status",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        if collection is not None:
            request |= {"IndexName": "by_collection", "KeyConditionExpression": "#collection = :collection"}
            request["ExpressionAttributeNames"] |= {"#collection": "collection"}
            values[":collection"] = collection
        request["ExpressionAttributeValues"] = {name: _serialize(value) for name, value in values.items()}
        read = self._client.scan if collection is None else self._client.query
        records: list[DocumentRecord] = []
        start = _decode_cursor(cursor)
        while True:
            with vendor_errors("ledger"):
                answer = read(
                    **request,
                    Limit=limit - len(records),
                    **({"ExclusiveStartKey": start} if start else {}),
                )
            records += [_record(_plain(item)) for item in answer["Items"]]
            start = answer.get("LastEvaluatedKey")
            if start is None or len(records) >= limit:
                return records, _encode_cursor(start)

    def _batch_get(self, keys: list[str]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        request: dict[str, Any] = {
            self._table: {
                "Keys": [{"document": {"S": key}} for key in keys],
                "ProjectionExpression": "document, live_generation",
                "ConsistentRead": True,
            }
        }
        for attempt in range(_BATCH_ATTEMPTS):
            with vendor_errors("ledger"):
                answer = self._client.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(self._table, [])
            request = answer.get("UnprocessedKeys") or {}
            if not request:
                return items
            time.sleep(0.05 * 2**attempt)
        raise Unavailable("ledger", "ledger: BatchGetItem is throttled")

    def _held(
        self,
        lease: Lease,
        expression: str,
        values: dict[str, Any],
        names: dict[str, str],
        record: DocumentRecord,
    ) -> Lease:
        expires = self._clock() + self._lease_s
        holder = {":fence": lease.fence, ":owner": lease.owner, ":expires": expires}
        if self._update(lease.key, expression, _HELD_BY_ME, {**values, **holder}, names) is None:
            raise LeaseLost(lease.key)
        return replace(lease, expires_at=expires, record=record)

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
                    Key={"document": {"S": key}},
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


def _number(value: object) -> object:
    """DynamoDB's serialiser takes Decimal, not float."""
    return Decimal(str(value)) if isinstance(value, float) else value


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _record(item: Mapping[str, Any]) -> DocumentRecord:
    values = {name: value for name, value in item.items() if name in _FIELDS}
    for name, value in values.items():
        if isinstance(value, Decimal):
            values[name] = float(value) if name == "updated_at" else int(value)
    values["status"] = Status(values.get("status", Status.PENDING))
    return DocumentRecord(key=item["document"], **values)


def _encode_cursor(start: Mapping[str, Any] | None) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(start).encode()).decode() if start else None


def _decode_cursor(cursor: str | None) -> dict[str, Any] | None:
    if cursor is None:
        return None
    try:
        start: dict[str, Any] = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error) as error:
        raise BadInput("the cursor is not one that this service gave") from error
    valid = isinstance(start, dict) and set(start) <= {"document", "collection"}
    if not (valid and all(isinstance(v, dict) and isinstance(v.get("S"), str) for v in start.values())):
        raise BadInput("the cursor is not one that this service gave")
    return start
