"""Time in tests: wait for a condition, and a clock that a test sets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now
