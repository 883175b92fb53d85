"""The tables and API keys that the AWS stand-in keeps on disk, since moto itself holds everything in memory.

A table is a file with every item in DynamoDB's own notation; the API keys are one more.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.apigateway.models import ApiKey

from infra.local.names import LOCAL_API_KEY, LOCAL_API_KEY_ID

if TYPE_CHECKING:
    from pathlib import Path

Item = dict[str, Any]

# The grant of the key that each local stack has: `docwell.adapters.dynamodb.principals` says what the attributes
# mean.
_LOCAL_GRANT: Item = {
    "principal": {"S": f"key:{LOCAL_API_KEY_ID}"},
    "item": {"S": "grant"},
    "label": {"S": "this machine"},
    "all": {"BOOL": True},
    "owns_key": {"BOOL": True},
}


def write_atomically(path: Path, text: str) -> None:
    """The old content or the new one, whatever happens."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


class TableMirror:
    """Keeps a file equal to a table, a moment after the last write."""

    # A worker writes several times a second while it indexes: once each is too often, and waiting
    # for it to finish too late.
    QUIET_S = 0.5
    LATEST_S = 2.0

    def __init__(self, path: Path, table: Any) -> None:
        """`table` is moto's own object for the table."""
        self._path = path
        self._table = table
        self._name = str(table.name).encode()
        self._keys = {part["AttributeName"] for part in table.schema}
        self._dirty = threading.Event()
        self._lock = threading.Lock()

    def restore(self) -> list[Item]:
        """Put what is on disk into moto's table. Gives the items."""
        if not self._path.exists():
            return []
        stored = json.loads(self._path.read_text(encoding="utf-8"))
        # Rows under other keys are of an earlier docwell.
        items = [self.mended(item) for item in stored if self._keys <= item.keys()]
        for item in items:
            self._table.put_item(item)
        return items

    def mended(self, item: Item) -> Item:
        """An item as it must be after a restart."""
        return item

    def start(self) -> None:
        """Write in the background from now on."""
        threading.Thread(target=self._follow, daemon=True).start()

    def changed(self, request: bytes) -> None:
        """A write has been answered: this is its body. Only one that speaks of the table counts."""
        if self._name in request:
            self._dirty.set()

    def save(self) -> None:
        """Write now."""
        with self._lock:
            write_atomically(self._path, json.dumps(self._items()))

    def _items(self) -> list[Any]:
        while True:
            try:
                return [item.to_json()["Attributes"] for item in self._table.all_items()]
            except RuntimeError:  # another thread has just added a row to moto's dictionary
                continue

    def _follow(self) -> None:
        while self._dirty.wait():
            latest = time.monotonic() + self.LATEST_S
            while self._dirty.is_set() and time.monotonic() < latest:
                self._dirty.clear()
                time.sleep(self.QUIET_S)
            self._dirty.clear()
            self.save()


class LedgerMirror(TableMirror):
    """The ledger, whose messages are gone after a restart."""

    def mended(self, item: Item) -> Item:
        """The row without lease and dispatch."""
        changed: Item = {}
        if "lease_expires" in item:
            # Messages at work when the stand-in ended are gone with their queue: nobody comes back for
            # these leases. A holder that still lives is told so by the fence.
            changed["lease_expires"] = {"N": "0"}
        if "dispatched" in item:  # nor are the messages of its ranges: they are sent again
            changed["dispatched"] = {"BOOL": False}
        return item | changed


class PrincipalsMirror(TableMirror):
    """The principals, one of whom is this machine's user."""

    def restore(self) -> list[Item]:
        """As `TableMirror.restore`; the local key sees every collection unless something else is said of it."""
        items = super().restore()
        own = {name: _LOCAL_GRANT[name] for name in self._keys}
        if not any(own.items() <= item.items() for item in items):
            self._table.put_item({**_LOCAL_GRANT, "created_at": {"N": str(int(time.time()))}})
        return items


class ApiKeyMirror:
    """Keeps a file equal to API Gateway's keys. There is always the local one after a restart."""

    _FIELDS = ("id", "name", "value", "enabled", "description", "tags")

    def __init__(self, path: Path, keys: dict[str, Any]) -> None:
        """`keys` is moto's own dictionary of them, by id."""
        self._path = path
        self._keys = keys
        self._lock = threading.Lock()

    def restore(self) -> None:
        """Put what is on disk into moto."""
        local = {"id": LOCAL_API_KEY_ID, "name": "local", "value": LOCAL_API_KEY, "enabled": True}
        stored = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else []
        for one in [local, *stored]:
            fields = dict(one)
            id_ = fields.pop("id")
            self._keys[id_] = ApiKey(api_key_id=id_, **fields)

    def save(self) -> None:
        """Write now."""
        with self._lock:
            rows = [{name: getattr(key, name) for name in self._FIELDS} for key in list(self._keys.values())]
            write_atomically(self._path, json.dumps(rows))
