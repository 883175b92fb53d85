"""`docwell principals add | list | rotate | adopt | revoke`: grants, quotas and keys, in table and API Gateway.

An operator runs these with AWS credentials; they do not use the docwell API.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.audit import Action
from docwell.cli import api_keys, display
from docwell.cli.asking import pairs
from docwell.cli.audit import record
from docwell.cli.command import ConnectedCommand, JsonFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import Json, aws_client
from docwell.cli.settings import Settings
from docwell.identity import GROUP, KEY, SUBJECT, ApiKey, Rule, Use, is_group, is_id
from docwell.models import KEY_BYTES, collection_of

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin

app = group()

TableOption = Annotated[
    str | None,
    typer.Option(envvar="DOCWELL_PRINCIPALS_TABLE", metavar="NAME", help="Name of the table of principals."),
]
Quota = Annotated[
    int | None, typer.Option(min=0, metavar="COUNT", help="Limit for one UTC day; no limit if left out.")
]

Prefixes = Annotated[
    list[str] | None,
    typer.Option(metavar="PREFIX", help="It may read documents whose keys begin with this. May be repeated."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Of all these, only documents with this S3 tag. May be repeated."),
]

Writes = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", help="Collections it may upload to and delete from. May be repeated."),
]
WriteAll = Annotated[bool, typer.Option("--write-all", help="It may change every collection.")]
Operate = Annotated[
    bool, typer.Option("--operate", help="It may see drift, use and cost of the whole system, and redrive.")
]


Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="When the key ends: 90d, 12h or 30m from now. Default: never.")
]
Plan = Annotated[
    str | None,
    typer.Option(envvar="DOCWELL_USAGE_PLAN", metavar="ID", help="Usage plan of the API's stage, by its id."),
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
    prefix: Prefixes = None,
    tag: Tags = None,
    write: Writes = None,
    write_all: WriteAll = False,
    operate: Operate = False,
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
    replace_: Annotated[bool, typer.Option("--replace", help="Replace the grant of NAME; its key stays.")] = False,
    expires: Expires = None,
    usage_plan: Plan = None,
    table: TableOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Grant access to a new API key, which is printed once, or to an existing key, subject or group."""
    from docwell.adapters.dynamodb.principals import Grant

    readable, rules = _rights(_collections(collections), prefix or [], pairs("--tag", tag), every=every)
    writable = _writable_of(write, every=write_all)
    known = _known_id(jwt_subject, jwt_group, api_key_id)
    settings: Settings = ctx.obj.given(principals_table=table, usage_plan=usage_plan)
    ends_at = api_keys.after("--expires", expires)
    if known and not known.startswith(KEY) and ends_at:
        raise Failure("--expires is for API keys: a token has its own end", ExitCode.USAGE)
    quotas = (requests_per_day, tokens_per_day)
    grant = Grant(known or "", readable, *quotas, name, rules=rules, writable=writable, operates=operate)
    grant, key, value = _store(settings, grant, ends_at, replacing=replace_)
    record(settings, Action.GRANTED, subject=grant.id)
    if as_json:
        display.show_json({**_as_json(grant, [key] if key else []), "api_key": value})
        return
    _say_granted(grant)
    _say_key(key, value, settings)


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
    """List the principals, their rights and today's use."""
    settings: Settings = ctx.obj.given(principals_table=table, usage_table=usage_table)
    use = settings.need("usage_table")
    rows, keys = _admin(settings).list(use), api_keys.stored(settings).list()
    principals = [(grant, use, [key for key in keys if key.principal == grant.id]) for grant, use in rows]
    if as_json:
        display.show_json({"principals": [_as_json(grant, keys, use) for grant, use, keys in principals]})
    elif rows:
        _show(principals)
    else:
        display.echo("there are no principals; `docwell principals add NAME --all` makes one", err=True)


