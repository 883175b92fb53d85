"""`docwell load`: copy documents from another S3 bucket into docwell, up to millions.

A load stores only the list of skipped objects: after a restart, it skips the documents that it has copied. The
gate keeps the ingest queue short, so that other uploads do not wait behind the load.
"""

from __future__ import annotations

import json
import re
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, YesFlag, group
from docwell.cli.remote import aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings
from docwell.errors import DocwellError, Forbidden, NotFound, Refused, Unavailable
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES

if TYPE_CHECKING:
    from docwell.adapters.s3 import S3Copier, S3Listing
    from docwell.models import StoredObject


_Result = TypeVar("_Result")

# Seconds between two counts of the queue.
COUNT_EVERY_S = 5.0
# SQS counts may be a minute old, so the gate compares them with the documents that it let through before.
_LATE_S = 60.0
# The first pace in documents a second, and the factor by which it grows about each minute.
_FIRST_PACE, _GROWTH = 0.5, 2.0
# The pauses between retries: a store that is down for a few minutes must not end a load of days.
_RETRY_AFTER_S = (1.0, 5.0, 15.0, 60.0, 120.0)
# Short waits, so that Ctrl-C ends them on every system.
_WAIT_S = 1.0
# After this many denials in a row, without a copy before, stop: the load lacks permissions.
_DENIALS_IN_A_ROW = 20
# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
_WORKERS = 32
# More partitions than threads, so that one with slow documents does not delay the end.
_PARTITIONS = 4 * _WORKERS

app = group()


@app.command(cls=ConnectedCommand)
def load(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where the documents are.")],
    *,
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Folder of the bucket, such as reports. Without it, keys stay the same."
        ),
    ] = None,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    longest_wait: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long other uploads may wait behind the load.")
    ] = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Load the documents below a prefix of another bucket.

    S3 copies them into the documents bucket. `docwell reconcile` indexes documents that lie there already.
    First counts the documents, and asks. Documents that are loaded and unchanged are skipped.
    After Ctrl-C, the same command goes on. Exit status 3 when objects were left out; a file lists them.
    Needs s3:ListBucket on both buckets, GetObject and GetObjectTagging on the source, PutObject and
    PutObjectTagging on the documents bucket, and sqs:GetQueueAttributes.
    """
    settings: Settings = ctx.obj
    route = _route(source, settings.need("bucket"), collection)
    work = _work(settings, route, longest_wait)
    with plain_failures("cannot list the documents"), display.progress("listing", None) as step:
        survey = work.survey(step)
    if not (dry_run and as_json):
        shown = {"documents": survey.documents, "bytes": survey.bytes, "unchanged": survey.unchanged}
        for name, value in (shown | {"left out": _reasons(survey.left_out)}).items():
            display.echo(f"{name:10} {value}", err=not dry_run)
    if not dry_run:
        if not yes:
            typer.confirm("Load these documents?", abort=True, err=True)
        omissions = Path(f"docwell-load-{route.id}.left-out.jsonl")
        _run(work, survey.documents, omissions)
        survey.left_out = Counter(omission.reason for omission in work.omissions)
    if as_json:
        display.show_json(vars(survey) if dry_run else {**vars(survey), "loaded": work.loaded})
    elif not dry_run:
        display.say(f"{work.loaded:,} documents loaded, {survey.unchanged:,} were loaded already", "bold")
        if survey.left_out:
            display.say(f"left out: {_reasons(survey.left_out)}; listed in {omissions}", "yellow")
        display.echo("`docwell status --watch` follows them", err=True)
    if work.omissions:
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _route(source: str, bucket: str, collection: str | None) -> Route:
    """Return the route of the documents. Raises `Failure` (usage)."""
    match = re.fullmatch(r"s3://([^/]+)/?(.*)", source, re.DOTALL)
    if not match:
        raise Failure(f"{source!r} is no address like s3://BUCKET/PREFIX", ExitCode.USAGE)
    if match[1] == bucket:
        raise Failure(
            f"{bucket} is the documents bucket: `docwell reconcile` indexes its documents", ExitCode.USAGE
        )
    return Route(match[1], match[2], bucket, (collection or "").strip("/"))


def _work(settings: Settings, route: Route, longest_wait_s: float) -> Load:
    from docwell.adapters.s3 import S3Copier, S3Listing
    from docwell.adapters.sqs import SqsTaskQueue

    s3 = s3_client(settings, max_pool_connections=_WORKERS)
    sqs = aws_client(settings, "sqs")
    name = settings.need("queue")
    with plain_failures(f"cannot use queue {name}"):
        queue = SqsTaskQueue(sqs, queue_url(sqs, name))
    source, target = S3Listing(s3, route.source, route.prefix), S3Listing(s3, route.target, route.target_prefix)
    gate = QueueGate(queue.waiting, longest_wait_s)
    return Load(route, source, target, S3Copier(s3, route.source, route.target), gate, _WORKERS)


def _run(work: Load, documents: int, omissions: Path) -> None:
    """Load; if the load ends early, say how to continue. Raises `Failure`."""
    go_on = "the same command goes on: it skips what is loaded"
    try:
        with display.progress("loading", documents) as step, plain_failures("cannot load"):
            work.run(omissions, _PARTITIONS, step)
    except (KeyboardInterrupt, Paused):
        raise Failure(f"paused at {work.loaded:,} of {documents:,} documents: {go_on}") from None
    except DocwellError as error:
        raise Failure(f"stopped at {work.loaded:,} of {documents:,} documents: {error.detail}; {go_on}") from None


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items())) or "0"


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


class Partition(NamedTuple):
    """A range of the source's keys: greater than `after`, up to `until`; an empty key means no bound."""

    after: str
    until: str


