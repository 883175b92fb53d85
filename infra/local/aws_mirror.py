"""What the AWS stand-in keeps on disk, since moto itself holds everything in memory.

Objects: for each current object `objects/HASH.VERSION.bin` with its bytes and `objects/HASH.json` with
key, version id and the rest; the second is written last, by a rename, so a crash leaves the old
version or the new one. Once mirrored, moto reads the bytes from that file too.
Ledger: `ledger.json`, every item in DynamoDB's own notation.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeKey

from infra.local.names import ACCOUNT, BUCKET, REGION

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


@dataclass(frozen=True)
class Changes:
    """Keys whose current version differs from the one mirrored before."""

    written: list[str]
    removed: list[str]


class MirroredFile:
    """The part of a file object that moto uses of an object's bytes, without holding a descriptor.

    Thousands of documents would otherwise be thousands of open files, or all in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def seek(self, position: int) -> int:
        """Go to an absolute position in bytes."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from the position; all that is left for -1."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Nothing is held. The file goes at the next start, when nothing refers to it."""


class ObjectMirror:
    """Keeps a folder equal to the current objects of the documents bucket."""

    def __init__(self, folder: Path, bucket: Any) -> None:  # noqa: ANN401 - moto ships no types
        """`bucket` is moto's own object for the documents bucket."""
        self._folder = folder
        self._bucket = bucket
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}  # key -> version id
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self) -> list[StoredObject]:
        """Put what is on disk into moto's bucket, version ids and all. Gives what was there, by key."""
        stored = []
        wanted: set[Path] = set()
        for path in sorted(self._folder.glob("*.json")):
            one = StoredObject(**json.loads(path.read_text(encoding="utf-8")))
            data = self._data_path(one.key, one.version)
            if not data.exists():  # somebody removed it by hand
                path.unlink()
                continue
            wanted.update((path, data))
            self._bucket.keys.setlist(one.key, [_moto_key(one, data)])
            self._known[one.key] = one.version
            stored.append(one)
        for path in set(self._folder.iterdir()) - wanted:
            path.unlink()
        return sorted(stored, key=lambda one: one.key)

    def update(self) -> Changes:
        """Bring the disk up to date with moto. Safe from many threads. Raises `OSError`."""
        written, removed = [], []
        with self._lock:
            current = {key: found for key, found in self._bucket.keys.items() if isinstance(found, FakeKey)}
            for key, found in current.items():
                if self._known.get(key) != found.version_id:
                    self._write(found)
                    self._known[key] = found.version_id
                    written.append(key)
            for key in self._known.keys() - current.keys():
                self._index_path(key).unlink(missing_ok=True)
                del self._known[key]
                removed.append(key)
        return Changes(written, sorted(removed))

    def _write(self, found: Any) -> None:  # noqa: ANN401
        data = self._data_path(found.name, found.version_id)
        etag = found.etag.strip('"')
        temporary = data.with_suffix(".tmp")
        with found.lock:
            source = found._value_buffer  # noqa: SLF001 - moto has no public way to stream an object's bytes
            if not isinstance(source, MirroredFile):
                source.seek(0)
                with temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, 1024 * 1024)
                temporary.replace(data)
                found._value_buffer = MirroredFile(data)  # noqa: SLF001
                source.close()
        if found.multipart:  # else the parts stay in memory: the document a second time
            found.multipart.dispose()
            found.multipart = None
        one = StoredObject(
            found.name,
            found.version_id,
            etag,
            data.stat().st_size,
            found.last_modified.isoformat(),
            dict(found.metadata),
        )
        _write_atomically(self._index_path(found.name), json.dumps(asdict(one)))

    def _index_path(self, key: str) -> Path:
        return self._folder / f"{_hashed(key)}.json"

    def _data_path(self, key: str, version: str) -> Path:
        return self._folder / f"{_hashed(key)}.{version}.bin"


def _hashed(key: str) -> str:
    # A key may have 1,024 bytes and any character; a file name may not.
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _moto_key(one: StoredObject, data: Path) -> Any:  # noqa: ANN401
    key: Any = FakeKey(
        name=one.key,
        value=b"",
        account_id=ACCOUNT,
        region_name=REGION,
        etag=one.etag,
        is_versioned=True,
        version_id=one.version,
        bucket_name=BUCKET,
    )
    key.contentsize = one.size
    key.last_modified = datetime.fromisoformat(one.modified)
    key.set_metadata(dict(one.metadata))
    key._value_buffer.close()  # noqa: SLF001 - see `ObjectMirror._write`
    key._value_buffer = MirroredFile(data)  # noqa: SLF001
    return key


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


class LedgerMirror:
    """Keeps a file equal to the ledger table, a moment after the last write."""

    # A worker writes several times a second while it indexes: once each is too often, and waiting
    # for it to finish too late.
    QUIET_S = 0.5
    LATEST_S = 2.0

    def __init__(self, path: Path, table: Any) -> None:  # noqa: ANN401
        """`table` is moto's own object for the ledger table."""
        self._path = path
        self._table = table
        self._dirty = threading.Event()
        self._lock = threading.Lock()

    def restore(self) -> list[str]:
        """Put what is on disk into moto's table. Gives the documents' keys."""
        if not self._path.exists():
            return []
        stored = json.loads(self._path.read_text(encoding="utf-8"))
        # Rows under other keys are of an earlier docwell: their documents are announced, and indexed anew.
        items = [item for item in stored if {"document", "pipeline"} <= item.keys()]
        for item in items:
            if "lease_expires" in item:
                # Messages at work when the stand-in ended are gone with their queue: nobody comes back for
                # these leases. A holder that still lives is told so by the fence.
                item["lease_expires"] = {"N": "0"}
            if "dispatched" in item:  # nor are the messages of its ranges: they are sent again
                item["dispatched"] = {"BOOL": False}
            self._table.put_item(item)
        return [item["document"]["S"] for item in items if "collection" in item]  # the rest are facts

    def start(self) -> None:
        """Write in the background from now on."""
        threading.Thread(target=self._follow, daemon=True).start()

    def changed(self) -> None:
        """The table was written to."""
        self._dirty.set()

    def save(self) -> None:
        """Write now."""
        with self._lock:
            _write_atomically(self._path, json.dumps(self._items()))

    def _items(self) -> list[Any]:
        while True:
            try:
                return [item.to_json()["Attributes"] for item in self._table.all_items()]
            except RuntimeError:  # another thread has just added a document to moto's dictionary
                continue

    def _follow(self) -> None:
        while self._dirty.wait():
            latest = time.monotonic() + self.LATEST_S
            while self._dirty.is_set() and time.monotonic() < latest:
                self._dirty.clear()
                time.sleep(self.QUIET_S)
            self._dirty.clear()
            self.save()
