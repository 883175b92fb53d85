"""`docwell load`: bring documents that lie in S3 into docwell, up to millions, with pause and resume."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.loading.estimate import Estimate
from docwell.cli.loading.gate import Paused, QueueGate
from docwell.cli.loading.plan import Route, partitions
from docwell.cli.loading.state import LoadState
from docwell.cli.remote import Json, aws_client, plain_failures, queue_url, s3_client
from docwell.errors import DocwellError

if TYPE_CHECKING:
    from docwell.cli.loading.run import Load, Survey
    from docwell.cli.settings import Settings
    from docwell.query.costs import Prices

# A thread copies about 10 documents a second: together, as many as 570 ingest functions index at 20 pages each.
_WORKERS = 32
# More partitions than threads: one with slow documents does not hold up the end.
_PARTITIONS = 4 * _WORKERS
_HOURS_AT = (2, 8, 100, 1000)  # ingest functions
_LINE_EVERY_S = 60.0

CollectionOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Folder of the bucket, such as reports. Without it, keys stay the same."),
]
LongestWaitOption = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="How long other uploads may wait behind the load.")
]
PagesOption = Annotated[
    float | None, typer.Option(min=1, metavar="NUMBER", help="Pages of a document on average, if you know.")
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
QueueOption = Annotated[
    str | None, typer.Option(envvar="DOCWELL_QUEUE", metavar="NAME|URL", help="The ingest queue.")
]

app = group()


@app.command(cls=ConnectedCommand)
def load(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where the documents are.")],
    *,
    collection: CollectionOption = None,
    dry_run: DryRunFlag = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the load begins.")] = False,
    longest_wait: LongestWaitOption = 30.0,
    pages: PagesOption = None,
    max_bytes: MaxBytesOption = 512 * 1024 * 1024,  # ingest's default
    queue: QueueOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Load the documents below a prefix of any bucket.

    S3 copies them into the documents bucket. Of documents that lie there already, only the keys go to ingest.
    First shows documents, pages, hours and price, and asks. Documents that are loaded and unchanged are skipped.
    Ctrl-C pauses, and the same command goes on. Exit status 3 when objects were left out; a file lists them.
    Needs s3:ListBucket on both buckets, GetObject and GetObjectTagging on the source, PutObject and
    PutObjectTagging on the documents bucket, and sqs:GetQueueAttributes and SendMessage.
    """
    settings: Settings = ctx.obj.given(queue=queue)
    route = _route(source, settings.need("bucket"), collection)
    state = LoadState.read(route, Path())
    work = _work(settings, state, longest_wait, max_bytes)
    if dry_run:
        prices = _prices()
        _show_survey(_survey(work), pages, prices, as_json=as_json, err=False)
        return
    if state.partitions:
        display.echo(f"docwell: going on with {state.path}: {_progress(state)}", err=True)
    else:
        _begin(work, state, pages, ask=not yes)
    _run(work, state)
    _show(state, as_json=as_json)
    if state.left_out:
        raise typer.Exit(ExitCode.NOT_INDEXED)


def _route(source: str, bucket: str, collection: str | None) -> Route:
    """Return the way of the documents. Raises `Failure` (usage)."""
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", source, re.DOTALL)
    if not found:
        raise Failure(f"{source!r} is no address like s3://BUCKET/PREFIX", ExitCode.USAGE)
    route = Route(found[1], found[2], bucket, (collection or "").strip("/"))
    if route.folder and not route.copies:
        raise Failure("--collection: documents of the documents bucket stay where they are", ExitCode.USAGE)
    return route


def _work(settings: Settings, state: LoadState, longest_wait_s: float, max_bytes: int) -> Load:
    from docwell.adapters.s3 import S3Copier, S3Listing
    from docwell.adapters.sqs import SqsTaskQueue
    from docwell.cli.loading.run import Copies, Hints, Load, Way

    s3 = s3_client(settings, max_pool_connections=_WORKERS)
    sqs = aws_client(settings, "sqs")
    name = settings.need("queue")
    with plain_failures(f"cannot use queue {name}"):
        url = queue_url(sqs, name)
    queue = SqsTaskQueue(sqs, url)
    gate = QueueGate(queue.waiting, longest_wait_s)
    way: Way = Hints(queue, gate.stop)
    route = state.route
    if route.copies:
        target = S3Listing(s3, route.target, route.target_prefix)
        way = Copies(route, target, S3Copier(s3, route.source, route.target), max_bytes, gate.stop, state)
    return Load(S3Listing(s3, route.source, route.prefix), way, gate, _WORKERS)


