"""A copy on disk of the local AWS server's documents, because moto keeps everything in memory.

Each current object has `objects/HASH.VERSION.bin` with its bytes and `objects/HASH.json` with key, version id and
metadata. The second is written last, by a rename, so a crash leaves the old version or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeKey, s3_backends

from infra.local.keys import write_private
from infra.local.names import ACCOUNT, BUCKET, REGION, WARNING
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
        with self._path.open("rb") as file:
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
            self._bucket.keys.setlist(entry.key, [_moto_key(entry, data)])
            self._known[entry.key] = entry.version
            if entry.tags:
                self._tag(entry)
            stored.append(entry)
        for path in set(self._folder.iterdir()) - paths:
            path.unlink()
        return sorted(stored, key=lambda entry: entry.key)

    def update(self, only: str | None = None) -> tuple[list[str], list[str]]:
        """Write moto's changes to disk. Return the written and the removed keys. Safe for threads.

        If `only` is the key of an object, no other has changed. Raises `OSError` for an object that the disk does
        not take, and removes it.
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

    def _tag(self, entry: StoredObject) -> None:
        key = self._bucket.keys[entry.key]
        tagger = _tagger()
        tagger.tag_resource(key.arn, tagger.convert_dict_to_tags_input(entry.tags))
        self._tags[entry.key] = entry.tags

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
                item._value_buffer = MirroredFile(data)
                source.close()
        if item.multipart:  # free the parts, a second copy of the document in memory
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
