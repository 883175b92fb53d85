"""`docwell replay | feedback`: ask a stored question again, and rate an answer."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.text import Text

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.remote import Api, Json

# Changes of the answer itself; all other changes are of what it was made from (`docwell.query.receipts`).
_OUTCOMES = frozenset({"status", "fallback_reason", "rewritten_question", "answer", "citations"})

app = group()

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="The id at the end of the output of `docwell ask`.")
]


@app.command(cls=ConnectedCommand)
def replay(
    ctx: typer.Context,
    request_id: RequestId,
    *,
    timeout: TimeoutOption = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask a stored question again and show what changed.

    Compares model, prompt, documents and answer.
    """
    replayed = Api(ctx.obj, timeout).replay(request_id)
    if as_json:
        display.show_json(replayed)
    else:
        show_replay(replayed)


@app.command(cls=ConnectedCommand)
def feedback(
    ctx: typer.Context,
    request_id: RequestId,
    verdict: Annotated[Literal["good", "bad"], typer.Argument(help="Whether the answer was good.")],
    *,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Rate an answer. The metric Feedback counts it; a stored receipt keeps it."""
    answer = Api(ctx.obj, timeout).feedback(request_id, verdict)
    if as_json:
        display.show_json(answer)
    elif answer.get("kept"):
        typer.echo(f"{verdict}: stored in the receipt")
    else:
        typer.echo(f"{verdict}: counted; there is no receipt of this request")


def show_replay(replayed: Json) -> None:
    """Print today's answer, then a table of what changed."""
    out = display.console()
    changes: list[Json] = replayed.get("changes") or []
    display.show_answer(replayed.get("now") or {})
    out.print()
    if not changes:
        display.say("Nothing has changed.", "green")
        return
    table = display.table("changed", "then", "now")
    for change in changes:
        what = str(change.get("what"))
        table.add_row(
            Text(display.clean(what).replace("_", " ")),
            Text(_value(what, change.get("then")), style="red"),
            Text(_value(what, change.get("now")), style="green"),
        )
    out.print(table)
    if all(change.get("what") in _OUTCOMES for change in changes):
        display.say("Model, prompt and passages are the same; the model gave another answer.", "yellow")


def _value(what: str, value: object) -> str:
    if value in (None, [], ""):
        return "(removed)" if what.startswith("document ") else "-"
    if what.startswith("passages ") and isinstance(value, list):
        return f"{len(value)} in this run only"
    if what == "citations" and isinstance(value, list):
        return "\n".join(_citation(one) for one in value)
    if isinstance(value, list):
        return ", ".join(display.clean(one) for one in value)
    return display.clean(value).strip()


def _citation(citation: Json) -> str:
    quote = display.one_line(citation.get("quote") or "")
    where = f"[{citation.get('marker')}] {citation.get('document')}, page {citation.get('page')}"
    return display.clean(where) + (f": “{quote}”" if quote else "")
