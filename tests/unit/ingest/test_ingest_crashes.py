"""A worker dies at any of its calls; the redelivery of its message repairs everything."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from docwell.ingest.ingest import Ingest, RangeWorker
from docwell.models import DocumentRecord, Hint, RangeTask, Status
from tests.unit.fakes import FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World

# More calls than a worker makes for one message here.
MOST_CALLS = 60


class Killed(BaseException):
    """The effect of SIGKILL: nothing after it has any effect."""


@dataclass
class Life:
    """The number of port calls that a worker has left; `dead` once it was killed."""

    calls: int
    dead: bool = False

    def spend(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            self.dead = True
        if self.dead:
            raise Killed


class Mortal:
    """A port that works as long as the worker lives."""

    def __init__(self, port: object, life: Life) -> None:
        self._port, self._life = port, life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._life.spend()
            return found(*arguments, **options)

        return call


def mortal(ingest: Ingest, life: Life) -> Ingest:
    def of(port: object) -> Any:
        return cast("Any", Mortal(port, life))

    indexer = replace(ingest.indexer, store=of(ingest.store), index=of(ingest.index))
    return replace(
        ingest,
        store=of(ingest.store),
        ledger=of(ingest.ledger),
        index=of(ingest.index),
        queue=of(ingest.queue),
        ocr_queue=of(ingest.ocr_queue),
        indexer=indexer,
    )


def handle(ingest: Ingest, message: Hint | RangeTask, owner: str) -> None:
    if isinstance(message, Hint):
        ingest.update(message, owner, lambda: 900.0)
    else:
        RangeWorker(ingest, message, owner, lambda: 900.0).index_range()


def deliver(world: World, message: Hint | RangeTask, owner: str, calls: int) -> bool:
    """Deliver a message to a worker that is killed after `calls`, then to one that lives. False: not killed."""
    try:
        handle(mortal(world.ingest, Life(calls)), message, owner)
    except Killed:
        handle(world.ingest, message, owner)
        return True
    return False


@pytest.mark.parametrize("before", [None, "old words on a page", "old words\fon two pages"])
@pytest.mark.parametrize("text", ["new words", "first\fsecond\fthird\ffourth\ffifth", " \f ", "!encrypted", None])
def test_a_worker_that_is_killed_at_any_call_leaves_what_its_redelivery_mends(
    before: str | None, text: str | None
) -> None:
    is_text = text is not None and text.strip() != "" and not text.startswith("!")
    words = " ".join(sorted((text or "").split("\f"))) if is_text else ""
    assert (
        sum(mends(World(range_pages=2, upsert_batch=1), before, text, words, calls) for calls in range(MOST_CALLS))
        >= 3
    )


@pytest.mark.parametrize("before", [None, "old words on a page", "old words\f[0.9 in a picture]"])
@pytest.mark.parametrize("text", ["first\f[0.9 second]", "first\f[0.9 second]\fthird", "[0.9 first]\f[0.2 noise]"])
def test_a_worker_that_is_killed_while_pictures_are_recognised_leaves_what_its_redelivery_mends(
    before: str | None, text: str
) -> None:
    words = " ".join(sorted(re.findall("first|second|third", text)))

    def world() -> World:
        return World(FakeRecogniser(), range_pages=2, ocr_range_pages=1, upsert_batch=1)

    assert sum(mends(world(), before, text, words, calls) for calls in range(MOST_CALLS)) > 3


def mends(world: World, before: str | None, text: str | None, words: str, calls: int) -> int:
    """Index `text` with workers that are killed after `calls`, check the result, and return the kills."""
    if before is not None:
        world.store.put(KEY, before)
        world.update(owner="message-0")
        world.work_off()
    if text is None:
        world.store.delete(KEY)
    else:
        world.store.put(KEY, text)
    killed, number = int(deliver(world, Hint(KEY), "message-1", calls)), 0
    while sent := world.queue.sent or world.ocr_queue.sent:
        number += 1
        killed += deliver(world, sent.pop(0), f"range-{number}", calls)
    record = world.ledger.records.get(KEY, DocumentRecord(KEY, Status.DELETED))
    live = [chunk.generation for chunk in world.index.of(KEY)]
    assert " ".join(sorted(chunk.chunk.text for chunk in world.index.of(KEY))) == words, calls
    assert set(live) == ({record.live_generation} if words else set()), calls
    assert record.status in {Status.INDEXED, Status.EMPTY, Status.REJECTED, Status.DELETED}, calls
    assert (record.status is Status.INDEXED, record.chunks) == (words != "", len(live)), calls
    assert world.ledger.holders == {}, calls
    return killed
