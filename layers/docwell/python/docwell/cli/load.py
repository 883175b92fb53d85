"""`docwell load`: copy documents from another S3 bucket into docwell, up to millions.

A load stores only the list of skipped objects: after a restart, it skips the documents that it has copied. The
gate keeps the ingest queue short, so that other uploads do not wait behind the load.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.cli import display
from docwell.cli.command import OPERATE, Commands, DryRunFlag, JsonFlag, YesFlag, confirm
from docwell.cli.remote import aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings, argument, option
from docwell.errors import DocwellError

if TYPE_CHECKING:
    from docwell.adapters.bucket_copy import Load, Route

# A store that is down for a minute must not end a load of days. The mode has no quota that the threads share.
_RETRIES = {"mode": "legacy", "total_max_attempts": 9}
app = Commands(OPERATE)


@app.command()
def load(
    ctx: typer.Context,
    source: Annotated[str, argument("s3://BUCKET/PREFIX", "Where the documents are.")],
    *,
    collection: Annotated[str | None, option("NAME", "Folder of the bucket. Without it, keys stay.")] = None,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    queue_limit: Annotated[int, option("COUNT", "Pause while this many messages wait for ingest.", min=1)] = 200,
    as_json: JsonFlag = False,
) -> None:
    """Load the documents below a prefix of another bucket.

    S3 copies them into the documents bucket. `docwell reconcile` indexes documents that lie there already.
    First counts the documents, and asks. Documents that are loaded and unchanged are skipped.
    After Ctrl-C, the same command goes on. Exit status 3 when objects were left out; a file lists them.
    Needs s3:ListBucket on both buckets, GetObject and GetObjectTagging on the source, PutObject and
    PutObjectTagging on the documents bucket, and sqs:GetQueueAttributes.
    """
    route = _route(source, ctx.obj.need("bucket"), collection)
    work = _work(ctx.obj, route, queue_limit)
    with plain_failures("cannot list the documents"), display.progress("listing", None) as step:
        survey = work.survey(step)
    if not (dry_run and as_json):
        display.show_fields(vars(survey), err=not dry_run)
    if not dry_run:
        confirm("Load these documents?", yes=yes)
        omissions = Path(f"docwell-load-{route.id}.left-out.jsonl")
        try:
            with display.progress("loading", survey.documents) as step, plain_failures("cannot load"):
                work.run(omissions, step)
        except (KeyboardInterrupt, DocwellError) as error:
            place = f"stopped at {work.loaded:,} of {survey.documents:,} documents: {error}".rstrip(": ")
            raise Failure(f"{place}; the same command goes on: it skips what is loaded") from None
        survey.left_out = Counter(omission.reason for omission in work.omissions)
    if as_json:
        display.show_json(vars(survey) if dry_run else {**vars(survey), "loaded": work.loaded})
    elif not dry_run:
        display.say(f"documents loaded: {work.loaded:,}; loaded already: {survey.unchanged:,}", "bold")
        if survey.left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(survey.left_out.items()))
            display.say(f"left out: {reasons}; listed in {omissions}", "yellow")
        display.say("`docwell status` counts them", err=True)
    if work.omissions:
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _route(source: str, bucket: str, collection: str | None) -> Route:
    """Return the route of the documents. Raises `Failure` (usage)."""
    from docwell.adapters.bucket_copy import Route

    match = re.fullmatch(r"s3://([^/]+)/?(.*)", source, re.DOTALL)
    if not match:
        raise Failure(f"{source!r} is no address like s3://BUCKET/PREFIX", ExitCode.USAGE)
    if match[1] == bucket:
        message = f"{bucket} is the documents bucket: `docwell reconcile` indexes its documents"
        raise Failure(message, ExitCode.USAGE)
    return Route(match[1], match[2], bucket, (collection or "").strip("/"))


def _work(settings: Settings, route: Route, queue_limit: int) -> Load:
    from docwell.adapters.bucket_copy import WORKERS, Load, QueueGate
    from docwell.adapters.s3 import S3Listing
    from docwell.adapters.sqs import SqsTaskQueue

    s3 = s3_client(settings, max_pool_connections=WORKERS, retries=_RETRIES)
    sqs = aws_client(settings, "sqs", retries=_RETRIES)
    name = settings.need("queue")
    with plain_failures(f"cannot use queue {name}"):
        queue = SqsTaskQueue(sqs, queue_url(sqs, name))
    source = S3Listing(s3, route.source, route.prefix)
    target = S3Listing(s3, route.target, route.key(route.prefix))
    return Load(route, source, target, QueueGate(queue.waiting, queue_limit))
