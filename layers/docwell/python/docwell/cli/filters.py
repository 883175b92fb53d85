"""The flags of `docwell ask` that say which documents are meant, and the request's filter that they make."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docwell.cli.remote import Json

_DAY = ["%Y-%m-%d"]

PrefixOption = Annotated[
    str | None, typer.Option(metavar="PREFIX", help="Only documents whose keys begin so, such as handbooks/2026/.")
]
DocumentOption = Annotated[
    list[str] | None, typer.Option(metavar="KEY", help="Only this document; give it again for more.")
]
TitleOption = Annotated[str | None, typer.Option(metavar="WORDS", help="Only documents with this in their title.")]
AuthorOption = Annotated[str | None, typer.Option(metavar="WORDS", help="Only documents of an author like this.")]
FromOption = Annotated[
    datetime | None, typer.Option("--from", formats=_DAY, metavar="DAY", help="Only PDFs of this day or later.")
]
ToOption = Annotated[
    datetime | None, typer.Option("--to", formats=_DAY, metavar="DAY", help="Only PDFs of this day or earlier.")
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only documents with this S3 object tag; give it again for more."),
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only documents with this S3 user metadata; give it again for more."),
]


def filter_of(  # noqa: PLR0913 - each is a flag
    *,
    prefix: str | None,
    documents: Sequence[str],
    title: str | None,
    author: str | None,
    day_from: datetime | None,
    day_to: datetime | None,
    tags: Sequence[str],
    metadata: Sequence[str],
) -> Json | None:
    """The filter as the API takes it, None where no flag was given. Raises `Failure` for what is no NAME=VALUE."""
    given = {
        "prefix": prefix,
        "documents": list(documents),
        "title": title,
        "author": author,
        "created_from": day_from and day_from.date().isoformat(),
        "created_to": day_to and day_to.date().isoformat(),
        "tags": _pairs("--tag", tags),
        "metadata": _pairs("--metadata", metadata),
    }
    return {name: value for name, value in given.items() if value} or None


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise Failure(f"{flag} wants NAME=VALUE, not {text!r}", ExitCode.USAGE)
        pairs[name] = value
    return pairs
