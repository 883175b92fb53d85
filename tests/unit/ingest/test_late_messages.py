"""A message that comes after its document was erased makes no row again: the row would keep the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from docwell.ingest.events import handle_dead_letter, handle_delivery
from docwell.models import DocumentRecord, Hint, RangeTask, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery

OWN: dict[str, Hint | RangeTask] = {
    "sweep": Hint(KEY, sweep=True),
    "rebuild": Hint(KEY, rebuild=True),
    "range": RangeTask(KEY, "v1", "pipeline", 1, 0),
}
MESSAGES = {"event": body(KEY)} | {name: json.dumps({"docwell": asdict(one)}) for name, one in OWN.items()}
DOORS: dict[str, Callable[[World, str, int], None]] = {
    "queue": lambda world, text, receives: handle_delivery([world.ingest], delivery(text, receives)),
    "dead letters": lambda world, text, receives: handle_dead_letter(
        [world.ingest], delivery(text, receives), lambda _: None
    ),
}
each_door = pytest.mark.parametrize("door", DOORS)
each_message = pytest.mark.parametrize("message", MESSAGES)


@each_door
@each_message
@pytest.mark.parametrize("receives", [1, 4])
def test_a_message_about_nothing_leaves_nothing(door: str, message: str, receives: int) -> None:
    world = World()
    DOORS[door](world, MESSAGES[message], receives)
    assert world.ledger.records == {}
    assert world.ledger.holders == {}


@each_door
@each_message
def test_it_still_removes_chunks_whose_row_is_lost(door: str, message: str) -> None:
    world = World()
    world.store.put(KEY, "some words")
    world.update()
    world.store.delete(KEY)
    world.ledger.records.clear()
    DOORS[door](world, MESSAGES[message], 1)
    assert world.texts() == ""
    assert world.ledger.records == {KEY: DocumentRecord(KEY, Status.DELETED)}
