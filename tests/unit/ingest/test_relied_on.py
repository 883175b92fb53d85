"""An event that relies on the holder of the lease is not lost where that holder fails at its last receive."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from docwell.errors import DocwellError, Unavailable
from docwell.ingest.events import handle_dead_letter, handle_delivery
from docwell.models import DocumentRecord, RangeTask, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery
from tests.unit.ingest.test_hiding import answering
from tests.unit.ingest.test_parking import message_of

EVENTS: dict[str, tuple[Callable[[World], object], str]] = {
    "replaced": (lambda world: world.store.put(KEY, "new words"), "v2"),
    "tagged": (lambda world: world.store.tagged.update({KEY: {"team": "red"}}), "v1"),
}


def relying(world: World, event: str) -> None:
    """Let another message meet the lease, and forget the hooks."""
    world.index.before_upsert = world.index.before_delete = lambda: None
    world.ledger.before_write = lambda _record: None
    EVENTS[event][0](world)
    world.ingest.observe(KEY)
    assert world.update(owner="message-2").status is None


def while_it_writes(world: World, event: str) -> None:
    def fail() -> None:
        relying(world, event)
        raise Unavailable("chroma", "chroma cannot be reached")

    world.index.before_upsert = fail


def while_it_is_marked(world: World, event: str) -> None:
    def fail() -> None:
        raise Unavailable("chroma", "chroma cannot be reached")

    def mark(record: DocumentRecord) -> None:
        if record.status is Status.FAILED:
            relying(world, event)

    world.index.before_upsert, world.ledger.before_write = fail, mark


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("kind", "when"),
    # A range is written without the lease.
    [("hint", while_it_writes), ("hint", while_it_is_marked), ("range", while_it_is_marked)],
)
def test_the_event_is_handled_after_all(kind: str, when: Callable[[World, str], None], event: str) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "some words" if kind == "hint" else "some\fwords")
    text = body(KEY)
    if kind == "range":
        world.update(owner="message-0")
        tasks = [one for one in world.queue.sent if isinstance(one, RangeTask)]
        world.queue.sent.clear()
        text = message_of(tasks[0])
    when(world, event)
    with pytest.raises(DocwellError):
        handle_delivery([world.ingest], delivery(text, 5))
    handle_dead_letter([world.ingest], delivery(text, 6), lambda _: None)
    world.work_off()
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.INDEXED, EVENTS[event][1])
    assert world.ledger.holders == {}
