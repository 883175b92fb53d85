"""`docwell search`: show the passages for a question, without the language model."""

from __future__ import annotations

from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.asking import (
    AuthorOption,
    CollectionOption,
    DocumentOption,
    FromOption,
    MetadataOption,
    PrefixOption,
    QuestionArgument,
    TagOption,
    TitleOption,
    ToOption,
    TopKOption,
    filtered,
    given,
    searched,
)
from docwell.cli.command import ConnectedCommand, JsonFlag, TimeoutOption, group
from docwell.cli.remote import Api, Json

app = group()


@app.command(cls=ConnectedCommand)
def search(
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
    by_document: Annotated[bool, typer.Option("--by-document", help="Show the passages by document.")] = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonFlag = False,
) -> None:
    """Show the passages for a question, best first, without the language model."""
    filter_ = filtered(prefix, title, author, (day_from, day_to), tag, metadata)
    more = given(top_k=top_k, group_by=by_document and "document")
    body = {"question": question} | searched(collection, document, filter_) | more
    found = Api(ctx.obj, timeout).post("/v1/search", body)
    if found.get("partial"):
        display.echo("a Chroma server did not answer: some documents were not searched", err=True)
    if as_json:
        display.show_json(found)
    elif passages := _passages(found):
        display.show_hits(passages)
    else:
        display.echo("no passages match", err=True)


def _passages(found: Json) -> list[Json]:
    grouped = (one for document in found.get("documents") or () for one in document["passages"])
    return [*(found.get("passages") or ()), *grouped]
