"""Survey a load, then run it: threads take partitions of the listing and let S3 copy the missing documents."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath
from threading import Event, Lock
from typing import NamedTuple, TypeVar

from docwell.bucket_ports import Copier, Listing, StoredObject
from docwell.cli.loading.gate import Paused, QueueGate
from docwell.cli.loading.state import LoadState, Omission, Partition, partitions
from docwell.errors import Forbidden, NotFound, Refused, Unavailable
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES

_Result = TypeVar("_Result")

# The documents between two stored places.
_GROUP = 10
# A store that is down for a few minutes does not end a load of days.
_RETRY_AFTER_S = (1.0, 5.0, 15.0, 60.0, 120.0)
_REPORT_EVERY_S = 1.0


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


class Candidate(NamedTuple):
    """An object of the source, why it is left out if it is, and whether it is loaded already."""

    stored: StoredObject
    reason: LeftOut | None
    unchanged: bool


@dataclass
class Survey:
    """The counts of a load before it begins. `pages` are the last keys of full pages of the listing."""

    documents: int = 0
    bytes: int = 0
    unchanged: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    pages: list[str] = field(default_factory=list)


@dataclass
class Load:
    """One load. The bucket's notifications send the copies to ingest. Set `gate.stop` to pause the load."""

    source: Listing
    target: Listing
    copier: Copier
    state: LoadState
    gate: QueueGate
    max_bytes: int
    workers: int
    _denied: int = 0

    def survey(self, progress: Callable[[int], object] = lambda _: None) -> Survey:
        """Count the objects, by listings only. Calls `progress` with each number of objects listed."""
        survey, lock = Survey(), Lock()

        def count(partition: Partition) -> None:
            for candidates, last in self._pages(partition):
                with lock:
                    for stored, reason, unchanged in candidates:
                        if reason:
                            survey.left_out[reason] += 1
                        elif unchanged:
                            survey.unchanged += 1
                        else:
                            survey.documents += 1
                            survey.bytes += stored.size
                    survey.pages += [last] if last else []
                    progress(len(candidates))

        folders = patient(self.source.folders, self.gate.stop)
        self._fan_out(count, partitions(folders, self.workers), lambda: None)
        return survey

    def run(self, report: Callable[[], object] = lambda: None) -> None:
        """Load what is left. Calls `report` each second. Raises `Paused`, or the first error."""
        # Half of the pace before an interruption: ingest may have lost workers since.
        self.gate.pace = max(self.gate.pace, self.state.pace / 2)
        unfinished = [partition for partition in self.state.partitions if not partition.done]
        with self.state.begun():
            try:
                self._fan_out(self._load, unfinished, report)
            except Forbidden:
                self.state.allow_more_denials()
                raise

    def _fan_out(
        self, work: Callable[[Partition], None], parts: Sequence[Partition], report: Callable[[], object]
    ) -> None:
        """Run the work of each partition, `workers` at once. Raises the first error once all have stopped."""
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                running: set[Future[None]] = {pool.submit(work, partition) for partition in parts}
                while running:
                    done, running = wait(running, _REPORT_EVERY_S, FIRST_EXCEPTION)
                    report()
                    for future in done:
                        future.result()
            except BaseException:
                self.gate.stop.set()
                raise

    def _load(self, partition: Partition) -> None:
        for candidates, last in self._pages(partition):
            for group in _groups(candidates):
                documents = [row.stored for row in group if not (row.reason or row.unchanged)]
                omitted = [Omission(row.stored.key, row.reason) for row in group if row.reason]
                failed: list[Omission] = []
                if documents:
                    patient(partial(self.gate.enter, len(documents)), self.gate.stop)
                    self.state.pace = self.gate.pace
                    failed = self._copy(documents)
                self.state.record(
                    partition,
                    group[-1].stored.key,
                    loaded=len(documents) - len(failed),
                    unchanged=sum(row.unchanged and not row.reason for row in group),
                    omitted=[*omitted, *failed],
                )
            self.state.record(partition, last)

    def _copy(self, documents: Sequence[StoredObject]) -> list[Omission]:
        """Copy documents one by one; return the failed ones. Raises `Forbidden` at too many denials in a row."""
        failed: list[Omission] = []
        for stored in documents:
            try:
                patient(partial(self.copier.copy, stored, self.state.route.key(stored.key)), self.gate.stop)
                self._denied = 0
            except NotFound as error:
                failed.append(Omission(stored.key, LeftOut.CHANGED, error.detail))
            except Refused as error:
                failed.append(Omission(stored.key, LeftOut(error.reason), error.detail))
            except Forbidden as error:
                self._denied += 1
                if self._denied >= self.state.most_denials:
                    raise
                failed.append(Omission(stored.key, LeftOut.FORBIDDEN, error.detail))
        return failed

    def _pages(self, partition: Partition) -> Iterator[tuple[list[Candidate], str | None]]:
        """Yield the pages of the rest of a partition, each with its last key, None at the end."""
        place: str | None = partition.place or partition.after
        while place is not None:
            if self.gate.stop.is_set():
                raise Paused
            rows, last = patient(partial(self.source.page, place, partition.until), self.gate.stop)
            yield self._candidates(rows, place), last
            place = last

    def _candidates(self, rows: Sequence[StoredObject], after: str) -> list[Candidate]:
        """Compare a page of the source with the same keys of the documents bucket."""
        route = self.state.route
        keys = [route.key(row.key) for row in rows]
        copies = self._copies(keys, route.key(after) if after else "")
        return [
            Candidate(row, _reason_against(row, key, self.max_bytes), _is_unchanged(row, copies.get(key)))
            for row, key in zip(rows, keys, strict=True)
            if not key.endswith("/")  # the marker of a folder
        ]

    def _copies(self, keys: Sequence[str], after: str) -> dict[str, StoredObject]:
        """Return those of the sorted keys that the documents bucket has, among any number of others."""
        copies, names = dict[str, StoredObject](), frozenset(keys)
        place: str | None = after
        while place is not None and (left := keys[bisect_right(keys, place) :]):
            # Skip other keys: a listing after a part of a key includes the key.
            place = max(place, left[0][:-1])
            rows, place = patient(partial(self.target.page, place, keys[-1]), self.gate.stop)
            copies |= {row.key: row for row in rows if row.key in names}
        return copies


