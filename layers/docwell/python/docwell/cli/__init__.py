"""`docwell put`, `ask`, `status` and the rest (`docwell --help`): a thin client.

No function imports it. Standard output has the result (with `--json` one JSON document and nothing else);
progress, warnings and errors go to standard error.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version as installed_version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from docwell.answers import AnswerStatus
from docwell.cli import display, filters, principals, prompts, receipts
from docwell.cli.command import DryRunFlag, JsonFlag, TimeoutOption, connected, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.operations import DeadLetters, ReconcileFunction, known_documents
from docwell.cli.remote import Api, Bucket, Json
from docwell.cli.settings import Settings
from docwell.cli.uploads import Upload, looks_like_pdf, plan, wait
from docwell.models import Status

_WATCH_S = 2.0

app = group()
# Each file of commands registers itself in one line.
app.add_typer(principals.app, name="principals")
app.add_typer(prompts.app, name="prompts")
app.add_typer(receipts.app)

FunctionOption = Annotated[
    str | None, typer.Option(envvar="DOCWELL_RECONCILE_FUNCTION", help="Name of the reconcile function.")
]


@app.callback()
def main() -> None:
    """Drop PDFs into a bucket, ask questions, get answers that cite the page.

    Where things are comes from flags, else the environment (DOCWELL_ENDPOINT, DOCWELL_BUCKET,
    DOCWELL_API_KEY, AWS_*), else docwell.toml here or ~/.config/docwell/config.toml (--profile picks one of
    its profiles), else a stack that runs on this machine (make up), found from its folder or any below it.

    \b
    Exit status:
      0  done
      1  error: cannot reach it, or the server says no
      2  wrong usage or settings
      3  put: a document ended REJECTED, FAILED or EMPTY
      4  ask: the documents do not answer the question
    """  # noqa: D301 - the backspace keeps typer from folding the list
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that lacks a character shows its code instead of ending the program.
            stream.reconfigure(errors="backslashreplace")


@app.command()
@connected
def put(
    settings: Settings,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER...", exists=True, help="PDFs; of a folder all *.pdf below it."),
    ],
    *,
    prefix: Annotated[
        str | None,
        typer.Option("--collection", "--prefix", metavar="NAME", help="Folder of the bucket to put them in."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The whole key, for a single file.")] = None,
    waiting: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until each document has its final status.")
    ] = True,
    stall: Annotated[
        float, typer.Option(min=1, help="Give up when nothing has moved for this many seconds.")
    ] = 300.0,
    as_json: JsonFlag = False,
) -> None:
    """Upload PDFs and wait until they can be asked about.

    A file goes under its name, a file of a folder under its path below that folder. The first folder
    of a key is the document's collection. Exit status 3 when a document ended REJECTED, FAILED or EMPTY.
    """
    uploads = plan(paths, prefix, key)
    for upload in uploads:
        if not looks_like_pdf(upload.path):
            typer.echo(f"docwell: {display.clean(upload.path)} does not look like a PDF", err=True)
    bucket = Bucket(settings)
    api = Api(settings, 30.0) if waiting else None
    if api:
        api.check()
    _upload(uploads, bucket)
    if api:
        _follow(uploads, api, bucket, stall)
    records = [upload.as_json() for upload in uploads]
    if as_json:
        display.show_json({"documents": records})
    else:
        display.console().print(display.document_table(records))
    if any(record["status"] in (Status.REJECTED, Status.FAILED, Status.EMPTY) for record in records):
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _upload(uploads: list[Upload], bucket: Bucket) -> None:
    errors = display.console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=errors, disable=not errors.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("uploading", total=sum(upload.size for upload in uploads))
        for upload in uploads:
            bar.update(task, description=display.clean(upload.key))
            upload.version = bucket.upload(upload.path, upload.key, lambda count: bar.update(task, advance=count))


def _follow(uploads: list[Upload], api: Api, bucket: Bucket, stall_s: float) -> None:
    errors = display.console(stderr=True)
    if not errors.is_terminal:
        wait(uploads, api, bucket, stall_s, lambda: None)
        return
    with Live(console=errors, transient=True) as live:
        wait(
            uploads,
            api,
            bucket,
            stall_s,
            lambda: live.update(display.live_table([upload.as_json() for upload in uploads])),
        )


@app.command()
@connected
def ask(  # noqa: PLR0913 - each is a flag
    settings: Settings,
    question: Annotated[str, typer.Argument(help="The question, in quotation marks.")],
    *,
    collection: Annotated[
        list[str] | None, typer.Option(help="Ask only this collection; give it again for more.")
    ] = None,
    document: filters.DocumentOption = None,
    prefix: filters.PrefixOption = None,
    title: filters.TitleOption = None,
    author: filters.AuthorOption = None,
    day_from: filters.FromOption = None,
    day_to: filters.ToOption = None,
    tag: filters.TagOption = None,
    metadata: filters.MetadataOption = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="How many passages to look at.")] = None,
    streaming: Annotated[
        bool, typer.Option("--stream/--no-stream", help="In a terminal, show the answer while it is written.")
    ] = True,
    timeout: TimeoutOption = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask a question; the answer cites its pages. Exit status 4 when the documents do not answer it."""
    documents = document or []
    body: Json = {"question": question, "top_k": top_k}
    if len(documents) == 1:
        body["document"] = documents[0]
    body["filter"] = filters.filter_of(
        prefix=prefix,
        documents=documents if len(documents) > 1 else (),
        title=title,
        author=author,
        day_from=day_from,
        day_to=day_to,
        tags=tag or (),
        metadata=metadata or (),
    )
    if collection and len(collection) > 1:
        body["collections"] = collection
    elif collection:
        body["collection"] = collection[0]
    api, body = Api(settings, timeout), {name: value for name, value in body.items() if value is not None}
    live = streaming and not as_json and display.console().is_terminal
    answer = _while_written(api, body) if live else api.query(body)
    if as_json:
        display.show_json(answer)
    else:
        display.show_answer(answer)
    if answer.get("status") == AnswerStatus.REFUSED:
        raise typer.Exit(ExitCode.REFUSED)


