"""The time that one request may take, divided among its stages."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from docwell.errors import DeadlineExceeded

_Result = TypeVar("_Result")


class Pending(Generic[_Result]):
    """Work in a thread of its own while others do theirs. As a context it is waited for at the end."""

    def __init__(self, stage: str, seconds: float, work: Callable[[], _Result]) -> None:
        """Begins now; `result` waits until `seconds` from now at most."""
        self._stage = stage
        self._end = time.monotonic() + seconds
        self._outcome: list[_Result] = []
        self._failure: list[BaseException] = []
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=self._run, args=(context, work), name=stage, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the result, or until its time is over; what it raises goes before what was raised meanwhile."""
        self.result()

    def result(self) -> _Result:
        """What the work gives; may be asked again. Raises what it raised, and `DeadlineExceeded`."""
        self._thread.join(max(self._end - time.monotonic(), 0.0))
        if self._failure:
            raise self._failure[0]
        if not self._outcome:
            raise DeadlineExceeded(self._stage, f"{self._stage} took more than its share of the time allowed")
        return self._outcome[0]

    def _run(self, context: contextvars.Context, work: Callable[[], _Result]) -> None:
        try:
            self._outcome.append(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._failure.append(error)


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
        return self.begin(stage, share, work).result()

    def begin(self, stage: str, share: float, work: Callable[[], _Result]) -> Pending[_Result]:
        """As `within`, but only begun: the caller does something else meanwhile, and then asks for the result."""
        return Pending(stage, min(self._seconds * share, self.left()), work)
