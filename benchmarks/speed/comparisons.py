"""Where docwell wins and where it loses, read from the rows of reports.

Rows that are compared say the same thing of different parties, in one unit: `docwell: pages a second` and
`LangChain: pages a second`. Rates are better when they are higher; times, sizes, money and what failed when they
are lower. Chunks are not compared: each cuts them as long as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from infra.report import Row

Verdict = Literal["wins", "loses", "level"]

_OWN = "docwell"
_RATE = re.compile(r"^(?!chunks).*/s$|^[GT]FLOP")
_LESS_IS_BETTER = re.compile(r"^(s|ms|us|MB|MiB|GB|PDFs|errors|[A-Z]{3}( cents)?)$")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What docwell has beside another, of one figure.

    `times` >= 1 is by how much the better is better; None where a figure is 0. Where both were repeated and their
    quartiles overlap, `verdict` is `level`.
    """

    what: str
    own: Row
    other: str
    theirs: Row
    verdict: Verdict
    times: float | None


@dataclass(frozen=True, slots=True)
class Miss:
    """A goal that is missed, and in how many times (None where the goal is 0 or an equality)."""

    row: Row
    times: float | None


def compare(rows: Iterable[Row]) -> list[Comparison]:
    """Every figure that both docwell and another have in these rows of one report."""
    said = [(*_split(row.metric), row) for row in rows]
    own = {(what, row.unit): row for who, what, row in said if who == _OWN}
    return [
        _comparison(what, own[what, row.unit], who, row)
        for who, what, row in said
        if who and not who.startswith(_OWN) and (what, row.unit) in own and _direction(row) is not None
    ]


def missed(rows: Iterable[Row]) -> list[Miss]:
    """Every goal that does not hold."""
    return [Miss(row, _times_off(row)) for row in rows if row.goal is not None and not row.ok]


def _split(metric: str) -> tuple[str, str]:
    who, colon, what = metric.partition(": ")
    return (who, what) if colon else ("", metric)


def _direction(row: Row) -> bool | None:
    """Whether more is better; None where a unit says nothing of the kind."""
    if _RATE.search(row.unit):
        return True
    return False if _LESS_IS_BETTER.match(row.unit) else None


def _comparison(what: str, own: Row, who: str, theirs: Row) -> Comparison:
    wins = own.value >= theirs.value if _direction(theirs) else own.value <= theirs.value
    verdict: Verdict = "level" if _overlap(own, theirs) else "wins" if wins else "loses"
    low, high = sorted((own.value, theirs.value))
    return Comparison(what, own, who, theirs, verdict, high / low if low > 0 else None)


def _overlap(one: Row, other: Row) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def _times_off(row: Row) -> float | None:
    comparison, _, number = (row.goal or "").partition(" ")
    goal = float(number)
    if comparison == "==" or goal <= 0 or row.value <= 0:
        return None
    return row.value / goal if comparison.startswith("<") else goal / row.value
