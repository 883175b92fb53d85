"""`docwell reconcile | ocr | reindex | restore | redrive`: an operator's repairs.

Each is safe to repeat, also after an interruption. All but `redrive` need AWS credentials.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from docwell.cli import display
from docwell.cli.command import DOCUMENTS, OPERATE, Commands, DryRunFlag, JsonFlag
from docwell.cli.documents import Upload, finish
from docwell.cli.remote import Api, Bucket, Json, aws_client, plain_failures, s3_client
from docwell.cli.settings import Failure, Settings, argument, option
from docwell.models import Status

_OPERATIONS = "/v1/operations"
_PAUSE_S, _ANSWER_S = 1.0, 20.0  # between looks at a local stack's log, and for its first line
_NO_OCR = 'OCR is off: set Index = "200,rapidocr,4" in infra/parameters/, run `make deploy`, then this again'

app = Commands(OPERATE)


@app.command()
def reconcile(
    ctx: typer.Context,
    *,
    dry_run: DryRunFlag = False,
    force: Annotated[bool, typer.Option("--force", help="Start although many messages wait.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare bucket, ledger and index, and repair differences.

    Lists each difference and sends the document to ingest.
    """
    _reconcile(ReconcileFunction(ctx.obj), dry_run=dry_run, force=force, as_json=as_json)


@app.command(rich_help_panel=DOCUMENTS)
def ocr(
    ctx: typer.Context, _state: Annotated[Literal["on"], argument("on", "`make up OCR=0` switches it off.")]
) -> None:
    """Recognise scanned pages, also of documents that were uploaded before, and wait until they are read.

    On one machine it is installed first. A deployment needs its settings first: docs/use/documents.md.
    """
    api, call = Api(ctx.obj), ReconcileFunction(ctx.obj)
    before = {record["document"]: record for record in api.documents()}
    if ctx.obj.pid:
        display.say("OCR starts when no document waits; it is installed first where it is missing", err=True)
        _install(ctx.obj.pid, Path(ctx.obj.chroma_folder).with_name("logs") / "ocr.log")
    elif call({"action": "reconcile", "dry_run": True})["pipelines"][0].get("ocr", "off") == "off":
        raise Failure(_NO_OCR)
    sent = {key for _, key in call.repeat({"action": "reconcile", "force": True}, until="complete")["found"]}
    sent |= {record["document"] for record in api.documents(status=Status.PENDING)}
    scans = {key: record for key, record in before.items() if key in sent}
    display.say(f"documents to recognise: {len(scans):,}", err=True)
    uploads = [Upload(Path(key), key, 0, row["version"], since=row["updated_at"]) for key, row in scans.items()]
    finish(uploads, Bucket(ctx.obj), api)


@plain_failures("the local stack has stopped")
def _install(pid: int, log: Path) -> None:
    """Have a local stack install OCR, and follow its log until that is done. Raises `Failure`."""
    begin, deadline, lines = log.stat().st_size if log.exists() else 0, time.monotonic() + _ANSWER_S, ""
    os.kill(pid, signal.SIGURG)  # a process without a handler ignores it
    while "OCR is installed" not in lines:
        if "no OCR" in lines or (not lines and time.monotonic() > deadline):
            raise Failure(f"the local stack did not install OCR: read {log}, or end the stack and run `make up`")
        time.sleep(_PAUSE_S)
        os.kill(pid, 0)
        lines = log.read_bytes()[begin:].decode(errors="replace") if log.exists() else ""


