"""Ingest of long documents, whose ranges have their own messages, on ports in memory."""

from __future__ import annotations

from contextlib import suppress

import pytest

from docwell.errors import Unavailable
from docwell.ingest.ranges import outcome
from docwell.models import DocumentRecord, Hint, ObjectVersion, RangeTask, Reason, Status
from tests.unit.ingest.ingest_world import KEY, World

LONG = "page one\fpage two\fpage three"


@pytest.mark.parametrize("shuffle", range(5))
@pytest.mark.parametrize("twice", [True, False])
def test_a_long_document_is_cut_into_ranges_and_the_last_to_finish_makes_it_live(
    *, shuffle: int, twice: bool
) -> None:
    world = World(range_pages=1)
    version = world.store.put(KEY, LONG)
    assert world.update().status is Status.PENDING
    assert len(world.queue.sent) == 3
    assert world.ledger.records[KEY].live_generation is None
    world.work_off(shuffle=shuffle, twice=twice)
    record = world.ledger.records[KEY]
    assert (record.status, record.pages_done, record.chunks, record.live_version) == (
        Status.INDEXED,
        3,
        3,
        version,
    )
    assert sorted(r.chunk.text for r in world.index.of(KEY)) == ["page one", "page three", "page two"]
    assert world.ledger.holders == {}


def test_a_second_event_while_ranges_are_under_way_sends_nothing_again() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    world.update(owner="message-2")
    assert len(world.queue.sent) == 3


def test_a_long_document_whose_messages_were_lost_goes_on_when_a_hint_asks_for_a_sweep() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    first = world.queue.sent[0]
    assert isinstance(first, RangeTask)
    world.index_range(first, "range", lambda: 900.0)
    world.queue.sent.clear()
    world.ingest.update(Hint(KEY, sweep=True), "message-2", lambda: 900.0)
    assert len(world.queue.sent) == 2
    world.work_off()
    assert world.ledger.records[KEY].status is Status.INDEXED


def test_ranges_of_a_replaced_document_leave_nothing_behind() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    old, world.queue.sent = world.queue.sent, []
    world.store.put(KEY, "new one\fnew two")
    world.update(owner="message-2")
    for number, task in enumerate(old):
        assert isinstance(task, RangeTask)
        world.index_range(task, f"old-{number}", lambda: 900.0)
    world.work_off()
    assert sorted(record.chunk.text for record in world.index.of(KEY)) == ["new one", "new two"]


def test_a_range_whose_document_moves_on_while_it_writes_removes_what_it_wrote() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    task, world.queue.sent = world.queue.sent[0], []
    assert isinstance(task, RangeTask)

    def delete_it() -> None:
        world.index.before_upsert = lambda: None
        world.store.delete(KEY)
        world.update(owner="message-2")

    world.index.before_upsert = delete_it
    world.index_range(task, "range", lambda: 900.0)
    assert world.index.of(KEY) == []
    assert world.ledger.records[KEY].status is Status.DELETED


def test_a_range_that_is_refused_refuses_the_document_and_the_others_leave_nothing() -> None:
    world = World(range_pages=1, max_document_characters=10)
    world.store.put(KEY, "short\fa page that is much too long\fshort")
    world.update()
    world.work_off()
    assert (world.ledger.records[KEY].status, world.ledger.records[KEY].reason) == (
        Status.REJECTED,
        Reason.TOO_MUCH_TEXT,
    )
    assert world.index.of(KEY) == []


def test_a_long_document_over_the_limit_of_characters_is_refused_whoever_finds_out() -> None:
    world = World(range_pages=1, max_document_characters=20)
    world.store.put(KEY, LONG)
    world.update()
    world.work_off()
    assert world.ledger.records[KEY].reason == Reason.TOO_MUCH_TEXT
    assert world.index.of(KEY) == []


def test_a_range_of_an_earlier_attempt_at_the_same_version_does_not_count() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    old, world.queue.sent = world.queue.sent, []
    world.ingest.update(Hint(KEY, rebuild=True), "message-2", lambda: 900.0)
    for number, task in enumerate(old):
        assert isinstance(task, RangeTask)
        world.index_range(task, f"old-{number}", lambda: 900.0)
    assert world.ledger.records[KEY].ranges_done == frozenset()
    world.work_off()
    assert world.ledger.records[KEY].status is Status.INDEXED
    assert len(world.index.of(KEY)) == 3


