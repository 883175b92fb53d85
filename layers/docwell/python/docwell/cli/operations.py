"""`docwell reconcile | reindex`: calls of the reconcile function."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Json, aws_client, plain_failures
from docwell.cli.settings import Settings

# The longest timeout of a Lambda function.
_FUNCTION_TIMEOUT_S = 900

FunctionOption = Annotated[
    str | None,
    typer.Option(envvar="DOCWELL_RECONCILE_FUNCTION", metavar="NAME", help="Name of the reconcile function."),
]

app = group()


@app.command(cls=ConnectedCommand)
def reconcile(
    ctx: typer.Context,
    *,
    dry_run: DryRunFlag = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start although many messages wait in the ingest queue.")
    ] = False,
    function: FunctionOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare bucket, ledger and index, and repair differences.

    Lists each difference and sends the document to ingest.
    """
    event: Json = {"action": "reconcile", "dry_run": dry_run, "force": force}
    answer = ReconcileFunction(ctx.obj.given(reconcile_function=function)).repeat(event, until="complete")
    if as_json:
        display.show_json(answer)
    else:
        show_reconcile(answer)
    if not answer.get("complete"):
        raise typer.Exit(ExitCode.ERROR)


@app.command(cls=ConnectedCommand)
def reindex(
    ctx: typer.Context,
    *,
    start: Annotated[bool, typer.Option("--start", help="Build the index of the next pipeline.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the progress. The default.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Use the new index and delete the old one.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Delete the new index.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Switch although the new index is incomplete.")] = False,
    function: FunctionOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Change the embedding model, the chunk size, OCR or the shards of the index.

    --start builds a new index while the old one answers; --switch then uses the new one.
    """
    flags = {"start": start, "status": status, "switch": switch, "abort": abort}
    steps = [name for name, given in flags.items() if given] or ["status"]
    if len(steps) > 1:
        raise Failure("give only one of --start, --status, --switch and --abort", ExitCode.USAGE)
    event: Json = {"action": "reindex", "step": steps[0], "force": force}
    call = ReconcileFunction(ctx.obj.given(reconcile_function=function))
    answer = call.repeat(event, until="all_hinted") if start else call(event)
    if as_json:
        display.show_json(answer)
    else:
        _show_reindex(answer)
    if answer.get("switched") is False:
        raise typer.Exit(ExitCode.ERROR)


class ReconcileFunction:
    """Call it with an event to get its answer. Raises `Failure` where the call or the function fails."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.need("reconcile_function")
        self._client = aws_client(
            settings,
            "lambda",
            read_timeout=_FUNCTION_TIMEOUT_S + 30,
            # A retry would start a second run beside the first.
            retries={"total_max_attempts": 1},
            # The connection is silent for minutes, and NAT gateways drop silent ones after 350 s.
            tcp_keepalive=True,
        )

    def __call__(self, event: Json) -> Json:
        """Return the function's answer to one event."""
        with plain_failures(f"cannot call {self._name}"):
            answer = self._client.invoke(FunctionName=self._name, Payload=json.dumps(event).encode())
            body = json.loads(answer["Payload"].read() or "null")
        if not isinstance(body, dict):
            raise Failure(f"{self._name} does not answer like docwell: check --function")
        if answer.get("FunctionError"):
            raise Failure(body.get("errorMessage") or f"{self._name} failed: read its log")
        return body

    def repeat(self, event: Json, *, until: str) -> Json:
        """Call until the answer's field `until` is true, the queue is too full, or nothing moves.

        Returns the last answer, with the findings and the sent messages of all calls.
        """
        found: list[list[str]] = []
        sent, before = 0, None
        while True:
            answer = self(event)
            pipelines = answer.get("pipelines", [])
            found += [finding for one in pipelines for finding in one["found"]]
            sent += sum(one["sent"] for one in pipelines)
            fields = ("phase", "keys", "rows", "chunks")
            now = [answer.get("hinted"), *(tuple(one[name] for name in fields) for one in pipelines)]
            if answer.get(until) or now == before or any(one["waiting"] is not None for one in pipelines):
                return {**answer, "found": found, "sent": sent}
            before = now


def show_reconcile(answer: Json) -> None:
    """Print the findings and the counts of a reconcile."""
    for kind, key in answer["found"]:
        display.say(f"{kind}  {key}")
    for one in answer["pipelines"]:
        counts = {**one["drift"], "pending": one["documents"]["PENDING"]}
        drift = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no drift"
        seen = f"{one['keys']:,} objects, {one['rows']:,} rows, {one['chunks']:,} chunks"
        display.say(f"{one['pipeline'][:12]}: {drift} ({seen})", "bold")
        if one["waiting"] is not None:
            display.say(
                f"{one['waiting']:,} messages wait for ingest: run this again later, or use --force", "yellow"
            )
        elif not answer["complete"]:
            display.say("not complete: run this again to continue", "yellow")
    if answer["sent"]:
        display.say(f"{answer['sent']:,} documents sent to ingest; `docwell status --watch` follows them")


def _show_reindex(answer: Json) -> None:
    shown = {name: answer[name] for name in answer if name not in ("found", "sent", "make_first_in_settings")}
    display.console().print(display.field_table(shown))
    if answer.get("make_first_in_settings"):
        display.say("next: make this pipeline the first in the settings (docs/operations.md, Re-index)", "yellow")
    elif answer.get("switched") is False:
        display.say("not switched: the new index is incomplete; see `docwell reindex --status`", "yellow")
