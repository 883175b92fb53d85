"""`docwell reconcile | reindex | restore | redrive`: an operator's repairs, with AWS credentials.

Each is safe to repeat, also after an interruption.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote_plus

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, group
from docwell.cli.remote import Api, Json, aws_client, plain_failures, queue_url, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef


# The longest timeout of a Lambda function.
_FUNCTION_TIMEOUT_S = 900
_RESTORED_KEYS_SHOWN = 20
# Long enough to receive the whole queue. The redrive makes messages that stay visible again at once.
_VISIBILITY_S = 300
# Messages that fail again return during the redrive; stop after this many more than the initial count.
_SLACK = 10

app = group()


@app.command(cls=ConnectedCommand)
def reconcile(
    ctx: typer.Context,
    *,
    dry_run: DryRunFlag = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start although many messages wait in the ingest queue.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare bucket, ledger and index, and repair differences.

    Lists each difference and sends the document to ingest.
    """
    settings: Settings = ctx.obj
    _reconcile(ReconcileFunction(settings), dry_run=dry_run, force=force, as_json=as_json)


@app.command(cls=ConnectedCommand)
def reindex(
    ctx: typer.Context,
    *,
    start: Annotated[bool, typer.Option("--start", help="Build the index of the next pipeline.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the progress. The default.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Use the new index and delete the old one.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Delete the new index.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Switch although the new index is incomplete.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Change the embedding model, the chunk size, OCR or the shards of the index.

    --start builds a new index while the old one answers; --switch then uses the new one.
    """
    flags = {"start": start, "status": status, "switch": switch, "abort": abort}
    steps = [name for name, flag in flags.items() if flag] or ["status"]
    if len(steps) > 1:
        raise Failure("give only one of --start, --status, --switch and --abort", ExitCode.USAGE)
    event: Json = {"action": "reindex", "step": steps[0], "force": force}
    call = ReconcileFunction(ctx.obj)
    answer = call.repeat(event, until="all_hinted") if start else call(event)
    if as_json:
        display.show_json(answer)
    else:
        hidden = ("found", "sent", "make_first_in_settings")
        display.show_fields({name: answer[name] for name in answer if name not in hidden})
        if answer.get("make_first_in_settings"):
            display.say(
                "next: make this pipeline the first in the settings (docs/operations.md, Re-index)", "yellow"
            )
        elif answer.get("switched") is False:
            display.say("not switched: the new index is incomplete; see `docwell reindex --status`", "yellow")
    if answer.get("switched") is False:
        raise typer.Exit(ExitCode.ERROR)


@app.command(cls=ConnectedCommand)
def restore(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="When the deletion began, as 2026-11-25T10:00; UTC without an offset."),
    ],
    *,
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="Only keys that begin with this.")] = "",
    dry_run: DryRunFlag = False,
) -> None:
    """Undelete the documents that were deleted since a time, then reconcile.

    Needs versions in the bucket, and s3:ListBucketVersions and s3:DeleteObjectVersion. Replaced documents keep
    their newest version.
    """
    from docwell.adapters.s3 import S3Versions

    try:
        begun = datetime.fromisoformat(since)
    except ValueError:
        raise Failure(f"--since {since!r} is no time like 2026-11-25T10:00", ExitCode.USAGE) from None
    begun = begun if begun.tzinfo else begun.replace(tzinfo=UTC)
    settings: Settings = ctx.obj
    versions = S3Versions(s3_client(settings), settings.need("bucket"))
    call = None if dry_run else ReconcileFunction(settings)
    keys: dict[str, None] = {}
    with plain_failures("cannot undelete"):
        if dry_run:
            for page in versions.deleted_since(begun, prefix):
                keys |= dict.fromkeys(marker.key for marker in page)
        else:
            for batch in versions.undelete(begun, prefix):
                keys |= dict.fromkeys(batch)
    for key in list(keys)[:_RESTORED_KEYS_SHOWN]:
        display.say(display.one_line(key))
    display.say(f"{len(keys):,} documents {'would be ' if dry_run else ''}undeleted", "bold")
    if call:
        # Start anyway, even if deletions are still in the queue: ingest reads the bucket's current state.
        _reconcile(call, force=True)


@app.command(cls=ConnectedCommand)
def redrive(
    ctx: typer.Context,
    *,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only the messages of this document.")] = None,
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """List the messages that ingest gave up, and send them to ingest again."""
    settings: Settings = ctx.obj
    letters = DeadLetters(settings).redrive(key, dry_run=dry_run)
    records: dict[str | None, Json] = {}
    with suppress(Failure):  # the table needs no API
        api = Api(settings, 30.0)
        for document in {letter.key for letter in letters if letter.key is not None}:
            records[document] = api.document(document) or {}
    rows = [letter.as_json(records.get(letter.key, {})) for letter in letters]
    if as_json:
        display.show_json({"messages": rows, "redriven": sum(letter.redriven for letter in letters)})
    elif rows:
        cells = (
            (
                row["document"] or "(unknown)",
                row["kind"],
                display.local_time(row["parked_at"]),
                display.status_of(row) if row["status"] else "-",
                display.reason_of(row),
                "redriven" if row["redriven"] else "waits",
            )
            for row in rows
        )
        display.show_table(("document", "message", "parked", "status", "reason", "now"), cells)
    else:
        display.echo("the parked queue is empty", err=True)


class ReconcileFunction:
    """Calls the reconcile function with an event. Raises `Failure` where the call or the function fails."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.need("reconcile_function")
        self._client = aws_client(
            settings,
            "lambda",
            read_timeout=_FUNCTION_TIMEOUT_S + 30,
            # A retry would start a second run beside the first.
            retries={"total_max_attempts": 1},
            # The connection has no traffic for minutes, and NAT gateways drop idle ones after 350 s.
            tcp_keepalive=True,
        )

    def __call__(self, event: Json) -> Json:
        """Return the function's answer to one event."""
        with plain_failures(f"cannot call {self._name}"):
            answer = self._client.invoke(FunctionName=self._name, Payload=json.dumps(event).encode())
            body = json.loads(answer["Payload"].read() or "null")
        if not isinstance(body, dict):
            raise Failure(f"{self._name} does not answer like docwell: check DOCWELL_RECONCILE_FUNCTION")
        if answer.get("FunctionError"):
            raise Failure(body.get("errorMessage") or f"{self._name} failed: read its log")
        return body

    def repeat(self, event: Json, *, until: str) -> Json:
        """Repeat the call until the answer's field `until` is true, the queue is too full, or nothing changes.

        Returns the last answer, with the findings and the sent messages of all calls.
        """
        findings: list[list[str]] = []
        sent, before = 0, None
        while True:
            answer = self(event)
            pipelines = answer.get("pipelines", [])
            findings += [finding for pipeline in pipelines for finding in pipeline["found"]]
            sent += sum(pipeline["sent"] for pipeline in pipelines)
            fields = ("phase", "keys", "rows", "chunks")
            state = [answer.get("hinted"), *(tuple(pipeline[name] for name in fields) for pipeline in pipelines)]
            full = any(pipeline["waiting"] is not None for pipeline in pipelines)
            if answer.get(until) or state == before or full:
                return {**answer, "found": findings, "sent": sent}
            before = state


def _reconcile(call: ReconcileFunction, *, force: bool, dry_run: bool = False, as_json: bool = False) -> None:
    """Reconcile and print the findings. Exit with status 1 if the pass is not complete."""
    event: Json = {"action": "reconcile", "dry_run": dry_run, "force": force}
    answer = call.repeat(event, until="complete")
    if as_json:
        display.show_json(answer)
    else:
        _show_reconcile(answer)
    if not answer.get("complete"):
        raise typer.Exit(ExitCode.ERROR)


def _show_reconcile(answer: Json) -> None:
    for kind, key in answer["found"]:
        display.say(f"{kind}  {key}")
    for pipeline in answer["pipelines"]:
        counts = {**pipeline["drift"], "pending": pipeline["documents"]["PENDING"]}
        drift = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no drift"
        total = f"{pipeline['keys']:,} objects, {pipeline['rows']:,} rows, {pipeline['chunks']:,} chunks"
        display.say(f"{pipeline['pipeline'][:12]}: {drift} ({total})", "bold")
        if (waiting := pipeline["waiting"]) is not None:
            display.say(f"{waiting:,} messages wait for ingest: run this again later, or use --force", "yellow")
        elif not answer["complete"]:
            display.say("not complete: run this again to continue", "yellow")
    if answer["sent"]:
        display.say(f"{answer['sent']:,} documents sent to ingest; `docwell status --watch` follows them")


@dataclass(slots=True)
class _DeadLetter:
    """A message in the dead-letter queue or the parked queue."""

    message: MessageTypeDef
    key: str | None
    kind: str
    redriven: bool = False

    def as_json(self, record: Json) -> Json:
        """Return the message with the status from the API's `record` of its document."""
        return {
            "document": self.key,
            "kind": self.kind,
            "parked_at": int(self.message["Attributes"]["SentTimestamp"]) / 1000,
            **{name: record.get(name) for name in ("status", "reason", "detail")},
            "redriven": self.redriven,
        }


class DeadLetters:
    """The parked queue, which follows the ingest queue's dead-letter queue. Raises `Failure` if there is none."""

    def __init__(self, settings: Settings) -> None:
        name = settings.need("queue")
        self._sqs: SQSClient = aws_client(settings, "sqs")
        with plain_failures(f"cannot use queue {name}"):
            self._queue = queue_url(self._sqs, name)
            self._parked = self._queue
            while target := self._dead_letters_of(self._parked):  # the dead-letter queue, then the parked one
                self._parked = target
            if self._parked == self._queue:
                raise Failure(f"queue {name} has no dead-letter queue: check DOCWELL_QUEUE")

    def redrive(self, key: str | None, *, dry_run: bool) -> list[_DeadLetter]:
        """Move the messages (with `key`, only that document's) to the ingest queue; return all of them."""
        from docwell.adapters.sqs import SqsDeadLetters

        parked = SqsDeadLetters(self._sqs, self._parked, self._queue)
        letters: list[_DeadLetter] = []
        with plain_failures("cannot redrive"):
            try:
                left = parked.waiting() + _SLACK
                while left > 0 and (messages := parked.receive(left, _VISIBILITY_S)):
                    left -= len(messages)
                    batch = [_DeadLetter(message, *_subject(message["Body"])) for message in messages]
                    letters += batch
                    for letter in batch:
                        if not dry_run and key in (None, letter.key):
                            parked.move(letter.message)
                            letter.redriven = True
            finally:
                for letter in letters:
                    if not letter.redriven:
                        parked.show(letter.message)
        return letters

    def _dead_letters_of(self, url: str) -> str | None:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
        target = policy.get("deadLetterTargetArn")
        return queue_url(self._sqs, target.rsplit(":", 1)[1]) if target else None


def _subject(body: str) -> tuple[str | None, str]:
    """Return the key of a message's document (None if it is unreadable) and the kind of the message."""
    try:
        event = json.loads(body)
        if "docwell" in event:
            hint = event["docwell"]
            kinds = [name for name in ("rebuild", "sweep") if hint.get(name)]
            return str(hint["key"]), f"range {hint['range']}" if "range" in hint else " ".join(kinds) or "hint"
        record = event["Records"][0]
        return unquote_plus(record["s3"]["object"]["key"]), str(record.get("eventName", "notification"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None, "unknown"
