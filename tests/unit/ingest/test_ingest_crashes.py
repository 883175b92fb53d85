"""A worker dies at any of its calls; the redelivery of its message repairs everything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import pytest

from docwell.errors import DeadlineExceeded, LeaseLost, Unavailable
from docwell.ingest.events import handle_delivery
from docwell.ingest.ingest import DocumentLease, Ingest, RangeWorker
from docwell.models import DocumentRecord, Hint, IndexRecord, Lease, RangeTask, Reason, Status
from docwell.ports import Stamped
from tests.unit.fakes import FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World, raising
from tests.unit.ingest.test_events import delivery

# More calls than a worker makes for one message in these tests.
MOST_CALLS = 60


class Killed(BaseException):
    """The effect of SIGKILL: nothing after it has any effect."""


@dataclass
class Life:
    """The number of port calls that a worker has left; `dead` once it was killed."""

    calls: int
    dead: bool = False

    def spend(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            self.dead = True
        if self.dead:
            raise Killed


@dataclass
class Pause(Life):
    """Before one of its calls, a worker stands still while something happens."""

    happens: Callable[[], None] = lambda: None

    def spend(self) -> None:
        self.calls -= 1
        if self.calls == -1:
            self.happens()


class Mortal:
    """A port that works as long as the worker lives."""

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
        ocr_queue=of(ingest.ocr_queue),
        indexer=indexer,
    )


def handle(ingest: Ingest, message: Hint | RangeTask, owner: str) -> None:
    if isinstance(message, Hint):
        ingest.update(message, owner, lambda: 900.0)
    else:
        RangeWorker(ingest, message, owner, lambda: 900.0).index_range()


def deliver(world: World, message: Hint | RangeTask, owner: str, calls: int) -> bool:
    """Deliver a message to a worker that is killed after `calls`, then to one that lives. False: not killed."""
    try:
        handle(mortal(world.ingest, Life(calls)), message, owner)
    except Killed:
        handle(world.ingest, message, owner)
        return True
    return False


@pytest.mark.parametrize("before", [None, "old words on a page", "old words\fon two pages"])
@pytest.mark.parametrize("text", ["new words", "first\fsecond\fthird\ffourth\ffifth", " \f ", "!encrypted", None])
def test_a_redelivery_repairs_what_a_worker_killed_at_any_call_left(before: str | None, text: str | None) -> None:
    is_text = text is not None and text.strip() != "" and not text.startswith("!")
    words = " ".join(sorted((text or "").split("\f"))) if is_text else ""
    assert (
        sum(mends(World(range_pages=2, upsert_batch=1), before, text, words, calls) for calls in range(MOST_CALLS))
        >= 3
    )


@pytest.mark.parametrize("before", [None, "old words on a page", "old words\f[0.9 in a picture]"])
@pytest.mark.parametrize("text", ["first\f[0.9 second]", "first\f[0.9 second]\fthird", "[0.9 first]\f[0.2 noise]"])
def test_a_redelivery_repairs_what_a_worker_killed_at_any_call_of_recognition_left(
    before: str | None, text: str
) -> None:
    words = " ".join(sorted(re.findall("first|second|third", text)))

    def world() -> World:
        return World(FakeRecogniser(), range_pages=2, ocr_range_pages=1, upsert_batch=1)

    assert sum(mends(world(), before, text, words, calls) for calls in range(MOST_CALLS)) > 3


def mends(world: World, before: str | None, text: str | None, words: str, calls: int) -> int:
    """Index `text` with workers that are killed after `calls`, check the result, and return the kills."""
    if before is not None:
        world.store.put(KEY, before)
        world.update(owner="message-0")
        world.work_off()
    if text is None:
        world.store.delete(KEY)
    else:
        world.store.put(KEY, text)
    killed, number = int(deliver(world, Hint(KEY), "message-1", calls)), 0
    while sent := world.queue.sent or world.ocr_queue.sent:
        number += 1
        killed += deliver(world, sent.pop(0), f"range-{number}", calls)
    record = world.ledger.records.get(KEY, DocumentRecord(KEY, Status.DELETED))
    live = [chunk.generation for chunk in world.index.of(KEY)]
    assert " ".join(sorted(chunk.chunk.text for chunk in world.index.of(KEY))) == words, calls
    assert set(live) == ({record.live_generation} if words else set()), calls
    assert record.status in {Status.INDEXED, Status.EMPTY, Status.REJECTED, Status.DELETED}, calls
    assert (record.status is Status.INDEXED, record.chunks) == (words != "", len(live)), calls
    assert world.ledger.holders == {}, calls
    return killed


MEANWHILE: dict[str, Callable[[World], object]] = {
    "replaced": lambda world: world.store.put(KEY, "new", tags={"stage": "new"}),
    "replaced by scans": lambda world: world.store.put(KEY, "new\f[0.9 picture]\f[0.9 drawing]"),
    "refused": lambda world: world.store.put(KEY, "!encrypted"),
    "deleted": lambda world: world.store.delete(KEY),
    "tagged": lambda world: world.store.tagged.update({KEY: {"stage": "new"}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", MEANWHILE)
@pytest.mark.parametrize("text", ["first", "first\fsecond\fthird", "first\f[0.9 second]\fthird"])
def test_an_event_at_any_call_of_the_workers_leaves_exactly_the_buckets_documents(change: str, text: str) -> None:
    calls = 0
    for calls in range(3 * MOST_CALLS):
        world, changes = World(FakeRecogniser(), range_pages=2, ocr_range_pages=1, upsert_batch=1), [calls]

        def happens(world: World = world, changes: list[int] = changes) -> None:
            MEANWHILE[change](world)
            world.ingest.observe(KEY)
            world.update(owner="message-2")
            changes.clear()

        world.store.put(KEY, text)
        ingest = mortal(world.ingest, Pause(calls, happens=happens))
        handle(ingest, Hint(KEY), "message-1")
        while sent := world.queue.sent or world.ocr_queue.sent:
            message = sent.pop(0)
            handle(ingest, message, f"message {message}")
        if changes:  # the workers made fewer calls
            break
        head, record = world.store.head(KEY), world.ledger.records.get(KEY, DocumentRecord(KEY))
        body = world.store.objects[KEY][1].decode() if head else ""
        words = [] if body.startswith("!") else re.findall("[a-z]{3,}", body)
        assert sorted(chunk.chunk.text for chunk in world.index.of(KEY)) == sorted(words), calls
        assert record.live_version == (head.version if head and words else None), calls
        if record.live_attributes is not None:
            assert record.live_attributes.tags == world.store.tagged[KEY], calls
        assert world.ledger.holders == {}, calls
    assert 10 < calls < 3 * MOST_CALLS - 1


@pytest.mark.parametrize("owner", ["message-1", "message-2"])
def test_chunks_written_after_a_lost_lease_are_removed(owner: str) -> None:
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


def test_a_holder_that_must_look_again_removes_chunks_written_after_its_sweep() -> None:
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


def test_a_redelivery_removes_chunks_that_chroma_wrote_late(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_late_delete_removes_no_chunk_that_was_written_since(
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


@pytest.fixture
def world() -> World:
    return World()


def lease_of(world: World, remaining_s: float = 900.0) -> DocumentLease:
    lease = world.ingest.acquire(KEY, "message-1", lambda: remaining_s)
    assert lease is not None
    return lease


def test_a_ledger_that_fails_at_the_release_does_not_hide_the_first_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_lease: object) -> None:
        raise Unavailable("ledger", "down")

    monkeypatch.setattr(world.ledger, "release", down)
    with pytest.raises(Unavailable, match="chroma"), lease_of(world):
        raise Unavailable("chroma", "chroma is down")


@pytest.mark.parametrize(("version", "sent"), [("v1", []), ("v2", [Hint(KEY, sweep=True)])])
def test_a_worker_that_lost_its_lease_asks_for_a_sweep_at_another_version(
    world: World, version: str, sent: list[Hint]
) -> None:
    lease = lease_of(world)
    lease.write(DocumentRecord(KEY, version="v1"))
    world.ledger.holders[KEY] = ("message-2", 99)
    world.ledger.records[KEY] = DocumentRecord(KEY, version=version)
    with pytest.raises(LeaseLost), lease:
        lease.write(lease.record)
    assert world.queue.sent == sent


def test_a_lease_is_renewed_once_a_third_of_it_has_passed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[Lease] = []

    def renew(held: Lease) -> Lease:
        renewed.append(held)
        return held

    monkeypatch.setattr(world.ledger, "renew", renew)
    with lease_of(world) as lease:
        for passed in (29.0, 31.0):
            monkeypatch.setattr("docwell.ingest.ingest.time", lambda passed=passed: 1e12 - 90.0 + passed)
            lease.heartbeat()
        assert len(renewed) == 1
        lease.try_release()


def test_a_worker_short_of_time_does_not_keep_its_lease(world: World) -> None:
    with pytest.raises(DeadlineExceeded), lease_of(world, remaining_s=9.0) as lease:
        lease.heartbeat()
