"""Copies on disk of the local AWS server's documents and tables, because moto keeps all in memory.

Each current object has `objects/HASH.VERSION.bin` with its bytes and `objects/HASH.json` with key, version id and
metadata. The JSON file is written last, by a rename, so a crash leaves the old or the new version. Each table is a
file with all items in DynamoDB's JSON. API Gateway's keys end with moto: the authorizer reads the table.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeKey, s3_backends

from docwell.identity import digest_of
from infra.local.keys import write_private
from infra.local.names import ACCOUNT, BUCKET, ERROR, LOCAL_API_KEY_ID, LOCAL_PRINCIPAL, REGION, WARNING
from runtime.emf import print_line

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class StoredObject:
    """One current object. `modified` is ISO 8601; `metadata` includes Content-Type."""

    key: str
    version: str
    etag: str
    size: int
    modified: str
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class MirroredFile:
    """The methods of a file object that moto uses, without an open file descriptor for each document."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def seek(self, position: int) -> int:
        """Set the position, in bytes from the start."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from the position, or the rest for -1."""
        data = b""
        with suppress(FileNotFoundError), self._path.open("rb") as file:  # moto copies erased versions of a marker
            file.seek(self._position)
            data = file.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Do nothing. `ObjectMirror.restore` removes unused files."""


class ObjectMirror:
    """Keep a folder equal to the current objects of the documents bucket."""

    def __init__(self, folder: Path, bucket: Any) -> None:
        """`bucket` is moto's own object for the documents bucket."""
        self._folder = folder
        self._bucket = bucket
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}  # key -> version id
        self._tags: dict[str, dict[str, str]] = {}  # key -> tags
        self._contents: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self) -> list[StoredObject]:
        """Put the objects on disk into moto's bucket with their version ids. Return them sorted by key."""
        stored = []
        paths: set[Path] = set()
        for path in sorted(self._folder.glob("*.json")):
            try:
                entry = StoredObject(**json.loads(path.read_text(encoding="utf-8")))
            except ValueError:
                print_line(f"{WARNING}{path} is damaged: upload the document again, which is beside it")
                paths.update(self._folder.glob(f"{path.stem}.*"))
                continue
            data = self._data_path(entry.key, entry.version)
            if not data.exists():  # the user removed it
                path.unlink()
                continue
            paths.update((path, data))
            self._contents.add(data)
            self._bucket.keys.setlist(entry.key, [_moto_key(entry, data)])
            self._known[entry.key] = entry.version
            if entry.tags:
                tagger = _tagger()
                tags = tagger.convert_dict_to_tags_input(entry.tags)
                tagger.tag_resource(self._bucket.keys[entry.key].arn, tags)
                self._tags[entry.key] = entry.tags
            stored.append(entry)
        for path in set(self._folder.iterdir()) - paths:
            path.unlink()
        return sorted(stored, key=lambda entry: entry.key)

    def update(self, only: str | None = None) -> tuple[list[str], list[str]]:
        """Write moto's changes to disk. Return the written and the removed keys. Safe for threads.

        If `only` is a key, only that object has changed. If the disk cannot store an object, remove it and raise
        `OSError`.
        """
        written, removed = [], []
        with self._lock:
            changed = self._bucket.keys.get(only)
            if isinstance(changed, FakeKey):
                current, gone = {changed.name: changed}, set[str]()
            else:
                current = {key: item for key, item in self._bucket.keys.items() if isinstance(item, FakeKey)}
                gone = self._known.keys() - current.keys()
            for key, item in current.items():
                if self._known.get(key) != item.version_id:
                    self._write_or_withdraw(item)
                    self._known[key] = item.version_id
                    written.append(key)
            for key in gone:
                self._index_path(key).unlink(missing_ok=True)
                del self._known[key]
                removed.append(key)
        return written, sorted(removed)

    def update_tags(self) -> list[str]:
        """Write tags that changed without a new version to disk. Return their keys. Safe for threads."""
        changed = []
        with self._lock:
            for key, item in list(self._bucket.keys.items()):
                same = isinstance(item, FakeKey) and self._known.get(key) == item.version_id
                if same and _tags_of(item) != self._tags.get(key, {}):
                    self._write_index(item)
                    changed.append(key)
        return changed

    def forget(self) -> None:
        """Remove the content of versions that were deleted. Safe for threads."""
        with self._lock:
            versions = [item for _, items in self._bucket.keys.lists() for item in items]
            used = {self._data_path(item.name, item.version_id) for item in versions if isinstance(item, FakeKey)}
            for path in self._contents - used:
                path.unlink(missing_ok=True)
            self._contents &= used

    def _write_or_withdraw(self, item: Any) -> None:
        try:
            self._write(item)
        except OSError:
            self._data_path(item.name, item.version_id).with_suffix(".tmp").unlink(missing_ok=True)
            before = [version for version in self._bucket.keys.getlist(item.name) if version is not item]
            if before:
                self._bucket.keys.setlist(item.name, before)
            else:
                self._bucket.keys.pop(item.name)
            raise

    def _write(self, item: Any) -> None:
        data = self._data_path(item.name, item.version_id)
        temporary = data.with_suffix(".tmp")
        with item.lock:
            source = item._value_buffer
            if not isinstance(source, MirroredFile):
                source.seek(0)
                with temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, 1024 * 1024)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(data)
                self._contents.add(data)
                item._value_buffer = MirroredFile(data)
                source.close()
        if item.multipart:  # free the parts: they duplicate the document in memory
            item.multipart.dispose()
            item.multipart = None
        self._write_index(item)

    def _write_index(self, item: Any) -> None:
        tags = _tags_of(item)
        self._tags[item.name] = tags
        entry = StoredObject(
            item.name,
            item.version_id,
            item.etag.strip('"'),
            self._data_path(item.name, item.version_id).stat().st_size,
            item.last_modified.isoformat(),
            dict(item.metadata),
            tags,
        )
        write_private(self._index_path(item.name), json.dumps(asdict(entry)))

    def _index_path(self, key: str) -> Path:
        return self._folder / f"{_hashed(key)}.json"

    def _data_path(self, key: str, version: str) -> Path:
        return self._folder / f"{_hashed(key)}.{version}.bin"


