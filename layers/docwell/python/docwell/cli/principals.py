"""`docwell principals add | list | rotate | revoke`: grants, quotas and keys, in table and API Gateway.

An operator runs these with AWS credentials; they do not use the docwell API. API Gateway creates the keys, for its
usage plans, or docwell with `--key`, without one; the table of principals stores each key's hash and end.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.audit import Action
from docwell.cli import display
from docwell.cli.ask import pairs
from docwell.cli.command import Commands, JsonFlag
from docwell.cli.erase import record
from docwell.cli.remote import Json, aws_client, plain_failures
from docwell.cli.settings import ExitCode, Failure, Settings, argument, option
from docwell.identity import ASKING, GROUP, KEY, READING, SUBJECT, ApiKey, Rule, Use, digest_of, is_group, is_id
from docwell.models import KEY_BYTES, collection_of

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.principals import DynamoApiKeys, Grant, PrincipalAdmin

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
# The longest life of a key. It excludes typing errors with dates that Python cannot show.
_LONGEST_S = 3_650 * 86_400

app = Commands()

QuotaOption = Annotated[int | None, option("COUNT", "Limit for one UTC day; no limit if left out.", min=0)]
ExpiresOption = Annotated[str | None, option("TIME", "It ends in 90d, 12h or 30m. Default: never.")]


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, argument("NAME", "A label for people, such as finance-app; with --replace, the id.")],
    *,
    collections: Annotated[list[str] | None, option("A,B", "Collections it may read. May be repeated.")] = None,
    read_all: Annotated[bool, typer.Option("--all", help="It may read all, also future collections.")] = False,
    prefix: Annotated[list[str] | None, option("PREFIX", "Keys it may read begin so. Repeatable.")] = None,
    tag: Annotated[list[str] | None, option("NAME=VALUE", "It may read only this S3 tag. Repeatable.")] = None,
    write: Annotated[list[str] | None, option("A,B", "Collections it may change. May be repeated.")] = None,
    write_all: Annotated[bool, typer.Option("--write-all", help="It may change every collection.")] = False,
    operate: Annotated[bool, typer.Option("--operate", help="It may see the whole system, and redrive.")] = False,
    requests_per_day: QuotaOption = None,
    tokens_per_day: QuotaOption = None,
    pages_per_day: QuotaOption = None,
    bytes_per_day: QuotaOption = None,
    reading_s_per_day: QuotaOption = None,
    jwt_subject: Annotated[str | None, option("SUB", "Grant to the `sub` claim of a token, not to a key.")] = None,
    jwt_group: Annotated[str | None, option("GROUP", "Grant to everyone with this group in a token.")] = None,
    own_key: Annotated[bool, typer.Option("--key", help="Make the key without API Gateway.")] = False,
    replace_: Annotated[bool, typer.Option("--replace", help="Replace the grant of this id.")] = False,
    expires: ExpiresOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Grant access to a new API key, which is printed once, or to an existing subject or group."""
    from docwell.adapters.dynamodb.principals import Grant

    readable, rules = _rights(_collections(collections), prefix or [], pairs("--tag", tag), read_all=read_all)
    if write_all and write:
        raise Failure("give --write A,B or --write-all, not both", ExitCode.USAGE)
    writable = None if write_all else _collections(write)
    id_ = _token_id(jwt_subject, jwt_group)
    ends_at = _end_after("--expires", expires)
    if (ends_at or own_key) and (id_ or replace_):
        raise Failure("--expires and --key are for a new key: docwell principals rotate makes one", ExitCode.USAGE)
    if replace_ and not id_:
        id_, name = name, _existing(ctx.obj, name).label
    reading = pages_per_day, bytes_per_day, reading_s_per_day
    grant = Grant(id_, readable, rules, requests_per_day, tokens_per_day, name, writable, operate, *reading)
    grant, key, value = _store(ctx.obj, grant, ends_at, replacing=replace_, own_key=own_key)
    if as_json:
        display.show_json({**_as_json(grant, [key] if key else []), "api_key": value})
    else:
        may_write = f", and may write {_names(grant.writable)}" if grant.writable != frozenset() else ""
        may_operate = ", and may operate the system" if grant.operates else ""
        display.say(f"{grant.id} may read {_names(grant.collections, grant.rules)}{may_write}{may_operate}")
        _show_key(key, value, ctx.obj)
    record(ctx.obj, Action.GRANTED, subject=grant.id)  # last: a trail that fails hides no key


@app.command(name="list")
def list_(ctx: typer.Context, *, as_json: JsonFlag = False) -> None:
    """List the principals, their rights and today's use."""
    usage = ctx.obj.need("usage_table")
    grants, keys = _admin(ctx.obj).list(usage), _keys(ctx.obj).list()
    rows = [(grant, use, [key for key in keys if key.principal == grant.id]) for grant, use in grants]
    if as_json:
        display.show_json({"principals": [_as_json(grant, keys, use) for grant, use, keys in rows]})
    else:
        figures = ("requests today", "tokens today")
        columns = ("id", "name", "may read", "may write", "operates", "keys end", *figures)
        empty = "there are no principals; `docwell principals add NAME --all` makes one"
        display.show_table(columns, [_row(grant, use, keys) for grant, use, keys in rows], figures, empty)


