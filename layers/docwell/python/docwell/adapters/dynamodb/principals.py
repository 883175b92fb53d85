"""Principals in DynamoDB: their grants and API keys in one table, their daily use in another.

A grant: (`principal`, `item`) = (`key:ID`, `sub:ID` or `group:NAME`; `grant`) with `collections` (a string set) or
`all` = true, `writable` or `write_all` for the right to write, `operates`, the quotas (`requests_per_day`...),
`label`, `created_at` (seconds), `owns_key`.

An API key: (`hash:DIGEST`; `key`) with `of` (`key:ID`, its principal), `key_id` and `ends_at` (seconds). The value
itself is not stored.

A day's use: (`principal`, `day`) = (`key:ID` or `sub:ID`; `2026-11-25`, in UTC) with the fields of `Use`,
`expires_at` (seconds, the table's TTL), `cost` of the answers in `currency`, and `in_flight`, a string set of
`END#TOKENS#ID`: a question that has reserved the tokens, and no longer runs after END (seconds). A set takes and
loses members in the same update that counts, and has a size for its condition.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.table import Place, Row, Selection, Table
from docwell.answers import Cost
from docwell.errors import QuotaExceeded, TooManyInFlight
from docwell.identity import ASKING, GROUP, MAX_GROUPS, READING, REQUEST, ApiKey, Principal, Rule, Use, UseHistory
from docwell.ports import Reservation

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_GRANT = "grant"
_QUOTAS = [f"{name}_per_day" for name in (*ASKING, *READING)]
_DAY_S = 86_400
# The most pages of 1 MB that a history reads, in about two seconds. Two weeks of 1,000 principals take two pages.
_PAGES = 8
# The number of principals that a history lists for today.
_BUSIEST = 20
_USAGE_KEPT_S = 40 * _DAY_S  # longer than a month, for billing
# A question in flight ends within seconds, and frees its slot and its unused tokens.
_IN_FLIGHT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Grant(Principal):
    """The rights of one key, subject or group. With `owns_key`, docwell made the API key, and deletes it too."""

    created_at: int = 0
    owns_key: bool = False


class DynamoPrincipals:
    """`docwell.ports.Principals`."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        usage_table: str,
        *,
        max_in_flight: int,
        longest_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Allow a principal `max_in_flight` questions at once, each of which runs up to `longest_s` seconds."""
        self._grants = Table(client, table, "principals")
        self._usage = Table(client, usage_table, "principals")
        self._max_in_flight = max_in_flight
        self._longest_s = longest_s
        self._clock = clock

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        """Return the principal with the rights of its grant and its groups' grants.

        A quota comes from the principal's grant; if that has none, the largest quota of its groups counts.
        """
        ids = [id_, *(f"{GROUP}{name}" for name in list(dict.fromkeys(groups))[:MAX_GROUPS])]
        grants = self._grants_of(ids)
        if not grants:
            return None
        personal = grants.get(id_)
        of_groups = [grant for grant in grants.values() if grant.id != id_]
        return Principal(
            id=id_,
            collections=_union(grant.collections for grant in grants.values()),
            rules=frozenset().union(*(grant.rules for grant in grants.values())),
            label=personal.label if personal else "",
            writable=_union(grant.writable for grant in grants.values()),
            operates=any(grant.operates for grant in grants.values()),
            **{name: _quota(personal, of_groups, name) for name in _QUOTAS},
        )

    def use(self, principal: Principal) -> Use:
        """Return today's use. Tokens reserved by questions in flight count as used."""
        return _use(self._usage.get(_usage_key(principal.id, _day_of(self._clock()))) or {})

    def charge(self, principal: Principal, use: Use = REQUEST, quotas: Sequence[str] = ASKING) -> None:
        """Count a use. Raises `QuotaExceeded` when one of the quotas is used up, and `TooManyInFlight`."""
        key = _usage_key(principal.id, _day_of(self._clock()))
        change = f"ADD {', '.join(f'#{name} :{name}' for name in asdict(use))}"
        if not self._count(key, change, asdict(use), principal.quotas(quotas)):
            raise self._refusal(key, principal.quotas(quotas))

    def reserve(self, principal: Principal, tokens: int) -> Reservation:
        """Count one question, charge `tokens` and take a slot, in one conditional write.

        Raises `QuotaExceeded`, `TooManyInFlight`.
        """
        id_ = f"{int(self._clock() + self._longest_s)}#{tokens}#{uuid.uuid4().hex}"
        reservation = Reservation(principal.id, _day_of(self._clock()), id_, tokens)
        key, quotas = _usage_key(principal.id, reservation.day), principal.quotas()
        change = "ADD #requests :one, #tokens :tokens, in_flight :slot"
        values = {"most": self._max_in_flight, "id": id_, "slot": frozenset({id_}), "tokens": tokens, "one": 1}
        conditions = [
            "(attribute_not_exists(in_flight) OR size(in_flight) < :most)",
            "NOT contains(in_flight, :id)",  # boto3 retries a write whose answer was lost
        ]
        for _ in range(2):
            if self._count(key, change, values, quotas, conditions):
                return reservation
            row = self._usage.get(key) or {}
            if id_ in row.get("in_flight", ()):
                return reservation
            if not (dead := frozenset(self._dead(row))):
                break
            # The processes of these questions died: free their slots, but keep the charge for their tokens.
            self._usage.update(key, "DELETE in_flight :dead", {"dead": dead}, returns="NONE")
        raise self._refusal(key, quotas)

    def settle(self, reservation: Reservation, tokens: int, cost: Cost | None = None) -> None:
        """Correct the charge and free the slot. Do nothing when the slot is already free."""
        paid = {"cost": cost.amount, "currency": cost.currency} if cost else {}
        change = "SET #currency = :currency ADD #cost :cost, " if cost else "ADD "
        slot = {"slot": frozenset({reservation.id}), "id": reservation.id}
        self._usage.update(
            _usage_key(reservation.principal, reservation.day),
            f"{change}#tokens :more DELETE in_flight :slot",
            {**paid, **slot, "more": tokens - reservation.tokens},
            condition="contains(in_flight, :id)",
            returns="NONE",
        )

    def history(self, days: int, currency: str) -> UseHistory:
        """Return the use of the last `days` UTC days, today included, and the costs in a currency."""
        now = self._clock()
        days_read = Selection("#day >= :since", {"since": _day_of(now - (days - 1) * _DAY_S)})
        uses: defaultdict[str, Use] = defaultdict(Use)
        costs: defaultdict[str, float] = defaultdict(float)
        callers: dict[str, Use] = {}
        place: Place | None = None
        for _ in range(_PAGES):
            page = self._usage.page(days_read, after=place)
            for row in page.rows:
                day = str(row["day"])
                uses[day] += _use(row)
                costs[day] += row.get("cost", 0) if row.get("currency") == currency else 0
                if day == _day_of(now):
                    callers[row["principal"]] = _use(row)
            place = page.next
            if place is None:
                break
        ids = sorted(callers, key=lambda id_: (-callers[id_].requests, id_))[:_BUSIEST]
        grants = self._grants_of(ids)
        busiest = [(grants.get(id_, Principal(id_)), callers[id_]) for id_ in ids]
        return UseHistory(uses, costs, busiest, complete=place is None)

    def _grants_of(self, ids: Iterable[str]) -> dict[str, Grant]:
        return {grant.id: grant for grant in map(_grant, self._grants.get_many(map(_grant_key, ids)))}

    def _count(
        self, key: Row, change: str, values: Row, quotas: Mapping[str, int], conditions: Sequence[str] = ()
    ) -> bool:
        """Change the counters unless a quota is used up or a condition fails. Return whether they changed.

        The request that crosses a quota is the last one.
        """
        values = {"expires": int(self._clock()) + _USAGE_KEPT_S, **values}
        conditions = [*conditions]
        for name, quota in quotas.items():
            if quota < 1:  # the condition would hold if the row does not exist
                return False
            conditions.append(f"(attribute_not_exists(#{name}) OR #{name} < :{name}_quota)")
            values[f"{name}_quota"] = quota
        expression, condition = f"SET expires_at = :expires {change}", " AND ".join(conditions)
        return self._usage.update(key, expression, values, condition=condition, returns="NONE") is not None

    def _dead(self, row: Row) -> Iterator[str]:
        return (slot for slot in row.get("in_flight", ()) if int(slot.split("#")[0]) <= self._clock())

    def _refusal(self, key: Row, quotas: Mapping[str, int]) -> QuotaExceeded:
        """Return the error for a row that does not meet the conditions."""
        row = self._usage.get(key) or {}
        running = row.get("in_flight", frozenset()) - frozenset(self._dead(row))
        reserved = sum(int(slot.split("#")[1]) for slot in running)
        for name, quota in quotas.items():
            if row.get(name, 0) - (reserved if name == "tokens" else 0) >= quota:
                words = f"today's {name.replace('reading_s', 'seconds of reading')} are used up"
                return QuotaExceeded(f"{words}; the day ends at midnight UTC", _DAY_S - self._clock() % _DAY_S)
        if len(running) >= self._max_in_flight:
            detail = f"{self._max_in_flight} of your questions are in flight: wait for an answer"
        else:
            detail = "your questions in flight have reserved the rest of today's tokens: wait for an answer"
        return TooManyInFlight(detail, _IN_FLIGHT_RETRY_S)


