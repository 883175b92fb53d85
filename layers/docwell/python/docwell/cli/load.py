"""`docwell load`: copy documents from another S3 bucket into docwell, up to millions.

A load stores only the list of skipped objects: after a restart, it skips the documents that it has copied. The
gate keeps the ingest queue short, so that other uploads do not wait behind the load.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from docwell.cli import display
from docwell.cli.command import (
    OPERATE,
    ConnectedCommand,
    DryRunFlag,
    JsonFlag,
    YesFlag,
    argument,
    confirm,
    group,
    option,
)
from docwell.cli.remote import aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings
from docwell.errors import DocwellError, Forbidden, NotFound, Refused
from docwell.media_types import MEDIA_TYPES
from docwell.models import KEY_BYTES

if TYPE_CHECKING:
    from docwell.adapters.s3 import S3Listing
    from docwell.models import StoredObject

# Seconds between two counts of the queue.
COUNT_EVERY_S = 5.0
# A store that is down for a minute must not end a load of days. The mode has no quota that the threads share.
_RETRIES = {"mode": "legacy", "total_max_attempts": 9}
# After this many denials, without a copy before, stop: the load lacks permissions.
_DENIED_AT_FIRST = 20
# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
_WORKERS = 32

app = group()


@app.command(cls=ConnectedCommand, rich_help_panel=OPERATE)
def load(
    ctx: typer.Context,
    source: Annotated[str, argument("s3://BUCKET/PREFIX", "Where the documents are.")],
    *,
    collection: Annotated[
        str | None, option("NAME", "Folder of the bucket, such as reports. Without it, keys stay the same.")
    ] = None,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    queue_limit: Annotated[
        int, option("COUNT", "Pause while this many messages are in the ingest queue.", min=1)
    ] = 200,
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
    work = _work(settings, route, queue_limit)
    with plain_failures("cannot list the documents"), display.progress("listing", None) as step:
        survey = work.survey(step)
    if not (dry_run and as_json):
        shown = {"documents": survey.documents, "bytes": survey.bytes, "unchanged": survey.unchanged}
        for name, value in (shown | {"left out": _reasons(survey.left_out)}).items():
            display.say(f"{name:10} {value}", err=not dry_run)
    if not dry_run:
        confirm("Load these documents?", yes=yes)
        omissions = Path(f"docwell-load-{route.id}.left-out.jsonl")
        _run(work, survey.documents, omissions)
        survey.left_out = Counter(omission.reason for omission in work.omissions)
    if as_json:
        display.show_json(vars(survey) if dry_run else {**vars(survey), "loaded": work.loaded})
    elif not dry_run:
        display.say(f"{work.loaded:,} documents loaded, {survey.unchanged:,} were loaded already", "bold")
        if survey.left_out:
            display.say(f"left out: {_reasons(survey.left_out)}; listed in {omissions}", "yellow")
        display.say("`docwell status --watch` follows them", err=True)
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


def _work(settings: Settings, route: Route, queue_limit: int) -> Load:
    from docwell.adapters.s3 import S3Listing
    from docwell.adapters.sqs import SqsTaskQueue

    s3 = s3_client(settings, max_pool_connections=_WORKERS, retries=_RETRIES)
    sqs = aws_client(settings, "sqs", retries=_RETRIES)
    name = settings.need("queue")
    with plain_failures(f"cannot use queue {name}"):
        queue = SqsTaskQueue(sqs, queue_url(sqs, name))
    source, target = (
        S3Listing(s3, route.source, route.prefix),
        S3Listing(s3, route.target, route.key(route.prefix)),
    )
    return Load(route, source, target, QueueGate(queue.waiting, queue_limit))


def _run(work: Load, documents: int, omissions: Path) -> None:
    """Load; if the load ends early, say how to continue. Raises `Failure`."""
    go_on = "the same command goes on: it skips what is loaded"
    try:
        with display.progress("loading", documents) as step, plain_failures("cannot load"):
            work.run(omissions, step)
    except KeyboardInterrupt:
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
        pool = ThreadPoolExecutor(_WORKERS)
        running: deque[Future[Omission | None]] = deque()
        try:
            for stored, key, copy in self._pairs():
                if reason := _reason_against(stored, key):
                    self.omissions.append(Omission(stored.key, reason))
                elif not _is_unchanged(stored, copy):
                    self.gate.enter()
                    running.append(pool.submit(self._copy, stored, key))
                if len(running) > 2 * _WORKERS:
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
