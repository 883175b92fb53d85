"""Model hosts that sleep while unused, and the wait until one has woken.

A question that finds no host starts one outside of docwell: in AWS, by an alarm on the metric `ModelAsleep`. The
time of the last such question is stored here, so that another process can tell waking from sleep, and that of the
last wait in vain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

# botocore's. zoneinfo would need the time zones of the system, which a small Linux image may lack.
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
# For this time after a wait in vain, questions do not wait: EC2 has no free host.
_SPARED_S = 1800.0
# The pause between two checks, which are small requests.
_POLL_S = 2.0


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
        # The hour after the clocks go back repeats one in which hosts may have started.
        return until if until.timestamp() > now else None


@dataclass(frozen=True)
class Sleeper:
    """Hosts that wake within `wake_s` seconds of a question, unless it is `night`."""

    host: ModelHost
    states: StateStore
    wake_s: float
    night: Night | None = None
    poll_s: float = _POLL_S
    clock: Callable[[], float] = time.time

    async def state(self, deadline: Deadline) -> HostState:
        """Return the state of the hosts; one that is silent until the deadline is down.

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

    async def wake(self, inquiry: Inquiry, error: ModelWaking) -> AsyncGenerator[Waking]:
        """Yield `Waking` until a host has woken, or the wait was in vain. Then the question can be repeated.

        Raises `ModelAsleep` at night, and `error` when the question does not wait.
        """
        if stopped := self.stopped():
            raise stopped from None
        async with aclosing(self._waking(inquiry)) as events:
            async for event in events:
                yield event
        if not inquiry.ask.question.waits:
            raise error

    async def before_rewriting(self, inquiry: Inquiry) -> AsyncGenerator[Waking]:
        """Wait for a host before a follow-up is rewritten, which needs the model.

        Raises as charging the caller does.
        """
        if not inquiry.ask.question.waits or self.stopped():
            return
        await inquiry.ask.admission.admitted()
        try:
            await self.host.check()
        except ModelWaking:
            async with aclosing(self._waking(inquiry)) as events:
                async for event in events:
                    yield event
        except Unavailable:
            pass  # the call of the model reports it

    async def _waking(self, inquiry: Inquiry) -> AsyncGenerator[Waking]:
        """Yield `Waking`. If the question waits, repeat it until a host answers, and postpone the deadline.

        Soon after a wait in vain, yield it once only.
        """
        vain_at = "-inf"
        with suppress(Unavailable):
            vain_at = (await asyncio.to_thread(self.states.read, FACT)).get(_VAIN_AT, vain_at)
        await self._note({_ASKED_AT: str(self.clock()), _VAIN_AT: vain_at})
        yield Waking()
        if not inquiry.ask.question.waits or self.clock() - float(vain_at) < _SPARED_S:
            return
        watch, began = inquiry.watch, self.clock()
        left_s = self.wake_s - watch.seconds["waking"]  # less the wait before a follow-up was rewritten
        while (waited := self.clock() - began) < left_s:
            if self.stopped():  # the schedule stops the host that starts
                break
            try:
                await self.host.check()
            except Unavailable as error:  # also from a host that has just started
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
        """Store the times of a question that found no host. A failure is dropped: the question goes on without."""
        with suppress(Unavailable):
            await asyncio.to_thread(self.states.write, FACT, fact)
