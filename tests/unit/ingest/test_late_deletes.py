"""A delete that timed out may run at any later time. It removes no chunk that was written again meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from docwell.errors import Unavailable
from docwell.models import Hint, Reason, Status
from docwell.ports import Stamped
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_last_receive import raising

TEXTS = {"one range": "some words", "several ranges": "page one\fpage two\fpage three"}


@dataclass
class HeldBack:
    """Deletes of a world's index that the client gave up, and that the server has yet to run."""

    world: World
    deletes: list[tuple[str, Stamped]] = field(default_factory=list)

    def time_out(self, collection: str, ids: Stamped) -> None:
        self.deletes.append((collection, ids))
        raise Unavailable("chroma", "chroma did not answer in time")

    def during(self, act: Callable[[], object]) -> None:
        """Do something while the server runs no delete."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self.world.index, "delete", self.time_out)
            act()

    def run(self) -> None:
        for collection, ids in self.deletes:
            self.world.index.delete(collection, ids)


def rebuilt(world: World, held: HeldBack) -> None:
    """Remove leftovers of the same version, and index it at the second receive."""
    hint = Hint(KEY, rebuild=True)
    with pytest.raises(Unavailable):
        held.during(lambda: world.ingest.update(hint, "message-2", lambda: 900.0))
    world.ingest.update(hint, "message-2", lambda: 900.0, again=True)


def redriven(world: World, held: HeldBack) -> None:
    """Fail at the last receive, when the bucket cannot be read either, and come from the dead-letter queue."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.store, "head", raising(Unavailable("s3", "down")))
        held.during(lambda: world.ingest.fail(Hint(KEY), "message-2", Reason.UNAVAILABLE, "down"))
    assert world.ledger.records[KEY].status is Status.FAILED
    world.ingest.update(Hint(KEY), "message-2", lambda: 900.0, again=True)


def deleted_and_restored(world: World, held: HeldBack) -> None:
    """Delete the object, sweep, and upload the same content, whose version is its ETag."""
    before = world.store.objects.pop(KEY)
    with pytest.raises(Unavailable):
        held.during(lambda: world.update(owner="message-2"))
    world.store.objects[KEY] = before
    world.update(owner="message-2")


def replaced_and_restored(world: World, held: HeldBack) -> None:
    """Replace the content, sweep the first one, and upload the first one again."""
    before = world.store.objects[KEY]
    world.store.put(KEY, "other words")
    with pytest.raises(Unavailable):
        held.during(lambda: world.update(owner="message-2"))
    world.store.objects[KEY] = before
    world.update(owner="message-2")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("happens", [rebuilt, redriven, deleted_and_restored, replaced_and_restored])
def test_a_late_delete_removes_nothing_that_was_written_since(
    happens: Callable[[World, HeldBack], None], text: str
) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, TEXTS[text])
    world.update()
    world.work_off()
    before = set(world.index.ids("handbooks", KEY))
    held = HeldBack(world)
    happens(world, held)
    world.work_off()
    assert world.ledger.records[KEY].status is Status.INDEXED
    assert held.deletes
    held.run()
    assert set(world.index.ids("handbooks", KEY)) == before
