"""The fault suite compares at rest, redrives as an operator would, and does not pass without its fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.faults import workers as module
from benchmarks.faults.compare import Differences
from benchmarks.faults.delivery import PERFECT, UnkindQueue
from benchmarks.faults.scene import Outcome, Run, Scene
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import Upload
from infra.local.names import DEAD_LETTER_QUEUE
from runtime.functions import FunctionError

LONG = Upload("c0/long.pdf", 2, pages=9)


@dataclass
class QuietWorld:
    """A bucket whose index is always right, and a record of each comparison."""

    uploads: dict[tuple[str, str], Upload] = field(default_factory=dict)
    current: dict[str, Upload] = field(default_factory=dict)
    compared: list[list[str]] = field(default_factory=list)
    random: random.Random = field(default_factory=random.Random)

    def put_again(self, upload: Upload) -> None:
        self.uploads[upload.key, f"v{len(self.uploads) + 1}"] = self.current[upload.key] = upload

    def comparator(self) -> QuietWorld:
        return self

    def compare_patiently(self, _timeout_s: float, **_options: Any) -> Differences:
        self.compared.append(sorted(self.current))
        return Differences(chunks=sum(upload.pages for upload in self.current.values()))


@pytest.fixture
def world() -> QuietWorld:
    world = QuietWorld()
    world.put_again(Upload("c0/short.pdf", 1, pages=1))
    world.put_again(LONG)
    return world


def at_rest(world: QuietWorld) -> Outcome:
    workers = SimpleNamespace(settle=lambda *_: 0, lines=[])
    parts: Any = (world, workers, SimpleNamespace(), SimpleNamespace())
    stage = Scene(Run("1", short=True), *parts)
    stage.rest()
    return stage.outcome


def test_documents_that_are_there_are_compared_once(world: QuietWorld) -> None:
    del world.current["c0/short.pdf"]
    assert at_rest(world).compared == LONG.pages
    assert world.compared == [["c0/long.pdf"]]


def test_where_all_is_deleted_nothing_may_be_left_and_the_last_document_must_come_back(world: QuietWorld) -> None:
    world.current.clear()
    assert at_rest(world).compared == LONG.pages
    assert world.compared == [[], ["c0/long.pdf"]]


def _nothing(_: Outcome) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "ok"),
    [
        (_nothing, True),
        (lambda outcome: outcome.must_happen("kills", 0, "workers"), False),
        (lambda outcome: outcome.stuck(1), False),
        (lambda outcome: outcome.wrong.append("a false text"), False),
        (lambda outcome: setattr(outcome, "compared", 0), False),
    ],
)
def test_a_row_passes_only_with_its_fault_and_without_any_difference(
    spoil: Callable[[Outcome], None], *, ok: bool
) -> None:
    outcome = Outcome(compared=3)
    spoil(outcome)
    assert outcome.ok is ok


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
