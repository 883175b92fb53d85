"""A message that died with its workers leaves a document with a status, and waits in the parked queue."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.errors import Unavailable
from docwell.ingest.events import DEAD_LETTER_DELAY_S, give_up, handle_dead_letter, handle_delivery
from docwell.ingest.ingest import RangeWorker
from docwell.models import DocumentRecord, Hint, RangeTask, Reason, Status
from tests.unit.fakes import FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery
from tests.unit.ingest.test_hiding import CHANGES, answering, indexed
from tests.unit.ingest.test_ingest_crashes import MOST_CALLS, Killed, Life, mortal

RECEIVES = 5


def message_of(message: Hint | RangeTask) -> str:
    return json.dumps({"docwell": asdict(message)})


def die(world: World, text: str, calls: int, owner: str = "message-1") -> list[str]:
    """Kill each worker that receives the message, then one that gives it up. Return the parked bodies."""
    parked: list[str] = []
    for receives in range(1, RECEIVES + 1):
        try:
            received = replace(delivery(text, receives), message_id=owner, last=False)
            handle_delivery([mortal(world.ingest, Life(calls))], received)
        except Killed:
            continue
        return parked
    received = replace(delivery(text, RECEIVES + 1), message_id=owner)
    for life in (Life(calls), Life(1000)):
        try:
            handle_dead_letter([mortal(world.ingest, life)], received, parked.append)
        except Killed:
            continue
        break
    return parked


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("before", ["old words", "old\fwords\fon pages"])
def test_a_change_whose_workers_die_at_any_call_ends_in_a_status_and_is_mended_by_its_redrive(
    change: str, before: str
) -> None:
    deaths = 0
    for calls in range(MOST_CALLS):
        world = indexed(before, range_pages=1, upsert_batch=1)
        CHANGES[change](world)
        for text in die(world, body(KEY), calls):
            deaths += 1
            assert answering(world) in (None, "v2"), calls
            expected = {Status.DELETED} if change == "deleted" else {Status.FAILED, Status.INDEXED}
            assert world.ledger.records[KEY].status in expected, calls
            assert world.ledger.holders == {}, calls
            handle_delivery([world.ingest], delivery(text))
        world.work_off()
        assert world.texts() == ("" if change == "deleted" else "new words"), calls
        assert answering(world) == (None if change == "deleted" else "v2"), calls
    assert deaths > 3


def planned(**changes: Any) -> tuple[World, list[RangeTask]]:
    """Return a document whose ranges were sent, and their messages; none is done."""
    world = World(range_pages=1)
    world.store.put(KEY, "one\ftwo\fthree")
    world.update()
    tasks = [task for task in world.queue.sent if isinstance(task, RangeTask)]
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], **changes)
    return world, tasks


@pytest.mark.parametrize(
    ("done", "task", "status"),
    [
        ((), 0, Status.FAILED),
        ((0,), 0, Status.PENDING),  # the other ranges' messages go on
        ((0, 1, 2), 2, Status.FAILED),  # no message is left to make it live
    ],
)
def test_a_range_that_died_fails_its_document_unless_others_finish_it(
    done: tuple[int, ...], task: int, status: Status
) -> None:
    world, tasks = planned(ranges_done=frozenset(done))
    record = give_up(world.ingest, tasks[task], "range-message")
    assert (record.status, world.ledger.records[KEY].status) == (status, status)
    if status is Status.FAILED:
        assert record.reason == Reason.INTERNAL


def test_a_range_that_died_after_its_document_moved_on_leaves_no_chunk() -> None:
    world, tasks = planned()
    dying = replace(world.ingest, ledger=Mock(wraps=world.ledger, finish_range=Mock(side_effect=Killed)))
    with pytest.raises(Killed):
        RangeWorker(dying, tasks[0], "range-message", lambda: 900.0).index_range()
    assert world.texts() == "one"
    world.store.put(KEY, "four\ffive")
    world.update(owner="message-2")
    give_up(world.ingest, tasks[0], "range-message")
    assert world.texts() == ""
    assert world.ledger.records[KEY].status is Status.PENDING


def test_a_hint_that_died_changes_no_document_that_matches_its_object() -> None:
    world = indexed()
    record = give_up(world.ingest, Hint(KEY, rebuild=True), "message-1")
    assert (record.status, answering(world)) == (Status.INDEXED, "v1")


@pytest.mark.parametrize("meets_lease", [False, True], ids=["its message died", "its mark died with the holder"])
@pytest.mark.parametrize("before", ["some words", "one\f[0.9 two]"], ids=["indexed", "waiting with its text live"])
def test_new_tags_count_after_the_workers_that_knew_of_them_died(before: str, *, meets_lease: bool) -> None:
    world = World(FakeRecogniser(), ocr_range_pages=1)
    world.store.put(KEY, before, tags={"team": "finance"})
    world.update()
    world.store.tagged[KEY] = {"team": "nobody"}
    if meets_lease:
        assert world.ledger.acquire(KEY, "message-1") is not None
        handle_delivery([world.ingest], replace(delivery(body(KEY)), message_id="message-2"))
        assert KEY in world.ledger.again
        world.ledger.again.clear()  # the next to take the dead holder's lease clears its mark
    give_up(world.ingest, Hint(KEY), "message-1")
    live = world.ledger.records[KEY].live_attributes
    assert live is not None
    assert live.tags == {"team": "nobody"}


def test_a_document_that_failed_keeps_its_reason() -> None:
    world = indexed()
    failed = replace(world.ledger.records[KEY], status=Status.FAILED, reason=Reason.UNAVAILABLE, detail="chroma")
    world.ledger.records[KEY] = failed
    assert give_up(world.ingest, Hint(KEY), "message-1").reason == Reason.UNAVAILABLE


def test_a_document_that_no_worker_ever_began_is_failed_too() -> None:
    world = World()
    world.store.put(KEY, "words")
    assert give_up(world.ingest, Hint(KEY), "message-1").status is Status.FAILED


def test_a_replacement_is_tried_once_after_the_message_of_its_predecessor_died() -> None:
    world = indexed()
    world.store.put(KEY, "new words")
    assert give_up(world.ingest, Hint(KEY), "message-1").status is Status.FAILED
    assert world.queue.sent == [Hint(KEY)]
    assert give_up(world.ingest, Hint(KEY), "message-2").status is Status.FAILED
    assert world.queue.sent == [Hint(KEY)]


def test_an_event_that_comes_while_a_message_is_given_up_is_indexed_by_another_worker() -> None:
    world = indexed()

    def another_event(_record: DocumentRecord) -> None:
        world.ledger.before_write = lambda _record: None
        world.store.put(KEY, "new words")
        world.update(owner="message-2")

    world.ledger.before_write = another_event
    give_up(world.ingest, Hint(KEY), "message-1")
    assert world.queue.sent == [Hint(KEY)]
    assert world.ledger.holders == {}


def test_a_message_is_not_parked_while_another_worker_holds_its_document() -> None:
    world = indexed()
    world.ledger.acquire(KEY, "another")
    world.store.delete(KEY)
    parked, delays = list[str](), list[int]()
    with pytest.raises(Unavailable):
        handle_dead_letter(
            [world.ingest], delivery(body(KEY), 9, lambda _, seconds: delays.append(seconds)), parked.append
        )
    assert (parked, answering(world)) == ([], None)
    assert 0 < delays[-1] <= DEAD_LETTER_DELAY_S


@pytest.mark.parametrize("text", ["no json", message_of(RangeTask(KEY, "v1", "a pipeline that is gone", 1, 0))])
def test_a_message_without_a_document_of_its_own_is_parked(text: str) -> None:
    parked: list[str] = []
    handle_dead_letter([World().ingest], delivery(text, 6), parked.append)
    assert parked == [text]
