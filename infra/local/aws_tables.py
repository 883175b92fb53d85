"""Copies on disk of the local AWS server's tables and API keys, because moto keeps everything in memory.

Each table is a file with all items in DynamoDB's JSON. The API keys are another file.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.apigateway.models import ApiKey

from docwell.access.credentials import digest_of
from infra.local.keys import write_private
from infra.local.names import ERROR, LOCAL_API_KEY_ID, LOCAL_PRINCIPAL
from runtime.emf import print_line

if TYPE_CHECKING:
    from pathlib import Path

Item = dict[str, Any]
# The only name of an object that stands for bytes in the file. No attribute has it.
_BYTES = "docwell:bytes"

# The grant of the local API key. `docwell.adapters.dynamodb.principals` describes the attributes.
_LOCAL_GRANT: Item = {
    "principal": {"S": LOCAL_PRINCIPAL},
    "item": {"S": "grant"},
    "label": {"S": "this machine"},
    "all": {"BOOL": True},
    "write_all": {"BOOL": True},
    "operates": {"BOOL": True},
    "owns_key": {"BOOL": True},
}


def _as_text(value: object) -> dict[str, str]:
    """Return binary content, such as a compressed receipt, as JSON."""
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} has no JSON")
    return {_BYTES: base64.b64encode(value).decode()}


def _with_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value[_BYTES]) if value.keys() == {_BYTES} else value


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_hook=_with_bytes)
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}") from None


class TableMirror:
    """Keep a file equal to a table, a moment after the last write."""

    # A worker writes to the table several times a second while it indexes. A large table takes long to write, so
    # writing takes at most a tenth of the time.
    PAUSE_S, PAUSE_OF_A_WRITE = 0.5, 9.0
    # A full disk loses no row while this process runs: it writes them when there is room again.
    PAUSE_OF_AN_ERROR_S = 5.0

    def __init__(self, path: Path, table: Any) -> None:
        """`table` is moto's own object for the table."""
        self._path = path
        self._table = table
        self._name = str(table.name).encode()
        self._keys = {part["AttributeName"] for part in table.schema}
        self._dirty = threading.Event()
        self._lock = threading.Lock()

    def restore(self) -> list[Item]:
        """Put the items on disk into moto's table and return them. Raises `OSError` for a damaged file."""
        if not self._path.exists():
            return []
        stored = _content(self._path)
        # Skip rows with the keys of an older docwell.
        items = [self.mended(item) for item in stored if self._keys <= item.keys()]
        for item in items:
            self._table.put_item(item)
        return items

    def mended(self, item: Item) -> Item:
        """Return an item as it must be after a restart."""
        return item

    def start(self) -> None:
        """Start to write in the background."""
        threading.Thread(target=self._follow, daemon=True).start()

    def saved(self) -> bool:
        """Write the file now. Return false, and print an error, if the disk does not take it."""
        try:
            self.save()
        except OSError as error:
            print_line(f"{ERROR}the disk does not take {self._path.name}, which is tried again: {error}")
            return False
        return True

    def changed(self, request: bytes) -> None:
        """Schedule a write if this body of a finished request names the table."""
        if self._name in request:
            self._dirty.set()

    def save(self) -> None:
        """Write the file now."""
        with self._lock:
            write_private(self._path, json.dumps(self._items(), default=_as_text))

    def _items(self) -> list[Any]:
        while True:
            try:
                return [item.to_json()["Attributes"] for item in self._table.all_items()]
            except RuntimeError:  # another thread added a row to moto's dictionary
                continue

    def _follow(self) -> None:
        pause = self.PAUSE_S
        while self._dirty.wait():
            time.sleep(pause)
            self._dirty.clear()
            started = time.thread_time()
            pause = self.PAUSE_S
            if not self.saved():
                self._dirty.set()
                pause = self.PAUSE_OF_AN_ERROR_S
            pause = max(pause, self.PAUSE_OF_A_WRITE * (time.thread_time() - started))


class LedgerMirror(TableMirror):
    """The ledger. Its queue is empty after a restart."""

    def mended(self, item: Item) -> Item:
        """Return the row without lease and dispatch, because their messages are lost."""
        changed: Item = {}
        if "lease_expires" in item:  # the fence stops a worker that still holds the lease
            changed["lease_expires"] = {"N": "0"}
        if "dispatched" in item:
            changed["dispatched"] = {"BOOL": False}
        return item | changed


class PrincipalsMirror(TableMirror):
    """The principals, with the local key and its grant."""

    def __init__(self, path: Path, table: Any, local_key: str) -> None:
        """The grant is for the key with the value `local_key`."""
        super().__init__(path, table)
        self._local_key = local_key

    def restore(self) -> list[Item]:
        """Restore as `TableMirror` does. Without a stored grant, the local key reads every collection."""
        items = super().restore()
        key = {"of": {"S": LOCAL_PRINCIPAL}, "key_id": {"S": LOCAL_API_KEY_ID}}
        name = {"principal": {"S": f"hash:{digest_of(self._local_key)}"}, "item": {"S": "key"}}
        self._table.put_item({**name, **key})
        grant = {name: _LOCAL_GRANT[name] for name in self._keys}
        if not any(grant.items() <= item.items() for item in items):
            self._table.put_item({**_LOCAL_GRANT, "created_at": {"N": str(int(time.time()))}})
        return items


class ApiKeyMirror:
    """Keep a file equal to API Gateway's keys. The local key always exists after a restart."""

    _FIELDS = ("id", "name", "value", "enabled", "description", "tags")

    def __init__(self, path: Path, keys: dict[str, Any], local_key: str) -> None:
        """`keys` is moto's own dictionary of keys by id."""
        self._local_key = local_key
        self._path = path
        self._keys = keys
        self._lock = threading.Lock()

    def restore(self) -> None:
        """Put the keys on disk into moto. Raises `OSError` for a damaged file."""
        local = {"id": LOCAL_API_KEY_ID, "name": "local", "value": self._local_key, "enabled": True}
        stored = _content(self._path) if self._path.exists() else []
        for row in [local, *stored]:
            fields = dict(row)
            id_ = fields.pop("id")
            if id_ == LOCAL_API_KEY_ID:
                fields["value"] = self._local_key
            self._keys[id_] = ApiKey(api_key_id=id_, **fields)

    def save(self) -> None:
        """Write now."""
        with self._lock:
            rows = [{name: getattr(key, name) for name in self._FIELDS} for key in list(self._keys.values())]
            write_private(self._path, json.dumps(rows))
