"""`docwell principals add | list | revoke`: who may ask, about what, and how much of it.

An operator's commands: they speak to the table and to API Gateway itself, with AWS's credentials.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from docwell.cli import display
from docwell.cli.command import JsonFlag, connected, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Json, aws_client, plain_failures
from docwell.cli.settings import Settings
from docwell.errors import DocwellError
from docwell.identity import GROUP, KEY, SUBJECT, is_group, is_id

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin, Use

app = group()

TableOption = Annotated[
    str | None, typer.Option(envvar="DOCWELL_PRINCIPALS_TABLE", help="The table of principals.")
]
Quota = Annotated[int | None, typer.Option(min=0, help="No more than so many in a day of UTC.")]


@app.callback()
def principals() -> None:
    """Say who may ask, and about which collections."""


@app.command()
@connected
def add(  # noqa: PLR0913 - each is a flag
    settings: Settings,
    name: Annotated[str, typer.Argument(help="A label for people to read.")],
    *,
    collections: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="What it may see; may be given again.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="It may see every collection, future ones too.")] = False,
    requests_per_day: Quota = None,
    tokens_per_day: Quota = None,
    jwt_subject: Annotated[str | None, typer.Option(help="For this `sub` of a token, not for a key.")] = None,
    jwt_group: Annotated[str | None, typer.Option(help="For everybody with this group in a token.")] = None,
    api_key_id: Annotated[str | None, typer.Option(help="For a key that API Gateway has already: its id.")] = None,
    replace_: Annotated[bool, typer.Option("--replace", help="Change what it was given before.")] = False,
    usage_plan: Annotated[
        str | None, typer.Option(envvar="DOCWELL_USAGE_PLAN", help="Usage plan of the API's stage: its id.")
    ] = None,
    table: TableOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let somebody in: with a new API key, which is shown this once, or as somebody the gateway knows already."""
    seen = _collections(collections, every=every)
    known = _known_id(jwt_subject, jwt_group, api_key_id)
    desk = _Desk(_operator(settings, table, usage_plan))
    terms: dict[str, Any] = {"label": name, "requests_per_day": requests_per_day, "tokens_per_day": tokens_per_day}
    if known is None:
        key = desk.make_key(name)
        grant = desk.grant_new(key, collections=seen, **terms)
    else:
        key = None
        grant = desk.grant(known, replacing=replace_, collections=seen, **terms)
    if as_json:
        display.show_json({**_as_json(grant), "api_key": key.value if key else None})
        return
    typer.echo(f"{grant.id} may see {display.clean(_seen(grant))}")
    if key:
        typer.echo(f"API key: {key.value}")
        typer.echo("keep it: it is not shown again", err=True)
        if not (settings.local or desk.usage_plan):
            typer.echo("it works once it is in a usage plan of the API's stage: give --usage-plan", err=True)


@app.command(name="list")
@connected
def list_(settings: Settings, *, table: TableOption = None, as_json: JsonFlag = False) -> None:
    """Show who may ask, about what, and what was used today."""
    with _plain():
        rows = _Desk(_operator(settings, table)).admin.list()
    if as_json:
        display.show_json({"principals": [_as_json(grant, use) for grant, use in rows]})
    elif rows:
        display.console().print(_table(rows))
    else:
        typer.echo("nobody: `docwell principals add` lets somebody in", err=True)


@app.command()
@connected
def revoke(
    settings: Settings,
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `docwell principals list` shows it.")],
    *,
    table: TableOption = None,
) -> None:
    """Shut somebody out at once. A key that `add` has made is deleted too."""
    desk = _Desk(_operator(settings, table))
    with _plain():
        grant = desk.admin.revoke(id_)
    if grant is None:
        raise Failure(f"there is no principal {id_!r}: `docwell principals list` shows them")
    typer.echo(f"{display.clean(id_)} may see nothing any more")
    if grant.owns_key:
        desk.delete_key(id_.removeprefix(KEY))


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    value: str