@app.command()
def reindex(
    ctx: typer.Context,
    step: Annotated[
        Literal["start", "status", "switch", "abort"], argument("start|status|switch|abort", "The step.")
    ] = "status",
    *,
    force: Annotated[bool, typer.Option("--force", help="Switch although the new index is incomplete.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Change the embedding model, the chunk size or the shards of the index.

    `start` builds a new index while the old one answers, `switch` uses it and deletes the old one.
    """
    event: Json = {"action": "reindex", "step": step, "force": force}
    call = ReconcileFunction(ctx.obj)
    answer = call.repeat(event, until="all_hinted") if step == "start" else call(event)
    if as_json:
        display.show_json(answer)
    else:
        hidden = ("found", "sent", "make_first_in_settings")
        display.show_fields({name: answer[name] for name in answer if name not in hidden})
        if answer.get("make_first_in_settings"):
            display.say("next: name this pipeline first in the settings (docs/operate/operations.md)", "yellow")
    if answer.get("switched") is False:
        raise Failure("not switched: the new index is incomplete; see `docwell reindex`")


@app.command()
def restore(
    ctx: typer.Context,
    since: Annotated[
        datetime, option("TIME", "When it began, as 2026-11-25T10:00 (UTC).", parser=datetime.fromisoformat)
    ],
    *,
    prefix: Annotated[str, option("PREFIX", "Only keys that begin with this.")] = "",
    dry_run: DryRunFlag = False,
) -> None:
    """Undelete the documents that were deleted since a time, then reconcile.

    Needs versions in the bucket, and s3:ListBucketVersions and s3:DeleteObjectVersion. Replaced documents keep
    their newest version.
    """
    from docwell.adapters.s3 import S3Versions

    begun = since if since.tzinfo else since.replace(tzinfo=UTC)
    versions = S3Versions(s3_client(ctx.obj), ctx.obj.need("bucket"))
    call = None if dry_run else ReconcileFunction(ctx.obj)
    with plain_failures("cannot undelete"):
        batches = versions.deleted_since(begun, prefix) if dry_run else versions.undelete(begun, prefix)
        keys = dict.fromkeys(marker.key for batch in batches for marker in batch)
    for key in list(keys)[:20]:
        display.say(display.one_line(key))
    display.say(f"documents {'to undelete' if dry_run else 'undeleted'}: {len(keys):,}", "bold")
    if call:
        # Start anyway, even if deletions are still in the queue: ingest reads the bucket's current state.
        _reconcile(call, force=True)


@app.command()
def redrive(ctx: typer.Context, *, dry_run: DryRunFlag = False, as_json: JsonFlag = False) -> None:
    """Send the messages that ingest gave up to ingest again, and list the failed documents.

    Needs the API key of a principal with --operate. Lists up to 50 documents that the key may read.
    """
    api = Api(ctx.obj)
    state = api.get(_OPERATIONS) or {}
    letters = state.get("dead_letters")
    if letters is None:
        reason = state.get("unknown", {}).get("dead_letters", "the API does not tell them")
        raise Failure(f"cannot read the dead letters: {reason}")
    redriven, waiting, most = 0, letters["waiting"], max(letters["waiting"], 1)
    # Messages that fail again return meanwhile: stop after as many as waited at first.
    while not dry_run and redriven < most and (answer := api.post(f"{_OPERATIONS}/redrive"))["redriven"]:
        redriven += answer["redriven"]
        waiting = answer["waiting"]
    if as_json:
        display.show_json({"documents": letters["failed"], "redriven": redriven, "waiting": waiting})
        return
    if letters["failed"]:
        display.show_documents(letters["failed"])
    display.say(f"messages redriven: {redriven:,}; in the parked queue: about {waiting:,}", "bold")


class ReconcileFunction:
    """Calls the reconcile function with an event. Raises `Failure` where the call or the function fails."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.need("reconcile_function")
        self._client = aws_client(
            settings,
            "lambda",
            read_timeout=settings.timeout_s or 930,  # the longest timeout of a Lambda function, and some seconds
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
            if answer.get(until) or answer == before or any(part["waiting"] is not None for part in pipelines):
                return {**answer, "found": findings, "sent": sent}
            before = answer


def _reconcile(call: ReconcileFunction, *, force: bool, dry_run: bool = False, as_json: bool = False) -> None:
    """Reconcile and print the findings. Exit with status 1 if the pass is not complete."""
    answer = call.repeat({"action": "reconcile", "dry_run": dry_run, "force": force}, until="complete")
    if as_json:
        display.show_json(answer)
    else:
        for kind, key in answer["found"]:
            display.say(f"{kind}  {key}")
        for pipeline in answer["pipelines"]:
            counts = {**pipeline["drift"], "pending": pipeline["documents"]["PENDING"]}
            drift = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no drift"
            total = f"{pipeline['keys']:,} objects, {pipeline['rows']:,} rows, {pipeline['chunks']:,} chunks"
            display.say(f"{pipeline['pipeline'][:12]}: {drift} ({total})", "bold")
            if (waiting := pipeline["waiting"]) is not None:
                display.say(f"messages that wait: {waiting:,}; run this again later, or use --force", "yellow")
        if answer["sent"]:
            display.say(f"documents sent to ingest: {answer['sent']:,}; `docwell status` counts them")
    if not answer.get("complete"):
        raise Failure("not complete: run this again to continue")
