"""One load: its route and state in a file, the gate at the ingest queue, and the threads that copy.

Threads take partitions of the listing and let S3 copy the missing documents. The load can go on after any
interruption. The gate keeps the ingest queue short, so that other uploads do not wait behind the load.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any, NamedTuple, TypeVar

from docwell.cli.settings import ExitCode, Failure
from docwell.errors import Forbidden, NotFound, Refused, Unavailable
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES
from docwell.ports import Copier, Listing, StoredObject

_Result = TypeVar("_Result")

# Seconds between two counts of the queue.
COUNT_EVERY_S = 5.0
# SQS says that a count of messages may be a minute late: so the gate judges by what it let through before.
_LATE_S = 60.0
# The first pace in documents a second, and the factor by which it grows about each minute.
_FIRST_PACE, _GROWTH = 0.5, 2.0
# The documents between two stored places.
_GROUP = 10
# A store that is down for a few minutes does not end a load of days.
_RETRY_AFTER_S = (1.0, 5.0, 15.0, 60.0, 120.0)
_REPORT_EVERY_S = 1.0
# So many denials in a row, without a copy before, mean that the load lacks permissions.
_DENIALS_IN_A_ROW = 20
# The fields of `LoadState` that are stored as they are.
_NUMBERS = ("documents", "bytes", "loaded", "unchanged", "listed", "pace")


@dataclass(frozen=True, slots=True)
class Route:
    """From a prefix of one bucket into a folder of the documents bucket; without a folder, keys stay the same."""

    source: str
    prefix: str
    target: str
    folder: str = ""

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


class Omission(NamedTuple):
    """An object that was not loaded, and why."""

    key: str
    reason: str
    detail: str = ""


@dataclass
class LoadState:
    """The progress of a load. `documents` and `bytes` are the counts to load, from its beginning.

    `pace` is the gate's last pace, in documents a second. `omissions` lists
    the objects that are not loaded, one JSON line each. `listed` is the length of that file: lines after the
    stored place are removed, because their objects come again.
    """

    path: Path
    route: Route
    documents: int = 0
    bytes: int = 0
    loaded: int = 0
    unchanged: int = 0
    listed: int = 0
    pace: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)
    partitions: list[Partition] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def complete(self) -> bool:
        """Whether every partition is done."""
        return all(partition.done for partition in self.partitions)

    @property
    def omissions(self) -> Path:
        """The file that lists the objects that were not loaded."""
        return self.path.with_suffix(".left-out.jsonl")

    @classmethod
    def read(cls, route: Route, folder: Path) -> LoadState:
        """Return the stored state of a load that is not complete, else a new one. Raises `Failure`."""
        new = cls(folder / f"docwell-load-{route.id}.json", route)
        try:
            stored: dict[str, Any] = json.loads(new.path.read_text("utf-8"))
            ranges = [Partition(**partition) for partition in stored["partitions"]]
            numbers = {name: stored[name] for name in _NUMBERS}
            state = cls(new.path, route, left_out=Counter(stored["left_out"]), partitions=ranges, **numbers)
        except FileNotFoundError:
            return new
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failure(f"cannot read {new.path} ({error!r}): delete it to load anew", ExitCode.USAGE) from None
        return new if state.complete else state

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Store the beginning, and keep other processes from the same load meanwhile. Raises `Failure`.

        Drops the omissions that a killed run listed after its last stored place.
        """
        with self.omissions.open("ab") as file:
            try:
                with suppress(ImportError):  # Windows has no such lock
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"another process runs this load, and writes {self.path}") from None
            file.truncate(self.listed)
            self._store()
            yield

    def record(
        self,
        partition: Partition,
        place: str | None,
        *,
        loaded: int = 0,
        unchanged: int = 0,
        omitted: Sequence[Omission] = (),
    ) -> None:
        """Add the counts up to `place`, None for the end, and store it. Call it from any thread."""
        with self._lock:
            self.loaded += loaded
            self.unchanged += unchanged
            self.left_out.update(omission.reason for omission in omitted)
            if omitted:
                with self.omissions.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(omission._asdict()) + "\n" for omission in omitted)
                    file.flush()
                    self.listed = file.tell()
            if place is None:
                partition.done = True
            else:
                partition.place = place
            self._store()

    def summary(self) -> Mapping[str, object]:
        """Return the counts for `--json`."""
        return {
            "source": f"s3://{self.route.source}/{self.route.prefix}",
            "target": f"s3://{self.route.target}/{self.route.target_prefix}",
            "complete": self.complete,
            **{name: getattr(self, name) for name in ("documents", "bytes", "loaded", "unchanged")},
            "left_out": dict(self.left_out),
            "left_out_file": str(self.omissions) if self.left_out else None,
        }

    def _store(self) -> None:
        """Replace the file in one step: a kill leaves the old state or the new one."""
        values = {name: getattr(self, name) for name in _NUMBERS}
        ranges = [asdict(partition) for partition in self.partitions]
        stored = {"route": asdict(self.route), **values, "left_out": self.left_out, "partitions": ranges}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(stored), encoding="utf-8")
        new.replace(self.path)


