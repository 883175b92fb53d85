"""The ingest handler in this process, with a clock that only the suite moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.faults.delivery import Receipt
from benchmarks.faults.world import World
from benchmarks.in_process import ingest_handler


class Clock:
    """Seconds that pass only when `now` is set, so that a seed repeats the same order."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def handler_of(world: World) -> Iterator[Callable[[Receipt], bool]]:
    """Yield a function that handles one message and says whether it is done."""
    with ingest_handler(world.environment()) as handle:
        yield lambda receipt: handle(receipt.event)


def deliver(world: World, handle: Callable[[Receipt], bool], clock: Clock, most: int) -> int:
    """Handle up to `most` messages, moving the clock to each. Return how many were handled."""
    handled = 0
    while handled < most:
        receipt = world.queue.receive()
        if receipt is None:
            following = world.queue.next_at()
            if following is None:
                return handled
            clock.now = max(clock.now, following)
            continue
        handled += 1
        if handle(receipt):
            world.queue.acknowledge(receipt.receipt)
    return handled


def settle(world: World, handle: Callable[[Receipt], bool], clock: Clock, timeout_s: float = 120.0) -> int:
    """Deliver until nothing is left, and redrive dead letters. Return what is left when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if deliver(world, handle, clock, 100) == 0 and world.queue.redrive() == 0:
            return 0
    return world.queue.size() + world.queue.dead()