@app.command()
def rotate(
    ctx: typer.Context,
    id_: Annotated[str, argument("ID", "The id of a principal with an API key.")],
    *,
    overlap: Annotated[str, option("TIME", "How long its other keys stay valid: 7d, 12h, 30m or 0m.")] = "7d",
    expires: ExpiresOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new API key of a principal, which is printed once. Its other keys end after the overlap."""
    overlap_ends, ends_at = _end_after("--overlap", overlap), _end_after("--expires", expires)
    grant = _existing(ctx.obj, id_)
    if not id_.startswith(KEY):
        raise Failure(f"{id_} has no API key")
    own = "-" in grant.id  # a principal keeps to the kind of its first key
    key, value = _make_key(ctx.obj, grant.label, grant.id, ends_at, own=own)
    older = _end_older_keys(ctx.obj, key, overlap_ends or 0, owns_first=grant.owns_key)
    if as_json:
        display.show_json({**_as_json(grant, [key, *older]), "api_key": value})
    else:
        display.say(f"{grant.id} has a new key")
        for ending in older:
            display.say(f"key {ending.key_id} ends {_end_of(ending)}")
        _show_key(key, value, ctx.obj)
    record(ctx.obj, Action.ROTATED, subject=grant.id)


@app.command()
def revoke(ctx: typer.Context, id_: Annotated[str, argument("ID", "From `docwell principals list`.")]) -> None:
    """Remove a grant and its keys at once. Also deletes the API keys that docwell made for it."""
    grant = _existing(ctx.obj, id_)
    _admin(ctx.obj).revoke(id_)
    display.say(f"{id_} has no access any more")
    for key in _keys(ctx.obj).list():
        if key.principal == id_:
            _remove_key(ctx.obj, key, owns_first=grant.owns_key)
    record(ctx.obj, Action.REVOKED, subject=id_)


def _admin(settings: Settings) -> PrincipalAdmin:
    from docwell.adapters.dynamodb.principals import PrincipalAdmin

    return PrincipalAdmin(table=settings.need("principals_table"), client=aws_client(settings, "dynamodb"))


def _keys(settings: Settings) -> DynamoApiKeys:
    from docwell.adapters.dynamodb.principals import DynamoApiKeys

    return DynamoApiKeys(aws_client(settings, "dynamodb"), settings.need("principals_table"))


def _store(
    settings: Settings, grant: Grant, ends_at: int | None, *, replacing: bool, own_key: bool
) -> tuple[Grant, ApiKey | None, str | None]:
    """Store the grant, with a new key if it has no id; return both and the key's value.

    A failure leaves no key behind.
    """
    admin = _admin(settings)
    if grant.id:
        before = _existing(settings, grant.id) if replacing else None
        grant = replace(grant, owns_key=before is not None and before.owns_key)
        if not admin.add(grant, replace=replacing):
            raise Failure(f"{grant.id} is already a principal: --replace changes its grant")
        return grant, None, None
    key, value = _make_key(settings, grant.label, None, ends_at, own=own_key)
    grant = replace(grant, id=key.principal, owns_key=True)
    try:
        admin.add(grant)
    except BaseException:
        _remove_key(settings, key, owns_first=True)
        raise
    return grant, key, value


def _existing(settings: Settings, id_: str) -> Grant:
    """Return the grant. Raises `Failure` where there is none."""
    if grant := _admin(settings).get(id_):
        return grant
    raise Failure(f"there is no principal {id_!r}: `docwell principals list` lists them")


def _collections(texts: list[str] | None) -> frozenset[str]:
    names = frozenset(name.strip() for name in ",".join(texts or ()).split(",")) - {""}
    for name in sorted(names):
        if "/" in name:
            raise Failure(f"{name!r} is not a collection: use --prefix for a folder in it", ExitCode.USAGE)
    return names


def _rights(
    collections: frozenset[str], prefixes: list[str], tags: dict[str, str], *, read_all: bool
) -> tuple[frozenset[str] | None, frozenset[Rule]]:
    """Return the whole collections and the rules of a grant."""
    if read_all == bool(collections or prefixes):
        raise Failure("say what it may read: --collections A,B and --prefix, or --all", ExitCode.USAGE)
    if not all(0 < len(prefix.encode("utf-8", "surrogatepass")) <= KEY_BYTES for prefix in prefixes):
        raise Failure(f"a prefix has 1 to {KEY_BYTES:,} bytes", ExitCode.USAGE)
    required = frozenset(tags.items())
    homes = {prefix: collection_of(prefix) if "/" in prefix else None for prefix in prefixes}
    rules = {Rule(homes[prefix], prefix, required) for prefix in prefixes}
    if not tags:
        return None if read_all else collections, frozenset(rules)
    rules |= {Rule(name, "", required) for name in ([None] if read_all else collections)}
    return frozenset(), frozenset(rules)


def _token_id(subject: str | None, group_: str | None) -> str:
    """Return the id of the subject or group that the options name; "" for neither. Raises `Failure` (usage)."""
    if subject and group_:
        raise Failure("give only one of --jwt-subject and --jwt-group", ExitCode.USAGE)
    name = subject or group_ or ""
    if name and not (is_group(name) if group_ else is_id(name)):
        raise Failure(f"no token can have the name {name!r}: check its characters", ExitCode.USAGE)
    return f"{GROUP if group_ else SUBJECT}{name}" if name else ""


def _names(collections: frozenset[str] | None, rules: frozenset[Rule] = frozenset()) -> str:
    names = ["all collections"] if collections is None else sorted(collections)
    return ", ".join([*names, *sorted(map(_phrase, rules))])


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
        "rules": [asdict(rule) | {"tags": dict(rule.tags)} for rule in sorted(grant.rules, key=_phrase)],
        **{f"{name}_per_day": getattr(grant, f"{name}_per_day") for name in (*ASKING, *READING)},
        "keys": [{"id": key.key_id, "ends_at": key.ends_at} for key in keys],
        **({f"{name}_today": used for name, used in asdict(use).items()} if use else {}),
    }


def _row(grant: Grant, use: Use, keys: list[ApiKey]) -> list[str]:
    amounts = ((use.requests, grant.requests_per_day), (use.tokens, grant.tokens_per_day))
    return [
        grant.id,
        grant.label,
        _names(grant.collections, grant.rules),
        _names(grant.writable),
        "yes" if grant.operates else "",
        ", ".join(map(_end_of, keys)),
        *(f"{used:,}" if quota is None else f"{used:,} of {quota:,}" for used, quota in amounts),
    ]


def _show_key(key: ApiKey | None, value: str | None, settings: Settings) -> None:
    if key is not None and key.ends_at is not None:
        display.say(f"its key ends {_end_of(key)}")
    if value:
        display.say(f"API key: {value}")
        display.say("store it now: it is not shown again", err=True)
        if key and key.in_gateway and not (settings.local or settings.usage_plan):
            display.say("the key works only in a usage plan of the API's stage: set DOCWELL_USAGE_PLAN", err=True)


def _end_after(option: str, duration: str | None) -> int | None:
    """Return the time (seconds) in `90d`, `12h` or `30m` from now; None without one. Raises `Failure`."""
    if duration is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([mhd])", duration)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise Failure(f"{option} is a time such as 90d, 12h or 30m, and at most 3650d", ExitCode.USAGE)
    return int(time.time()) + seconds


def _end_of(key: ApiKey) -> str:
    return "never" if key.ends_at is None else f"{datetime.fromtimestamp(key.ends_at, UTC):%Y-%m-%d %H:%M} UTC"


def _make_key(
    settings: Settings, name: str, principal: str | None, ends_at: int | None, *, own: bool
) -> tuple[ApiKey, str]:
    """Make and store a key of the principal, or of a new one with the key's id; return it with its value.

    API Gateway does not know an `own` key. A failure leaves no key behind.
    """
    gateway, created = None, {"id": f"own-{secrets.token_hex(5)}", "value": secrets.token_hex(20)}
    if not own:
        gateway = aws_client(settings, "apigateway")
        with plain_failures("cannot make an API key"):
            created = gateway.create_api_key(
                name=name, description="docwell principal", enabled=True, generateDistinctId=True
            )
    key = ApiKey(digest_of(created["value"]), principal or f"{KEY}{created['id']}", created["id"], ends_at)
    try:
        if gateway and (plan := settings.usage_plan):
            with plain_failures("cannot add the API key to the usage plan"):
                gateway.create_usage_plan_key(usagePlanId=plan, keyId=key.key_id, keyType="API_KEY")
        with plain_failures("cannot store the API key"):
            _keys(settings).put(key)
    except BaseException:
        if gateway:
            _delete_from_gateway(settings, key.key_id)
        raise
    return key, created["value"]


def _end_older_keys(settings: Settings, newest: ApiKey, ends_at: int, *, owns_first: bool) -> list[ApiKey]:
    """End the principal's older keys no later than `ends_at`; return those that had not ended yet.

    Remove keys that had ended, and from API Gateway those that docwell created.
    """
    keys, ending = _keys(settings), []
    for key in keys.list():
        if key.principal != newest.principal or key.digest == newest.digest:
            continue
        if key.ends_at is not None and key.ends_at <= time.time():
            _remove_key(settings, key, owns_first=owns_first)
            continue
        ending.append(replace(key, ends_at=min(key.ends_at or ends_at, ends_at)))
        keys.put(ending[-1])
    return ending


def _remove_key(settings: Settings, key: ApiKey, *, owns_first: bool) -> None:
    _keys(settings).remove(key)
    # The key with the principal's name may belong to another application.
    if key.in_gateway and (owns_first or key.key_id != key.principal.removeprefix(KEY)):
        _delete_from_gateway(settings, key.key_id)


def _delete_from_gateway(settings: Settings, id_: str) -> None:
    gateway = aws_client(settings, "apigateway")
    with (
        plain_failures(f"API key {id_} is not valid any more, but could not be deleted"),
        suppress(gateway.exceptions.NotFoundException),
    ):
        gateway.delete_api_key(apiKey=id_)
