"""`docwell ask`: one question, one answer with its citations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from docwell.answers import AnswerStatus
from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Api, Json

app = group()

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


@app.command(cls=ConnectedCommand)
def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotation marks.")],
    *,
    collection: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Search only this collection. May be repeated.")
    ] = None,
    document: DocumentOption = None,
    prefix: PrefixOption = None,
    title: TitleOption = None,
    author: AuthorOption = None,
    day_from: FromOption = None,
    day_to: ToOption = None,
    tag: TagOption = None,
    metadata: MetadataOption = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="COUNT", help="Number of passages; the API has a default."),
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--stream/--no-stream", help="In a terminal, show the answer while it is written.")
    ] = True,
    timeout: TimeoutOption = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask a question; the answer cites its pages. Exit status 4 when the documents do not answer it."""
    filter_ = _given(
        prefix=prefix,
        documents=_several(document),
        title=title,
        author=author,
        created_from=day_from and f"{day_from:%Y-%m-%d}",
        created_to=day_to and f"{day_to:%Y-%m-%d}",
        tags=_pairs("--tag", tag),
        metadata=_pairs("--metadata", metadata),
    )
    scope = _given(collection=_only(collection), collections=_several(collection), document=_only(document))
    body = {"question": question, **scope, **_given(filter=filter_, top_k=top_k)}
    api = Api(ctx.obj, timeout)
    live = streaming and not as_json and display.console().is_terminal
    answer = _while_written(api, body) if live else api.query(body)
    if as_json:
        display.show_json(answer)
    else:
        display.show_answer(answer)
    if answer.get("status") == AnswerStatus.REFUSED:
        raise typer.Exit(ExitCode.REFUSED)


def _while_written(api: Api, body: Json) -> Json:
    with display.growing_answer() as show:
        for name, data in api.stream_query(body):
            if name == "token":
                show(str(data.get("text", "")))
            elif name == "answer":
                return data
    raise Failure("the API sent no answer; try again")


def _given(**values: object) -> Json:
    return {name: value for name, value in values.items() if value}


def _only(values: list[str] | None) -> str | None:
    return values[0] if values and len(values) == 1 else None


def _several(values: list[str] | None) -> list[str] | None:
    return values if values and len(values) > 1 else None


def _pairs(flag: str, texts: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise Failure(f"{flag} takes NAME=VALUE, not {text!r}: for example {flag} stage=final", ExitCode.USAGE)
        found[name] = value
    return found