class Paused(Exception):  # noqa: N818 - no error: the user asked for it
    """The load is to stop; what is done is stored."""


class _Count(NamedTuple):
    """The messages in the queue, and the documents that were let through before."""

    at: float
    queued: int
    sent: int


@dataclass
class QueueGate:
    """Lets documents through as fast as ingest works them off.

    `waiting` counts the messages of the ingest queue. The gate lets about as many wait as ingest does in `wait_s`
    seconds: that is how long another upload waits behind the load. It learns the pace of ingest from the queue, so
    it needs no number of workers: while few wait, it lets more through.
    """

    waiting: Callable[[], int]
    wait_s: float
    stop: Event = field(default_factory=Event)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] | None = None
    pace: float = _FIRST_PACE
    queued: int = 0
    _credit: float = 0.0
    _sent: int = 0
    _counts: deque[_Count] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    def enter(self, count: int) -> None:
        """Wait until the next `count` documents may be sent. Raises `Paused`, and `Unavailable`: no queue."""
        with self._lock:
            while self._credit <= 0 and not self.stop.is_set():
                if self._counts and (rest := self._counts[-1].at + COUNT_EVERY_S - self.clock()) > 0:
                    (self.pause or self.stop.wait)(rest)
                if not self.stop.is_set():
                    self._count()
            self._credit -= count
            self._sent += count
        if self.stop.is_set():
            raise Paused

    def _count(self) -> None:
        self.queued, now = self.waiting(), self.clock()
        last = self._counts[-1].at if self._counts else now - COUNT_EVERY_S
        self._counts.append(_Count(now, self.queued, self._sent))
        while len(self._counts) > 1 and self._counts[1].at <= now - 2 * _LATE_S:
            self._counts.popleft()
        self.pace = self._next_pace(now)
        # No credit is saved up while the process is paused.
        self._credit = min(self._credit, 0.0) + self.pace * min(now - last, 2 * COUNT_EVERY_S)

    def _next_pace(self, now: float) -> float:
        """Return the documents a second to let through until the next count."""
        first, last = self._counts[0], self._counts[-1]
        late = next((count for count in reversed(self._counts) if count.at <= now - _LATE_S), None)
        if late is None or late is first:
            return self.pace
        before = (late.sent - first.sent) / (late.at - first.at)
        # At least the first pace: an empty queue shows none, and the gate would never open again.
        if self.queued <= before * self.wait_s / 4:
            return max(before * _GROWTH, _FIRST_PACE)
        sent = min((last.sent - late.sent) / (now - late.at), before)
        done = max(0.0, sent + (late.queued - last.queued) / (now - late.at))
        return max(0.0, done + (done * self.wait_s - self.queued) / (2 * _LATE_S))


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
            self._fan_out(self._load, unfinished, report)

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
        """Copy documents one by one; return the failures. Raises `Forbidden` when S3 denies all of the first."""
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
                if self._denied >= _DENIALS_IN_A_ROW and not self.state.loaded:
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
