"""A message that died with its workers leaves a document with a status, and waits in the parked queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.errors import DocwellError, Unavailable
from docwell.ingest.events import DEAD_LETTER_DELAY_S, give_up, handle_dead_letter, handle_delivery
from docwell.ingest.ingest import RangeWorker
from docwell.models import DocumentRecord, Hint, RangeTask, Reason, Status
from tests.unit.fakes import FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World, raising
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


@pytest.mark.parametrize("meets_lease", [False, True], ids=["its message died", "its mark died with the holder"])
@pytest.mark.parametrize("before", ["some words", "one\f[0.9 two]"], ids=["indexed", "waiting with its text live"])
def test_new_tags_apply_although_the_workers_of_their_event_died(before: str, *, meets_lease: bool) -> None:
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
    assert (world.queue.sent, world.ledger.holders) == ([Hint(KEY)], {})
    world.work_off()
    assert (answering(world), world.texts()) == ("v2", "new words")


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
def test_a_message_that_names_no_document_is_parked(text: str) -> None:
    parked: list[str] = []
    handle_dead_letter([World().ingest], delivery(text, 6), parked.append)
    assert parked == [text]


ERRORS = [Unavailable("chroma", "chroma cannot be reached"), RuntimeError("a bug")]


def fail_every_receive(world: World, text: str) -> None:
    for receives in range(1, RECEIVES + 1):
        with pytest.raises((DocwellError, RuntimeError)):
            handle_delivery([world.ingest], delivery(text, receives))


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("change", "status", "version"),
    [
        (lambda world: world.store.put(KEY, "new words"), Status.INDEXED, "v2"),
        (lambda world: world.store.put(KEY, "!encrypted"), Status.REJECTED, None),
        (lambda world: world.store.put(KEY, "\f"), Status.EMPTY, None),
        (lambda world: world.store.delete(KEY), Status.DELETED, None),
    ],
    ids=["replaced", "refused", "empty", "deleted"],
)
def test_a_change_keeps_its_status_while_the_old_chunks_cannot_be_removed(
    change: Callable[[World], object], status: Status, version: str | None, error: Exception
) -> None:
    world = indexed()
    change(world)
    world.index.before_delete = raising(error)
    fail_every_receive(world, body(KEY))
    assert (world.ledger.records[KEY].status, answering(world)) == (status, version)
    world.index.before_delete = lambda: None
    handle_dead_letter([world.ingest], delivery(body(KEY), RECEIVES), lambda _: None)
    assert (world.ledger.records[KEY].status, answering(world)) == (status, version)
    assert world.texts() == ("new words" if version else "")


@pytest.mark.parametrize("hint", [Hint(KEY), Hint(KEY, sweep=True)])
def test_a_document_without_a_change_answers_while_the_index_cannot_be_searched(
    hint: Hint, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = indexed()
    monkeypatch.setattr(world.store, "tags", raising(ERRORS[0]))
    with pytest.raises(Unavailable):  # the next receives sweep
        handle_delivery([world.ingest], delivery(json.dumps({"docwell": asdict(hint)})))
    monkeypatch.undo()
    monkeypatch.setattr(world.index, "ids", raising(ERRORS[0]))
    for receives in range(2, RECEIVES + 1):
        with pytest.raises(Unavailable):
            handle_delivery([world.ingest], delivery(json.dumps({"docwell": asdict(hint)}), receives))
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.INDEXED, "v1")


def test_a_long_document_goes_on_while_a_hint_about_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "one\ftwo")
    world.update()
    monkeypatch.setattr(world.ledger, "release", raising(Unavailable("ledger", "down")))
    with pytest.raises(Unavailable):
        handle_delivery([world.ingest], delivery(body(KEY), RECEIVES))
    assert world.ledger.records[KEY].status is Status.PENDING
    monkeypatch.undo()
    world.ledger.holders.clear()  # the lease expires
    world.work_off()
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.INDEXED, "v1")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", ["head", "tags"])
def test_a_document_whose_version_or_tags_cannot_be_read_is_hidden(
    call: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = indexed()
    monkeypatch.setattr(world.store, call, raising(error))
    fail_every_receive(world, body(KEY))
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.FAILED, None)


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
def test_an_event_that_relied_on_a_failing_worker_is_handled(
    kind: str, when: Callable[[World, str], None], event: str
) -> None:
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
def test_a_message_about_an_unknown_document_makes_no_row(door: str, message: str, receives: int) -> None:
    world = World()
    DOORS[door](world, MESSAGES[message], receives)
    assert world.ledger.records == {}
    assert world.ledger.holders == {}


@each_door
@each_message
def test_a_message_removes_chunks_whose_row_is_lost(door: str, message: str) -> None:
    world = World()
    world.store.put(KEY, "some words")
    world.update()
    world.store.delete(KEY)
    world.ledger.records.clear()
    DOORS[door](world, MESSAGES[message], 1)
    assert world.texts() == ""
    assert world.ledger.records == {KEY: DocumentRecord(KEY, Status.DELETED)}