class _Desk:
    """The table and API Gateway's keys."""

    def __init__(self, settings: Settings) -> None:
        # Imported here: boto3 takes 0.15 s, which the other commands need not wait for.
        from docwell.adapters.dynamodb.principals import PrincipalAdmin

        table = settings.need("principals_table")
        self._settings = settings
        self.usage_plan = settings.usage_plan
        with plain_failures(f"cannot use table {table}"):
            self.admin: PrincipalAdmin = PrincipalAdmin(
                aws_client(settings, "dynamodb", settings.aws_endpoint), table
            )

    def make_key(self, name: str) -> _Key:
        """A new API key, in the usage plan where there is one; nothing is left of it when that fails."""
        client = self._gateway()
        with plain_failures("cannot make an API key"):
            made = client.create_api_key(
                name=name, description="docwell principal", enabled=True, generateDistinctId=True
            )
            key = _Key(made["id"], made["value"])
            if self.usage_plan:
                with self._undone(key):
                    client.create_usage_plan_key(usagePlanId=self.usage_plan, keyId=key.id, keyType="API_KEY")
        return key

    def grant_new(self, key: _Key, **terms: Any) -> Grant:  # noqa: ANN401 - fields of Grant
        """The grant of a key that was made for it; without it the key goes again."""
        with self._undone(key):
            return self.grant(f"{KEY}{key.id}", replacing=False, owns_key=True, **terms)

    def grant(self, id_: str, *, replacing: bool, owns_key: bool = False, **terms: Any) -> Grant:  # noqa: ANN401
        """Store it. Raises `Failure` where there is one already and it is not to be replaced."""
        from docwell.adapters.dynamodb.principals import Grant

        with _plain():
            before = self.admin.get(id_) if replacing else None
            grant = Grant(id_, owns_key=before.owns_key if before else owns_key, **terms)
            if not self.admin.add(grant, replace=replacing):
                raise Failure(f"{id_} is a principal already: --replace changes what it may see")
        return grant

    def delete_key(self, id_: str) -> None:
        """That it is gone already is no error."""
        client = self._gateway()
        with plain_failures(f"it may see nothing, but API key {id_} could not be deleted"):
            try:
                client.delete_api_key(apiKey=id_)
            except client.exceptions.NotFoundException:
                return

    @contextmanager
    def _undone(self, key: _Key) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.delete_key(key.id)
            raise

    def _gateway(self) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        with plain_failures("cannot use API Gateway"):
            return aws_client(self._settings, "apigateway", self._settings.aws_endpoint)


@contextmanager
def _plain() -> Iterator[None]:
    try:
        yield
    except DocwellError as error:
        raise Failure(error.detail) from None


def _operator(settings: Settings, table: str | None, usage_plan: str | None = None) -> Settings:
    return replace(
        settings,
        principals_table=table or settings.principals_table,
        usage_plan=usage_plan or settings.usage_plan,
    )


def _collections(given: list[str] | None, *, every: bool) -> frozenset[str] | None:
    names = frozenset(name.strip() for part in given or () for name in part.split(",")) - {""}
    if every == bool(names):
        raise Failure("say what it may see: either --collections A,B or --all", ExitCode.USAGE)
    for name in sorted(names):
        if "/" in name:
            raise Failure(f"{name!r} is no collection: it is the first folder of a key alone", ExitCode.USAGE)
    return None if every else names


def _known_id(subject: str | None, group_: str | None, api_key_id: str | None) -> str | None:
    given = [(kind, name) for kind, name in ((SUBJECT, subject), (GROUP, group_), (KEY, api_key_id)) if name]
    if len(given) > 1:
        raise Failure("give one of --jwt-subject, --jwt-group and --api-key-id", ExitCode.USAGE)
    for kind, name in given:
        if not (is_group(name) if kind == GROUP else is_id(name)):
            raise Failure(f"no token or key can say {name!r}", ExitCode.USAGE)
        return f"{kind}{name}"
    return None


def _seen(grant: Grant) -> str:
    return "all collections" if grant.collections is None else ", ".join(sorted(grant.collections))


def _as_json(grant: Grant, use: Use | None = None) -> Json:
    return {
        "id": grant.id,
        "label": grant.label,
        "collections": None if grant.collections is None else sorted(grant.collections),
        "requests_per_day": grant.requests_per_day,
        "tokens_per_day": grant.tokens_per_day,
        **({"requests_today": use.requests, "tokens_today": use.tokens} if use else {}),
    }


def _table(rows: list[tuple[Grant, Use]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "name", "collections", "requests today", "tokens today"):
        table.add_column(name, overflow="fold", justify="right" if name.endswith("today") else "left")
    for grant, use in rows:
        table.add_row(
            Text(display.clean(grant.id)),
            Text(display.clean(grant.label)),
            Text(display.clean(_seen(grant))),
            _of(use.requests, grant.requests_per_day),
            _of(use.tokens, grant.tokens_per_day),
        )
    return table


def _of(used: int, quota: int | None) -> str:
    return f"{used:,}" if quota is None else f"{used:,} of {quota:,}"