def patient(call: Callable[[], _Result], stop: Event) -> _Result:
    """Return the result of a call; try again for some minutes while its store is unavailable, if that can help."""
    for pause in _RETRY_AFTER_S:
        try:
            return call()
        except Unavailable as error:
            if error.retry_after is None:
                raise
            if stop.wait(pause):
                raise Paused from None
    return call()


def _reason_against(stored: StoredObject, key: str, max_bytes: int) -> LeftOut | None:
    """Return why an object is not to be copied to `key`, if there is a reason."""
    if PurePosixPath(key).suffix.lower() not in MEDIA_TYPES:
        return LeftOut.UNKNOWN_KIND
    if not stored.size:
        return LeftOut.EMPTY_FILE
    if stored.size > max_bytes:
        return LeftOut.TOO_LARGE
    if len(key.encode()) > KEY_BYTES:
        return LeftOut.KEY_TOO_LONG
    return LeftOut.ARCHIVED if stored.archived else None


def _is_unchanged(stored: StoredObject, copy: StoredObject | None) -> bool:
    """Return whether the documents bucket has the object's content.

    A copy has another ETag where the encryption differs, or a large object was copied. So a copy of the same size
    that is newer than the object counts too, as in `aws s3 sync`.
    """
    if copy is None or copy.size != stored.size:
        return False
    return copy.etag == stored.etag or copy.modified > stored.modified


def _groups(candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    """Yield consecutive candidates, with at most `_GROUP` documents to load in a group."""
    start = count = 0
    for end, row in enumerate(candidates, 1):
        count += not (row.reason or row.unchanged)
        if count == _GROUP:
            yield candidates[start:end]
            start, count = end, 0
    if start < len(candidates):
        yield candidates[start:]
