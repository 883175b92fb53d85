"""`docwell principals add | list | revoke`: grants and quotas, written to the table and to API Gateway.

An operator runs these with AWS credentials; they do not use the docwell API.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Json, aws_client, plain_failures
from docwell.cli.settings import Settings
from docwell.identity import GROUP, KEY, SUBJECT, is_group, is_id

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin, Use

app = group()

TableOption = Annotated[
    str | None,
    typer.Option(envvar="DOCWELL_PRINCIPALS_TABLE", metavar="NAME", help="Name of the table of principals."),
]
Quota = Annotated[
    int | None, typer.Option(min=0, metavar="COUNT", help="Limit for one UTC day; no limit if left out.")
]


@app.callback()
def principals() -> None:
    """Manage who may ask, and about which collections."""


@app.command(cls=ConnectedCommand)
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A label for people, such as finance-app.")],
    *,
    collections: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Collections it may read. May be repeated.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="It may read every collection, also future ones.")] = False,
    requests_per_day: Quota = None,
    tokens_per_day: Quota = None,
    jwt_subject: Annotated[
        str | None, typer.Option(metavar="SUB", help="Grant to the `sub` claim of a token, not to a new key.")
    ] = None,
    jwt_group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Grant to everyone with this group in a token.")
    ] = None,
    api_key_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Grant to an existing API Gateway key, by its id.")
    ] = None,
    replace_: Annotated[bool, typer.Option("--replace", help="Replace an existing grant.")] = False,
    usage_plan: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_USAGE_PLAN", metavar="ID", help="Usage plan of the API's stage, by its id."),
    ] = None,
    table: TableOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Grant access to a new API key, which is printed once, or to an existing key, subject or group."""
    from docwell.adapters.dynamodb.principals import Grant

    readable = _collections(collections, every=every)
    known = _known_id(jwt_subject, jwt_group, api_key_id)
    settings: Settings = ctx.obj.given(principals_table=table, usage_plan=usage_plan)
    admin = _admin(settings)
    grant, value = Grant(known or "", readable, requests_per_day, tokens_per_day, name), None
    if known:
        grant = _store(admin, grant, replacing=replace_)
    else:
        grant, value = _store_with_new_key(admin, grant, settings)
    if as_json:
        display.show_json({**_as_json(grant), "api_key": value})
        return
    typer.echo(f"{grant.id} may read {display.clean(_readable(grant))}")
    if value:
        typer.echo(f"API key: {value}")
        typer.echo("store it now: it is not shown again", err=True)
        if not (settings.local or settings.usage_plan):
            typer.echo("the key works only in a usage plan of the API's stage: give --usage-plan ID", err=True)


@app.command(name="list", cls=ConnectedCommand)
def list_(
    ctx: typer.Context,
    *,
    table: TableOption = None,
    usage_table: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_USAGE_TABLE", metavar="NAME", help="Name of the table of their use."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the principals, their collections and today's use."""
    settings: Settings = ctx.obj.given(principals_table=table, usage_table=usage_table)
    use = settings.need("usage_table")
    rows = _admin(settings).list(use)
    if as_json:
        display.show_json({"principals": [_as_json(grant, use) for grant, use in rows]})
    elif rows:
        _show(rows)
    else:
        typer.echo("there are no principals; `docwell principals add NAME --all` makes one", err=True)


@app.command(cls=ConnectedCommand)
def revoke(
    ctx: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id from `docwell principals list`.")],
    *,
    table: TableOption = None,
) -> None:
    """Remove a grant at once. Also deletes the API key that `add` made for it."""
    grant = _admin(ctx.obj.given(principals_table=table)).revoke(id_)
    if grant is None:
        raise Failure(f"there is no principal {id_!r}: `docwell principals list` lists them")
    typer.echo(f"{display.clean(id_)} has no access any more")
    if grant.owns_key:
        _delete_key(ctx.obj, id_.removeprefix(KEY))


def _admin(settings: Settings) -> PrincipalAdmin:
    from docwell.adapters.dynamodb.principals import PrincipalAdmin

    table = settings.need("principals_table")
    return PrincipalAdmin(aws_client(settings, "dynamodb"), table)


def _store(admin: PrincipalAdmin, grant: Grant, *, replacing: bool) -> Grant:
    if before := admin.get(grant.id) if replacing else None:
        grant = replace(grant, owns_key=before.owns_key)
    if not admin.add(grant, replace=replacing):
        raise Failure(f"{grant.id} is already a principal: --replace changes its grant")
    return grant


def _store_with_new_key(admin: PrincipalAdmin, grant: Grant, settings: Settings) -> tuple[Grant, str]:
    """Store the grant for a new API key; return both. A failure leaves no key behind."""
    gateway = aws_client(settings, "apigateway")
    with plain_failures("cannot make an API key"):
        made = gateway.create_api_key(
            name=grant.label, description="docwell principal", enabled=True, generateDistinctId=True
        )
    try:
        if plan := settings.usage_plan:
            with plain_failures("cannot add the API key to the usage plan"):
                gateway.create_usage_plan_key(usagePlanId=plan, keyId=made["id"], keyType="API_KEY")
        grant = _store(admin, replace(grant, id=f"{KEY}{made['id']}", owns_key=True), replacing=False)
    except BaseException:
        _delete_key(settings, made["id"])
        raise
    return grant, made["value"]


def _delete_key(settings: Settings, id_: str) -> None:
    gateway = aws_client(settings, "apigateway")
    with (
        plain_failures(f"the principal has no access, but API key {id_} could not be deleted"),
        suppress(gateway.exceptions.NotFoundException),
    ):
        gateway.delete_api_key(apiKey=id_)


def _collections(given: list[str] | None, *, every: bool) -> frozenset[str] | None:
    names = frozenset(name.strip() for name in ",".join(given or ()).split(",")) - {""}
    if every == bool(names):
        raise Failure("say which collections it may read: either --collections A,B or --all", ExitCode.USAGE)
    for name in sorted(names):
        if "/" in name:
            raise Failure(f"{name!r} is not a collection: give the first folder of the key alone", ExitCode.USAGE)
    return None if every else names


def _known_id(subject: str | None, group_: str | None, api_key_id: str | None) -> str | None:
    given = [(kind, name) for kind, name in ((SUBJECT, subject), (GROUP, group_), (KEY, api_key_id)) if name]
    if len(given) > 1:
        raise Failure("give only one of --jwt-subject, --jwt-group and --api-key-id", ExitCode.USAGE)
    for kind, name in given:
        if not (is_group(name) if kind == GROUP else is_id(name)):
            raise Failure(f"no token or key can have the name {name!r}: check its characters", ExitCode.USAGE)
        return f"{kind}{name}"
    return None


def _readable(grant: Grant) -> str:
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


def _show(principals: list[tuple[Grant, Use]]) -> None:
    figures = ("requests today", "tokens today")
    rows = (
        (
            grant.id,
            grant.label,
            _readable(grant),
            _of(use.requests, grant.requests_per_day),
            _of(use.tokens, grant.tokens_per_day),
        )
        for grant, use in principals
    )
    display.console().print(display.table(("id", "name", "collections", *figures), rows, right=figures))


def _of(used: int, quota: int | None) -> str:
    return f"{used:,}" if quota is None else f"{used:,} of {quota:,}"