def _while_written(api: Api, body: Json) -> Json:
    with display.growing_answer() as show:
        for name, data in api.stream_query(body):
            if name == "token":
                show(str(data.get("text", "")))
            elif name == "answer":
                return data
    raise Failure("there was no answer")  # `stream_query` ends with one, or raises


@app.command()
@connected
def status(
    settings: Settings,
    key: Annotated[str | None, typer.Argument(help="One document, with all that is known of it.")] = None,
    *,
    collection: Annotated[str | None, typer.Option(help="Only this collection.")] = None,
    wanted: Annotated[
        Status | None, typer.Option("--status", case_sensitive=False, help="Only this status.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until no document is PENDING.")] = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Show where documents stand: PENDING, INDEXED, EMPTY, REJECTED, FAILED or DELETED, and why."""
    api = Api(settings, timeout)

    def look() -> list[Json]:
        if key is None:
            return api.documents(collection, wanted)
        record = api.document(key)
        if record is None:
            raise Failure(f"there is no document {key!r}")
        return [record]

    records = look()
    errors = display.console(stderr=True)
    with Live(console=errors, transient=True) if watch and errors.is_terminal else nullcontext() as live:
        while watch and any(record.get("status") == Status.PENDING for record in records):
            if live:
                live.update(display.live_table(records))
            time.sleep(_WATCH_S)
            records = look()
    if as_json:
        display.show_json(records[0] if key is not None else {"documents": records})
    elif key is not None:
        display.console().print(display.document_details(records[0]))
    elif records:
        display.console().print(display.document_table(records))
    else:
        typer.echo("no documents", err=True)


@app.command()
@connected
def rm(
    settings: Settings,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Documents to remove.")],
) -> None:
    """Remove documents from the bucket; their content leaves the index by itself."""
    bucket = Bucket(settings)
    missing = [key for key in keys if bucket.version(key) is None]
    if missing:
        raise Failure(f"not in the bucket, so nothing was removed: {', '.join(missing)}")
    for key in keys:
        bucket.delete(key)
        typer.echo(f"removed {display.clean(key)}")


@app.command()
@connected
def redrive(
    settings: Settings,
    *,
    key: Annotated[str | None, typer.Option(help="Only the messages of this document.")] = None,
    dry_run: DryRunFlag = False,
    queue: Annotated[
        str | None, typer.Option(envvar="DOCWELL_QUEUE", help="The ingest queue: its name or its address.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the messages that ingest has given up, and give them back to it."""
    letters = DeadLetters(replace(settings, queue=queue or settings.queue)).redrive(key, dry_run=dry_run)
    known = known_documents(settings, letters)
    rows = [letter.as_json(known.get(letter.key or "")) for letter in letters]
    if as_json:
        display.show_json({"messages": rows, "redriven": sum(letter.redriven for letter in letters)})
    elif rows:
        display.console().print(display.dead_letter_table(rows))
    else:
        typer.echo("no messages are waiting to be redriven", err=True)


@app.command()
@connected
def reconcile(
    settings: Settings,
    *,
    dry_run: DryRunFlag = False,
    force: Annotated[bool, typer.Option("--force", help="Begin even while many messages wait.")] = False,
    function: FunctionOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare bucket, ledger and index; what differs is mended by ingest, and listed here."""
    event: Json = {"action": "reconcile", "dry_run": dry_run, "force": force}
    answer = _function(settings, function).to_the_end(event, "complete")
    if as_json:
        display.show_json(answer)
    else:
        display.show_reconcile(answer)
    if not answer.get("complete"):
        raise typer.Exit(ExitCode.ERROR)


@app.command()
@connected
def reindex(  # noqa: PLR0913 - each is a flag
    settings: Settings,
    *,
    start: Annotated[bool, typer.Option("--start", help="Build the index of the next pipeline.")] = False,
    status: Annotated[bool, typer.Option("--status", help="How far it is; this is what no flag means.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Answer from it, and remove the old one.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Remove what was built of it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Switch although it is not complete.")] = False,
    function: FunctionOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Change to another embedding model or chunk size: a new index is built while the old one answers."""
    flags = {"start": start, "status": status, "switch": switch, "abort": abort}
    steps = [name for name, given in flags.items() if given] or ["status"]
    if len(steps) > 1:
        raise Failure("give one of --start, --status, --switch and --abort", ExitCode.USAGE)
    event: Json = {"action": "reindex", "step": steps[0], "force": force}
    call = _function(settings, function)
    answer = call.to_the_end(event, "all_hinted") if start else call(event)
    if as_json:
        display.show_json(answer)
    else:
        display.show_reindex(answer)
    if answer.get("switched") is False:
        raise typer.Exit(ExitCode.ERROR)


def _function(settings: Settings, name: str | None) -> ReconcileFunction:
    return ReconcileFunction(replace(settings, reconcile_function=name or settings.reconcile_function))


@app.command()
def version() -> None:
    """Print the version of docwell."""
    typer.echo(f"docwell {installed_version('docwell')}")
