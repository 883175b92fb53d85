"""`docwell load`: bring documents that lie in S3 into docwell, up to millions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, YesFlag, group
from docwell.cli.loading import Load, Paused, QueueGate, Route
from docwell.cli.remote import aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings
from docwell.errors import DocwellError

# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
_WORKERS = 32
# More partitions than threads: one with slow documents does not hold up the end.
_PARTITIONS = 4 * _WORKERS

LongestWaitOption = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="How long other uploads may wait behind the load.")
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
    """Return the way of the documents. Raises `Failure` (usage)."""
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
    """Load, and say how to go on where that ends early. Raises `Failure`."""
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