def _survey(work: Load) -> Survey:
    with plain_failures("cannot list the documents"), display.counting("listing", None) as step:
        return work.survey(step)


def _begin(work: Load, state: LoadState, pages_each: float | None, *, ask: bool) -> None:
    """Show what there is to load, ask, and divide it into partitions."""
    prices = _prices()
    survey = _survey(work)
    _show_survey(survey, pages_each, prices, as_json=False, err=True)
    if ask:
        typer.confirm("Load these documents?", abort=True, err=True)
    state.documents, state.bytes = survey.documents, survey.bytes
    state.partitions = partitions(survey.pages, _PARTITIONS)


def _run(work: Load, state: LoadState) -> None:
    """Load, and say how to go on where that ends early. Raises `Failure`."""
    go_on = "what is done is stored; the same command, in this folder, goes on"
    progress = _Progress(state, work.gate)
    try:
        with display.counting("loading", state.documents) as step, plain_failures("cannot load"):
            work.run(state, lambda: progress.report(step))
    except (KeyboardInterrupt, Paused):
        raise Failure(f"paused at {_progress(state)}: {go_on}") from None
    except DocwellError as error:
        raise Failure(f"stopped at {_progress(state)}: {error.detail}; {go_on}") from None


class _Progress:
    """The bar of a terminal; elsewhere, such as in a log, a line each minute."""

    def __init__(self, state: LoadState, gate: QueueGate) -> None:
        self._state = state
        self._gate = gate
        self._begun = self._last = time.monotonic()
        self._before, self._shown = state.loaded, 0

    def report(self, step: Callable[[int], None]) -> None:
        """Advance the bar, or print the line if it is due."""
        loaded, now = self._state.loaded, time.monotonic()
        step(loaded - self._shown)
        self._shown = loaded
        if now - self._last >= _LINE_EVERY_S and not display.is_watched(display.console(stderr=True)):
            self._last = now
            pace = (loaded - self._before) / (now - self._begun)
            line = f"{_progress(self._state)}, {pace:.1f} a second; {self._gate.queued:,} messages wait"
            display.echo(line, err=True)


def _progress(state: LoadState) -> str:
    return f"{state.loaded:,} of {state.documents:,} documents"


def _prices() -> Prices:
    """Return the prices, before a listing takes minutes. Raises `Failure` (usage)."""
    from docwell.config import SettingsError
    from docwell.query.costs import load_prices

    own_file = os.environ.get("DOCWELL_PRICES")
    try:
        return load_prices(Path(own_file) if own_file else None)
    except SettingsError as error:
        raise Failure(str(error), ExitCode.USAGE) from None


def _show_survey(survey: Survey, pages_each: float | None, prices: Prices, *, as_json: bool, err: bool) -> None:
    estimate = Estimate.of(survey.documents, survey.bytes, pages_each, prices)
    hours = {workers: round(estimate.hours(workers), 2) for workers in _HOURS_AT}
    if as_json:
        found: Json = {name: getattr(survey, name) for name in ("documents", "bytes", "unchanged", "left_out")}
        display.show_json({**found, "estimate": {**asdict(estimate), "hours": hours}})
        return
    price = "unknown" if estimate.price is None else f"{estimate.price:,.2f} {estimate.currency}"
    rows = {
        "to load": f"{survey.documents:,} documents, {survey.bytes:,} bytes",
        "loaded already": f"{survey.unchanged:,}" if survey.unchanged else None,
        "left out": _reasons(survey.left_out),
        "pages, about": f"{estimate.pages:,}",
        "hours, about": ", ".join(f"{one:,.1f} at {workers:,} workers" for workers, one in hours.items()),
        "price, about": f"{price} for functions and requests, by {estimate.prices}",
    }
    for name, value in rows.items():
        if value:
            display.echo(f"{name:15} {value}", err=err)


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
