"""The ledger as filters read it: what is live, and what is said of it, without the rest of each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from docwell.adapters.aws import until_processed, vendor_errors
from docwell.attributes import Attributes
from docwell.ports import LiveDocument

_BATCH_GET_LIMIT = 100  # keys of one BatchGetItem
_NEEDED = "document, live_generation, live_attributes"
_NAMES = {field.name for field in fields(Attributes)}
_deserialize = TypeDeserializer().deserialize


def stored(attributes: Attributes) -> dict[str, Any]:
    """As a ledger's row has them: what is not there is left out."""
    return {name: value for name, value in asdict(attributes).items() if value}


def attributes_of(row: Mapping[str, Any]) -> Attributes:
    """As `stored` wrote them, or an earlier or later release, which may know fewer or more."""
    return Attributes(**{name: value for name, value in row.items() if name in _NAMES})


def rows(
    client: Any,
    table: str,
    pipeline: str,
    keys: Sequence[str],
    only: str = "",
) -> Iterator[Mapping[str, Any]]:
    """The rows of those of the keys that have one, read consistently; with `only`, these attributes of them."""
    wanted, projection = list(dict.fromkeys(keys)), {"ProjectionExpression": only} if only else {}
    for start in range(0, len(wanted), _BATCH_GET_LIMIT):
        batch = [row_key(key, pipeline) for key in wanted[start : start + _BATCH_GET_LIMIT]]
        request: dict[str, Any] = {table: {"Keys": batch, "ConsistentRead": True, **projection}}
        for answer in until_processed("ledger", client.batch_get_item, request, "UnprocessedKeys"):
            yield from answer["Responses"].get(table, [])


def described(
    client: Any,
    table: str,
    pipeline: str,
    keys: Sequence[str],
) -> Mapping[str, LiveDocument]:
    """`docwell.ports.LiveDocuments.described`."""
    return _live(rows(client, table, pipeline, keys, _NEEDED))


def under(
    client: Any,
    table: str,
    pipeline: str,
    place: tuple[str, str],
    limit: int,
) -> tuple[Mapping[str, LiveDocument], int | None]:
    """`docwell.ports.LiveDocuments.under`; `place` is the collection and the prefix."""
    collection, prefix = place
    request: dict[str, Any] = {
        "TableName": table,
        "IndexName": "by_collection",
        "KeyConditionExpression": "#collection = :collection",
        "FilterExpression": "pipeline = :pipeline AND attribute_exists(live_generation)",
        "ProjectionExpression": _NEEDED,
        "ExpressionAttributeNames": {"#collection": "collection"},
        "ExpressionAttributeValues": {":collection": {"S": collection}, ":pipeline": {"S": pipeline}},
    }
    if prefix:  # DynamoDB takes no empty one
        request["KeyConditionExpression"] += " AND begins_with(document, :prefix)"
        request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
    found: dict[str, LiveDocument] = {}
    looked_at = 0
    while looked_at < limit:
        with vendor_errors("ledger"):
            answer = client.query(**request, Limit=limit - looked_at)
        found |= _live(answer["Items"])
        looked_at += answer["ScannedCount"]
        last = answer.get("LastEvaluatedKey")
        if not last:
            return found, looked_at
        request["ExclusiveStartKey"] = last
    return found, None


def _live(items: Iterable[Mapping[str, Any]]) -> dict[str, LiveDocument]:
    return {
        item["document"]["S"]: LiveDocument(
            item["live_generation"]["S"],
            attributes_of(_deserialize(item["live_attributes"])) if "live_attributes" in item else Attributes(),
        )
        for item in items
        if "live_generation" in item
    }


def row_key(document: str, pipeline: str) -> dict[str, Any]:
    """The key of a document's row for one pipeline."""
    return {"document": {"S": document}, "pipeline": {"S": pipeline}}
