"""One DynamoDB table in plain Python values: the only module that speaks DynamoDB's notation.

A row is a dict of str, int, float, bool, bytes, frozenset and dict. Expressions are DynamoDB's own: `:owner` is
the value `owner`, and `#status` the attribute `status`, whose name DynamoDB reserves. Every method raises
`Unavailable` when the table does not answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Row = dict[str, Any]
Place = dict[str, Any]  # the row to continue a listing after, in DynamoDB's notation
T = TypeVar("T")

_BATCH_GET_LIMIT = 100  # keys of one BatchGetItem
_BATCH_WRITE_LIMIT = 25  # items of one BatchWriteItem
# boto3 has already retried each call.
_BATCH_ATTEMPTS = 3
_PAUSE_S = 0.05  # before the first retry of a batch; doubles each time
_NAME = re.compile(r"#\w+")
_serialize = TypeSerializer().serialize


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows to list: those of an index under `key`, else of the whole table, that pass `filter`.

    `key`, `filter` and `only` (the attributes to read, else all) are expressions over `values`.
    """

    filter: str
    values: Mapping[str, object]
    index: str = ""
    key: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class TablePage:
    """The rows of one read, the number of rows before filtering, and the place to continue (None at the end)."""

    rows: list[Row]
    read: int
    next: Place | None


class Table:
    """`dependency` names the table in errors."""

    def __init__(self, client: DynamoDBClient, name: str, dependency: str) -> None:
        self._client = client
        self._name = name
        self._dependency = dependency

    def get(self, key: Row) -> Row | None:
        """Return one row, read consistently."""
        with vendor_errors(self._dependency):
            answer = self._client.get_item(TableName=self._name, Key=stored(key), ConsistentRead=True)
        return plain_row(answer["Item"]) if answer.get("Item") else None

    def get_many(self, keys: Iterable[Row], only: str = "") -> Iterator[Row]:
        """Yield the existing rows of the keys, read consistently, in no order; `only` as in `Selection`."""
        for batch in _batches(list(keys), _BATCH_GET_LIMIT):
            read_keys = [stored(key) for key in batch]
            request = _request(Keys=read_keys, ConsistentRead=True, ProjectionExpression=only)
            for answer in self._until_processed(self._client.batch_get_item, "UnprocessedKeys", request):
                yield from map(plain_row, answer["Responses"].get(self._name, []))

    def put(self, row: Row, *, only_if_new: bool = False) -> bool:
        """Store the row without its None values and empty sets; return False when it must be new but exists."""
        condition = f"attribute_not_exists(#{next(iter(row))})" if only_if_new else ""
        request = _request(
            TableName=self._name,
            Item=stored(row),
            ConditionExpression=condition,
            ExpressionAttributeNames=_names(condition),
        )
        return self._if_condition_holds(lambda: self._client.put_item(**request)) is not None

    def update(
        self,
        key: Row,
        expression: str,
        values: Mapping[str, object],
        *,
        condition: str = "",
        returns: Literal["ALL_NEW", "ALL_OLD", "NONE"] = "ALL_NEW",
    ) -> Row | None:
        """Return the row as it is now, or as `returns` says; None when the condition did not hold."""
        request = _request(
            TableName=self._name,
            Key=stored(key),
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues=_placeholders(values),
            ExpressionAttributeNames=_names(expression, condition),
            ReturnValues=returns,
        )
        answer = self._if_condition_holds(lambda: self._client.update_item(**request))
        return None if answer is None else plain_row(answer.get("Attributes", {}))

    def delete(self, key: Row) -> None:
        """Remove a row; a missing one is no error."""
        with vendor_errors(self._dependency):
            self._client.delete_item(TableName=self._name, Key=stored(key))

    def delete_many(self, keys: Sequence[Row]) -> None:
        """Remove rows; missing ones are no error."""
        for batch in _batches(keys, _BATCH_WRITE_LIMIT):
            request = [{"DeleteRequest": {"Key": stored(key)}} for key in batch]
            for _ in self._until_processed(self._client.batch_write_item, "UnprocessedItems", request):
                pass

    def page(self, selection: Selection, limit: int | None = None, after: Place | None = None) -> TablePage:
        """Read up to `limit` rows (or 1 MB of them) and return those that pass. An index lags a moment behind."""
        request = _request(
            TableName=self._name,
            FilterExpression=selection.filter,
            ExpressionAttributeValues=_placeholders(selection.values),
            ExpressionAttributeNames=_names(selection.filter, selection.key),
            IndexName=selection.index,
            KeyConditionExpression=selection.key,
            ProjectionExpression=selection.only,
            Limit=limit,
            ExclusiveStartKey=after,
        )
        with vendor_errors(self._dependency):
            answer = self._client.query(**request) if selection.key else self._client.scan(**request)
        rows = [plain_row(item) for item in answer["Items"]]
        return TablePage(rows, answer["ScannedCount"], answer.get("LastEvaluatedKey") or None)

    def rows(self, selection: Selection) -> Iterator[Row]:
        """Yield all rows of a selection."""
        place: Place | None = None
        while True:
            page = self.page(selection, after=place)
            yield from page.rows
            place = page.next
            if place is None:
                return

    def _if_condition_holds(self, call: Callable[[], T]) -> T | None:
        try:
            with vendor_errors(self._dependency, "ConditionalCheckFailedException"):
                return call()
        except ClientError:
            return None

    def _until_processed(self, call: Callable[..., Any], left: str, request: object) -> Iterator[Any]:
        """Yield the answers to a batch; retry the unprocessed part, which an answer has under the key `left`."""
        items: dict[str, Any] = {self._name: request}
        for attempt in range(_BATCH_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * 2 ** (attempt - 1))
            with vendor_errors(self._dependency):
                answer = call(RequestItems=items)
            yield answer
            items = answer.get(left) or {}
            if not items:
                return
        raise Unavailable(self._dependency, f"{self._dependency}: a batch is throttled")


