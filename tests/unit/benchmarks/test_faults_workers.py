"""The fault suite redrives messages as an operator would: after the leases of dead workers have expired."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.faults import workers as module
from benchmarks.faults.delivery import PERFECT, UnkindQueue
from benchmarks.faults.workers import Workers
from infra.local.names import DEAD_LETTER_QUEUE
from runtime.functions import FunctionError


class Dying:
    """An execution environment that ends in the middle of a call."""

    def invoke(self, _event: bytes) -> bytes:
        raise FunctionError("gone")

    def kill(self) -> None:
        pass


def test_the_message_of_a_worker_that_died_waits_for_the_end_of_its_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    queue = UnkindQueue(random.Random(1), PERFECT, max_receives=1, time_scale=0, clock=lambda: now)
    world = cast("Any", SimpleNamespace(queue=queue))
    workers = Workers(world, 0, {"DOCWELL_LEASE_S": "8"})
    queue.send("{}")
    receipt = queue.receive()
    assert receipt is not None
    workers._invoke(cast("Any", Dying()), receipt, now)
    dead = queue.receive()
    assert dead is not None
    assert dead.event["Records"][0]["eventSourceARN"].endswith(DEAD_LETTER_QUEUE)
    queue.park(dead.body)
    queue.acknowledge(dead.receipt)
    assert (workers.settle(7.5), queue.size(), queue.parked()) == (1, 0, 1)
    assert (workers.settle(1.5), queue.size(), queue.parked()) == (1, 1, 0)
