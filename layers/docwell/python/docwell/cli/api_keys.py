"""API keys: made in API Gateway, for its usage plans, and stored by hash and end in the table of principals."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from docwell.access.credentials import digest_of
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.remote import aws_client, plain_failures
from docwell.cli.settings import Settings
from docwell.identity import KEY, ApiKey

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.principals import DynamoApiKeys

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
# A key that must live longer needs no end. Keeps a mistyped number out of dates that Python cannot show.
_LONGEST_S = 3_650 * 86_400


class MissingKey(Failure):
    """API Gateway has no key with the id of a principal."""


def after(option: str, duration: str | None) -> int | None:
    """Return the time (seconds) that is `90d`, `12h` or `30m` from now, None without one. Raises `Failure`."""
    if duration is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([mhd])", duration)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else _LONGEST_S + 1
    if seconds > _LONGEST_S:
        raise Failure(f"{option} is a time such as 90d, 12h or 30m, and at most 3650d", ExitCode.USAGE)
    return int(time.time()) + seconds


def end_of(key: ApiKey) -> str:
    """Return the end of a key for people."""
    if key.ends_at is None:
        return "never"
    return f"{datetime.fromtimestamp(key.ends_at, UTC):%Y-%m-%d %H:%M} UTC"


def stored(settings: Settings) -> DynamoApiKeys:
    """Return the table of API keys."""
    from docwell.adapters.dynamodb.principals import DynamoApiKeys

    return DynamoApiKeys(aws_client(settings, "dynamodb"), settings.need("principals_table"))


def make(settings: Settings, name: str, principal: str | None, ends_at: int | None) -> tuple[ApiKey, str]:
    """Make and store a key of the principal, or of a new one with the key's id; return it with its value.

    A failure leaves no key behind.
    """
    gateway = aws_client(settings, "apigateway")
    with plain_failures("cannot make an API key"):
        made = gateway.create_api_key(
            name=name, description="docwell principal", enabled=True, generateDistinctId=True
        )
    key = ApiKey(digest_of(made["value"]), principal or f"{KEY}{made['id']}", made["id"], ends_at)
    try:
        if plan := settings.usage_plan:
            with plain_failures("cannot add the API key to the usage plan"):
                gateway.create_usage_plan_key(usagePlanId=plan, keyId=key.key_id, keyType="API_KEY")
        with plain_failures("cannot store the API key"):
            stored(settings).put(key)
    except BaseException:
        delete_from_gateway(settings, key.key_id)
        raise
    return key, made["value"]


def adopt(settings: Settings, principal: str, ends_at: int | None = None) -> ApiKey:
    """Store the key of API Gateway that the principal is named for. Raises `Failure`, `MissingKey` without one."""
    id_, gateway = principal.removeprefix(KEY), aws_client(settings, "apigateway")
    with plain_failures(f"cannot read API key {id_}"):
        try:
            value = gateway.get_api_key(apiKey=id_, includeValue=True)["value"]
        except gateway.exceptions.NotFoundException as error:
            raise MissingKey(f"cannot read API key {id_}: {error}") from None
        key = ApiKey(digest_of(value), principal, id_, ends_at)
        stored(settings).put(key)
    return key


def adopt_all(settings: Settings) -> Iterator[tuple[str, MissingKey | None]]:
    """Store the API Gateway key of each principal without a stored key; yield the principal, and any `MissingKey`.

    Raises `Failure` at the first key that is there and cannot be read or stored, and `Unavailable`.
    """
    from docwell.adapters.dynamodb.principals import PrincipalAdmin

    known = {key.principal for key in stored(settings).list()}
    admin = PrincipalAdmin(aws_client(settings, "dynamodb"), settings.need("principals_table"))
    for grant in admin.grants():
        if grant.id.startswith(KEY) and grant.id not in known:
            try:
                adopt(settings, grant.id)
            except MissingKey as missing:
                yield grant.id, missing
            else:
                yield grant.id, None


def end_others(settings: Settings, newest: ApiKey, ends_at: int, *, owns_first: bool) -> list[ApiKey]:
    """End the principal's other keys, at `ends_at` at the latest; return those that had not ended yet.

    Keys that had ended are removed, and from API Gateway those that docwell made.
    """
    keys, still = stored(settings), []
    for key in keys.list():
        if key.principal != newest.principal or key.digest == newest.digest:
            continue
        if key.ends_at is not None and key.ends_at <= time.time():
            _remove(settings, key, owns_first=owns_first)
            continue
        still.append(replace(key, ends_at=min(key.ends_at or ends_at, ends_at)))
        keys.put(still[-1])
    return still


def remove_all(settings: Settings, principal: str, *, owns_first: bool) -> None:
    """Remove the keys of a principal, and from API Gateway those that docwell made."""
    for key in stored(settings).list():
        if key.principal == principal:
            _remove(settings, key, owns_first=owns_first)


def _remove(settings: Settings, key: ApiKey, *, owns_first: bool) -> None:
    stored(settings).remove(key)
    # The key that the principal is named for may be another application's.
    if owns_first or key.key_id != key.principal.removeprefix(KEY):
        delete_from_gateway(settings, key.key_id)


def delete_from_gateway(settings: Settings, id_: str) -> None:
    """Delete a key of API Gateway; a missing one is no error."""
    gateway = aws_client(settings, "apigateway")
    with (
        plain_failures(f"API key {id_} is not valid any more, but could not be deleted"),
        suppress(gateway.exceptions.NotFoundException),
    ):
        gateway.delete_api_key(apiKey=id_)
