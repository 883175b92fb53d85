"""The ingest handler in this process: no worker to start, so that thousands of steps take minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from benchmarks.faults.delivery import Receipt
from benchmarks.faults.world import World
from benchmarks.fresh_wiring import clear_caches
from infra.local.poller import failed_ids

_QUIET = {
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "docwell-ingest",
}


class Clock:
    """Seconds that pass only when told to, so that a seed gives the same order again."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class _Context:
    """What the handler asks of Lambda's context."""

    function_name = "docwell-ingest"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:docwell-ingest"
    aws_request_id = "0"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 60_000


@contextmanager
def handler_of(world: World) -> Iterator[Callable[[Receipt], bool]]:
    """A function that handles one message and says whether it is done, with the environment set for the block."""
    before = dict(os.environ)
    os.environ.update({**world.environment(), **_QUIET})
    try:
        # Its Powertools objects read the environment when they are made.
        from functions.ingest.handler import handler

        clear_caches()

        def handle(receipt: Receipt) -> bool:
            # Powertools prints a hundred metrics at a time even where metrics are off.
            with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing):  # noqa: PTH123 - a device
                answer: Any = handler(receipt.event, _Context())
            return not failed_ids(dict(answer), {receipt.event["Records"][0]["messageId"]})

        yield handle
        clear_caches()
    finally:
        os.environ.clear()
        os.environ.update(before)


def deliver(world: World, handle: Callable[[Receipt], bool], clock: Clock, most: int) -> int:
    """Handle up to `most` messages, moving the clock on to the next one. Gives how many were handled."""
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
    """Deliver until nothing is left, dead letters redriven. Gives what is left when time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if deliver(world, handle, clock, 100) == 0 and world.queue.redrive() == 0:
            return 0
    return world.queue.size() + world.queue.dead()
