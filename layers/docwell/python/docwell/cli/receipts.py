"""`docwell replay | feedback`: what has become of an answer, and whether it was any good."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from docwell.cli import display
from docwell.cli.command import JsonFlag, TimeoutOption, connected, group
from docwell.cli.remote import Api
from docwell.cli.settings import Settings

if TYPE_CHECKING:
    from docwell.cli.remote import Json

# What an answer says, as against what it was made from (`docwell.query.receipts`).
_OUTCOMES = frozenset({"status", "fallback_reason", "rewritten_question", "answer", "citations"})

app = group()

RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As `docwell ask` prints it.")]


class Verdict(StrEnum):
    """What one can say of an answer."""

    GOOD = "good"
    BAD = "bad"


@app.command()
@connected
def replay(
    settings: Settings,
    request_id: RequestId,
    *,
    timeout: TimeoutOption = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask a kept question again and show what has changed: model, prompt, documents, answer."""
    replayed = Api(settings, timeout).replay(request_id)
    if as_json:
        display.show_json(replayed)
    else:
        show_replay(replayed)


@app.command()
@connected
def feedback(
    settings: Settings,
    request_id: RequestId,
    verdict: Annotated[Verdict, typer.Argument(help="Whether the answer was any good.")],
    *,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Say whether an answer was good or bad; it is counted, and noted where a receipt is kept."""
    answer = Api(settings, timeout).feedback(request_id, verdict.value)
    if as_json:
        display.show_json(answer)
    elif answer.get("kept"):
        typer.echo(f"{verdict.value}: noted with the receipt")
    else:
        typer.echo(f"{verdict.value}: counted; no receipt of this request is kept")


def show_replay(replayed: Json) -> None:
    """The answer of today, and beside each other what was and what is."""
    out = display.console()
    changes: list[Json] = replayed.get("changes") or []
    display.show_answer(replayed.get("now") or {})
    out.print()
    if not changes:
        out.print(Text("Nothing has changed.", style="green"), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("changed", "then", "now"):
        table.add_column(name, overflow="fold")
    for change in changes:
        what = str(change.get("what"))
        table.add_row(
            Text(display.clean(what).replace("_", " ")),
            Text(_value(what, change.get("then")), style="red"),
            Text(_value(what, change.get("now")), style="green"),
        )
    out.print(table)
    if all(change.get("what") in _OUTCOMES for change in changes):
        note = "The model, its prompt and the passages are the same: the model itself answered otherwise."
        out.print(Text(note, style="yellow"), soft_wrap=True)


def _value(what: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    """One side of a change as people read it."""
    if value in (None, [], ""):
        return "(gone)" if what.startswith("document ") else "-"
    if what.startswith("passages ") and isinstance(value, list):
        return f"{len(value)} that only this run had"
    if what == "citations" and isinstance(value, list):
        return "\n".join(_citation(one) for one in value)
    if isinstance(value, list):
        return ", ".join(display.clean(one) for one in value)
    return display.clean(value).strip()


def _citation(citation: Json) -> str:
    quote = " ".join(display.clean(citation.get("quote") or "").split())
    where = f"[{citation.get('marker')}] {citation.get('document')}, page {citation.get('page')}"
    return display.clean(where) + (f": “{quote}”" if quote else "")
