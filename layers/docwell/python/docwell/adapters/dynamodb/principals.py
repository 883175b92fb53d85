"""Principals in DynamoDB: their grants and their daily use, in one table.

Rows: (`principal`, `item`) = (`key:ID`, `sub:ID` or `group:NAME`; `grant`) with `collections` (a string set) or
`all` = true, `requests_per_day`, `tokens_per_day`, `label`, `created_at` (seconds), `owns_key`; and
(`key:ID` or `sub:ID`; `usage#2026-11-25`) with `requests`, `tokens`, `expires_at` (seconds, the table's TTL).
A day is a day in UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Place, Row, Selection, Table
from docwell.errors import QuotaExceeded
from docwell.identity import GROUP, MAX_GROUPS, Principal, Rule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_GRANT = "grant"
_DAY_S = 86_400
_USAGE_KEPT_S = 40 * _DAY_S  # longer than a month, for billing
# boto3 has already retried each call; fail fast.
_BATCH_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of one key, subject or group: whole `collections` (None: all), and what `rules` allow.

    With `owns_key`, docwell created the API key and deletes it with the grant.
    """

    id: str
    collections: frozenset[str] | None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""
    created_at: int = 0
    owns_key: bool = False
    rules: frozenset[Rule] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """A principal's use of one day."""

    requests: int = 0
    tokens: int = 0


class DynamoPrincipals:
    """`docwell.ports.Principals`."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Callable[[], float] = time.time) -> None:
        self._table = Table(client, table, "principals", batch_attempts=_BATCH_ATTEMPTS)
        self._clock = clock

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        """Return the principal with the rights of its grant and its groups' grants.

        A quota comes from the principal's grant; without one there, it is the largest of its groups'.
        """
        ids = [id_, *(f"{GROUP}{name}" for name in list(dict.fromkeys(groups))[:MAX_GROUPS])]
        rows = self._table.get_many(_key(one, _GRANT) for one in ids)
        grants = {grant.id: grant for grant in map(_grant, rows)}
        if not grants:
            return None
        collections = [grant.collections for grant in grants.values()]
        rules = [grant.rules for grant in grants.values()]
        own = grants.pop(id_, None)
        return Principal(
            id=id_,
            collections=None if None in collections else frozenset().union(*filter(None, collections)),
            rules=frozenset().union(*rules),
            requests_per_day=_quota(own, grants, "requests_per_day"),
            tokens_per_day=_quota(own, grants, "tokens_per_day"),
            label=own.label if own else "",
        )

    def charge(self, principal: Principal, *, requests: int = 0, tokens: int = 0) -> None:
        """Count use in today's row. With `requests`, raises `QuotaExceeded` when a quota is used up."""
        now = self._clock()
        conditions: list[str] = []
        values = {"requests": requests, "tokens": tokens, "expires": int(now) + _USAGE_KEPT_S}
        if requests:
            # Tokens are known only after the work: the request that crosses the token quota is the last one.
            for name, quota, needed in (
                ("requests", principal.requests_per_day, requests),
                ("tokens", principal.tokens_per_day, 1),
            ):
                if quota is None:
                    continue
                if quota < needed:  # the condition below holds when the row does not exist yet
                    raise _used_up(now)
                conditions.append(f"(attribute_not_exists(#{name}) OR #{name} <= :{name}_before)")
                values[f"{name}_before"] = quota - needed
        counted = self._table.update(
            _key(principal.id, _usage(now)),
            "SET expires_at = :expires ADD #requests :requests, #tokens :tokens",
            values,
            condition=" AND ".join(conditions),
        )
        if counted is None:
            raise _used_up(now)


class PrincipalAdmin:
    """Changes to the table by `docwell principals`."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Callable[[], float] = time.time) -> None:
        self._table = Table(client, table, "principals")
        self._clock = clock

    def add(self, grant: Grant, *, replace: bool = False) -> bool:
        """Store the grant, created now; return False and change nothing when it exists and not `replace`."""
        values = asdict(grant)
        changed = {"created_at": int(self._clock()), "owns_key": grant.owns_key or None}
        row = {**_key(values.pop("id"), _GRANT), **values, **changed, "all": grant.collections is None}
        row["rules"] = [_stored_rule(rule) for rule in sorted(grant.rules, key=repr)] or None
        return self._table.put(row, only_if_new=not replace)

    def list(self) -> list[tuple[Grant, Use]]:
        """Return every grant with today's use, by id. Reads the whole table: for an operator."""
        selection = Selection(
            filter="#item IN (:grant, :usage)",
            values={"grant": _GRANT, "usage": _usage(self._clock())},
        )
        grants: dict[str, Grant] = {}
        used: dict[str, Use] = {}
        place: Place | None = None
        while True:
            page = self._table.page(selection, after=place)
            for row in page.rows:
                if row["item"] == _GRANT:
                    grants[row["principal"]] = _grant(row)
                else:
                    used[row["principal"]] = Use(row.get("requests", 0), row.get("tokens", 0))
            place = page.next
            if place is None:
                return [(grants[id_], used.get(id_, Use())) for id_ in sorted(grants)]

    def get(self, id_: str) -> Grant | None:
        """Return the grant, read consistently."""
        row = self._table.get(_key(id_, _GRANT))
        return _grant(row) if row else None

    def revoke(self, id_: str) -> Grant | None:
        """Remove the grant and return it, None where there was none. The next request has no rights."""
        row = self._table.delete(_key(id_, _GRANT))
        return _grant(row) if row else None


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


def _key(id_: str, item: str) -> Row:
    return {"principal": id_, "item": item}


def _grant(row: Row) -> Grant:
    return Grant(
        id=row["principal"],
        # Only a true `all` grants everything: a row without `all` and `collections` grants nothing.
        collections=None if row.get("all") is True else _names(row.get("collections")),
        requests_per_day=row.get("requests_per_day"),
        tokens_per_day=row.get("tokens_per_day"),
        label=row.get("label", ""),
        created_at=row.get("created_at", 0),
        owns_key=row.get("owns_key") is True,
        rules=_rules(row.get("rules")),
    )


def _names(stored: object) -> frozenset[str]:
    names = stored if isinstance(stored, frozenset) else frozenset[str]()
    return frozenset(name for name in names if isinstance(name, str))


def _stored_rule(rule: Rule) -> Row:
    """Return a rule as it is in the list `rules` of a grant's row."""
    return {"collection": rule.collection, "prefix": rule.prefix, "tags": dict(rule.tags)}


def _rules(stored: object) -> frozenset[Rule]:
    """Return the rules. One that this release cannot read, or that limits nothing, grants nothing."""
    found = (_rule(one) for one in (stored if isinstance(stored, list) else ()))
    return frozenset(rule for rule in found if rule is not None and rule != Rule(None))


def _rule(stored: object) -> Rule | None:
    # An unknown field may narrow the rule.
    if not isinstance(stored, dict) or set(stored) != {"collection", "prefix", "tags"}:
        return None
    collection, prefix, tags = stored["collection"], stored["prefix"], stored["tags"]
    if not isinstance(tags, dict) or not all(isinstance(text, str) for text in (prefix, *tags, *tags.values())):
        return None
    return Rule(collection, prefix, frozenset(tags.items())) if isinstance(collection, str | None) else None
