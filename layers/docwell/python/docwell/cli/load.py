"""`docwell load`: bring documents that lie in S3 into docwell, up to millions, with pause and resume."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, QueueOption, YesFlag, group
from docwell.cli.loading import Load, LoadState, Paused, QueueGate, Route, partitions
from docwell.cli.remote import aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings
from docwell.errors import DocwellError

# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
_WORKERS = 32
# More partitions than threads: one with slow documents does not hold up the end.
_PARTITIONS = 4 * _WORKERS
_LINE_EVERY_S = 60.0

LongestWaitOption = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="How long other uploads may wait behind the load.")
]
MaxBytesOption = Annotated[
    int,
    typer.Option(
        envvar="DOCWELL_MAX_DOCUMENT_BYTES",
        min=1,
        metavar="BYTES",
        help="Leave out larger objects, as ingest does.",
    ),
]

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
    longest_wait: LongestWaitOption = 30.0,
    max_bytes: MaxBytesOption = 512 * 1024 * 1024,  # ingest's default
    queue: QueueOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Load the documents below a prefix of another bucket.

    S3 copies them into the documents bucket. `docwell reconcile` indexes documents that lie there already.
    First counts the documents, and asks. Documents that are loaded and unchanged are skipped.
    Ctrl-C pauses, and the same command goes on. Exit status 3 when objects were left out; a file lists them.
    Needs s3:ListBucket on both buckets, GetObject and GetObjectTagging on the source, PutObject and
    PutObjectTagging on the documents bucket, and sqs:GetQueueAttributes.
    """
    settings: Settings = ctx.obj.override(queue=queue)
    state = LoadState.read(_route(source, settings.need("bucket"), collection), Path())
    work = _work(settings, state, longest_wait, max_bytes)
    if dry_run or not state.partitions:
        with plain_failures("cannot list the documents"), display.progress("listing", None) as step:
            survey = work.survey(step)
        counts = {name: getattr(survey, name) for name in ("documents", "bytes", "unchanged", "left_out")}
        if dry_run and as_json:
            display.show_json(counts)
        else:
            lines = counts | {"left_out": _reasons(survey.left_out)}
            for name, value in lines.items():
                display.echo(f"{name.replace('_', ' '):10} {value}", err=not dry_run)
        if dry_run:
            return
        if not yes:
            typer.confirm("Load these documents?", abort=True, err=True)
        state.documents, state.bytes = survey.documents, survey.bytes
        state.partitions = partitions(survey.pages, _PARTITIONS)
    else:
        display.echo(f"docwell: going on with {state.path}: {_counts(state)}", err=True)
    _run(work)
    _show(state, as_json=as_json)
    if state.left_out:
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _route(source: str, bucket: str, collection: str | None) -> Route:
    """Return the way of the documents. Raises `Failure` (usage)."""
    match = re.fullmatch(r"s3://([^/]+)/?(.*)", source, re.DOTALL)
    if not match:
        raise Failure(f"{source!r} is no address like s3://BUCKET/PREFIX", ExitCode.USAGE)
    if match[1] == bucket:
        raise Failure(
            f"{bucket} is the documents bucket: `docwell reconcile` indexes its documents", ExitCode.USAGE
        )
    return Route(match[1], match[2], bucket, (collection or "").strip("/"))


def _work(settings: Settings, state: LoadState, longest_wait_s: float, max_bytes: int) -> Load:
    from docwell.adapters.s3 import S3Copier, S3Listing
    from docwell.adapters.sqs import SqsTaskQueue

    s3 = s3_client(settings, max_pool_connections=_WORKERS)
    sqs = aws_client(settings, "sqs")
    name = settings.need("queue")
    with plain_failures(f"cannot use queue {name}"):
        queue = SqsTaskQueue(sqs, queue_url(sqs, name))
    route = state.route
    source, target = S3Listing(s3, route.source, route.prefix), S3Listing(s3, route.target, route.target_prefix)
    gate = QueueGate(queue.waiting, longest_wait_s)
    return Load(source, target, S3Copier(s3, route.source, route.target), state, gate, max_bytes, _WORKERS)


def _run(work: Load) -> None:
    """Load, and say how to go on where that ends early. Raises `Failure`."""
    go_on = "what is done is stored; the same command, in this folder, goes on"
    try:
        with display.progress("loading", work.state.documents) as step, plain_failures("cannot load"):
            work.run(_reporter(work, step))
    except (KeyboardInterrupt, Paused):
        raise Failure(f"paused at {_counts(work.state)}: {go_on}") from None
    except DocwellError as error:
        raise Failure(f"stopped at {_counts(work.state)}: {error.detail}; {go_on}") from None


def _reporter(work: Load, step: Callable[[int], None]) -> Callable[[], None]:
    """Return a function that advances the bar of a terminal; elsewhere, as in a log, prints a line a minute."""
    state = work.state
    begun = printed = time.monotonic()
    before, shown = state.loaded, 0

    def report() -> None:
        nonlocal printed, shown
        loaded, now = state.loaded, time.monotonic()
        step(loaded - shown)
        shown = loaded
        if now - printed >= _LINE_EVERY_S and not display.is_watched(display.console(stderr=True)):
            printed = now
            pace = (loaded - before) / (now - begun)
            line = f"{_counts(state)}, {pace:.1f} a second; {work.gate.queued:,} messages wait"
            display.echo(line, err=True)

    return report


def _counts(state: LoadState) -> str:
    return f"{state.loaded:,} of {state.documents:,} documents"


def _show(state: LoadState, *, as_json: bool) -> None:
    if as_json:
        display.show_json(state.summary())
        return
    display.say(f"{state.loaded:,} documents loaded, {state.unchanged:,} were loaded already", "bold")
    if state.left_out:
        display.say(f"left out: {_reasons(state.left_out)}; listed in {state.omissions}", "yellow")
    display.echo("`docwell status --watch` follows them", err=True)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