def test_chunk_ids_are_the_same_when_the_same_version_is_indexed_twice() -> None:
    def ids() -> set[str]:
        world = World(range_pages=1)
        world.store.put(KEY, "page one\fpage two")
        world.update()
        world.work_off()
        return {record.id for record in world.index.of(KEY)}

    first: set[str] = ids()
    assert first == ids()
    assert len(first) == 2


def ranges_of(world: World) -> list[RangeTask]:
    """Take the range tasks off the queue."""
    sent, world.queue.sent = world.queue.sent, []
    return [message for message in sent if isinstance(message, RangeTask)]


def test_a_worker_that_died_under_a_range_message_leaves_no_document_unseen() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "first page\fsecond page")
    world.update()
    stale = ranges_of(world)[0]
    world.store.delete(KEY)
    world.update(owner="message-2")
    # The range's worker took the lease to match the key, and was killed.
    assert world.ledger.acquire(KEY, "range-message") is not None
    world.store.put(KEY, "new text")
    assert world.update(owner="message-3").status is None  # it relies on the holder of the lease
    world.index_range(stale, "range-message", lambda: 900.0)
    assert world.ledger.records[KEY].status is Status.INDEXED
    assert world.texts() == "new text"


def test_a_stale_range_waits_for_whoever_has_the_document() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "first page\fsecond page")
    world.update()
    stale = ranges_of(world)[0]
    world.store.delete(KEY)
    world.update(owner="message-2")
    world.ledger.acquire(KEY, "message-3")
    with pytest.raises(Unavailable):
        world.index_range(stale, "range-message", lambda: 900.0)


def test_a_stale_range_that_is_given_up_fails_no_document() -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "first page\fsecond page")
    world.update()
    stale = ranges_of(world)[0]
    world.store.put(KEY, "new text")
    world.update(owner="message-2")
    world.ingest.fail(stale, "range-message", Reason.UNAVAILABLE, "chroma cannot be reached")
    assert world.ledger.records[KEY].status is Status.INDEXED


def test_a_document_says_how_many_characters_were_left_out() -> None:
    record = outcome(DocumentRecord(KEY, chunks=1, hidden_characters=1200))
    assert record.detail == "left out characters that the pages do not show: 1,200"


@pytest.mark.parametrize("holder", [None, "message-2"], ids=["free", "held"])
def test_a_range_whose_version_was_gone_for_a_moment_comes_again(holder: str | None) -> None:
    world = World(range_pages=1)  # without versions, a replaced object can be the task's version again
    world.store.put(KEY, "first page\fsecond page")
    world.update()
    first, second = ranges_of(world)
    before = world.store.objects[KEY]
    if holder:
        world.ledger.acquire(KEY, holder)

    def replace_and_restore() -> None:
        world.store.before_download = lambda: None
        world.store.objects[KEY] = ("v2", b"other words")
        head = world.store.head

        def restored(key: str) -> ObjectVersion | None:
            world.store.objects[KEY] = before
            return head(key)

        world.store.head = restored  # type: ignore[method-assign]

    world.store.before_download = replace_and_restore
    with pytest.raises(Unavailable):
        world.index_range(second, "range-2", lambda: 900.0)
    world.store.objects[KEY] = before
    world.ledger.holders.clear()
    for number, task in enumerate([first, second], 1):
        world.index_range(task, f"range-{number}", lambda: 900.0)
    assert world.ledger.records[KEY].status is Status.INDEXED
    assert world.texts() == "first page second page"


@pytest.mark.parametrize("meanwhile", ["replaced", "deleted"])
def test_a_range_of_an_earlier_start_under_the_same_lease_does_not_count(meanwhile: str) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "first page\fsecond page")
    first, other = world.store.objects[KEY], ("v2", b"other words")
    late: list[RangeTask] = []

    def change(record: DocumentRecord) -> None:
        if record.dispatched and not late:
            late.extend(ranges_of(world))
            world.store.objects.pop(KEY)
            world.store.objects |= {KEY: other} if meanwhile == "replaced" else {}
        elif late and record.version != "v1":
            world.store.objects[KEY] = first

    def overtake() -> None:
        if late and world.ledger.records[KEY].version == "v1":  # started again, and not planned
            world.store.before_download = lambda: None
            with suppress(Unavailable):
                world.index_range(late[0], "late", lambda: 900.0)

    world.ledger.before_write, world.store.before_download = change, overtake
    world.update()
    world.work_off()
    assert late
    for task in late:
        world.index_range(task, "late", lambda: 900.0)
    record = world.ledger.records[KEY]
    assert (record.status, record.version, record.chunks) == (Status.INDEXED, "v1", 2)
    assert world.texts() == "first page second page"
