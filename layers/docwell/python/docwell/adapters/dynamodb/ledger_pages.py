"""The ledger page by page: which rows a listing reads, and cursors that lead nowhere else.

A caller who may see some collections reads only the index of these: no row of another is looked at, and a
cursor, wherever it comes from, is a place in one of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docwell.adapters.aws import vendor_errors
from docwell.errors import BadInput
from docwell.models import collection_of

Item = dict[str, Any]
Place = Mapping[str, Any]  # in DynamoDB's notation, as ExclusiveStartKey has it

# Two keys of 1,024 bytes with the most that JSON makes of them, and names.
_LONGEST_PLACE = 16 * 1024
_COLLECTION = {"collection"}
_ROW = {"document", "pipeline"}
# DynamoDB's limit for a sort key, which a document is in the index, and S3's for a key.
_KEY_BYTES = 1024
# So many reads make one page at most: thousands of empty collections cost no request more than this.
_READS = 50


@dataclass(frozen=True, slots=True)
class LedgerPages:
    """Rows of one table that pass `filter`, a DynamoDB expression over `names` and `values`.

    Their documents begin with `prefix`.
    """

    client: Any
    table: str
    filter: str
    names: Mapping[str, str]
    values: Mapping[str, Any]
    prefix: str = ""

    def every(self, cursor: str | None, limit: int) -> tuple[list[Item], str | None]:
        """Up to `limit` rows of all collections, in no order. Raises `BadInput` for a cursor not given here."""
        place: Place | None = decode_cursor(cursor)
        if place is not None and set(place) != _ROW:
            raise _wrong_cursor()
        found: list[Item] = []
        for _ in range(_READS):
            place = self._read(self._scan, found, limit, place)
            if place is None or len(found) >= limit:
                break
        return found, encode_cursor(place)

    def of(self, collections: Sequence[str], cursor: str | None, limit: int) -> tuple[list[Item], str | None]:
        """Up to `limit` rows of these collections, one after the other by name, by document within each.

        Raises `BadInput` for a cursor that is no place in one of them.
        """
        left = sorted({name for name in collections if _possible(name)})
        place: Place | None = decode_cursor(cursor)
        if place is not None:
            left = left[_index(left, place) :]
            if not place.get("document", {"S": self.prefix})["S"].startswith(self.prefix):
                raise _wrong_cursor()
        found: list[Item] = []
        for _ in range(_READS):
            if not left or len(found) >= limit:
                break
            after = place if place is not None and set(place) != _COLLECTION else None
            place = self._read(self._query(left[0]), found, limit, after)
            if place is None:
                left = left[1:]
        if place is None and left:
            place = {"collection": {"S": left[0]}}
        return found, encode_cursor(place)

    def _scan(self, **request: Any) -> Any:
        if self.prefix:
            request["FilterExpression"] += " AND begins_with(document, :prefix)"
            request["ExpressionAttributeValues"] |= {":prefix": {"S": self.prefix}}
        return self.client.scan(**request)

    def _query(self, collection: str) -> Callable[..., Any]:
        def read(**request: Any) -> Any:
            request["ExpressionAttributeNames"] |= {"#collection": "collection"}
            request["ExpressionAttributeValues"] |= {":collection": {"S": collection}}
            condition = "#collection = :collection"
            if self.prefix:  # DynamoDB takes no empty one
                request["ExpressionAttributeValues"] |= {":prefix": {"S": self.prefix}}
                condition += " AND begins_with(document, :prefix)"
            return self.client.query(IndexName="by_collection", KeyConditionExpression=condition, **request)

        return read

    def _read(self, read: Callable[..., Any], found: list[Item], limit: int, after: Place | None) -> Place | None:
        """Add rows to `found`; where to go on, None at the end."""
        request: dict[str, Any] = {
            "TableName": self.table,
            "FilterExpression": self.filter,
            "ExpressionAttributeNames": dict(self.names),
            "ExpressionAttributeValues": dict(self.values),
            "Limit": limit - len(found),
        }
        if after is not None:
            request["ExclusiveStartKey"] = after
        with vendor_errors("ledger"):
            answer = read(**request)
        found += answer["Items"]
        last: Place | None = answer.get("LastEvaluatedKey")
        return last or None


def encode_cursor(place: Place | None) -> str | None:
    """A place as text that fits a URL."""
    if place is None:
        return None
    # A key can be twice as long in JSON, and stands in it twice.
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(place).encode())).decode()


def decode_cursor(cursor: str | None) -> dict[str, Any] | None:
    """The place of a cursor. Raises `BadInput` for what is no place in any ledger."""
    if cursor is None:
        return None
    try:
        text = zlib.decompressobj().decompress(base64.urlsafe_b64decode(cursor.encode()), _LONGEST_PLACE)
        place = json.loads(text)
    except (ValueError, RecursionError, binascii.Error, zlib.error) as error:
        raise _wrong_cursor() from error
    kinds = (_ROW, _COLLECTION, _ROW | _COLLECTION)
    if not isinstance(place, dict) or set(place) not in kinds:
        raise _wrong_cursor()
    if not all(
        isinstance(value, dict) and set(value) == {"S"} and _possible(value["S"]) for value in place.values()
    ):
        raise _wrong_cursor()
    return place


def _index(collections: Sequence[str], place: Place) -> int:
    """Which of the collections the place is in."""
    values = {name: value["S"] for name, value in place.items()}
    collection = values.get("collection")
    if collection not in collections or ("document" in values and collection_of(values["document"]) != collection):
        raise _wrong_cursor()
    return collections.index(collection)


def _possible(name: object) -> bool:
    """Whether a key of the ledger can be so."""
    try:
        return isinstance(name, str) and 0 < len(name.encode()) <= _KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _wrong_cursor() -> BadInput:
    # Alike for what is damaged and for what is somebody else's.
    return BadInput("the cursor is not one that this service gave for this request")
