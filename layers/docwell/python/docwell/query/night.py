"""The hours in which a schedule keeps all model hosts stopped (OllamaNight): no question starts one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import product

# botocore's. zoneinfo would need the time zones of the system, which a small Linux image may lack.
from dateutil.tz import gettz  # type: ignore[import-untyped] # ships no types

# The least and the greatest value of a cron expression's fields. Sunday is 0 and 7.
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?", re.ASCII)
_DAYS_OF_WEEK = 7
# An expression that names a day of the year has fired within so many days.
_DAYS = 366


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields, as Auto Scaling reads it: numbers, lists, spans and steps."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    # Where both days are restricted, one that fits is enough.
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Return the expression. Raises `ValueError`."""
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"{text!r} has not {len(_FIELDS)} fields")
        minutes, hours, days, months, weekdays = map(_values, fields, _FIELDS)
        either_day = "*" not in (fields[2], fields[4])
        on = frozenset(day % _DAYS_OF_WEEK for day in weekdays)
        return cls(minutes, hours, days, months, on, either_day)

    def before(self, now: datetime) -> datetime | None:
        """Return the last time up to `now`."""
        return next((one for one in self._times(now, -1) if one <= now), None)

    def after(self, now: datetime) -> datetime | None:
        """Return the next time after `now`."""
        return next((one for one in self._times(now, 1) if one > now), None)

    def _times(self, now: datetime, step: int) -> Iterator[datetime]:
        """Yield the times of each day from that of `now` on, in the direction of `step`."""
        times = sorted(product(self.hours, self.minutes), reverse=step < 0)
        for days in range(_DAYS + 1):
            day = now.date() + timedelta(days=step * days)
            fits = (day.day in self.days, day.isoweekday() % _DAYS_OF_WEEK in self.weekdays)
            if day.month in self.months and (any(fits) if self.either_day else all(fits)):
                yield from (datetime.combine(day, time(*one)) for one in times)


@dataclass(frozen=True)
class Night:
    """Hosts stop at `stops` and start at `starts`, by the clock of a time zone."""

    stops: Cron
    starts: Cron
    zone: tzinfo

    @classmethod
    def parse(cls, text: str) -> Night:
        """Return the schedule of a text such as `0 19 * * *;0 7 * * 1-5;Etc/UTC`. Raises `ValueError`."""
        stops, starts, name = [*text.split(";", 2), "", ""][:3]
        # An empty name is the time zone of this machine.
        if not name or (zone := gettz(name)) is None:
            raise ValueError(f"no time zone {name!r}")
        return cls(Cron.parse(stops), Cron.parse(starts), zone)

    def until(self, now: float) -> datetime | None:
        """Return when hosts start again, in UTC; None while the schedule lets them run. `now` is Unix time.

        >>> Night.parse("0 19 * * *;0 7 * * 1-5;Etc/UTC").until(0.0).isoformat()
        '1970-01-01T07:00:00+00:00'
        """
        clock = datetime.fromtimestamp(now, self.zone).replace(tzinfo=None)
        stopped, started = self.stops.before(clock), self.starts.before(clock)
        if stopped is None or (started is not None and started >= stopped):
            return None
        if (starts := self.starts.after(clock)) is None:
            return None
        found = starts.replace(tzinfo=self.zone).astimezone(UTC)
        # The hour after the clocks go back repeats one in which hosts may have started.
        return found if found.timestamp() > now else None


def _values(field: str, limits: tuple[int, int]) -> frozenset[int]:
    """Return the numbers of one field. Raises `ValueError`."""
    found: set[int] = set()
    for part in field.split(","):
        if not (match := _PART.fullmatch(part)):
            raise ValueError(f"{field!r} is not *, numbers, spans or steps of them")
        first, last, step = match.groups()
        low, high = (int(first), int(last or first)) if first else limits
        if not limits[0] <= low <= high <= limits[1]:
            raise ValueError(f"{field!r} is outside of {limits[0]}-{limits[1]}")
        found.update(range(low, high + 1, int(step or 1)))
    return frozenset(found)
