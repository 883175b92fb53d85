"""A version that the bucket no longer has stops answering at its event's first receipt, whatever dies then."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from docwell.errors import Unavailable
from docwell.ingest.events import handle_delivery
from docwell.models import Hint, ObjectVersion, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import EXTENSION, body, delivery
from tests.unit.ingest.test_ingest_crashes import Killed, Life, mortal

# The calls of an observation: read the row, read the object's head, write.
OBSERVATION = 3
CHANGES: dict[str, Callable[[World], object]] = {
    "deleted": lambda world: world.store.delete(KEY),
    "replaced": lambda world: world.store.put(KEY, "new words"),
}
changes = pytest.mark.parametrize("change", CHANGES)


def indexed(text: str = "old words", **limits: Any) -> World:
    world = World(**limits)
    world.store.put(KEY, text)
    world.update(owner="message-0")
    world.work_off()
    return world


def receive(world: World, calls: int = 1000, owner: str = "message-1") -> None:
    """Deliver the event of a change to a worker that is killed after some calls."""
    event = replace(delivery(body(KEY)), message_id=owner)
    try:
        handle_delivery([mortal(world.ingest, Life(calls))], event)
    except Killed:
        return


def answering(world: World) -> str | None:
    """Return the version that queries see."""
    record = world.ledger.records[KEY]
    return record.live_version if KEY in world.ledger.described([KEY]) else None


@changes
@pytest.mark.parametrize("calls", range(OBSERVATION, 30))
def test_a_worker_that_dies_after_its_observation_has_hidden_the_old_version(change: str, calls: int) -> None:
    world = indexed()
    CHANGES[change](world)
    receive(world, calls)
    assert answering(world) != "v1"


@changes
def test_an_old_version_is_hidden_while_a_dead_worker_holds_the_lease(change: str) -> None:
    world = indexed()
    assert world.ledger.acquire(KEY, "a worker that died") is not None
    CHANGES[change](world)
    receive(world)
    assert answering(world) is None
    assert KEY in world.ledger.again


@changes
@pytest.mark.parametrize("calls", range(30))
def test_an_old_version_never_answers_after_its_event_whenever_its_worker_dies(change: str, calls: int) -> None:
    world, seen = World(), list[str | None]()
    world.store.put(KEY, "old words")

    def change_meanwhile() -> None:
        world.index.before_upsert = lambda: None
        CHANGES[change](world)
        receive(world, owner="message-2")
        seen.append(answering(world))

    world.index.before_upsert = change_meanwhile
    receive(world, calls)
    assert not (seen and answering(world) == "v1")


def test_every_pipeline_hides_the_old_version_before_the_first_one_indexes() -> None:
    first, second = indexed(), indexed()
    second.ingest = replace(second.ingest, store=first.store, fingerprint="pipeline-2")
    first.store.put(KEY, "new words")

    def die() -> None:
        raise Killed

    first.index.before_upsert = die
    with pytest.raises(Killed):
        handle_delivery([first.ingest, second.ingest], delivery(body(KEY)))
    assert (answering(first), answering(second)) == (None, None)


@pytest.mark.parametrize("hint", [Hint(KEY), Hint(KEY, rebuild=True), Hint(KEY, sweep=True)])
def test_the_same_version_answers_while_it_is_indexed_again(hint: Hint) -> None:
    world, seen = indexed(), list[str | None]()
    world.index.before_upsert = lambda: seen.append(answering(world))
    handle_delivery([world.ingest], delivery(json.dumps({"docwell": asdict(hint)})))
    assert {*seen, answering(world)} == {"v1"}


@pytest.mark.parametrize("stalled_at", ["v1", None])
def test_a_stalled_observer_does_not_overwrite_a_later_observation(stalled_at: str | None) -> None:
    world = indexed()
    before, head = world.store.objects[KEY], world.store.head

    def set_to(version: str | None) -> None:
        if version is None:
            world.store.delete(KEY)
        else:
            world.store.objects[KEY] = before

    def stalling_head(key: str, version: str | None = None) -> ObjectVersion | None:
        seen = head(key)
        world.store.head = head  # type: ignore[method-assign]
        set_to(None if stalled_at else "v1")
        receive(world, OBSERVATION)
        return seen

    # The bucket changes there and back, so that only the count of observations tells the stalled one.
    for version in ("v1", None):
        set_to(version)
        receive(world, OBSERVATION)
    set_to(stalled_at)
    world.store.head = stalling_head  # type: ignore[method-assign]
    receive(world, 2 * OBSERVATION)
    assert answering(world) == (None if stalled_at else "v1")


def test_a_version_uploaded_after_the_observation_answers_without_its_event() -> None:
    world = indexed()
    world.store.put(KEY, "new words")

    def replace_again() -> None:
        world.store.before_download = lambda: None
        world.store.put(KEY, "newest words")

    world.store.before_download = replace_again
    receive(world)
    assert answering(world) == "v3"


def test_a_message_whose_observation_keeps_losing_is_retried() -> None:
    world = indexed()
    world.ledger.observe = lambda *_: False  # type: ignore[method-assign]
    delays: list[tuple[str, int]] = []
    with pytest.raises(Unavailable):
        handle_delivery([world.ingest], delivery(body(KEY), delay=lambda *delay: delays.append(delay)))
    assert delays[0] == EXTENSION
    assert len(delays) == 2
    assert world.ledger.records[KEY].status is Status.INDEXED
