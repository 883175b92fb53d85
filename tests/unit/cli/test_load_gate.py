"""The gate of `docwell load` keeps the ingest queue short, at the pace of ingest."""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from docwell.cli.load import Paused, QueueGate

WAIT_S = 30.0


@dataclass
class Queue:
    """A queue that ingest handles at a pace, and whose message count is some seconds late."""

    pace: float
    late_s: float = 0.0
    now: float = 0.0
    queued: float = 0.0
    done: float = 0.0
    longest: float = 0.0
    counts: deque[tuple[float, float]] = field(default_factory=lambda: deque([(0.0, 0.0)]))

    def pass_time(self, seconds: float) -> None:
        worked = min(self.queued, self.pace * seconds)
        self.queued, self.done, self.now = self.queued - worked, self.done + worked, self.now + seconds
        self.counts.append((self.now, self.queued))

    def waiting(self) -> int:
        while len(self.counts) > 1 and self.counts[1][0] <= self.now - self.late_s:
            self.counts.popleft()
        return round(self.counts[0][1] if self.late_s else self.queued)

    def load(self, seconds: float, gate: QueueGate, at_once: int = 1) -> None:
        """Let documents through for some seconds."""
        until = self.now + seconds
        while self.now < until:
            gate.enter(at_once)
            self.queued += at_once
            self.longest = max(self.longest, self.queued / self.pace)


def gate_of(queue: Queue, until: float = math.inf) -> QueueGate:
    """Return a gate that stops at that time."""

    def pass_time(seconds: float) -> None:
        queue.pass_time(seconds)
        if queue.now > until:
            gate.stop.set()

    gate = QueueGate(queue.waiting, WAIT_S, clock=lambda: queue.now, pause=pass_time)
    return gate


@pytest.mark.parametrize(("late_s", "busy"), [(0.0, 0.9), (10.0, 0.7), (60.0, 0.7)])
@pytest.mark.parametrize("pace", [1.0, 5.0, 50.0])
def test_another_upload_waits_for_a_bounded_time_and_the_workers_stay_busy(
    pace: float, late_s: float, busy: float
) -> None:
    queue = Queue(pace, late_s)
    queue.load(3 * 3600, gate_of(queue))
    # A count that is a minute late lets the queue grow for as long.
    assert queue.longest <= 1.5 * WAIT_S + 1.5 * late_s
    assert queue.done / (pace * queue.now) >= busy


@pytest.mark.parametrize("pace", [0.02, 0.05, 0.2])
def test_a_queue_that_slow_workers_have_emptied_is_filled_again(pace: float) -> None:
    queue = Queue(pace)
    with suppress(Paused):
        queue.load(24 * 3600, gate_of(queue, until=48 * 3600), at_once=10)
    assert queue.done / (pace * queue.now) >= 0.9


def test_nothing_passes_while_ingest_handles_nothing() -> None:
    queue = Queue(5.0)
    gate = gate_of(queue, until=2 * 3600)
    queue.load(1800, gate)
    queue.pace = 1e-9
    before = queue.queued
    with pytest.raises(Paused):
        queue.load(2 * 3600, gate)
    # At most the documents of the two minutes in which the gate detects it.
    assert queue.queued - before <= 5.0 * 120
