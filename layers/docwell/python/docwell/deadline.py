"""The time that one request may take, divided among its stages."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Generic, Self, TypeVar

from docwell.errors import DeadlineExceeded

_Result = TypeVar("_Result")

# A question has six at once, and those that were given up end by their clients' time-outs, within some seconds.
_MOST_AT_ONCE = 64


@cache
def _threads() -> ThreadPoolExecutor:
    """Shared: to begin a thread of its own takes longer than some stages."""
    return ThreadPoolExecutor(_MOST_AT_ONCE, "stage")


class Pending(Generic[_Result]):
    """Work in another thread while others do theirs. As a context it is waited for at the end."""

    def __init__(self, stage: str, seconds: float, work: Callable[[], _Result]) -> None:
        """Begins now; `result` waits until `seconds` from now at most."""
        self._stage = stage
        self._end = time.monotonic() + seconds
        self._future = _threads().submit(contextvars.copy_context().run, work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the result, or until its time is over; what it raises goes before what was raised meanwhile."""
        self.result()

    def result(self) -> _Result:
        """What the work gives; may be asked again. Raises what it raised, and `DeadlineExceeded`."""
        wait([self._future], max(self._end - time.monotonic(), 0.0))
        if not self._future.done():
            raise DeadlineExceeded(self._stage, f"{self._stage} took more than its share of the time allowed")
        return self._future.result()


class Deadline:
    """`seconds` from now on the monotonic clock."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self, reserve_s: float = 0.0) -> float:
        """Seconds that are left when `reserve_s` are kept back; never below 0."""
        return max(self._end - self._clock() - reserve_s, 0.0)

    def within(self, stage: str, share: float, work: Callable[[], _Result]) -> _Result:
        """What `work` gives, if it does within `share` (0 to 1) of the whole time; else `DeadlineExceeded`.

        It runs in another thread: a client's own time-outs are for each try and each read, and add up.
        One that is given up goes on until those end it, and what it gives then is dropped.
        """
        return self.begin(stage, share, work).result()

    def begin(self, stage: str, share: float, work: Callable[[], _Result]) -> Pending[_Result]:
        """As `within`, but only begun: the caller does something else meanwhile, and then asks for the result."""
        return Pending(stage, min(self._seconds * share, self.left()), work)