def partitions(keys: Sequence[str], parts: int) -> list[Partition]:
    """Return up to `parts` ranges between the keys, with about equally many keys in each.

    >>> [part.after for part in partitions(["d", "b", "a", "c", "e"], 3)]
    ['', 'b', 'd']
    """
    keys, count = sorted(keys), max(1, min(parts, len(keys)))
    cuts = [keys[len(keys) * part // count] for part in range(1, count)]
    return [Partition(after, until) for after, until in pairwise(["", *cuts, ""])]


class Paused(Exception):  # noqa: N818 - no error: the user asked for it
    """Raised to stop the load."""


class _Count(NamedTuple):
    """The messages in the queue, and the number of documents let through before."""

    at: float
    queued: int
    sent: int


@dataclass
class QueueGate:
    """Lets documents through as fast as ingest handles them.

    `waiting` counts the messages of the ingest queue. The gate keeps about as many in the queue as ingest handles
    in `wait_s` seconds: so long another upload waits behind the load. It learns the pace of ingest from the queue,
    so it needs no number of workers: while few messages wait, it lets more through.
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
                if self._counts and (left_s := self._counts[-1].at + COUNT_EVERY_S - self.clock()) > 0:
                    (self.pause or self.stop.wait)(left_s)
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
        # Collect no credit while the process is paused.
        self._credit = min(self._credit, 0.0) + self.pace * min(now - last, 2 * COUNT_EVERY_S)

    def _next_pace(self, now: float) -> float:
        """Return the pace, in documents a second, until the next count."""
        first, last = self._counts[0], self._counts[-1]
        late = next((count for count in reversed(self._counts) if count.at <= now - _LATE_S), None)
        if late is None or late is first:
            return self.pace
        before = (late.sent - first.sent) / (late.at - first.at)
        # Never below the first pace: an empty queue shows no pace, and the gate would never open again.
        if self.queued <= before * self.wait_s / 4:
            return max(before * _GROWTH, _FIRST_PACE)
        sent = min((last.sent - late.sent) / (now - late.at), before)
        done = max(0.0, sent + (late.queued - last.queued) / (now - late.at))
        return max(0.0, done + (done * self.wait_s - self.queued) / (2 * _LATE_S))


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


class Candidate(NamedTuple):
    """An object of the source, the reason to leave it out if any, and whether it is already loaded."""

    stored: StoredObject
    reason: LeftOut | None
    unchanged: bool


@dataclass
class Counts:
    """The counts of a load: `documents` to load, of `bytes` in all."""

    documents: int = 0
    bytes: int = 0
    unchanged: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass
class Load:
    """One load. The bucket's notifications send the copies to ingest. Set `gate.stop` to end the load."""

    route: Route
    source: S3Listing
    target: S3Listing
    copier: S3Copier
    gate: QueueGate
    workers: int
    loaded: int = 0
    omissions: list[Omission] = field(default_factory=list)
    _page_ends: list[str] = field(default_factory=list)
    _denied: int = 0
    _lock: Lock = field(default_factory=Lock)

    def survey(self, progress: Callable[[int], object]) -> Counts:
        """Count the objects, by listings only. Calls `progress` with each number of objects listed."""
        counts = Counts()

        def count(partition: Partition) -> None:
            for candidates, last in self._pages(partition):
                with self._lock:
                    for stored, reason, unchanged in candidates:
                        if reason:
                            counts.left_out[reason] += 1
                        elif unchanged:
                            counts.unchanged += 1
                        else:
                            counts.documents += 1
                            counts.bytes += stored.size
                    self._page_ends += [last] if last else []
                    progress(len(candidates))

        folders = patient(self.source.folders, self.gate.stop)
        self._fan_out(count, partitions(folders, self.workers))
        return counts

    def run(self, list_of_omissions: Path, parts: int, progress: Callable[[int], object]) -> None:
        """Load, in `parts` partitions of the survey, and write the objects left out as JSON lines.

        Calls `progress` for each loaded document. Raises `Paused`, or the first error.
        """
        try:
            self._fan_out(partial(self._load, progress), partitions(self._page_ends, parts))
        finally:
            lines = [json.dumps(omission._asdict()) + "\n" for omission in self.omissions]
            list_of_omissions.write_text("".join(lines), encoding="utf-8")

    def _fan_out(self, work: Callable[[Partition], None], parts: Sequence[Partition]) -> None:
        """Run the work of each partition, `workers` at once. Raises the first error once all have stopped."""
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                running: set[Future[None]] = {pool.submit(work, partition) for partition in parts}
                while running:
                    done, running = wait(running, _WAIT_S, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                self.gate.stop.set()
                raise

    def _load(self, progress: Callable[[int], object], partition: Partition) -> None:
        for candidates, _ in self._pages(partition):
            for stored, reason, unchanged in candidates:
                omission = Omission(stored.key, reason) if reason else None
                if not (reason or unchanged):
                    patient(partial(self.gate.enter, 1), self.gate.stop)
                    omission = self._copy(stored)
                with self._lock:
                    loaded = not (omission or unchanged)
                    self.loaded += loaded
                    progress(loaded)
                    self.omissions += [omission] if omission else []

    def _copy(self, stored: StoredObject) -> Omission | None:
        """Copy a document; return why it was not copied. Raises `Forbidden` when S3 denies all first copies."""
        try:
            patient(partial(self.copier.copy, stored, self.route.key(stored.key)), self.gate.stop)
        except NotFound as error:
            return Omission(stored.key, LeftOut.CHANGED, error.detail)
        except Refused as error:
            return Omission(stored.key, LeftOut(error.reason), error.detail)
        except Forbidden as error:
            self._denied += 1
            if self._denied >= _DENIALS_IN_A_ROW and not self.loaded:
                raise
            return Omission(stored.key, LeftOut.FORBIDDEN, error.detail)
        self._denied = 0
        return None

    def _pages(self, partition: Partition) -> Iterator[tuple[list[Candidate], str | None]]:
        """Yield the pages of the rest of a partition, each with its last key, None at the end."""
        place: str | None = partition.after
        while place is not None:
            if self.gate.stop.is_set():
                raise Paused
            rows, last = patient(partial(self.source.page, place, partition.until), self.gate.stop)
            yield self._candidates(rows, place), last
            place = last

    def _candidates(self, rows: Sequence[StoredObject], after: str) -> list[Candidate]:
        """Compare a page of the source with the same keys of the documents bucket."""
        route = self.route
        keys = [route.key(row.key) for row in rows]
        copies = self._copies(keys, route.key(after) if after else "")
        return [
            Candidate(row, _reason_against(row, key), _is_unchanged(row, copies.get(key)))
            for row, key in zip(rows, keys, strict=True)
            if not key.endswith("/")  # the marker of a folder
        ]

    def _copies(self, keys: Sequence[str], after: str) -> dict[str, StoredObject]:
        """Return the sorted keys that the documents bucket has too, among any number of other keys."""
        copies: dict[str, StoredObject] = {}
        names = frozenset(keys)
        place: str | None = after
        while place is not None and (left := keys[bisect_right(keys, place) :]):
            # Skip other keys: a listing that starts after a prefix of a key includes the key.
            place = max(place, left[0][:-1])
            rows, place = patient(partial(self.target.page, place, keys[-1]), self.gate.stop)
            copies |= {row.key: row for row in rows if row.key in names}
        return copies


def patient(call: Callable[[], _Result], stop: Event) -> _Result:
    """Return the result of a call; retry for some minutes while its store is unavailable and a retry can help."""
    for pause in _RETRY_AFTER_S:
        try:
            return call()
        except Unavailable as error:
            if error.retry_after is None:
                raise
            if stop.wait(pause):
                raise Paused from None
    return call()


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
