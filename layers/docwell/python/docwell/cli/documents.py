"""`docwell put | status | rm`: upload documents, follow them, remove them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.remote import Api, Bucket, Json
from docwell.cli.settings import Busy, ExitCode, Failure
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
# The pause for each request, which grows by the factor while nothing changes. The firewall allows an address 600
# requests in 300 s (infra/firewall.yaml).
_PAUSE_S, _PAUSE_GROWTH, _LONGEST_PAUSE_S = 0.6, 1.5, 5.0
# The failed rounds to allow in a row: a restart of the gateway must not end a long wait.
_FAILURES_ALLOWED = 5
# The pause for a busy server that states no time to retry.
_BUSY_S = 20.0

app = group()


@app.command(cls=ConnectedCommand)
def put(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER...", exists=True, help="Documents, or folders of documents."),
    ],
    *,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "--prefix",
            metavar="NAME",
            help="Folder of the bucket, such as reports or reports/2026.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Whole key of a single file, such as reports/q3.pdf.")
    ] = None,
    waiting: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until each document has its final status.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Upload documents and wait until they can be asked about.

    A file's key is its name, or for a file of a folder its path below that folder. The first folder of a key is
    the document's collection. Exit status 3 when a document ended REJECTED, FAILED or EMPTY, and 1 when a file
    could not be uploaded; the other files are.
    """
    uploads = _plan(paths, prefix, key)
    bucket = Bucket(ctx.obj)
    api = Api(ctx.obj, 30.0) if waiting else None
    if api:
        api.check()
    _upload(uploads, bucket)
    try:
        if api:
            with display.live_documents() as show:
                _wait(uploads, api, bucket, lambda: show([upload.as_json() for upload in uploads]))
    finally:
        records = [upload.as_json() for upload in uploads]
        if as_json:
            display.show_json({"documents": records})
        else:
            display.show_documents(records)
    _fail_unless_indexed(uploads)


def _fail_unless_indexed(uploads: Sequence[Upload]) -> None:
    if failed := [upload for upload in uploads if upload.failure is not None]:
        raise Failure(f"{len(failed)} of {len(uploads)} files were not uploaded; the first: {failed[0].failure}")
    if any(upload.record.get("status") in (Status.REJECTED, Status.FAILED, Status.EMPTY) for upload in uploads):
        raise typer.Exit(ExitCode.NOT_INDEXED)


@app.command(cls=ConnectedCommand)
def status(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Show this document in full.")] = None,
    *,
    collection: Annotated[str | None, typer.Option(metavar="NAME", help="Only this collection.")] = None,
    status_: Annotated[
        Status | None, typer.Option("--status", case_sensitive=False, help="Only documents with this status.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until no document is PENDING.")] = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Show the status of documents, and why one was not indexed; without KEY also that of the model host."""
    api = Api(ctx.obj, timeout)
    model_host = api.model_host() if key is None and not as_json else None

    def read() -> list[Json]:
        if key is None:
            return api.documents(collection=collection, status=status_)
        if (record := api.document(key)) is None:
            raise Failure(f"there is no document {key!r}; `docwell status` lists the documents")
        return [record]

    records = read()
    if watch:
        with display.live_documents() as show:
            while any(map(display.is_pending, records)):
                show(records)
                time.sleep(_WATCH_S)
                records = read()
    if as_json:
        display.show_json(records[0] if key is not None else {"documents": records})
    elif key is not None:
        updated = records[0].pop("updated_at", None)
        times = {"updated": display.local_time(updated)} if updated else {}
        display.show_fields(records[0] | {"status": display.status_of(records[0])} | times)
    elif records:
        display.show_documents(records)
    else:
        display.say("no documents match; `docwell put FILE.pdf` uploads one", err=True)
    if model_host:
        display.say(f"model host: {model_host}")


@app.command(cls=ConnectedCommand)
def rm(
    ctx: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of the documents to remove.")],
) -> None:
    """Remove documents from the bucket. Ingest then removes them from the index."""
    bucket = Bucket(ctx.obj)
    missing = [key for key in keys if bucket.version(key) is None]
    if missing:
        raise Failure(
            f"not in the bucket: {', '.join(missing)}; nothing was removed. `docwell status` lists the documents"
        )
    for key in keys:
        bucket.delete(key)
        display.say(f"removed {key}")


@dataclass(slots=True)
class Upload:
    """One file and its key. `record` is the API's record of the upload; `failure` is why there is none."""

    path: Path
    key: str
    size: int
    version: str | None = None
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
    """Return the files to upload with their keys. Raises `Failure` (usage) if two files get the same key.

    Take only a folder's visible files with a readable suffix, and print the others.
    """
    if key is not None and (len(paths) != 1 or paths[0].is_dir() or prefix):
        raise Failure("--key takes exactly one file and no --collection", ExitCode.USAGE)
    folder = (prefix or "").strip("/")
    uploads: dict[str, Upload] = {}
    for file, name in [pair for path in paths for pair in _files(path)]:
        target = key if key is not None else f"{folder}/{name}" if folder else name
        try:
            target.encode()
        except UnicodeEncodeError:
            raise Failure(f"the name {name!r} is not UTF-8: give --key", ExitCode.USAGE) from None
        if target in uploads:
            raise Failure(
                f"{uploads[target].path} and {file} both get the key {target}: rename one, or put them one by one"
                " with --key",
                ExitCode.USAGE,
            )
        uploads[target] = Upload(file, target, file.stat().st_size)
    return list(uploads.values())


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a file, or the documents of a folder, each with its path below the folder."""
    if not path.is_dir():
        yield path, path.name
        return
    documents: list[Path] = []
    omitted: list[Path] = []
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        # Files in hidden folders, such as .git and .venv, count as hidden too.
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        (omitted if hidden or file.suffix.lower() not in MEDIA_TYPES else documents).append(file)
    if not documents:
        raise Failure(f"no documents in {path}: name a file or another folder", ExitCode.USAGE)
    if omitted:
        hint = "a folder's hidden files and other kinds; name a file to upload it"
        display.say(f"docwell: left out {len(omitted)} files, such as {omitted[0]}: {hint}", err=True)
    yield from ((file, file.relative_to(path).as_posix()) for file in documents)


def _upload(uploads: list[Upload], bucket: Bucket) -> None:
    with display.progress("uploading", sum(upload.size for upload in uploads), size=True) as advance:
        in_a_row = 0
        for upload in uploads:
            if in_a_row == _FAILURES_IN_A_ROW:
                upload.failure = f"not tried after {in_a_row} failures in a row"
                continue
            try:
                upload.version = bucket.upload(upload.path, upload.key, advance)
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
