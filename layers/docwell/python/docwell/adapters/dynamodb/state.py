"""Facts of the whole index: rows of the ledger's table under the pipeline `#state`, which no fingerprint equals.

Row: `document` (the fact's name), `pipeline` = `#state`, `values` (a map of strings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Row, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoState:
    """`docwell.ports.StateStore`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "ledger")

    def read(self, name: str) -> Mapping[str, str]:
        """Return the fact, read consistently; empty where there is none."""
        row = self._table.get(_key(name)) or {}
        values: Mapping[str, str] = row.get("values", {})
        return values

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Store the whole fact."""
        self._table.put({**_key(name), "values": dict(values)})


def _key(name: str) -> Row:
    return {"document": name, "pipeline": "#state"}
