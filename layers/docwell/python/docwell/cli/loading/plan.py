"""Decide what becomes of each object of a load, and cut the load into partitions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple

from docwell.bucket_ports import StoredObject
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES


class LeftOut(StrEnum):
    """Why an object is not loaded."""

    UNKNOWN_KIND = "unknown_kind"  # by the suffix of its key
    EMPTY_FILE = "empty_file"
    TOO_LARGE = "too_large"
    KEY_TOO_LONG = "key_too_long"  # in the documents bucket
    ARCHIVED = "archived"  # S3 must restore it first
    REFUSED = "refused"  # S3 does not copy it, such as an object under a customer's key
    CHANGED = "changed"  # replaced or deleted since it was listed: load again
    FORBIDDEN = "forbidden"  # no permission for this object


@dataclass(frozen=True, slots=True)
class Route:
    """From a prefix of one bucket into a folder of the documents bucket; without one, keys stay the same."""

    source: str
    prefix: str
    target: str
    folder: str = ""

    @property
    def copies(self) -> bool:
        """Whether documents have to be copied: they do not lie in the documents bucket."""
        return self.source != self.target

    @property
    def id(self) -> str:
        """The same for the same load: 8 hex digits."""
        return sha256(repr(self).encode()).hexdigest()[:8]

    @property
    def target_prefix(self) -> str:
        """The beginning of all keys in the documents bucket."""
        return self.key(self.prefix)

    def key(self, key: str) -> str:
        """Return the key in the documents bucket. Both buckets have the same order of keys.

        >>> Route("archive", "2026/rep", "documents", "reports").key("2026/report/a.pdf")
        'reports/report/a.pdf'
        """
        if not self.folder:
            return key
        above = self.prefix.rpartition("/")[0]
        return f"{self.folder}/{key[len(above) + 1 if above else 0 :]}"


class Judged(NamedTuple):
    """An object, why it is left out if it is, and whether it is loaded already."""

    one: StoredObject
    reason: LeftOut | None = None
    unchanged: bool = False

    @property
    def wanted(self) -> bool:
        """Whether it is to be loaded."""
        return self.reason is None and not self.unchanged


def reason_against(one: StoredObject, key: str, max_bytes: int) -> LeftOut | None:
    """Return why an object is not to be copied to `key`, if there is a reason."""
    if PurePosixPath(key).suffix.lower() not in MEDIA_TYPES:
        return LeftOut.UNKNOWN_KIND
    if not one.size:
        return LeftOut.EMPTY_FILE
    if one.size > max_bytes:
        return LeftOut.TOO_LARGE
    if len(key.encode()) > KEY_BYTES:
        return LeftOut.KEY_TOO_LONG
    return LeftOut.ARCHIVED if one.archived else None


def is_unchanged(one: StoredObject, there: StoredObject | None) -> bool:
    """Return whether the documents bucket has the object's content.

    A copy has another ETag where the encryption differs, or a large object was copied. So a copy of the same size
    that is newer than the object counts too, as in `aws s3 sync`.
    """
    return (
        there is not None and there.size == one.size and (there.etag == one.etag or there.modified > one.modified)
    )


@dataclass(slots=True)
class Partition:
    """A range of the source's keys: greater than `after`, up to `until`; an empty key is no bound.

    `place` is the last key that is done, so that a resumed load continues after it.
    """

    after: str = ""
    until: str = ""
    place: str = ""
    done: bool = False


def partitions(keys: Sequence[str], parts: int) -> list[Partition]:
    """Return up to `parts` ranges between some of the keys, with about as many keys in each.

    >>> [part.after for part in partitions(["d", "b", "a", "c", "e"], 3)]
    ['', 'b', 'd']
    """
    keys, count = sorted(keys), max(1, min(parts, len(keys)))
    cuts = [keys[len(keys) * part // count] for part in range(1, count)]
    return [Partition(after, until) for after, until in pairwise(["", *cuts, ""])]


def groups(rows: Sequence[Judged], most: int) -> Iterator[Sequence[Judged]]:
    """Yield consecutive rows, with at most `most` to load in a group."""
    start = wanted = 0
    for end, row in enumerate(rows, 1):
        wanted += row.wanted
        if wanted == most:
            yield rows[start:end]
            start, wanted = end, 0
    if start < len(rows):
        yield rows[start:]
