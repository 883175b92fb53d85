"""Time limits of one request, and the event loop that does all its waiting.

Run blocking calls through `asyncio.to_thread`. Cancelling abandons such a call: it continues until its client's
timeout, and its result is dropped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from docwell.errors import DeadlineExceeded

_Result = TypeVar("_Result")
FIRST_TOKEN_S = 15.0  # the default of DOCWELL_FIRST_TOKEN_S: a slower host gets fewer tokens of passages

# A question makes two blocking calls at once. Abandoned calls end by their client's timeout, within seconds.
_MAX_BLOCKING_CALLS = 64

_local = threading.local()


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this thread; all requests of a thread share it.

    `asyncio.run` would make a loop for each request, and would wait at its end for calls that hang.
    """
    loop: asyncio.AbstractEventLoop | None = getattr(_local, "loop", None)
    if loop is None or loop.is_closed():
        loop = _local.loop = asyncio.new_event_loop()
        loop.set_default_executor(ThreadPoolExecutor(_MAX_BLOCKING_CALLS, "blocking"))
    return loop


def run(work: Awaitable[_Result]) -> _Result:
    """Run `work` on this thread's event loop; return its result or raise its error."""
    return event_loop().run_until_complete(work)


class Deadline:
    """A deadline `seconds` from now on the monotonic clock, divided among the stages of a request."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self, reserve_s: float = 0.0) -> float:
        """Return the seconds left after keeping back `reserve_s`; never below 0."""
        return max(self._end - self._clock() - reserve_s, 0.0)

    def postpone(self, seconds: float) -> None:
        """Move the end by `seconds`, which the request has waited for something outside its time limit."""
        self._end += seconds

    @asynccontextmanager
    async def stage(self, name: str, share: float = 1.0) -> AsyncGenerator[None]:
        """Limit the block to `share` (0 to 1) of the whole time, and to its end. Raises `DeadlineExceeded`."""
        try:
            async with asyncio.timeout(min(self.seconds * share, self.left())) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(name, f"{name} took more than its share of the time allowed") from None

    async def limit_each(self, name: str, items: AsyncGenerator[_Result]) -> AsyncGenerator[_Result]:
        """Yield the items until the time is up, then raise `DeadlineExceeded`. Closing it closes `items`."""
        async with aclosing(items):
            while True:
                async with self.stage(name):
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                # Yield outside the stage: a timeout may interrupt only the wait for the next item.
                yield item
