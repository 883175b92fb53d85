"""Who may see what, and what was used today: one table.

Items: (`principal`, `item`) = (`key:ID`, `sub:ID` or `group:NAME`; `grant`) with `collections` (a string set) or
`all` = true, `requests_per_day`, `tokens_per_day`, `label`, `created_at` (seconds), `owns_key`; and
(`key:ID` or `sub:ID`; `usage#2026-11-25`) with `requests`, `tokens`, `expires_at` (seconds, the table's TTL).
A day is one of UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from docwell.adapters.aws import error_code, until_processed, vendor_errors
from docwell.errors import QuotaExceeded
from docwell.identity import GROUP, MAX_GROUPS, Principal

_CONDITION_FAILED = "ConditionalCheckFailedException"
_GRANT = "grant"
_DAY_S = 86_400
# Long enough to bill a month by it.
_USAGE_KEPT_S = 40 * _DAY_S
# The client has tried each again already: a table that is still throttled makes nobody wait.
_BATCH_ATTEMPTS = 2

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


@dataclass(frozen=True, slots=True)
class Grant:
    """What one key, subject or group may see; `collections` None is all. `owns_key`: the key was made for it."""

    id: str
    collections: frozenset[str] | None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""
    created_at: int = 0
    owns_key: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """What a principal has used of one day."""

    requests: int = 0
    tokens: int = 0


class DynamoPrincipals:
    """`docwell.ports.Principals`."""

    def __init__(
        self,
        client: Any,
        table: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        """Own and groups' collections together. A quota is its own where it has one, else its groups' largest."""
        ids = [id_, *(f"{GROUP}{name}" for name in list(dict.fromkeys(groups))[:MAX_GROUPS])]
        grants = self._grants(ids)
        if not grants:
            return None
        own = grants.pop(id_, None)
        every = [*([own] if own else []), *grants.values()]
        collections = [grant.collections for grant in every]
        return Principal(
            id=id_,
            collections=None if None in collections else frozenset().union(*filter(None, collections)),
            requests_per_day=_quota(own, grants, "requests_per_day"),
            tokens_per_day=_quota(own, grants, "tokens_per_day"),
            label=own.label if own else "",
        )

    def charge(self, principal: Principal, *, requests: int = 0, tokens: int = 0) -> None:
        """One conditional write on the row of today; tokens alone are counted without a condition."""
        now = self._clock()
        conditions: list[str] = []
        values = {":requests": requests, ":tokens": tokens, ":expires": int(now) + _USAGE_KEPT_S}
        if requests:
            # A quota is asked before the work: the request that crosses the line of tokens is the last one.
            for name, quota, needed in (
                ("requests", principal.requests_per_day, requests),
                ("tokens", principal.tokens_per_day, 1),
            ):
                if quota is None:
                    continue
                if quota < needed:  # where there is no row yet the condition would hold
                    raise _used_up(now)
                conditions.append(f"(attribute_not_exists(#{name}) OR #{name} <= :{name}_before)")
                values[f":{name}_before"] = quota - needed
        update: dict[str, Any] = {"ConditionExpression": " AND ".join(conditions)} if conditions else {}
        with vendor_errors("principals"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(principal.id, _usage(now)),
                    UpdateExpression="SET expires_at = :expires ADD #requests :requests, #tokens :tokens",
                    ExpressionAttributeNames={"#requests": "requests", "#tokens": "tokens"},
                    ExpressionAttributeValues={name: _serialize(value) for name, value in values.items()},
                    **update,
                )
            except ClientError as error:
                if error_code(error) == _CONDITION_FAILED:
                    raise _used_up(now) from None
                raise

    def _grants(self, ids: Sequence[str]) -> dict[str, Grant]:
        found: dict[str, Grant] = {}
        keys = [_key(id_, _GRANT) for id_ in ids]
        request: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
        call = self._client.batch_get_item
        for answer in until_processed("principals", call, request, "UnprocessedKeys", _BATCH_ATTEMPTS):
            for item in answer["Responses"].get(self._table, []):
                grant = _grant(item)
                found[grant.id] = grant
        return found


class PrincipalAdmin:
    """What `docwell principals` does to the table."""

    def __init__(
        self,
        client: Any,
        table: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def add(self, grant: Grant, *, replace: bool = False) -> bool:
        """Store the grant as made now; False, and nothing is changed, where there is one and not `replace`."""
        item: dict[str, Any] = {
            "principal": grant.id,
            "item": _GRANT,
            "label": grant.label,
            "created_at": int(self._clock()),
            "all": grant.collections is None,
        }
        optional = {
            "collections": set(grant.collections or ()),  # DynamoDB has no empty set
            "requests_per_day": grant.requests_per_day,
            "tokens_per_day": grant.tokens_per_day,
            "owns_key": grant.owns_key,
        }
        item |= {name: value for name, value in optional.items() if value or type(value) is int}
        condition = {} if replace else {"ConditionExpression": "attribute_not_exists(#principal)"}
        names = {} if replace else {"ExpressionAttributeNames": {"#principal": "principal"}}
        with vendor_errors("principals"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item={name: _serialize(value) for name, value in item.items()},
                    **condition,
                    **names,
                )
            except ClientError as error:
                if error_code(error) == _CONDITION_FAILED:
                    return False
                raise
        return True

    def list(self) -> list[tuple[Grant, Use]]:
        """Every grant with what was used of it today, by id. Reads the whole table: for an operator."""
        grants: dict[str, Grant] = {}
        used: dict[str, Use] = {}
        request: dict[str, Any] = {
            "TableName": self._table,
            "FilterExpression": "#item IN (:grant, :usage)",
            "ExpressionAttributeNames": {"#item": "item"},
            "ExpressionAttributeValues": {":grant": {"S": _GRANT}, ":usage": {"S": _usage(self._clock())}},
        }
        while True:
            with vendor_errors("principals"):
                answer = self._client.scan(**request)
            for item in answer["Items"]:
                id_ = item["principal"]["S"]
                if item["item"]["S"] == _GRANT:
                    grants[id_] = _grant(item)
                else:
                    plain = _plain(item)
                    used[id_] = Use(int(plain.get("requests", 0)), int(plain.get("tokens", 0)))
            last = answer.get("LastEvaluatedKey")
            if not last:
                return [(grants[id_], used.get(id_, Use())) for id_ in sorted(grants)]
            request["ExclusiveStartKey"] = last

    def get(self, id_: str) -> Grant | None:
        """The grant, read consistently."""
        with vendor_errors("principals"):
            key = _key(id_, _GRANT)
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item = answer.get("Item")
        return _grant(item) if item else None

    def revoke(self, id_: str) -> Grant | None:
        """Remove the grant: the next request sees nothing any more. What it was, None where there was none."""
        with vendor_errors("principals"):
            answer = self._client.delete_item(TableName=self._table, Key=_key(id_, _GRANT), ReturnValues="ALL_OLD")
        item = answer.get("Attributes")
        return _grant(item) if item else None


def _quota(own: Grant | None, groups: Mapping[str, Grant], name: str) -> int | None:
    mine: int | None = getattr(own, name, None)
    if mine is not None or not groups:
        return mine
    theirs: list[int | None] = [getattr(grant, name) for grant in groups.values()]
    return None if None in theirs else max(quota for quota in theirs if quota is not None)


def _used_up(now: float) -> QuotaExceeded:
    detail = "today's requests or tokens are used up; the day ends at midnight UTC"
    return QuotaExceeded(detail, retry_after=_DAY_S - now % _DAY_S)


def _usage(now: float) -> str:
    return f"usage#{datetime.fromtimestamp(now, UTC).date().isoformat()}"


def _key(id_: str, item: str) -> dict[str, Any]:
    return {"principal": {"S": id_}, "item": {"S": item}}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _grant(item: Mapping[str, Any]) -> Grant:
    plain = _plain(item)
    quotas = {name: plain.get(name) for name in ("requests_per_day", "tokens_per_day")}
    return Grant(
        id=plain["principal"],
        # Only a true `all` opens everything: a row that says neither opens nothing.
        collections=None if plain.get("all") is True else frozenset(plain.get("collections", ())),
        **{name: None if value is None else int(value) for name, value in quotas.items()},
        label=plain.get("label", ""),
        created_at=int(plain.get("created_at", 0)),
        owns_key=plain.get("owns_key") is True,
    )
