"""Copies of a bucket's documents into the documents bucket, as many at once as its queue takes."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from docwell.adapters.s3 import S3Listing
from docwell.errors import Forbidden, NotFound, Refused
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES, StoredObject

# Seconds between two counts of the queue.
COUNT_EVERY_S = 5.0
# After this many denials, without a copy before, stop: the load lacks permissions.
_DENIED_AT_FIRST = 20
# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
WORKERS = 32


@dataclass(frozen=True, slots=True)
class Route:
    """A route from a prefix of one bucket into a folder of the documents bucket; without a folder, keys stay."""

    source: str
    prefix: str
    target: str
    folder: str = ""

    @property
    def id(self) -> str:
        """An id that is equal for equal loads: 8 hex digits."""
        return sha256(repr(self).encode()).hexdigest()[:8]

    def key(self, key: str) -> str:
        """Return the key in the documents bucket. Both buckets have the same order of keys.

        >>> Route("archive", "2026/rep", "documents", "reports").key("2026/report/a.pdf")
        'reports/report/a.pdf'
        """
        if not self.folder:
            return key
        above = self.prefix.rpartition("/")[0]
        return f"{self.folder}/{key[len(above) + 1 if above else 0 :]}"


@dataclass
class QueueGate:
    """Lets documents through while fewer than `limit` messages are in the ingest queue."""

    waiting: Callable[[], int]
    limit: int
    _room: int = 0
    _next_count: float = 0.0

    def enter(self) -> None:
        """Wait until the next document may be sent. Raises `Unavailable`: no queue."""
        while self._room <= 0:
            time.sleep(max(0.0, self._next_count - time.monotonic()))
            self._room = self.limit - self.waiting()
            self._next_count = time.monotonic() + COUNT_EVERY_S
        self._room -= 1


class LeftOut(StrEnum):
    """The reason why an object is not loaded."""

    UNKNOWN_KIND = "unknown_kind"  # by the suffix of its key
    EMPTY_FILE = "empty_file"
    KEY_TOO_LONG = "key_too_long"  # in the documents bucket
    ARCHIVED = "archived"  # S3 must restore it first
    REFUSED = "refused"  # S3 rejects the copy, such as of an object under a customer's key
    CHANGED = "changed"  # replaced or deleted since it was listed: load again
    FORBIDDEN = "forbidden"  # no permission for this object


class Omission(NamedTuple):
    """An object that was not loaded, and why."""

    key: str
    reason: str
    detail: str = ""


@dataclass
class Counts:
    """The counts of a load: `documents` to load, of `bytes` in all."""

    documents: int = 0
    bytes: int = 0
    unchanged: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass
class Load:
    """One load. The bucket's notifications send the copies to ingest."""

    route: Route
    source: S3Listing
    target: S3Listing
    gate: QueueGate
    loaded: int = 0
    omissions: list[Omission] = field(default_factory=list)
    _denied: int = 0

    def survey(self, progress: Callable[[int], object]) -> Counts:
        """Count the objects, by listings only. Calls `progress` for each object."""
        counts = Counts()
        for stored, key, copy in self._pairs():
            progress(1)
            if reason := _reason_against(stored, key):
                counts.left_out[reason] += 1
            elif _is_unchanged(stored, copy):
                counts.unchanged += 1
            else:
                counts.documents += 1
                counts.bytes += stored.size
        return counts

    def run(self, list_of_omissions: Path, progress: Callable[[int], object]) -> None:
        """Load, and write the objects left out as JSON lines.

        Calls `progress` for each loaded document. Raises the first error once all copies have stopped.
        """
        pool = ThreadPoolExecutor(WORKERS)
        running: deque[Future[Omission | None]] = deque()
        try:
            for stored, key, copy in self._pairs():
                if reason := _reason_against(stored, key):
                    self.omissions.append(Omission(stored.key, reason))
                elif not _is_unchanged(stored, copy):
                    self.gate.enter()
                    running.append(pool.submit(self._copy, stored, key))
                if len(running) > 2 * WORKERS:
                    progress(self._note(running.popleft().result()))
            while running:
                progress(self._note(running.popleft().result()))
        finally:
            pool.shutdown(cancel_futures=True)
            lines = [json.dumps(omission._asdict()) + "\n" for omission in self.omissions]
            list_of_omissions.write_text("".join(lines), encoding="utf-8")

    def _note(self, omission: Omission | None) -> int:
        """Return 1 for a copied document, else 0. Raises `Forbidden` when S3 denies all first copies."""
        if omission is None:
            self.loaded += 1
            return 1
        self.omissions.append(omission)
        self._denied += omission.reason == LeftOut.FORBIDDEN
        if self._denied >= _DENIED_AT_FIRST and not self.loaded:
            raise Forbidden(omission.detail)
        return 0

    def _copy(self, stored: StoredObject, key: str) -> Omission | None:
        """Copy a document; return why it was not copied."""
        try:
            self.source.copy(stored, self.route.target, key)
        except (NotFound, Refused, Forbidden) as error:
            reasons = {NotFound: LeftOut.CHANGED, Forbidden: LeftOut.FORBIDDEN}
            reason = error.reason if isinstance(error, Refused) else reasons[type(error)]
            return Omission(stored.key, reason, error.detail)
        return None

    def _pairs(self) -> Iterator[tuple[StoredObject, str, StoredObject | None]]:
        """Yield each object of the source, its key in the documents bucket, and the object there, if any."""
        copies = self.target.objects()
        copy = next(copies, None)
        for stored in self.source.objects():
            key = self.route.key(stored.key)
            # S3 lists keys in the order of their UTF-8 bytes, which is that of Python's texts.
            while copy is not None and copy.key < key:
                copy = next(copies, None)
            if not key.endswith("/"):  # the marker of a folder
                yield stored, key, copy if copy is not None and copy.key == key else None


def _reason_against(stored: StoredObject, key: str) -> LeftOut | None:
    """Return the reason not to copy an object to `key`, if any."""
    if PurePosixPath(key).suffix.lower() not in MEDIA_TYPES:
        return LeftOut.UNKNOWN_KIND
    if not stored.size:
        return LeftOut.EMPTY_FILE
    if len(key.encode()) > KEY_BYTES:
        return LeftOut.KEY_TOO_LONG
    return LeftOut.ARCHIVED if stored.archived else None


def _is_unchanged(stored: StoredObject, copy: StoredObject | None) -> bool:
    """Return whether the documents bucket has the object's content.

    A copy has another ETag if the encryption differs, or the object is large. So a newer copy of the same size
    also counts, as in `aws s3 sync`.
    """
    if copy is None or copy.size != stored.size:
        return False
    return copy.etag == stored.etag or copy.modified > stored.modified
