"""Ingest of long documents, whose ranges have their own messages, on ports in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from docwell.errors import DocwellError, Refused, Unavailable
from docwell.ingest.events import handle_dead_letter, handle_delivery
from docwell.models import DocumentRecord, Hint, IndexRecord, ObjectVersion, RangeTask, Reason, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery
from tests.unit.ingest.test_ingest_crashes import MOST_CALLS, Killed, Life, mortal
from tests.unit.ingest.test_parking import RECEIVES, message_of

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


@pytest.mark.parametrize("receives", [1, 2])
def test_a_second_event_or_redelivery_while_ranges_are_running_sends_no_message_again(receives: int) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, LONG)
    world.update()
    handle_delivery([world.ingest], delivery(message_of(Hint(KEY)), receives))
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


@pytest.mark.parametrize(("limit", "text"), [(10, "short\fa page that is much too long\fshort"), (20, LONG)])
def test_a_range_over_the_limit_of_characters_refuses_the_document_and_leaves_nothing(
    limit: int, text: str
) -> None:
    world = World(range_pages=1, max_document_characters=limit)
    world.store.put(KEY, text)
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.REJECTED, Reason.TOO_MUCH_TEXT)
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


def ranges_of(world: World) -> list[RangeTask]:
    """Take the range tasks off the queue."""
    sent, world.queue.sent = world.queue.sent, []
    return [message for message in sent if isinstance(message, RangeTask)]


def test_a_stale_range_waits_for_the_lease_of_its_document() -> None:
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


@pytest.mark.parametrize("holder", [None, "message-2"], ids=["free", "held"])
def test_a_range_whose_version_was_missing_for_a_moment_is_retried(holder: str | None) -> None:
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

        def restored(key: str, version: str | None = None) -> ObjectVersion | None:
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


# Two ranges of four pages: 20 characters in the first one, 120 on each page of the second one.
OLD = "\f".join(["short"] * 4 + ["long " * 24] * 4)
CHANGES: dict[str, Callable[[World], object]] = {
    "replaced": lambda world: world.store.put(KEY, "new words\f[a picture]"),
    "replaced by a long document": lambda world: world.store.put(KEY, "\f".join(["new", "[a picture]"] * 3)),
    "deleted": lambda world: world.store.delete(KEY),
}


@dataclass
class Race:
    """The worker of a document's last range, while the document changes and another worker sweeps it.

    Each method that overtakes sets up one moment of the change. `fault` runs at the first removal after it.
    """

    world: World
    task: RangeTask
    change: Callable[[World], object]
    fault: Callable[[World], None]
    remaining_s: float = 900.0
    overtaken: bool = field(default=False, init=False)

    def stale(self) -> list[IndexRecord]:
        return [record for record in self.world.index.of(KEY) if record.version == self.task.version]

    def overtake(self) -> None:
        self.overtaken = True
        self.change(self.world)
        handle_delivery([self.world.ingest], replace(delivery(body(KEY)), message_id="message-2"))
        self.world.work_off()
        assert self.stale() == []
        self.world.index.before_delete = self.fail_once

    def fail_once(self) -> None:
        self.world.index.before_delete = lambda: None
        self.fault(self.world)

    def overtake_at_upsert(self, then: Callable[[], None] = lambda: None) -> None:
        """Overtake the worker right before its first upsert, and call `then` right after that."""
        index = self.world.index

        def written() -> None:
            index.after_upsert = lambda: None
            assert self.stale() != []
            then()

        def overtake() -> None:
            index.before_upsert = lambda: None
            self.overtake()
            index.after_upsert = written

        index.before_upsert = overtake

    def drain(self, receives: int) -> None:
        """Deliver the range's message until it is done or parked, then handle each message that it left."""
        for number in count(receives):
            received = delivery(message_of(self.task), number)
            received = replace(received, message_id="range", remaining_s=lambda: self.remaining_s)
            try:
                if number <= RECEIVES:
                    handle_delivery([self.world.ingest], received)
                else:
                    handle_dead_letter([self.world.ingest], received, lambda _body: None)
                break
            except (Killed, DocwellError):
                self.remaining_s = 900.0
        self.world.work_off()


def raise_killed(_world: World) -> None:
    raise Killed


def raise_unavailable(_world: World) -> None:
    raise Unavailable("chroma", "chroma did not answer in time")


def at_upsert(then: Callable[[World], None] = lambda _world: None) -> Callable[[Race], None]:
    return lambda race: race.overtake_at_upsert(partial(then, race.world))


def at_reading(race: Race) -> None:
    """Overtake the worker right before it reads the pages: it is refused before it writes any chunk."""
    reader: Any = race.world.reader
    pages = reader.pages

    def overtake(path: Path, first: int, last: int) -> Any:
        reader.pages = pages
        race.overtake()
        return pages(path, first, last)

    reader.pages = overtake


