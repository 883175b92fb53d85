"""Model hosts that sleep while unused, and the wait until one has woken.

A question that finds no host makes AWS start one, by an alarm on the metric `ModelAsleep`. This module stores the
time of the last such question, so that other processes can tell waking from sleep, and the time of the last wait
that failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

# botocore depends on dateutil. zoneinfo needs the system's time zones, which a small Linux image may lack.
from dateutil.tz import gettz  # type: ignore[import-untyped] # ships no types

from docwell.answers import HostState
from docwell.deadline import Deadline
from docwell.errors import DocwellError, ModelAsleep, ModelWaking, Unavailable
from docwell.ports import ModelHost, StateStore
from docwell.query.ask import Inquiry, Waking

# The fact "a question found no host", in the `StateStore`.
FACT = "model#waking"
_ASKED_AT = "asked_at"
_VAIN_AT = "vain_at"
# For this time after a failed wait, questions do not wait: EC2 has no free host.
_SPARED_S = 1800.0


@dataclass(frozen=True)
class Night:
    """The hours in which a schedule keeps all model hosts stopped (OllamaNight).

    Hosts stop at the times of the cron expression `stops`, and start at those of `starts`, by the clock of a time
    zone.
    """

    stops: str
    starts: str
    zone: tzinfo

    @classmethod
    def parse(cls, text: str) -> Night:
        """Return the schedule of a text such as `0 19 * * *;0 7 * * 1-5;Etc/UTC`. Raises `ValueError`."""
        stops, starts, name = [*text.split(";", 2), "", ""][:3]
        # `gettz` reads an empty name as the time zone of this machine.
        if not name or (zone := gettz(name)) is None:
            raise ValueError(f"no time zone {name!r}")
        for expression in (stops, starts):
            try:
                CronSim(expression, datetime(2026, 1, 1))  # noqa: DTZ001 - the clock of no zone
            except CronSimError as error:
                raise ValueError(f"{expression!r}: {error}") from None
        return cls(stops, starts, zone)

    def until(self, now: float) -> datetime | None:
        """Return when hosts start again, in UTC; None while the schedule lets them run. `now` is Unix time.

        >>> Night.parse("0 19 * * *;0 7 * * 1-5;Etc/UTC").until(0.0).isoformat()
        '1970-01-01T07:00:00+00:00'
        """
        clock = datetime.fromtimestamp(now, self.zone).replace(tzinfo=None)
        soon = clock.replace(second=0, microsecond=0) + timedelta(minutes=1)  # backwards, times before this one
        stopped = next(CronSim(self.stops, soon, reverse=True), None)
        started = next(CronSim(self.starts, soon, reverse=True), None)
        starts = next(CronSim(self.starts, clock), None)
        if stopped is None or starts is None or (started is not None and started >= stopped):
            return None
        until = starts.replace(tzinfo=self.zone).astimezone(UTC)
        # The hour repeats after the clocks go back, and hosts may already have started in its first run.
        return until if until.timestamp() > now else None


@dataclass(frozen=True)
class Sleeper:
    """Model hosts that wake within `wake_s` seconds of a question, except at `night`; checked each `poll_s`."""

    host: ModelHost
    states: StateStore
    wake_s: float
    night: Night | None = None
    poll_s: float = 2.0
    clock: Callable[[], float] = time.time

    async def state(self, deadline: Deadline) -> HostState:
        """Return the state of the hosts; a host that does not answer before the deadline is down.

        Raises `Unavailable` when the store fails.
        """
        try:
            async with deadline.stage("ollama"):
                await self.host.check()
        except ModelWaking:
            asked_at = "-inf"
            if not self.stopped():
                asked_at = (await asyncio.to_thread(self.states.read, FACT)).get(_ASKED_AT, asked_at)
            return HostState.WAKING if self.clock() - float(asked_at) <= self.wake_s else HostState.ASLEEP
        except DocwellError:
            return HostState.DOWN
        return HostState.AWAKE

    def stopped(self) -> ModelAsleep | None:
        """Return the failure of a question that finds no host at night, None by day."""
        now = self.clock()
        until = self.night and self.night.until(now)
        return ModelAsleep("ollama", until, until.timestamp() - now) if until else None

    async def before_rewriting(self, inquiry: Inquiry) -> AsyncGenerator[Waking]:
        """Wait for a host before a follow-up is rewritten, which needs the model.

        Raises the errors of charging the caller.
        """
        if not inquiry.ask.question.waits or self.stopped():
            return
        await inquiry.ask.admission.admitted()
        try:
            await self.host.check()
        except ModelWaking:
            async with aclosing(self.waking(inquiry)) as events:
                async for event in events:
                    yield event
        except Unavailable:
            pass  # the call of the model reports it

    async def waking(self, inquiry: Inquiry) -> AsyncGenerator[Waking]:
        """Yield `Waking`. If the question waits, repeat it until a host answers, and postpone the deadline.

        Soon after a failed wait, yield it only once.
        """
        vain_at = "-inf"
        with suppress(Unavailable):
            vain_at = (await asyncio.to_thread(self.states.read, FACT)).get(_VAIN_AT, vain_at)
        await self._note({_ASKED_AT: str(self.clock()), _VAIN_AT: vain_at})
        yield Waking()
        if not inquiry.ask.question.waits or self.clock() - float(vain_at) < _SPARED_S:
            return
        watch, began = inquiry.watch, self.clock()
        left_s = self.wake_s - watch.seconds["waking"]  # minus the wait before the rewriting
        while (waited := self.clock() - began) < left_s:
            if self.stopped():  # the schedule would stop the new host
                break
            try:
                await self.host.check()
            except Unavailable as error:  # a host that has just started can fail too
                if error.retry_after is None:
                    break
            else:
                await self._note({})
                break
            yield Waking(waited)
            await asyncio.sleep(self.poll_s)
        else:
            await self._note({_ASKED_AT: str(began), _VAIN_AT: str(self.clock())})
        watch.seconds["waking"] += self.clock() - began
        watch.deadline.postpone(self.clock() - began)

    async def _note(self, fact: Mapping[str, str]) -> None:
        """Store the times of a question that found no host. Drop a failure, so that the question goes on."""
        with suppress(Unavailable):
            await asyncio.to_thread(self.states.write, FACT, fact)
