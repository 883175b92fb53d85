"""`docwell put | status | rm`: upload documents, follow them, remove them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Api, Bucket, Json
from docwell.cli.uploads import Upload, left_out, looks_readable, plan, wait
from docwell.models import Status

# The list of documents is charged against the daily quota, unlike a single one.
_WATCH_S = 5.0
# A bucket that cannot be reached fails each upload after 30 s.
_FAILURES_IN_A_ROW = 5
_NOT_INDEXED = (Status.REJECTED, Status.FAILED, Status.EMPTY)

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
    stall: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Give up after this many seconds without any progress.")
    ] = 300.0,
    as_json: JsonFlag = False,
) -> None:
    """Upload documents and wait until they can be asked about.

    A file goes under its name, a file of a folder under its path below that folder. The first folder
    of a key is the document's collection. Exit status 3 when a document ended REJECTED, FAILED or EMPTY, and 1
    when a file could not be uploaded; the other files are.
    """
    uploads = _planned(paths, prefix, key)
    bucket = Bucket(ctx.obj)
    api = Api(ctx.obj, 30.0) if waiting else None
    if api:
        api.check()
    _upload(uploads, bucket)
    try:
        if api:
            with display.live_documents() as show:
                wait(uploads, api, bucket, stall, lambda: show([upload.as_json() for upload in uploads]))
    finally:
        records = [upload.as_json() for upload in uploads]
        if as_json:
            display.show_json({"documents": records})
        else:
            display.console().print(display.document_table(records))
    _fail_unless_indexed(uploads)


def _planned(paths: list[Path], prefix: str | None, key: str | None) -> list[Upload]:
    """Return the files to upload, and say which files of the folders are left out."""
    uploads = plan(paths, prefix, key)
    for line in left_out(paths):
        display.echo(f"docwell: {line}", err=True)
    return uploads


def _fail_unless_indexed(uploads: list[Upload]) -> None:
    if failed := [upload for upload in uploads if upload.failure is not None]:
        raise Failure(f"{len(failed)} of {len(uploads)} files were not uploaded; the first: {failed[0].failure}")
    if any(upload.as_json()["status"] in _NOT_INDEXED for upload in uploads):
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _upload(uploads: list[Upload], bucket: Bucket) -> None:
    for upload in uploads:
        try:
            if not looks_readable(upload.path):
                display.echo(f"docwell: {upload.path} does not look like a document that docwell reads", err=True)
        except Failure as failure:
            upload.failure = failure.detail
    with display.upload_progress(sum(upload.size for upload in uploads)) as advance:
        in_a_row = 0
        for upload in [one for one in uploads if one.failure is None]:
            if in_a_row == _FAILURES_IN_A_ROW:
                upload.failure = f"not tried after {in_a_row} failures in a row"
                continue
            try:
                upload.version = bucket.upload(upload.path, upload.key, partial(advance, upload.key))
                in_a_row = 0
            except Failure as failure:
                upload.failure = failure.detail
                in_a_row += 1


@app.command(cls=ConnectedCommand)
def status(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Show this document in full.")] = None,
    *,
    collection: Annotated[str | None, typer.Option(metavar="NAME", help="Only this collection.")] = None,
    wanted: Annotated[
        Status | None, typer.Option("--status", case_sensitive=False, help="Only documents with this status.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until no document is PENDING.")] = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Show the status of documents, and why one was not indexed; without KEY also that of the model host."""
    api = Api(ctx.obj, timeout)
    model_host = api.model_host() if key is None and not as_json else None
    records = _records(api, key, collection, wanted)
    if watch:
        with display.live_documents() as show:
            while any(record.get("status") == Status.PENDING for record in records):
                show(records)
                time.sleep(_WATCH_S)
                records = _records(api, key, collection, wanted)
    if as_json:
        display.show_json(records[0] if key is not None else {"documents": records})
    elif key is not None:
        display.console().print(_details(records[0]))
    elif records:
        display.console().print(display.document_table(records))
    else:
        display.echo("no documents match; `docwell put FILE.pdf` uploads one", err=True)
    if model_host:
        display.echo(f"model host: {model_host}")


def _details(record: Json) -> Table:
    details = record | {"status": display.status_of(record)}
    if updated := details.pop("updated_at", None):
        details["updated"] = display.local_time(updated)
    return display.field_table(details)


def _records(api: Api, key: str | None, collection: str | None, wanted: Status | None) -> list[Json]:
    if key is None:
        return api.documents(collection, wanted)
    record = api.document(key)
    if record is None:
        raise Failure(f"there is no document {key!r}; `docwell status` lists the documents")
    return [record]


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
        display.echo(f"removed {key}")
