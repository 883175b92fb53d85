"""A worker that lost its lease may still write, but its chunks do not stay in the index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import pytest

from docwell.errors import LeaseLost, Unavailable
from docwell.ingest.events import handle_delivery
from docwell.models import DocumentRecord, Hint, IndexRecord, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import delivery


@pytest.mark.parametrize("owner", ["message-1", "message-2"])
def test_what_is_written_after_the_lease_was_lost_does_not_stay(owner: str) -> None:
    world = World()
    world.store.put(KEY, "first words")

    def overtake() -> None:  # by another message after the lease expired, or by the same one, delivered twice
        world.index.before_upsert = lambda: None
        world.ledger.holders.clear()
        world.store.put(KEY, "second words")
        assert world.update(owner=owner).status is Status.INDEXED

    world.index.before_upsert = overtake
    with pytest.raises(LeaseLost):
        world.update()
    for message in world.queue.sent:
        assert isinstance(message, Hint)
        world.ingest.update(message, "message-3", lambda: 900.0)
    assert world.texts() == "second words"
    assert world.ledger.holders == {}


def test_of_the_same_version_nothing_needs_to_be_removed_and_nobody_is_asked() -> None:
    # A sweep hint here would loop for a document that takes longer than the visibility timeout.
    world = World()
    world.store.put(KEY, "some words")

    def overtake() -> None:
        world.index.before_upsert = lambda: None
        world.update()

    world.index.before_upsert = overtake
    with pytest.raises(LeaseLost):
        world.update()
    assert world.queue.sent == []
    assert world.texts() == "some words"


def test_whoever_is_asked_to_look_again_takes_nothing_for_removed() -> None:
    world = World()
    world.store.put(KEY, "first words")
    world.update()
    late = world.index.of(KEY)[0]
    world.store.put(KEY, "second words")

    def when_swept(written: DocumentRecord) -> None:
        if written.swept and written.live_version == "v2":
            world.ledger.before_write = lambda _record: None
            world.index.upsert("handbooks", [late])
            assert world.ingest.update(Hint(KEY, sweep=True), "message-3", lambda: 900.0).status is None

    world.ledger.before_write = when_swept
    world.update(owner="message-2")
    assert world.texts() == "second words"


def test_a_write_that_is_done_late_goes_when_its_message_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.store.put(KEY, "first words")
    late: list[IndexRecord] = []

    def time_out(_collection: str, records: Sequence[IndexRecord]) -> None:
        late.extend(records)
        raise Unavailable("chroma", "chroma did not answer in time")

    def deliver(receives: int) -> None:
        message = delivery(json.dumps({"docwell": asdict(Hint(KEY))}), receives)
        handle_delivery([world.ingest], message)

    with monkeypatch.context() as patched:
        patched.setattr(world.index, "upsert", time_out)
        with pytest.raises(Unavailable):
            deliver(receives=1)
    world.store.put(KEY, "second words")
    world.update(owner="message-2")
    world.index.upsert("handbooks", late)
    deliver(receives=2)
    assert world.texts() == "second words"


def test_a_message_that_comes_again_sends_no_range_again() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "one\ftwo")
    world.update()
    sent = list(world.queue.sent)
    message = delivery(json.dumps({"docwell": asdict(Hint(KEY))}), receives=2)
    handle_delivery([world.ingest], message)
    assert world.queue.sent == sent