def _request(**parameters: object) -> dict[str, Any]:
    """Return the parameters of a request without empty ones, which DynamoDB rejects."""
    return {name: value for name, value in parameters.items() if value}


def can_be_key(value: object, most_bytes: int) -> bool:
    """Return whether DynamoDB accepts a value as a key: a text, neither empty nor too long, in Unicode."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= most_bytes
    except UnicodeEncodeError:  # the value has a lone surrogate
        return False


def stored(row: Mapping[str, object]) -> dict[str, Any]:
    """Return the row in DynamoDB's notation, without None values and empty sets, which it cannot store."""
    return {name: _serialized(value) for name, value in row.items() if value not in (None, frozenset())}


def _placeholders(values: Mapping[str, object]) -> dict[str, Any]:
    return {f":{name}": _serialized(value) for name, value in values.items()}


def _names(*expressions: str) -> dict[str, str]:
    return {placeholder: placeholder[1:] for text in expressions for placeholder in _NAME.findall(text)}


def _serialized(value: object) -> Any:
    return _serialize(Decimal(str(value)) if isinstance(value, float) else value)


def plain_row(item: Mapping[str, Any]) -> Row:
    """Return the row of an item in DynamoDB's notation."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> Any:
    """Return a value in DynamoDB's notation, such as `{"N": "1"}`, in a fifth of boto3's time."""
    ((kind, content),) = value.items()
    convert = _CONVERTED.get(kind)
    return convert(content) if convert else content


def _number(text: str) -> int | float:
    if text.isdecimal():
        return int(text)
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else float(number)


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "N": _number,
    "M": plain_row,
    "L": lambda values: list(map(_plain, values)),
    "NS": lambda values: frozenset(map(_number, values)),
    "SS": frozenset,
    "BS": frozenset,
    "NULL": lambda _: None,
}


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
