"""The use of all principals by day, from the rows that `docwell.adapters.dynamodb.principals` describes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from docwell.adapters.dynamodb.principals import Grant, day_of, grant_key, grant_of, use_of
from docwell.adapters.dynamodb.table import Place, Selection, Table
from docwell.identity import Principal, Use, UseHistory

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DAY_S = 86_400
# The most pages of 1 MB that a history reads, in about two seconds: 1,000 principals of two weeks take two.
_PAGES = 8
# The principals of today in a history.
_BUSIEST = 20


class DynamoUseHistory:
    """`docwell.upkeep.operations.History`."""

    def __init__(
        self, client: DynamoDBClient, table: str, usage_table: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._grants = Table(client, table, "principals")
        self._usage = Table(client, usage_table, "principals")
        self._clock = clock

    def read(self, days: int, currency: str) -> UseHistory:
        """Return the use of the last `days` UTC days, today included, and the costs in a currency."""
        now = self._clock()
        wanted = Selection("#day >= :since", {"since": day_of(now - (days - 1) * _DAY_S)})
        uses: defaultdict[str, Use] = defaultdict(Use)
        costs: defaultdict[str, float] = defaultdict(float)
        callers: defaultdict[str, Use] = defaultdict(Use)
        place: Place | None = None
        for _ in range(_PAGES):
            page = self._usage.page(wanted, after=place)
            for row in page.rows:
                day, id_ = str(row["day"]), str(row.get("of", row["principal"]))
                uses[day] += use_of(row)
                costs[day] += row.get("cost", 0) if row.get("currency") == currency else 0
                if day == day_of(now):
                    callers[id_] += use_of(row)
            place = page.next
            if place is None:
                break
        return UseHistory(uses, costs, self._busiest(callers), complete=place is None)

    def _busiest(self, callers: dict[str, Use]) -> list[tuple[Principal, Use]]:
        """Return the principals with the most requests. One without an own grant has no label and no quota."""
        ids = sorted(callers, key=lambda id_: (-callers[id_].requests, id_))[:_BUSIEST]
        grants = {grant.id: grant for grant in map(grant_of, self._grants.get_many(map(grant_key, ids)))}
        found = []
        for id_ in ids:
            own = grants.get(id_, Grant(id_, frozenset()))
            quotas = (own.requests_per_day, own.tokens_per_day)
            found.append((Principal(id_, frozenset(), frozenset(), *quotas, own.label), callers[id_]))
        return found
