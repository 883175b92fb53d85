"""`docwell put | ls | status | rm | sync`: upload documents, list and follow them, remove them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

import typer

from docwell.cli import display
from docwell.cli.command import DOCUMENTS, Commands, DryRunFlag, JsonFlag, WaitFlag, YesFlag, confirm
from docwell.cli.remote import Api, Bucket, Json, plain_failures
from docwell.cli.settings import ExitCode, Failure, Settings, argument, option
from docwell.folders import checksum_of, files_of, id_of, is_readable
from docwell.media_types import MEDIA_TYPES
from docwell.models import FINAL, Status, collection_of

# The pauses between scans of a watched folder, after a failure, and between lists of the bucket without changes.
_WATCH_S, _RETRY_S, _LIST_S = 5.0, 60.0, 900.0
# More documents are counted, and only the others listed.
_SHOWN, _WELL = 100, {Status.INDEXED, Status.PENDING, Status.DELETED}
# Requests to the bucket at once.
_THREADS = 8
# A bucket that cannot be reached fails each upload after 30 s.
_FAILURES_IN_A_ROW = 5
# The records to request in one round of the wait. Reading a record is not charged, unlike a list.
_AT_ONCE = 10
# Seconds without progress after which `put` gives up.
_STALL_S = 300.0
# The pause for each request, and the longest where nothing changes. A key may send 10 requests a second.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# The failed rounds to allow in a row: a restart of the gateway must not end a long wait.
_FAILURES_ALLOWED = 5
# The version of a removed document: no record has it, so that a wait ends when the document is DELETED.
_REMOVED = ""

app = Commands(DOCUMENTS)


@app.command()
def put(
    ctx: typer.Context,
    paths: Annotated[list[Path], argument("FILE|FOLDER...", "Documents, or folders of documents.", exists=True)],
    *,
    prefix: Annotated[str | None, option("NAME", "Folder of the bucket.", "--collection", "--prefix")] = None,
    key: Annotated[str | None, option("KEY", "Whole key of a single file, such as reports/q3.pdf.")] = None,
    waiting: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Upload files and folders, and wait until they can be asked about.

    A file's key is its name, or for a file of a folder its path below that folder. The first folder of a key is
    the document's collection. docwell takes the suffixes that it reads, and leaves out a folder's hidden files and
    those that its .docwellignore names. Exit status 3 when a document ended REJECTED, FAILED or EMPTY, 1 when a
    file could not be uploaded; the other files are.
    """
    uploads = _plan(paths, prefix, key)
    bucket, api = _connect(ctx.obj, waiting=waiting)
    with _telling_at_interrupt(uploads):
        _upload(uploads, bucket)
        finish(uploads, bucket, api, as_json=as_json)


def _connect(settings: Settings, *, waiting: bool) -> tuple[Bucket, Api | None]:
    """Return the bucket and, to wait for its documents, the API once it has answered."""
    bucket, api = Bucket(settings), Api(settings) if waiting else None
    if api:
        api.check()
    return bucket, api


def finish(
    uploads: Sequence[Upload], bucket: Bucket, api: Api | None, *, as_json: bool = False, whole: bool = False
) -> None:
    """Wait for the final statuses if there is an API, and show them. Raises `Failure`, or exits with status 3."""
    try:
        if api:
            with display.live_documents() as show:
                _wait(uploads, api, bucket, show)
    finally:
        records = [upload.as_json() for upload in uploads]
        if as_json:
            display.show_json({"documents": records})
        elif len(records) > _SHOWN and not whole:  # count them, and list only those that are not well
            counts = Counter(record["status"] for record in records)
            display.say(", ".join(f"{count:,} {status}" for status, count in counts.items()))
            records = [record for record in records if record["status"] not in _WELL]
        if records and not as_json:
            display.show_documents(records)
    if failed := [upload for upload in uploads if upload.failure is not None]:
        raise Failure(f"{len(failed)} of {len(uploads)} files were not uploaded; the first: {failed[0].failure}")
    if any(upload.record.get("status") in (Status.REJECTED, Status.FAILED, Status.EMPTY) for upload in uploads):
        raise typer.Exit(ExitCode.NOT_INDEXED)


