"""Stages within their share of a deadline, and blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from docwell.deadline import Deadline, run
from docwell.errors import DeadlineExceeded

PATIENT_S = 30.0


async def staged(seconds: float, share: float, pause_s: float) -> str:
    async with Deadline(seconds).stage("search", share):
        await asyncio.sleep(pause_s)
    return "done"


def test_a_wait_that_does_not_count_moves_the_end() -> None:
    now = [100.0]
    deadline = Deadline(28.0, clock=lambda: now[0])
    now[0] += 300.0
    assert deadline.left() == 0.0
    deadline.postpone(295.0)
    assert deadline.left() == 23.0


@pytest.mark.parametrize(("seconds", "share"), [(0.2, 0.1), (0.05, 1.0), (0.0, 1.0)])
def test_a_stage_that_takes_longer_than_its_share_is_given_up(seconds: float, share: float) -> None:
    with pytest.raises(DeadlineExceeded, match="search") as caught:
        run(staged(seconds, share, 3600))  # longer than a test may take
    assert caught.value.dependency == "search"


def test_a_time_out_of_the_work_itself_is_not_the_deadlines() -> None:
    async def work() -> None:
        async with Deadline(PATIENT_S).stage("search"):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run(work())


def test_a_blocking_call_that_hangs_does_not_hold_up_the_answer() -> None:
    never = threading.Event()

    async def work() -> None:
        async with Deadline(0.1).stage("search"):
            await asyncio.to_thread(never.wait)

    try:
        with pytest.raises(DeadlineExceeded):
            run(work())
    finally:
        never.set()


class Items:
    """Items at a pace; `closed` when their generator is."""

    closed = False

    async def count(self, pause_s: float = 0.0) -> AsyncGenerator[int]:
        try:
            for number in range(1000):
                yield number
                await asyncio.sleep(pause_s)
        finally:
            self.closed = True


def test_items_pass_until_the_time_is_up_and_then_their_source_is_closed() -> None:
    items, items_seen = Items(), list[int]()

    async def work() -> None:
        async for item in Deadline(0.2).limit_each("model", items.count(0.02)):
            items_seen.append(item)

    with pytest.raises(DeadlineExceeded):
        run(work())
    assert 0 < len(items_seen) < 20
    assert items.closed


def test_a_reader_that_stops_closes_the_source_of_the_items() -> None:
    items = Items()

    async def work() -> int:
        async with aclosing(Deadline(PATIENT_S).limit_each("model", items.count())) as passed:
            return await anext(passed)

    assert run(work()) == 0
    assert items.closed
