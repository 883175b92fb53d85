"""`docwell put | ls | status | rm | sync`: upload documents, list and follow them, remove them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import typer

from docwell.cli import display
from docwell.cli.command import (
    DOCUMENTS,
    ConnectedCommand,
    DryRunFlag,
    JsonFlag,
    TimeoutOption,
    WaitFlag,
    YesFlag,
    argument,
    confirm,
    group,
    option,
)
from docwell.cli.remote import Api, Bucket, Json, plain_failures
from docwell.cli.settings import Busy, ExitCode, Failure, Settings
from docwell.folders import checksum_of, files_of, id_of, is_readable
from docwell.media_types import MEDIA_TYPES
from docwell.models import FINAL, Status, collection_of

# Slow polling: listing documents counts against the daily quota, unlike reading one document.
_WATCH_S = 5.0
# A bucket that cannot be reached fails each upload after 30 s.
_FAILURES_IN_A_ROW = 5
# Shown as the status of a document that was not uploaded.
_NOT_UPLOADED = "NOT UPLOADED"
# The records to request in one round of the wait. Reading a record is not charged, unlike a list.
_AT_ONCE = 10
# Seconds without progress after which `put` gives up.
_STALL_S = 300.0
# The pause for each request, which grows by the factor while nothing changes. A key may send 10 requests a second.
_PAUSE_S, _PAUSE_GROWTH, _LONGEST_PAUSE_S = 0.6, 1.5, 5.0
# The failed rounds to allow in a row: a restart of the gateway must not end a long wait.
_FAILURES_ALLOWED = 5
# The pause for a busy server that states no time to retry.
_BUSY_S = 20.0

# The version of a removed document: no record has it, so that a wait ends when the document is DELETED.
_REMOVED = ""

app = group()


@app.command(cls=ConnectedCommand, rich_help_panel=DOCUMENTS)
def put(
    ctx: typer.Context,
    paths: Annotated[list[Path], argument("FILE|FOLDER...", "Documents, or folders of documents.", exists=True)],
    *,
    prefix: Annotated[str | None, option("NAME", "Folder of the bucket.", "--collection", "--prefix")] = None,
    key: Annotated[str | None, option("KEY", "Whole key of a single file, such as reports/q3.pdf.")] = None,
    waiting: WaitFlag = True,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Upload files and folders, and wait until they can be asked about.

    A file's key is its name, or for a file of a folder its path below that folder. The first folder of a key is
    the document's collection. docwell takes the suffixes that it reads, and leaves out a folder's hidden files and
    those that its .docwellignore names. Exit status 3 when a document ended REJECTED, FAILED or EMPTY, 1 when a
    file could not be uploaded; the other files are.
    """
    uploads = _plan(paths, prefix, key)
    bucket, api = _connect(ctx.obj, timeout, waiting=waiting)
    _upload(uploads, bucket)
    _finish(uploads, bucket, api, as_json=as_json)


def _connect(settings: Settings, timeout_s: float, *, waiting: bool) -> tuple[Bucket, Api | None]:
    """Return the bucket and, to wait for its documents, the API once it has answered."""
    bucket, api = Bucket(settings), Api(settings, timeout_s) if waiting else None
    if api:
        api.check()
    return bucket, api


def _finish(uploads: Sequence[Upload], bucket: Bucket, api: Api | None, *, as_json: bool) -> None:
    """Wait for the final statuses if there is an API, and show them. Raises `Failure`, or exits with status 3."""
    try:
        if api:
            with display.live_documents() as show:
                _wait(uploads, api, bucket, lambda: show([upload.as_json() for upload in uploads]))
    finally:
        records = [upload.as_json() for upload in uploads]
        if as_json:
            display.show_json({"documents": records})
        elif records:
            display.show_documents(records)
    if failed := [upload for upload in uploads if upload.failure is not None]:
        raise Failure(f"{len(failed)} of {len(uploads)} files were not uploaded; the first: {failed[0].failure}")
    if any(upload.record.get("status") in (Status.REJECTED, Status.FAILED, Status.EMPTY) for upload in uploads):
        raise typer.Exit(ExitCode.NOT_INDEXED)