def is_refused_by_the_reader(race: Race) -> None:
    race.world.reader.refuses_at = 8
    at_reading(race)


def is_refused_after_it_finished(race: Race) -> None:
    def overtake() -> None:
        race.world.ledger.after_finish = lambda: None
        race.overtake()

    race.world.ledger.after_finish = overtake


def runs_out_of_time(race: Race) -> None:
    race.overtake_at_upsert(partial(setattr, race, "remaining_s", 0.0))


def finds_no_version_to_read(race: Race) -> None:
    """Overtake the worker right before it reads the version; then a late write of that version takes effect."""
    late = race.stale()

    def overtake() -> None:
        race.world.store.before_download = lambda: None
        race.overtake()
        race.world.index.upsert("handbooks", late)

    race.world.store.before_download = overtake


UNLIKELY = {"max_characters_per_byte": 1e9}
ENDS: dict[str, tuple[Callable[[Race], None], dict[str, Any]]] = {
    "is indexed": (at_upsert(), {}),
    "is over max_document_characters": (at_reading, {"max_document_characters": 400} | UNLIKELY),
    "is over max_characters_per_byte": (at_reading, {"max_characters_per_byte": 0.8}),
    "is over a limit with the other range": (
        is_refused_after_it_finished,
        {"max_document_characters": 490} | UNLIKELY,
    ),
    "is refused by the reader": (is_refused_by_the_reader, {}),
    "times out at an upsert": (at_upsert(raise_unavailable), {}),
    "is killed at an upsert": (at_upsert(raise_killed), {}),
    "runs out of time": (runs_out_of_time, {}),
    "finds no version to read": (finds_no_version_to_read, {}),
}
FAULTS: dict[str, Callable[[World], None]] = {
    "no fault": lambda _world: None,
    "lease lost": lambda world: world.ledger.holders.clear(),
    "transient error": raise_unavailable,
    "killed": raise_killed,
}


def race_to(end: str, change: str, fault: str = "no fault") -> Race:
    """Return the race of an end and a change; all ranges but the last are done."""
    set_up, limits = ENDS[end]
    world = World(range_pages=4, upsert_batch=1, **limits)
    world.store.put(KEY, OLD)
    world.update()
    (first, last), world.queue.sent = world.queue.sent, []
    assert isinstance(first, RangeTask)
    assert isinstance(last, RangeTask)
    world.index_range(first, "first-range", lambda: 900.0)
    race = Race(world, last, CHANGES[change], FAULTS[fault])
    set_up(race)
    return race


@pytest.mark.parametrize(("fault", "receives"), [*((fault, 1) for fault in FAULTS), ("no fault", RECEIVES)])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("end", ENDS)
def test_a_range_that_ends_after_its_document_changed_leaves_no_chunk(
    end: str, change: str, fault: str, receives: int
) -> None:
    race = race_to(end, change, fault)
    race.drain(receives)
    assert race.overtaken
    record = race.world.ledger.records[KEY]
    assert (race.stale(), race.world.ledger.holders) == ([], {})
    assert (len(race.world.index.of(KEY)), record.swept) == (record.chunks, True)


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("calls", range(MOST_CALLS))
def test_an_event_that_relied_on_a_range_worker_that_died_is_not_lost(calls: int, *, refused: bool) -> None:
    world = World(range_pages=4)
    first = world.store.put(KEY, OLD)
    world.update()
    tasks, world.queue.sent = world.queue.sent, []
    download = world.store.download

    def versioned(key: str, version: ObjectVersion, path: Path) -> None:
        if version.version == first:
            path.write_text(OLD)
        else:
            download(key, version, path)

    world.store.download = versioned  # type: ignore[method-assign]
    world.index_range(cast("RangeTask", tasks[0]), "first-range", lambda: 900.0)
    world.reader.refuses_at = 8 if refused else None
    received = replace(delivery(message_of(tasks[1])), message_id="range")
    with suppress(Killed):
        handle_delivery([mortal(world.ingest, Life(calls))], received)
    world.store.put(KEY, "new words")
    handle_delivery([world.ingest], replace(delivery(body(KEY)), message_id="message-2"))
    handle_delivery([world.ingest], received)
    assert (world.ledger.records[KEY].live_version, world.texts()) == ("v2", "new words")


def test_a_range_that_is_refused_after_its_document_was_erased_makes_no_row() -> None:
    race = race_to("is indexed", "deleted")

    def erase() -> None:
        race.overtake()
        race.world.ledger.records.clear()
        raise Refused(Reason.TOO_SLOW, "refused by the test")

    race.world.index.before_upsert = erase
    race.drain(receives=1)
    assert race.world.ledger.records == {}
