"""`docwell ask | replay | feedback`: ask a question, ask a stored one again, rate an answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from rich.text import Text

from docwell.answers import AnswerStatus, Mode
from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import QUERY_PATH, Api, Json

app = group()

# Changes of the answer itself; all other changes are of what it was made from (`docwell.query.receipts`).
_OUTCOMES = frozenset({"status", "fallback_reason", "rewritten_question", "answer", "citations"})
_DAY = ["%Y-%m-%d"]
PrefixOption = Annotated[
    str | None,
    typer.Option(metavar="PREFIX", help="Only documents whose key begins with this, such as handbooks/2026/."),
]
DocumentOption = Annotated[
    list[str] | None, typer.Option(metavar="KEY", help="Only this document. May be repeated.")
]
TitleOption = Annotated[str | None, typer.Option(metavar="WORDS", help="Only documents with this in the title.")]
AuthorOption = Annotated[str | None, typer.Option(metavar="WORDS", help="Only documents with this in the author.")]
FromOption = Annotated[
    datetime | None,
    typer.Option("--from", formats=_DAY, metavar="YYYY-MM-DD", help="Only PDFs created on this day or later."),
]
ToOption = Annotated[
    datetime | None,
    typer.Option("--to", formats=_DAY, metavar="YYYY-MM-DD", help="Only PDFs created on this day or earlier."),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only documents with this S3 object tag. May be repeated."),
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only documents with this S3 user metadata. May be repeated."),
]
ModeOption = Annotated[
    Literal["auto", "passages", "overview", "compare", "list"] | None,
    typer.Option(help="How to answer (docs/modes.md)."),
]
CollectionOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Search only this collection. May be repeated.")
]
QuestionArgument = Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotation marks.")]
TopKOption = Annotated[
    int | None, typer.Option(min=1, metavar="COUNT", help="Number of passages; the API has a default.")
]
FallbackOption = Annotated[
    bool, typer.Option("--fallback", help="Show the best sentences of the passages if the model host fails.")
]
RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="The id at the end of the output of `docwell ask`.")
]


@app.command(cls=ConnectedCommand)
def ask(
    ctx: typer.Context,
    question: QuestionArgument,
    *,
    collection: CollectionOption = None,
    document: DocumentOption = None,
    prefix: PrefixOption = None,
    title: TitleOption = None,
    author: AuthorOption = None,
    day_from: FromOption = None,
    day_to: ToOption = None,
    tag: TagOption = None,
    metadata: MetadataOption = None,
    top_k: TopKOption = None,
    streaming: Annotated[
        bool, typer.Option("--stream/--no-stream", help="In a terminal, show the answer while it is written.")
    ] = True,
    mode: ModeOption = None,
    fallback: FallbackOption = False,
    timeout: TimeoutOption = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask a question; the answer cites its pages. Exit status 4 when the documents do not answer it."""
    filter_ = filtered(prefix, title, author, (day_from, day_to), tag, metadata)
    where = searched(collection, document, filter_)
    more = given(top_k=top_k, mode=mode, fallback=fallback and "extractive")
    answer = answered(Api(ctx.obj, timeout), {"question": question} | where | more, live=streaming and not as_json)
    if as_json:
        display.show_json(answer)
    else:
        display.show_answer(answer)
        _tell_mode(mode, answer)
    if answer.get("status") == AnswerStatus.REFUSED:
        raise typer.Exit(ExitCode.REFUSED)


def answered(api: Api, body: Json, *, live: bool = True) -> Json:
    """Return the answer. With `live`, a terminal shows the passages and the text as they come."""
    if not (live and display.is_watched(display.console())):
        return api.post(QUERY_PATH, body)
    with display.growing_answer() as shown:
        for name, data in api.stream_query(body):
            if name == "passages":
                shown.found(data.get("passages", []))
            elif name == "waking":
                shown.waking(data.get("seconds", 0))
            elif name == "token":
                shown.grow(str(data.get("text", "")))
            elif name == "answer":
                return data
    raise Failure("the API sent no answer; try again")


def _tell_mode(wanted: str | None, answer: Json) -> None:
    if wanted not in {None, Mode.AUTO, answer.get("mode")}:
        display.say(f"The mode {wanted} has no answer: this one is from passages.", "yellow")


