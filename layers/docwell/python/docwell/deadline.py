"""The time that one request may take, divided among its stages."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from docwell.errors import DeadlineExceeded

_Result = TypeVar("_Result")


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

        It runs in a thread of its own: a client's own time-outs are for each try and each read, and add up.
        One that is given up goes on until those end it, and what it gives then is dropped.
        """
        outcome: list[_Result] = []
        failure: list[BaseException] = []
        context = contextvars.copy_context()

        def run() -> None:
            try:
                outcome.append(context.run(work))
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                failure.append(error)

        thread = threading.Thread(target=run, name=stage, daemon=True)
        thread.start()
        thread.join(min(self._seconds * share, self.left()))
        if failure:
            raise failure[0]
        if not outcome:
            raise DeadlineExceeded(stage, f"{stage} took more than its share of the time allowed")
        return outcome[0]
