"""Keep the ingest queue short during a load, so that other uploads do not wait behind it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock

# The time between two looks at the queue. SQS counts its messages only about every few seconds.
LOOK_S = 5.0
# SQS says that its counts can be a minute late: the pace is measured over as long.
_WINDOW_S = 60.0
# Documents that may wait although nothing is known of the pace.
_LEAST = 10


class Paused(Exception):  # noqa: N818 - no error: the user asked for it
    """The load is to stop; what is done is stored."""


@dataclass
class QueueGate:
    """Lets documents through as fast as ingest works them off.

    `waiting` counts the messages of the ingest queue. The gate lets about as many wait as ingest does in `wait_s`
    seconds: that is how long another upload waits behind the load. It learns the pace from the queue, so it needs
    no number of workers: while the queue runs empty, each look allows more.
    """

    waiting: Callable[[], int]
    wait_s: float
    stop: Event = field(default_factory=Event)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] | None = None
    queued: int = 0
    _credit: int = 0
    _sent: int = 0
    _looks: deque[tuple[float, int, int]] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    def enter(self, count: int) -> None:
        """Wait until the next `count` documents may be sent. Raises `Paused`, and `Unavailable`: no queue."""
        with self._lock:
            while self._credit <= 0:
                self._rest()
                self._look()
            self._credit -= count
            self._sent += count
        if self.stop.is_set():
            raise Paused

    def _rest(self) -> None:
        if self._looks:
            rest = self._looks[-1][0] + LOOK_S - self.clock()
            if rest > 0:
                (self.pause or self.stop.wait)(rest)
        if self.stop.is_set():
            raise Paused

    def _look(self) -> None:
        self.queued, now = self.waiting(), self.clock()
        self._looks.append((now, self.queued, self._sent))
        while len(self._looks) > 2 and self._looks[1][0] <= now - _WINDOW_S:  # noqa: PLR2004 - two make a pace
            self._looks.popleft()
        self._credit = max(_LEAST, round(self._pace() * self.wait_s)) - self.queued

    def _pace(self) -> float:
        """Return the documents a second that left the queue, at least, while it was observed."""
        (first, before, sent_before), (last, after, sent_after) = self._looks[0], self._looks[-1]
        left = sent_after - sent_before + before - after
        return max(0.0, left / (last - first)) if last > first else 0.0