def _tagger() -> Any:
    return s3_backends[ACCOUNT]["aws"].tagger


def _tags_of(item: Any) -> dict[str, str]:
    return dict(_tagger().get_tag_dict_for_resource(item.arn))


def _hashed(key: str) -> str:
    # A key may have 1,024 bytes and any character, unlike a file name.
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _moto_key(entry: StoredObject, data: Path) -> Any:
    key: Any = FakeKey(
        name=entry.key,
        value=b"",
        account_id=ACCOUNT,
        region_name=REGION,
        etag=entry.etag,
        is_versioned=True,
        version_id=entry.version,
        bucket_name=BUCKET,
    )
    key.contentsize = entry.size
    key.last_modified = datetime.fromisoformat(entry.modified)
    key.set_metadata(dict(entry.metadata))
    key._value_buffer.close()
    key._value_buffer = MirroredFile(data)
    return key


Item = dict[str, Any]
# In the file, an object with this name holds bytes in base64. No attribute has this name.
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
    """Keep a file equal to a table, shortly after the last write."""

    # A worker writes to the table several times a second while it indexes. A large table takes long to write, so
    # writing takes at most a tenth of the time.
    PAUSE_S, PAUSE_OF_A_WRITE = 0.5, 9.0
    # A full disk loses no row while this process runs: it retries the write.
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
        """Return an item as it should be after a restart."""
        return item

    def start(self) -> None:
        """Start to write in the background."""
        threading.Thread(target=self._follow, daemon=True).start()

    def saved(self) -> bool:
        """Write the file now. If the disk cannot take it, print an error and return false."""
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
            except RuntimeError:  # another thread changed moto's dictionary
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
        """Return the row without its lease and dispatch: their messages are lost."""
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
        self._local = {
            "principal": {"S": f"hash:{digest_of(local_key)}"},
            "item": {"S": "key"},
            "of": {"S": LOCAL_PRINCIPAL},
            "key_id": {"S": LOCAL_API_KEY_ID},
        }

    def mended(self, item: Item) -> Item:
        """Return a row of the last start's key as the row of this one's."""
        return item | self._local if item.get("key_id") == self._local["key_id"] else item

    def restore(self) -> list[Item]:
        """Restore as `TableMirror` does. Without a stored grant, the local key reads every collection."""
        items = super().restore()
        self._table.put_item(self._local)
        grant = {name: _LOCAL_GRANT[name] for name in self._keys}
        if not any(grant.items() <= item.items() for item in items):
            self._table.put_item({**_LOCAL_GRANT, "created_at": {"N": str(int(time.time()))}})
        return items