@app.command(cls=ConnectedCommand, rich_help_panel=DOCUMENTS)
def ls(
    ctx: typer.Context,
    prefix: Annotated[str, argument("FOLDER/", "Only keys that begin with this, such as reports/2026/.")] = "",
    *,
    status_: Annotated[Status | None, option("STATUS", "Such as empty.", "--status", case_sensitive=False)] = None,
    sort: Annotated[
        Literal["key", "date", "size", "status"], typer.Option(help="Newest and largest come first.")
    ] = "key",
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """List documents with status, pages, size and date."""
    collection = collection_of(prefix) if prefix.find("/") > 0 else None
    listed = Api(ctx.obj, timeout).documents(collection=collection, status=status_)
    records = [record for record in listed if record["document"].startswith(prefix)]
    field = {"key": "document", "date": "updated_at"}.get(sort, sort)
    records.sort(key=lambda record: record.get(field) or 0, reverse=sort in {"date", "size"})
    if as_json:
        display.show_json({"documents": records})
    elif records:
        display.show_documents(records)
    else:
        display.say("no documents match; `docwell put FILE.pdf` uploads one", err=True)


@app.command(cls=ConnectedCommand, rich_help_panel=DOCUMENTS)
def status(
    ctx: typer.Context,
    key: Annotated[str | None, argument("KEY", "Show this document in full.")] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until no document is PENDING.")] = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Count documents by status, and show the model host; or one document in full."""
    api = Api(ctx.obj, timeout)

    def read() -> list[Json]:
        if key is None:
            return api.documents()
        if (record := api.document(key)) is None:
            raise Failure(f"there is no document {key!r}; `docwell ls` lists the documents")
        return [record]

    records = read()
    if watch:
        with display.live_documents() as show:
            while any(map(display.is_pending, records)):
                show(records)
                time.sleep(_WATCH_S)
                records = read()
    if key is None:
        counts = Counter(record["status"] for record in records)
        shown: Json = {"documents": len(records), **counts, "model_host": api.model_host()}
    else:
        shown = records[0]
    if as_json:
        display.show_json(shown)
    else:
        at, status = shown.get("updated_at"), {"status": display.status_of(shown)} if key else {}
        display.show_fields(shown | status | ({"updated_at": display.local_time(at)} if at else {}))


@app.command(cls=ConnectedCommand, rich_help_panel=DOCUMENTS)
def rm(
    ctx: typer.Context,
    names: Annotated[list[str], argument("KEY|FOLDER/...", "Keys, or folders with a slash.")],
    *,
    yes: YesFlag = False,
    waiting: WaitFlag = True,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Remove documents and folders, and wait until no answer uses them."""
    bucket, api = _connect(ctx.obj, timeout, waiting=waiting)
    keys: dict[str, None] = {}
    for name in names:
        is_key = not name.endswith("/") and bucket.version(name)
        below = [name] if is_key else [stored.key for stored in bucket.below(name.rstrip("/") + "/")]
        if not below:
            raise Failure(f"not in the bucket: {name}; nothing was removed. `docwell ls` lists the documents")
        keys |= dict.fromkeys(below)
    more = f" and {len(keys) - 1:,} more" if keys.keys() - {next(iter(keys))} else ""
    confirm(f"Remove {next(iter(keys))}{more}?", yes=yes)
    for key in keys:
        bucket.delete(key)
        display.say(f"removed {key}")
    if api:
        _finish([Upload(Path(key), key, 0, version=_REMOVED) for key in keys], bucket, api, as_json=False)


@app.command(cls=ConnectedCommand, rich_help_panel=DOCUMENTS)
def sync(
    ctx: typer.Context,
    folder: Annotated[Path, argument("FOLDER", "The folder to upload.", exists=True, file_okay=False)],
    *,
    collection: Annotated[str | None, option("NAME", "Folder of the bucket.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove documents whose file is gone.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="List and compare every 5 seconds.")] = False,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    waiting: WaitFlag = True,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Upload the new and changed files of a folder, again and again if you like.

    Takes the files that `docwell put` takes. --delete removes only what sync put. After a kill, run it again.
    """
    bucket, api = _connect(ctx.obj, timeout, waiting=waiting and not dry_run and not watch)
    prefix = f"{collection.strip('/')}/" if collection else ""
    while True:
        try:
            uploads, removals = _changes(folder, prefix, bucket, delete=delete, store=not dry_run)
            changes = [f"{'upload' if change.mark else 'remove'} {change.key}" for change in (*uploads, *removals)]
            if not watch or changes:
                display.say("\n".join([*changes, f"{len(uploads):,} to upload, {len(removals):,} to remove"]))
            if not dry_run:
                _upload(uploads, bucket)
                if removals:
                    confirm(f"Remove {len(removals):,} documents whose file is gone?", yes=yes)
                for removal in removals:
                    bucket.delete(removal.key)
                _finish([*uploads, *removals], bucket, api, as_json=False)
        except Failure as failure:
            if not watch:
                raise
            display.show_failure(failure)
        if not watch:
            return
        time.sleep(_WATCH_S)


@plain_failures("cannot sync the folder")
def _changes(
    folder: Path, prefix: str, bucket: Bucket, *, delete: bool, store: bool
) -> tuple[list[Upload], list[Upload]]:
    """Return the files to upload, and with `delete` the documents to remove.

    The metadata of an object names the folder that put it, with the collection, and the file's checksum. There is
    no other state: after a kill, the next run compares folder and bucket again.
    """
    id_ = sha256((id_of(folder, store=store) + prefix).encode()).hexdigest()[:16]
    here = {prefix + name: file for file, name in files_of(folder, [])}
    there = {stored.key: stored for stored in bucket.below(prefix)}
    uploads: list[Upload] = []
    for key, file in here.items():
        checksum, stored = checksum_of(file), there.get(key)
        # S3's ETag of a large or encrypted object is no checksum.
        if stored is None or (stored.etag.strip('"') != checksum and bucket.mark(key) != f"{id_}:{checksum}"):
            uploads.append(Upload(file, key, file.stat().st_size, mark=f"{id_}:{checksum}"))
    gone = sorted(there.keys() - here.keys()) if delete else []
    mine = [key for key in gone if bucket.mark(key).startswith(f"{id_}:")]
    return uploads, [Upload(folder / key, key, 0, version=_REMOVED) for key in mine]


@dataclass(slots=True)
class Upload:
    """A file and its key. `record` is the API's record of the upload; `failure` is why there is none."""

    path: Path
    key: str
    size: int
    version: str | None = None
    mark: str = ""
    record: Json = field(default_factory=dict)
    failure: str | None = None

    @property
    def done(self) -> bool:
        """Return whether the document has its final status, or was not uploaded."""
        return self.failure is not None or self.record.get("status") in FINAL

    def as_json(self) -> Json:
        """Return the API's record and the file's path."""
        record = self.record or {
            "document": self.key,
            "collection": collection_of(self.key),
            "status": Status.PENDING.value if self.failure is None else _NOT_UPLOADED,
            "version": self.version,
            "size": self.size,
        }
        reason = {} if self.record or self.failure is None else {"reason": self.failure}
        return {"file": str(self.path), **record, **reason}


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
                raise Failure(
                    f"{uploads[target].path} and {file} both get the key {target}: rename one, or put them one by"
                    " one with --key",
                    ExitCode.USAGE,
                )
            uploads[target] = Upload(file, target, file.stat().st_size)
    if not uploads:
        hint = f"docwell reads {' '.join(MEDIA_TYPES)}; --key NAME.txt uploads a file as text"
        raise Failure(f"no documents in {', '.join(map(str, paths))}: {hint}", ExitCode.USAGE)
    if omitted:
        hint = "hidden, ignored, or of a suffix that docwell does not read"
        display.say(f"docwell: left out {len(omitted)} files, such as {omitted[0]}: {hint}", err=True)
    return list(uploads.values())


def _upload(uploads: list[Upload], bucket: Bucket) -> None:
    with display.progress("uploading", sum(upload.size for upload in uploads), size=True) as advance:
        in_a_row = 0
        for upload in uploads:
            if in_a_row == _FAILURES_IN_A_ROW:
                upload.failure = f"not tried after {in_a_row} failures in a row"
                continue
            try:
                upload.version = bucket.upload(upload.path, upload.key, advance, upload.mark)
                in_a_row = 0
            except Failure as failure:
                upload.failure = failure.detail
                in_a_row += 1


def _wait(uploads: Sequence[Upload], api: Api, bucket: Bucket, on_change: Callable[[], None]) -> None:
    """Request the records of some unfinished uploads in turn, until each has its final status.

    Raises `Failure` after a time without progress.
    """
    moved, failures, idle = time.monotonic(), 0, _PAUSE_S
    pending = deque(upload for upload in uploads if not upload.done)
    while pending:
        before, pause = [upload.record for upload in uploads], max(idle, _PAUSE_S * min(len(pending), _AT_ONCE))
        try:
            for upload in list(pending)[:_AT_ONCE]:
                _settle(upload, api, bucket)
                pending.rotate(-1)
            failures = 0
        except Busy as error:
            pause = error.retry_after or _BUSY_S
            if pause > _STALL_S:
                raise
        except Failure:
            failures += 1
            if failures > _FAILURES_ALLOWED:
                raise
        on_change()
        pending = deque(upload for upload in pending if not upload.done)
        now, idle = time.monotonic(), min(idle * _PAUSE_GROWTH, _LONGEST_PAUSE_S)
        if before != [upload.record for upload in uploads]:
            moved, idle = now, _PAUSE_S
        # With many documents, it can take long until the one that changes is requested.
        elif now - moved > max(_STALL_S, len(pending) * _PAUSE_S):
            raise Failure(
                f"no progress for {now - moved:.0f} s; {len(pending)} of {len(uploads)} documents are"
                f" not finished (the first: {pending[0].key}); `docwell status --watch` follows them"
            )
        if pending:
            time.sleep(pause)


def _settle(upload: Upload, api: Api, bucket: Bucket) -> None:
    """Store the record of the uploaded version, or follow the version that replaced it meanwhile."""
    record = api.document(upload.key) or {}
    if record.get("version") == upload.version:
        upload.record = record
    elif not record or record.get("status") in FINAL:
        # The record is of an older version, which ingest will replace, or of a newer one: another client uploaded
        # or deleted the key meanwhile. Wait for the current version. A key that was deleted before ingest read it
        # has no record.
        current = bucket.version(upload.key)
        if current is not None:
            upload.version = current
        elif not record or record.get("status") == Status.DELETED:
            upload.record = record or {"document": upload.key, "status": Status.DELETED.value}
