"""Keep the ingest queue short during a load, so that other uploads do not wait behind it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import NamedTuple

# Seconds between two counts of the queue.
COUNT_EVERY_S = 5.0
# SQS says that a count of messages may be a minute late: so the gate judges by what it let through before.
_LATE_S = 60.0
# The first pace in documents a second, and the factor by which it grows about each minute.
_FIRST_PACE, _GROWTH = 0.5, 2.0


class Paused(Exception):  # noqa: N818 - no error: the user asked for it
    """The load is to stop; what is done is stored."""


class _Count(NamedTuple):
    """The messages in the queue, and the documents that were let through before."""

    at: float
    queued: int
    sent: int


@dataclass
class QueueGate:
    """Lets documents through as fast as ingest works them off.

    `waiting` counts the messages of the ingest queue. The gate lets about as many wait as ingest does in `wait_s`
    seconds: that is how long another upload waits behind the load. It learns the pace of ingest from the queue, so
    it needs no number of workers: while few wait, it lets more through.
    """

    waiting: Callable[[], int]
    wait_s: float
    stop: Event = field(default_factory=Event)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] | None = None
    pace: float = _FIRST_PACE
    queued: int = 0
    _credit: float = 0.0
    _sent: int = 0
    _counts: deque[_Count] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    def enter(self, count: int) -> None:
        """Wait until the next `count` documents may be sent. Raises `Paused`, and `Unavailable`: no queue."""
        with self._lock:
            while self._credit <= 0 and not self.stop.is_set():
                if self._counts and (rest := self._counts[-1].at + COUNT_EVERY_S - self.clock()) > 0:
                    (self.pause or self.stop.wait)(rest)
                if not self.stop.is_set():
                    self._count()
            self._credit -= count
            self._sent += count
        if self.stop.is_set():
            raise Paused

    def _count(self) -> None:
        self.queued, now = self.waiting(), self.clock()
        last = self._counts[-1].at if self._counts else now - COUNT_EVERY_S
        self._counts.append(_Count(now, self.queued, self._sent))
        while len(self._counts) > 1 and self._counts[1].at <= now - 2 * _LATE_S:
            self._counts.popleft()
        self.pace = self._next_pace(now)
        # No credit is saved up while the process is paused.
        self._credit = min(self._credit, 0.0) + self.pace * min(now - last, 2 * COUNT_EVERY_S)

    def _next_pace(self, now: float) -> float:
        """Return the documents a second to let through until the next count."""
        first, last = self._counts[0], self._counts[-1]
        late = next((count for count in reversed(self._counts) if count.at <= now - _LATE_S), None)
        if late is None or late is first:
            return self.pace
        before = (late.sent - first.sent) / (late.at - first.at)
        # At least the first pace: an empty queue shows none, and the gate would never open again.
        if self.queued <= before * self.wait_s / 4:
            return max(before * _GROWTH, _FIRST_PACE)
        sent = min((last.sent - late.sent) / (now - late.at), before)
        done = max(0.0, sent + (late.queued - last.queued) / (now - late.at))
        return max(0.0, done + (done * self.wait_s - self.queued) / (2 * _LATE_S))