@app.command(cls=ConnectedCommand)
def rotate(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name or the id of a principal with an API key.")
    ],
    *,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long its other keys stay valid: 7d, 12h, 30m or 0m.")
    ] = "7d",
    expires: Expires = None,
    usage_plan: Plan = None,
    table: TableOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new API key of a principal, which is printed once. Its other keys end after the overlap."""
    settings: Settings = ctx.obj.given(principals_table=table, usage_plan=usage_plan)
    overlap_ends, ends_at = api_keys.after("--overlap", overlap), api_keys.after("--expires", expires)
    found = _admin(settings).named(name)
    if not found:
        raise Failure(f"there is no principal {name!r}: `docwell principals list` lists them")
    if len(found) > 1 or not found[0].id.startswith(KEY):
        ids = ", ".join(grant.id for grant in found)
        raise Failure(f"{name!r} is {ids}: give the id of one principal with an API key")
    (grant,) = found
    key, value = api_keys.make(settings, grant.label, grant.id, ends_at)
    others = api_keys.end_others(settings, key, overlap_ends or 0, owns_first=grant.owns_key)
    record(settings, Action.ROTATED, subject=grant.id)
    if as_json:
        display.show_json({**_as_json(grant, [key, *others]), "api_key": value})
        return
    display.echo(f"{grant.id} has a new key")
    for other in others:
        display.echo(f"key {other.key_id} ends {api_keys.end_of(other)}")
    _say_key(key, value, settings)


@app.command(cls=ConnectedCommand)
def adopt(ctx: typer.Context, *, table: TableOption = None) -> None:
    """Store the API keys of principals that a release before `rotate` made, as `make deploy` does."""
    count = 0
    for principal, missing in api_keys.adopt_all(ctx.obj.given(principals_table=table)):
        count += missing is not None
        display.echo(missing.detail if missing else f"{principal} is stored", err=missing is not None)
    if count:
        raise Failure(f"{count} of the keys are not stored: `docwell principals revoke` removes a principal")


@app.command(cls=ConnectedCommand)
def revoke(
    ctx: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id from `docwell principals list`.")],
    *,
    table: TableOption = None,
) -> None:
    """Remove a grant and its keys at once. Also deletes the API keys that docwell made for it."""
    settings: Settings = ctx.obj.given(principals_table=table)
    grant = _admin(settings).revoke(id_)
    if grant is None:
        raise Failure(f"there is no principal {id_!r}: `docwell principals list` lists them")
    record(ctx.obj, Action.REVOKED, subject=id_)
    display.echo(f"{id_} has no access any more")
    api_keys.remove_all(settings, id_, owns_first=grant.owns_key)


def _say_granted(grant: Grant) -> None:
    may_write = f", and may write {_writable(grant)}" if grant.writable != frozenset() else ""
    may_operate = ", and may operate the system" if grant.operates else ""
    display.echo(f"{grant.id} may read {_readable(grant)}{may_write}{may_operate}")


def _say_key(key: ApiKey | None, value: str | None, settings: Settings) -> None:
    if key is not None and key.ends_at is not None:
        display.echo(f"its key ends {api_keys.end_of(key)}")
    if value:
        display.echo(f"API key: {value}")
        display.echo("store it now: it is not shown again", err=True)
        if not (settings.local or settings.usage_plan):
            display.echo("the key works only in a usage plan of the API's stage: give --usage-plan ID", err=True)


def _admin(settings: Settings) -> PrincipalAdmin:
    from docwell.adapters.dynamodb.principals import PrincipalAdmin

    table = settings.need("principals_table")
    return PrincipalAdmin(aws_client(settings, "dynamodb"), table)


def _store(
    settings: Settings, grant: Grant, ends_at: int | None, *, replacing: bool
) -> tuple[Grant, ApiKey | None, str | None]:
    """Store the grant, for a new key if it has no id; return both and the key's value.

    `replacing` finds the id of a grant without one by its name. A failure leaves no key behind.
    """
    admin = _admin(settings)
    if not grant.id and replacing:
        named = _only(admin, grant.label)
        grant = replace(grant, id=named.id, label=named.label)
    if not grant.id:
        made, value = api_keys.make(settings, grant.label, None, ends_at)
        grant = replace(grant, id=made.principal, owns_key=True)
        try:
            admin.add(grant)
        except BaseException:
            api_keys.remove_all(settings, grant.id, owns_first=True)
            raise
        return grant, made, value
    before = admin.get(grant.id)
    if before and not replacing:
        raise Failure(f"{grant.id} is already a principal: --replace changes its grant")
    if before and ends_at:
        raise Failure(
            "--expires is for a new key, and --replace keeps the key: `docwell principals rotate` makes a new one",
            ExitCode.USAGE,
        )
    grant = replace(grant, owns_key=before is not None and before.owns_key)
    key = api_keys.adopt(settings, grant.id, ends_at) if grant.id.startswith(KEY) and not before else None
    if not admin.add(grant, replace=replacing):
        raise Failure(f"{grant.id} is already a principal: --replace changes its grant")
    return grant, key, None


def _only(admin: PrincipalAdmin, name: str) -> Grant:
    """Return the one grant with this name or id. Raises `Failure` for none and for several."""
    found = admin.named(name)
    if not found:
        raise Failure(f"there is no principal {name!r}: leave out --replace to add it")
    if len(found) > 1:
        ids = ", ".join(grant.id for grant in found)
        raise Failure(f"{name!r} is {ids}: give --api-key-id, --jwt-subject or --jwt-group, or the id as NAME")
    return found[0]


def _collections(given: list[str] | None) -> frozenset[str]:
    names = frozenset(name.strip() for name in ",".join(given or ()).split(",")) - {""}
    for name in sorted(names):
        if "/" in name:
            raise Failure(f"{name!r} is not a collection: use --prefix for a folder in it", ExitCode.USAGE)
    return names


def _rights(
    collections: frozenset[str], prefixes: list[str], tags: dict[str, str], *, every: bool
) -> tuple[frozenset[str] | None, frozenset[Rule]]:
    """Return the whole collections and the rules of a grant."""
    if every == bool(collections or prefixes):
        raise Failure("say what it may read: --collections A,B and --prefix, or --all", ExitCode.USAGE)
    if not all(0 < len(prefix.encode("utf-8", "surrogatepass")) <= KEY_BYTES for prefix in prefixes):
        raise Failure(f"a prefix has 1 to {KEY_BYTES:,} bytes", ExitCode.USAGE)
    narrowed = frozenset(tags.items())
    homes = {prefix: collection_of(prefix) if "/" in prefix else None for prefix in prefixes}
    rules = {Rule(homes[prefix], prefix, narrowed) for prefix in prefixes}
    if not tags:
        return None if every else collections, frozenset(rules)
    rules |= {Rule(name, "", narrowed) for name in ([None] if every else collections)}
    return frozenset(), frozenset(rules)


def _writable_of(given: list[str] | None, *, every: bool) -> frozenset[str] | None:
    if every and given:
        raise Failure("give --write A,B or --write-all, not both", ExitCode.USAGE)
    return None if every else _collections(given)


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
    if grant.collections is None:
        return "all collections"
    return ", ".join([*sorted(grant.collections), *sorted(map(_phrase, grant.rules))])


def _writable(grant: Grant) -> str:
    return "all collections" if grant.writable is None else ", ".join(sorted(grant.writable))


def _phrase(rule: Rule) -> str:
    place = f"{rule.prefix}…" if rule.prefix else rule.collection or "all collections"
    return " ".join([place, *(f"with {name}={value}" for name, value in sorted(rule.tags))])


def _as_json(grant: Grant, keys: list[ApiKey], use: Use | None = None) -> Json:
    return {
        "id": grant.id,
        "label": grant.label,
        "collections": None if grant.collections is None else sorted(grant.collections),
        "writable": None if grant.writable is None else sorted(grant.writable),
        "operates": grant.operates,
        "rules": [
            {"collection": rule.collection, "prefix": rule.prefix, "tags": dict(rule.tags)}
            for rule in sorted(grant.rules, key=_phrase)
        ],
        "requests_per_day": grant.requests_per_day,
        "tokens_per_day": grant.tokens_per_day,
        "keys": [{"id": key.key_id, "ends_at": key.ends_at} for key in keys],
        **({"requests_today": use.requests, "tokens_today": use.tokens} if use else {}),
    }


def _show(principals: list[tuple[Grant, Use, list[ApiKey]]]) -> None:
    figures = ("requests today", "tokens today")
    rows = (
        (
            grant.id,
            grant.label,
            _readable(grant),
            _writable(grant),
            "yes" if grant.operates else "",
            ", ".join(map(api_keys.end_of, keys)),
            _of(use.requests, grant.requests_per_day),
            _of(use.tokens, grant.tokens_per_day),
        )
        for grant, use, keys in principals
    )
    columns = ("id", "name", "may read", "may write", "operates", "keys end", *figures)
    display.console().print(display.table(columns, rows, right=figures))


def _of(used: int, quota: int | None) -> str:
    return f"{used:,}" if quota is None else f"{used:,} of {quota:,}"
