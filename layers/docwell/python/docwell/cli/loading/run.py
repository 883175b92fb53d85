"""Survey a load, then run it: threads take partitions of the listing and send what is missing."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock
from typing import Protocol, TypeVar

from docwell.bucket_ports import Copier, Listing, StoredObject
from docwell.cli.loading.gate import Paused, QueueGate
from docwell.cli.loading.plan import (
    Judged,
    LeftOut,
    Partition,
    Route,
    groups,
    is_unchanged,
    partitions,
    reason_against,
)
from docwell.cli.loading.state import LoadState, Omission
from docwell.errors import Forbidden, NotFound, Refused, Unavailable
from docwell.models import Hint
from docwell.ports import TaskQueue

_Result = TypeVar("_Result")

# The documents between two stored places: also the most hints that SQS takes at once.
_GROUP = 10
# A store that is down for a few minutes does not end a load of days.
_RETRY_AFTER_S = (1.0, 5.0, 15.0, 60.0, 120.0)
_REPORT_EVERY_S = 1.0


class Way(Protocol):
    """How documents reach ingest."""

    def judged(self, rows: Sequence[StoredObject], after: str) -> Sequence[Judged]:
        """Return a page of the listing after a key, with what becomes of each object."""

    def send(self, documents: Sequence[StoredObject]) -> Sequence[Omission]:
        """Send documents to ingest; return those that could not be sent."""


@dataclass
class Copies:
    """Copies objects of another bucket; the bucket's notifications then send them to ingest."""

    route: Route
    target: Listing
    copier: Copier
    max_bytes: int
    stop: Event
    state: LoadState
    _denied: int = 0

    def judged(self, rows: Sequence[StoredObject], after: str) -> list[Judged]:
        """Compare a page of the source with the same keys of the documents bucket."""
        named = [(one, self.route.key(one.key)) for one in rows]
        there = self._there([key for _, key in named], self.route.key(after) if after else "")
        return [
            Judged(one, reason_against(one, key, self.max_bytes), is_unchanged(one, there.get(key)))
            for one, key in named
            if not key.endswith("/")  # the marker of a folder
        ]

    def send(self, documents: Sequence[StoredObject]) -> list[Omission]:
        """Copy documents one by one. Raises `Forbidden` at `LoadState.most_denials` in a row."""
        omitted: list[Omission] = []
        for one in documents:
            try:
                patient(partial(self.copier.copy, one, self.route.key(one.key)), self.stop)
                self._denied = 0
            except NotFound as error:
                omitted.append(Omission(one.key, LeftOut.CHANGED, error.detail))
            except Refused as error:
                omitted.append(Omission(one.key, LeftOut(error.reason), error.detail))
            except Forbidden as error:
                self._denied += 1
                if self._denied >= self.state.most_denials:
                    raise
                omitted.append(Omission(one.key, LeftOut.FORBIDDEN, error.detail))
        return omitted

    def _there(self, keys: Sequence[str], after: str) -> dict[str, StoredObject]:
        """Return those of the sorted keys that the documents bucket has, among any number of others."""
        found, wanted = dict[str, StoredObject](), frozenset(keys)
        place: str | None = after
        while place is not None and (left := keys[bisect_right(keys, place) :]):
            # Skip other keys: a listing after a part of a key includes the key.
            place = max(place, left[0][:-1])
            rows, place = patient(partial(self.target.page, place, keys[-1]), self.stop)
            found |= {one.key: one for one in rows if one.key in wanted}
        return found


@dataclass
class Hints:
    """Sends hints for objects of the documents bucket. Ingest leaves alone what is indexed already."""

    queue: TaskQueue
    stop: Event

    def judged(self, rows: Sequence[StoredObject], after: str) -> list[Judged]:  # noqa: ARG002 - the port's
        """Return every object: ingest gives each a status, also one that it rejects."""
        return [Judged(one) for one in rows]

    def send(self, documents: Sequence[StoredObject]) -> list[Omission]:
        """Send a hint for each document."""
        patient(partial(self.queue.send, [Hint(one.key) for one in documents]), self.stop)
        return []


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
    """One load. `stop` ends it after the documents in progress."""

    source: Listing
    way: Way
    gate: QueueGate
    workers: int

    @property
    def stop(self) -> Event:
        """Set it to pause the load."""
        return self.gate.stop

    def survey(self, progress: Callable[[int], object] = lambda _: None) -> Survey:
        """Count what there is to load, by listings only. Calls `progress` with each number of objects listed."""
        found, lock = Survey(), Lock()

        def count(part: Partition) -> None:
            for judged, last in self._pages(part):
                with lock:
                    for one, reason, unchanged in judged:
                        if reason:
                            found.left_out[reason] += 1
                        elif unchanged:
                            found.unchanged += 1
                        else:
                            found.documents += 1
                            found.bytes += one.size
                    found.pages += [last] if last else []
                    progress(len(judged))

        folders = patient(self.source.folders, self.stop)
        self._fan_out(count, partitions(folders, self.workers), lambda: None)
        return found

    def run(self, state: LoadState, report: Callable[[], object] = lambda: None) -> None:
        """Load what is left. Calls `report` each second. Raises `Paused`, or the first error."""
        # Half of the pace before an interruption: ingest may have lost workers since.
        self.gate.pace = max(self.gate.pace, state.pace / 2)
        left = [part for part in state.partitions if not part.done]
        with state.begun():
            try:
                self._fan_out(lambda part: self._load(part, state), left, report)
            except Forbidden:
                state.allow_more_denials()
                raise

    def _load(self, part: Partition, state: LoadState) -> None:
        for judged, last in self._pages(part):
            for rows in groups(judged, _GROUP):
                wanted = [row.one for row in rows if row.wanted]
                failed: Sequence[Omission] = ()
                if wanted:
                    patient(partial(self.gate.enter, len(wanted)), self.stop)
                    state.pace = self.gate.pace
                    failed = self.way.send(wanted)
                state.record(
                    part,
                    rows[-1].one.key,
                    loaded=len(wanted) - len(failed),
                    unchanged=sum(row.unchanged and not row.reason for row in rows),
                    omitted=[*(Omission(row.one.key, row.reason) for row in rows if row.reason), *failed],
                )
            state.record(part, last)

    def _pages(self, part: Partition) -> Iterator[tuple[Sequence[Judged], str | None]]:
        """Yield the pages of what is left of a partition, each with its last key, None at the end."""
        place: str | None = part.place or part.after
        while place is not None:
            if self.stop.is_set():
                raise Paused
            rows, last = patient(partial(self.source.page, place, part.until), self.stop)
            yield self.way.judged(rows, place), last
            place = last

    def _fan_out(
        self, work: Callable[[Partition], None], parts: Sequence[Partition], report: Callable[[], object]
    ) -> None:
        """Run the work of each partition, `workers` at once. Raises the first error once all have stopped."""
        with ThreadPoolExecutor(self.workers) as pool, self._stopping():
            waiting: set[Future[None]] = {pool.submit(work, part) for part in parts}
            while waiting:
                done, waiting = wait(waiting, _REPORT_EVERY_S, FIRST_EXCEPTION)
                report()
                for one in done:
                    one.result()

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.stop.set()
            raise


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