def filtered(
    prefix: str | None,
    title: str | None,
    author: str | None,
    days: tuple[datetime | None, datetime | None],
    tags: list[str] | None,
    metadata: list[str] | None,
) -> Json:
    """Return the filter that the options name; `days` are the first and the last. Raises `Failure`."""
    first, last = days
    return given(
        prefix=prefix,
        title=title,
        author=author,
        created_from=first and f"{first:%Y-%m-%d}",
        created_to=last and f"{last:%Y-%m-%d}",
        tags=pairs("--tag", tags),
        metadata=pairs("--metadata", metadata),
    )


def searched(collections: list[str] | None, documents: list[str] | None, filter_: Json | None = None) -> Json:
    """Return the fields that say what is searched: the API has one for a single value, and one for several."""
    one_collection, collections = _one_or_several(collections)
    one_document, documents = _one_or_several(documents)
    filter_ = (filter_ or {}) | given(documents=documents)
    return given(collection=one_collection, collections=collections, document=one_document, filter=filter_)


def given(**values: object) -> Json:
    """Return the values that are not empty."""
    return {name: value for name, value in values.items() if value}


def _one_or_several(values: list[str] | None) -> tuple[str | None, list[str] | None]:
    return (values[0], None) if values and len(values) == 1 else (None, values)


def pairs(flag: str, texts: list[str] | None) -> dict[str, str]:
    """Return the names and values of a repeated option. Raises `Failure`."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise Failure(f"{flag} takes NAME=VALUE, not {text!r}: for example {flag} stage=final", ExitCode.USAGE)
        found[name] = value
    return found


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
    replayed = Api(ctx.obj, timeout).post(f"/v1/receipts/{quote(request_id, safe='')}/replay")
    if as_json:
        display.show_json(replayed)
    else:
        _show_replay(replayed)


@app.command(cls=ConnectedCommand)
def feedback(
    ctx: typer.Context,
    request_id: RequestId,
    verdict: Annotated[Literal["good", "bad"], typer.Argument(help="Whether the answer was good.")],
    *,
    comment: Annotated[str | None, typer.Option(help="What was good or bad. The receipt stores it.")] = None,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Rate an answer. Its receipt stores the verdict, and the metric Feedback counts it."""
    body = {"request_id": request_id, "verdict": verdict, **({"comment": comment} if comment else {})}
    answer = Api(ctx.obj, timeout).post("/v1/feedback", body)
    if as_json:
        display.show_json(answer)
    else:
        display.echo(f"{verdict}: stored in the receipt")


def _show_replay(replayed: Json) -> None:
    changes: list[Json] = replayed["changes"]
    display.show_answer(replayed["now"])
    fit, least = replayed.get("fit"), replayed.get("min_fit")
    if fit is not None and least is not None and fit < least:
        display.say(f"Refused before the model: the fit {fit:.3f} is under {least:g}.", "yellow")
    display.say("")
    if not changes:
        display.say("Nothing has changed.", "green")
        return
    rows = (
        (
            change["what"].replace("_", " "),
            Text(_value(change["what"], change["then"]), style="red"),
            Text(_value(change["what"], change["now"]), style="green"),
        )
        for change in changes
    )
    display.console().print(display.table(("changed", "then", "now"), rows))
    if all(change["what"] in _OUTCOMES for change in changes):
        display.say("Model, prompt and passages are the same; the model gave another answer.", "yellow")


def _value(what: str, value: object) -> str:
    if value in (None, [], ""):
        return "(removed)" if what.startswith("document ") else "-"
    if not isinstance(value, list):
        return display.clean(value).strip()
    if what.startswith("passages "):
        return f"{len(value)} in this run only"
    if what == "citations":
        return "\n".join(map(_citation, value))
    return ", ".join(map(display.clean, value))


def _citation(citation: Json) -> str:
    quoted = display.one_line(citation.get("quote") or "")
    where = f"[{citation.get('marker')}] {citation.get('document')}, page {citation.get('page')}"
    return display.clean(where) + (f": “{quoted}”" if quoted else "")
