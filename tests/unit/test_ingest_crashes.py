"""A worker that dies at any of its calls: the redelivery of its message makes everything as it should be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from docwell.ingest import Ingest
from docwell.models import Hint, RangeTask, Status
from tests.unit.ingest_world import KEY, World

# More calls than a worker makes for one message of these documents.
MOST_CALLS = 60


class Killed(BaseException):
    """What SIGKILL does: nothing that comes after has any effect."""


@dataclass
class Life:
    """How many calls of ports are left; `dead` once it was killed."""

    calls: int
    dead: bool = False

    def spend(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            self.dead = True
        if self.dead:
            raise Killed


class Mortal:
    """A port that works for as long as the worker lives."""

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
        indexer=indexer,
    )


def handle(ingest: Ingest, message: Hint | RangeTask, owner: str) -> None:
    if isinstance(message, Hint):
        ingest.update(message, owner, lambda: 900.0)
    else:
        ingest.index_range(message, owner, lambda: 900.0)


def deliver(world: World, message: Hint | RangeTask, owner: str, calls: int) -> bool:
    """The message to a worker that is killed after so many calls, then to one that lives. False: it was not."""
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
    killed = 0
    for calls in range(MOST_CALLS):
        world = World(range_pages=2, upsert_batch=1)
        if before is not None:
            world.store.put(KEY, before)
            world.update(owner="message-0")
            world.work_off()
        if text is None:
            world.store.delete(KEY)
        else:
            world.store.put(KEY, text)
        killed += deliver(world, Hint(KEY), "message-1", calls)
        number = 0
        while world.queue.sent:
            number += 1
            killed += deliver(world, world.queue.sent.pop(0), f"range-{number}", calls)
        record = world.ledger.records[KEY]
        live = [chunk.generation for chunk in world.index.of(KEY)]
        words = " ".join(sorted(chunk.chunk.text for chunk in world.index.of(KEY)))
        is_text = text is not None and text.strip() != "" and not text.startswith("!")
        assert words == (" ".join(sorted((text or "").split("\f"))) if is_text else ""), calls
        assert set(live) == ({record.live_generation} if is_text else set()), calls
        assert record.status in {Status.INDEXED, Status.EMPTY, Status.REJECTED, Status.DELETED}, calls
        assert (record.status is Status.INDEXED, record.chunks) == (is_text, len(live)), calls
        assert world.ledger.holders == {}, calls
    assert killed > 3