class PrincipalAdmin:
    """Changes to the table by `docwell principals`."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._table = Table(client, table, "principals")
        self._clock = clock

    def add(self, grant: Grant, *, replace: bool = False) -> bool:
        """Store the grant, created now; return False and change nothing when it exists and `replace` is false."""
        values = asdict(grant)
        changed = {"created_at": int(self._clock()), "owns_key": grant.owns_key or None}
        changed["operates"] = grant.operates or None
        everything = {"all": grant.collections is None, "write_all": grant.writable is None or None}
        row = {**_grant_key(values.pop("id")), **values, **changed, **everything}
        rules = sorted(grant.rules, key=repr)
        row["rules"] = [asdict(rule) | {"tags": dict(rule.tags)} for rule in rules] or None
        return self._table.put(row, only_if_new=not replace)

    def list(self, usage_table: str) -> list[tuple[Grant, Use]]:
        """Return every grant with today's use, by id. Reads both tables whole: for an operator."""
        usage = Table(self._client, usage_table, "principals")
        today = Selection(filter="#day = :day", values={"day": _day_of(self._clock())})
        used = {row["principal"]: _use(row) for row in usage.rows(today)}
        return [(grant, used.get(grant.id, Use())) for grant in self.grants()]

    def grants(self) -> Sequence[Grant]:
        """Return every grant, by id. Reads the table whole: for an operator."""
        stored = self._table.rows(Selection(filter="#item = :grant", values={"grant": _GRANT}))
        return sorted(map(_grant, stored), key=lambda grant: grant.id)

    def get(self, id_: str) -> Grant | None:
        """Return the grant, read consistently."""
        row = self._table.get(_grant_key(id_))
        return _grant(row) if row else None

    def revoke(self, id_: str) -> None:
        """Remove the grant: the next request has no rights."""
        self._table.delete(_grant_key(id_))


