"""The times of a question's stages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

from docwell.answers import Timings
from docwell.deadline import Deadline


class Stopwatch:
    """Adds up the seconds of each stage, and keeps each within its share of the deadline. Stages may overlap."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.seconds = {"embed": 0.0, "retrieve": 0.0, "waking": 0.0, "generate": 0.0}
        self.first_token_ms: float | None = None
        self._started = perf_counter()

    @contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Time the block."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - began

    @asynccontextmanager
    async def stage(self, name: str, share: float) -> AsyncGenerator[None]:
        """Time and limit the block. Raises `DeadlineExceeded`."""
        with self.timed(name):
            async with self.deadline.stage(name, share):
                yield

    def timings(self) -> Timings:
        """Return the milliseconds so far."""
        stages = {stage: ms(seconds) for stage, seconds in self.seconds.items()}
        return Timings(**stages, total=ms(perf_counter() - self._started))


def ms(seconds: float) -> float:
    """Return milliseconds as timings show them."""
    return round(seconds * 1000, 2)