@app.command()
def ls(
    ctx: typer.Context,
    prefix: Annotated[str, argument("FOLDER/", "Only keys that begin with this, such as reports/2026/.")] = "",
    *,
    status_: Annotated[Status | None, option("STATUS", "Such as empty.", "--status", case_sensitive=False)] = None,
    sort: Annotated[Literal["key", "date", "size", "status"], typer.Option(help="Newest, largest first.")] = "key",
    as_json: JsonFlag = False,
) -> None:
    """List documents with status, pages, size and date."""
    records = Api(ctx.obj).documents(prefix=prefix, status=status_)
    field = {"key": "document", "date": "updated_at"}.get(sort, sort)
    records.sort(key=lambda record: record.get(field) or 0, reverse=sort in {"date", "size"})
    if as_json:
        display.show_json({"documents": records})
    elif records:
        display.show_documents(records)
    else:
        display.say("no documents match; `docwell put FILE.pdf` uploads one", err=True)


@app.command()
def status(
    ctx: typer.Context,
    key: Annotated[str | None, argument("KEY", "Show this document in full.")] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Count documents by status, and show the model and its host; or one document in full."""
    api = Api(ctx.obj)
    if key is None:
        counts = Counter(record["status"] for record in api.documents())
        shown = {"documents": counts.total(), **counts, **(api.get("/v1/status") or {})}
    elif not (shown := api.document(key) or {}):
        raise Failure(f"there is no document {key!r}; `docwell ls` lists the documents")
    if as_json:
        display.show_json(shown)
    else:
        at, status = shown.get("updated_at"), {"status": display.status_of(shown)} if key else {}
        display.show_fields(shown | status | ({"updated_at": display.local_time(at)} if at else {}))


@app.command()
def rm(
    ctx: typer.Context,
    names: Annotated[list[str], argument("KEY|FOLDER/...", "Keys, or folders with a slash.")],
    *,
    yes: YesFlag = False,
    waiting: WaitFlag = True,
) -> None:
    """Remove documents and folders, and wait until no answer uses them."""
    bucket, api = _connect(ctx.obj, waiting=waiting)
    keys: dict[str, None] = {}
    for name in names:
        is_key = not name.endswith("/") and bucket.version(name)
        below = [name] if is_key else [stored.key for stored in bucket.below(name.rstrip("/") + "/")]
        if not below:
            raise Failure(f"not in the bucket: {name}; nothing was removed. `docwell ls` lists the documents")
        keys |= dict.fromkeys(below)
    removals = [Upload(Path(key), key, 0, version=_REMOVED) for key in keys]
    _remove(removals, bucket, yes=yes)
    if api:
        finish(removals, bucket, api)


@app.command()
def sync(
    ctx: typer.Context,
    folder: Annotated[Path, argument("FOLDER", "The folder to upload.", exists=True, file_okay=False)],
    *,
    collection: Annotated[str | None, option("NAME", "Folder of the bucket.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove documents whose file is gone.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and scan the folder every 5 seconds.")] = False,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    waiting: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Upload the new and changed files of a folder, again and again if you like.

    Takes the files that `docwell put` takes. --delete removes only what sync put. After a kill, run it again.
    With --watch, --json prints a document after each change.
    """
    bucket, api = _connect(ctx.obj, waiting=waiting and not dry_run and not watch)
    prefix, synced, listed = f"{collection.strip('/')}/" if collection else "", None, 0.0
    changed: dict[str, Upload] = {}
    with _telling_at_interrupt(changed.values()):
        while True:
            omitted: list[Path] = []
            try:
                with plain_failures("cannot read the folder"):
                    files = {prefix + name: (file, checksum_of(file)) for file, name in files_of(folder, omitted)}
                if files != synced or time.monotonic() > listed + _LIST_S:
                    uploads, removals = _changes(folder, prefix, files, bucket, delete=delete, store=not dry_run)
                    if synced is None or uploads or removals:
                        _say_omitted(omitted)
                        display.say(f"{len(uploads):,} to upload, {len(removals):,} to remove", err=as_json)
                        if not dry_run:
                            changed |= {upload.key: upload for upload in uploads}
                            _upload(uploads, bucket)
                            if any(upload.failure is not None for upload in uploads):
                                removals = []  # a file that moved is not yet in the bucket under its new key
                            _remove(removals, bucket, yes=yes, err=as_json)
                        finish([*uploads, *removals], bucket, api, as_json=as_json, whole=dry_run)
                    synced, listed = files, time.monotonic()
            except Failure as failure:
                if not watch:
                    raise
                display.show_failure(failure)
                time.sleep(_RETRY_S)
            if not watch:
                return
            time.sleep(_WATCH_S)


def _remove(removals: Sequence[Upload], bucket: Bucket, *, yes: bool, err: bool = False) -> None:
    """Remove documents after a question."""
    if removals:
        more = f" and {len(removals) - 1:,} more" if removals[1:] else ""
        confirm(f"Remove {removals[0].key}{more}?", yes=yes)
    for removal in removals:
        bucket.delete(removal.key)
        display.say(f"removed {removal.key}", err=err)


@plain_failures("cannot sync the folder")
def _changes(
    folder: Path, prefix: str, files: Mapping[str, tuple[Path, str]], bucket: Bucket, *, delete: bool, store: bool
) -> tuple[list[Upload], list[Upload]]:
    """Return the files to upload, and with `delete` the documents to remove.

    The metadata of an object names the folder that put it, with the collection and the key, and the file's
    checksum: a copy under another key takes its metadata along, and is not sync's. There is no other state: after
    a kill, the next run compares folder and bucket again.
    """
    place = id_of(folder, store=store) + prefix
    stored = {item.key: item.etag.strip('"') for item in bucket.below(prefix)}
    ids = {key: sha256(f"{place}/{key}".encode()).hexdigest()[:16] for key in stored.keys() | files.keys()}
    gone = sorted(stored.keys() - files.keys()) if delete else []
    # S3's ETag of a large or encrypted object is no checksum.
    unclear = [key for key, (_, checksum) in files.items() if stored.get(key, checksum) != checksum]
    with ThreadPoolExecutor(_THREADS) as pool:
        marks = dict(zip([*unclear, *gone], pool.map(bucket.mark, [*unclear, *gone]), strict=True))
    uploads = [
        Upload(file, key, file.stat().st_size, mark=f"{ids[key]}:{checksum}")
        for key, (file, checksum) in files.items()
    ]
    changed = [item for item in uploads if item.key not in stored or marks.get(item.key, item.mark) != item.mark]
    removable = [key for key in gone if marks[key].startswith(ids[key])]
    return changed, [Upload(folder / key, key, 0, version=_REMOVED) for key in removable]


@dataclass(slots=True)
class Upload:
    """A file and its key. `record` is the API's record, of later than `since`; `failure` is why there is none."""

    path: Path
    key: str
    size: int
    version: str | None = None
    mark: str = ""
    since: float | None = None
    record: Json = field(default_factory=dict)
    failure: str | None = None

    @property
    def done(self) -> bool:
        """Return whether the document has its final status, or was not uploaded."""
        return self.failure is not None or self.record.get("status") in FINAL

    def as_json(self) -> Json:
        """Return the API's record and the file's path."""
        place = {"document": self.key, "collection": collection_of(self.key)}
        pending = "REMOVAL" if self.version == _REMOVED else Status.PENDING.value
        status = pending if self.failure is None else "NOT UPLOADED"
        record = self.record or {**place, "status": status, "version": self.version, "size": self.size}
        reason = {} if self.record or self.failure is None else {"reason": self.failure}
        return {"file": str(self.path), **record, **reason}


@plain_failures("cannot read the files")
def _plan(paths: Sequence[Path], prefix: str | None, key: str | None) -> list[Upload]:
    """Return the files to upload with their keys, and print those left out.

    Raises `Failure` (usage) if none is left, or two files get the same key.
    """
    if key is not None and (len(paths) != 1 or paths[0].is_dir() or prefix):
        raise Failure("--key takes exactly one file and no --collection", ExitCode.USAGE)
    folder = (prefix or "").strip("/")
    uploads: dict[str, Upload] = {}
    omitted: list[Path] = []
    for path in paths:
        for file, name in files_of(path, omitted) if path.is_dir() else [(path, path.name)]:
            target = key if key is not None else f"{folder}/{name}" if folder else name
            if not is_readable(target):
                omitted.append(file)
                continue
            if target in uploads:
                message = f"{uploads[target].path} and {file} both get the key {target}: rename one, or use --key"
                raise Failure(message, ExitCode.USAGE)
            uploads[target] = Upload(file, target, file.stat().st_size)
    if not uploads:
        hint = f"docwell reads {' '.join(MEDIA_TYPES)}; --key NAME.txt uploads a file as text"
        raise Failure(f"no documents in {', '.join(map(str, paths))}: {hint}", ExitCode.USAGE)
    _say_omitted(omitted)
    return list(uploads.values())


def _say_omitted(omitted: Sequence[Path]) -> None:
    if omitted:
        hint = "hidden, ignored, linked from elsewhere, or of a suffix that docwell does not read"
        names = ", ".join([*map(str, omitted[:10]), *(["…"] if omitted[10:] else [])])
        display.say(f"docwell: left out {len(omitted):,} ({hint}): {names}", err=True)


def _upload(uploads: Sequence[Upload], bucket: Bucket) -> None:
    """Upload files, some at once. After failures in a row, the remaining files are not tried."""
    in_a_row, interrupted = 0, Event()

    def count(size: int) -> None:
        if interrupted.is_set():
            raise Failure("interrupted")
        advance(size)

    def send(upload: Upload) -> None:
        nonlocal in_a_row
        if in_a_row >= _FAILURES_IN_A_ROW:
            upload.failure = f"not tried after {_FAILURES_IN_A_ROW} failures in a row"
            return
        try:
            upload.version = bucket.upload(upload.path, upload.key, count, upload.mark)
            in_a_row = 0
        except Failure as failure:
            upload.failure = failure.detail
            in_a_row += 1

    size = sum(upload.size for upload in uploads)
    with display.progress("uploading", size, size=True) as advance, ThreadPoolExecutor(_THREADS) as pool:
        try:
            list(pool.map(send, uploads))
        finally:
            interrupted.set()  # after Ctrl-C, the pool waits for the uploads in progress


@contextmanager
def _telling_at_interrupt(uploads: Collection[Upload]) -> Iterator[None]:
    """Say at Ctrl-C how many files are uploaded; one more may be, whose upload was just ending."""
    try:
        yield
    except KeyboardInterrupt:
        count = sum(upload.version is not None for upload in uploads)
        place = f"at least {count:,} of {len(uploads):,} files are uploaded; the same command goes on"
        display.say(f"stopped: {place if uploads else 'no file has changed'}", err=True)
        raise


def _wait(uploads: Sequence[Upload], api: Api, bucket: Bucket, show: Callable[[Sequence[Json]], None]) -> None:
    """Request the records of some unfinished uploads in turn, until each has its final status.

    Raises `Failure` after a time without progress.
    """
    moved, failures = time.monotonic(), 0
    pending = deque(upload for upload in uploads if not upload.done)
    while pending:
        before, idle = [upload.record for upload in uploads], time.monotonic() - moved
        pause = max(min(idle, _LONGEST_PAUSE_S), _PAUSE_S * min(len(pending), _AT_ONCE))
        try:
            for upload in list(pending)[:_AT_ONCE]:
                _settle(upload, api, bucket)
                pending.rotate(-1)
            failures = 0
        except Failure as error:
            pause, failures = error.retry_after or pause, failures + (error.retry_after is None)
            if failures > _FAILURES_ALLOWED or pause > _STALL_S:
                raise
        pending = deque(upload for upload in pending if not upload.done)
        show([upload.as_json() for upload in pending])
        now = time.monotonic()
        if before != [upload.record for upload in uploads]:
            moved = now
        # The one that changes is requested after all others, and again a round later.
        elif now - moved > max(_STALL_S, 2 * len(pending) * _LONGEST_PAUSE_S / _AT_ONCE):
            raise Failure(
                f"no progress for {now - moved:.0f} s; {len(pending)} of {len(uploads)} documents are"
                f" not finished (the first: {pending[0].key}); `docwell ls --status pending` lists them"
            )
        if pending:
            time.sleep(pause)


def _settle(upload: Upload, api: Api, bucket: Bucket) -> None:
    """Store the record of the uploaded version, or follow the version that replaced it meanwhile."""
    record = api.document(upload.key) or {}
    if record.get("version") == upload.version and record.get("updated_at") != (upload.since or 0):
        upload.record = record
    elif not record or record.get("status") in FINAL:
        # The record is of an older version, which ingest will replace, or of a newer one: another client uploaded
        # or deleted the key meanwhile. Wait for the current version. A key that was deleted before ingest read it
        # has no record.
        if current := bucket.version(upload.key):
            upload.version = current
        elif not record or record.get("status") == Status.DELETED:
            upload.record = record or {"document": upload.key, "status": Status.DELETED.value}