def _quota(personal: Grant | None, of_groups: Sequence[Grant], name: str) -> int | None:
    quota: int | None = getattr(personal, name, None)
    if quota is not None or not of_groups:
        return quota
    quotas: list[int | None] = [getattr(grant, name) for grant in of_groups]
    return None if None in quotas else max(number for number in quotas if number is not None)


def _day_of(now: float) -> str:
    """Return the UTC day of a time in seconds, such as `2026-11-25`."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def _grant_key(id_: str) -> Row:
    return {"principal": id_, "item": _GRANT}


def _usage_key(id_: str, day: str) -> Row:
    return {"principal": id_, "day": day}


def _grant(row: Row) -> Grant:
    """Return the grant of a row."""
    return Grant(
        id=row["principal"],
        # Only a true `all` grants everything: a row without `all` and `collections` grants nothing.
        collections=None if row.get("all") is True else _names(row.get("collections")),
        label=row.get("label", ""),
        created_at=row.get("created_at", 0),
        owns_key=row.get("owns_key") is True,
        rules=_rules(row.get("rules")),
        writable=None if row.get("write_all") is True else _names(row.get("writable")),
        operates=row.get("operates") is True,
        **{name: row.get(name) for name in _QUOTAS},
    )


def _use(row: Row) -> Use:
    """Return the counters of a row of use."""
    return Use(*(row.get(name, 0) for name in (*ASKING, *READING)))


def _union(sets: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Return the union of the sets; None stands for all names."""
    names = frozenset[str]()
    for granted in sets:
        if granted is None:
            return None
        names |= granted
    return names


def _names(stored: object) -> frozenset[str]:
    names = stored if isinstance(stored, frozenset) else frozenset[str]()
    return frozenset(name for name in names if isinstance(name, str))


def _rules(stored: object) -> frozenset[Rule]:
    """Return the rules. A rule that this release cannot read, or that limits nothing, grants nothing."""
    rules = map(_rule, stored if isinstance(stored, list) else ())
    return frozenset(rule for rule in rules if rule is not None and rule != Rule(None))


def _rule(stored: object) -> Rule | None:
    # Reject unknown fields: one may narrow the rule.
    if not isinstance(stored, dict) or set(stored) != {"collection", "prefix", "tags"}:
        return None
    collection, prefix, tags = stored["collection"], stored["prefix"], stored["tags"]
    if not isinstance(tags, dict) or not all(isinstance(text, str) for text in (prefix, *tags, *tags.values())):
        return None
    return Rule(collection, prefix, frozenset(tags.items())) if isinstance(collection, str | None) else None


_KEY = "key"
_HASH = "hash:"


class DynamoApiKeys:
    """The API keys for `docwell.access.authorizer`, and their changes by `docwell principals`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table, "principals")

    def find(self, digest: str) -> ApiKey | None:
        """Return the key, read consistently, None where there is none. Raises `Unavailable`."""
        row = self._table.get(_row_key(digest))
        return _api_key(row) if row else None

    def put(self, key: ApiKey) -> None:
        """Store the key; replace one with the same value."""
        row = {**_row_key(key.digest), "of": key.principal, "key_id": key.key_id, "ends_at": key.ends_at}
        self._table.put(row)

    def list(self) -> list[ApiKey]:
        """Return every key. Reads the whole table: for an operator."""
        rows = self._table.rows(Selection(filter="#item = :key", values={"key": _KEY}))
        return sorted(map(_api_key, rows), key=lambda key: (key.principal, key.ends_at or float("inf")))

    def remove(self, key: ApiKey) -> None:
        """Remove the key; a missing one is no error."""
        self._table.delete(_row_key(key.digest))


def _row_key(digest: str) -> Row:
    return {"principal": f"{_HASH}{digest}", "item": _KEY}


def _api_key(row: Row) -> ApiKey:
    return ApiKey(row["principal"].removeprefix(_HASH), row["of"], row["key_id"], row.get("ends_at"))
