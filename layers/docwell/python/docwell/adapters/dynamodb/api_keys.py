"""API keys in the table of principals.

A key: (`principal`, `item`) = (`hash:DIGEST`; `key`) with `of` (`key:ID`, its principal), `key_id` and `ends_at`
(seconds). The value itself is not stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Row, Selection, Table
from docwell.identity import ApiKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY = "key"
_HASH = "hash:"


class DynamoApiKeys:
    """`docwell.access.ports.ApiKeys`, and their changes by `docwell principals`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "principals")

    def find(self, digest: str) -> ApiKey | None:
        """Return the key, read consistently, None where there is none. Raises `Unavailable`."""
        row = self._table.get(_row_key(digest))
        return _api_key(row) if row else None

    def put(self, key: ApiKey) -> None:
        """Store the key, in place of one with the same value."""
        row = {**_row_key(key.digest), "of": key.principal, "key_id": key.key_id, "ends_at": key.ends_at}
        self._table.put(row)

    def list(self) -> list[ApiKey]:
        """Return every key. Reads the whole table: for an operator."""
        rows = self._table.rows(Selection(filter="#item = :key", values={"key": _KEY}))
        return sorted(map(_api_key, rows), key=lambda key: (key.principal, key.ends_at or float("inf")))

    def remove(self, key: ApiKey) -> None:
        """Remove the key; a missing one is no error."""
        self._table.delete(_row_key(key.digest))


def _row_key(digest: str) -> Row:
    return {"principal": f"{_HASH}{digest}", "item": _KEY}


def _api_key(row: Row) -> ApiKey:
    return ApiKey(row["principal"].removeprefix(_HASH), row["of"], row["key_id"], row.get("ends_at"))
