"""Ingest of short documents, on ports in memory."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from docwell.errors import DeadlineExceeded, QuotaExceeded, Unavailable
from docwell.identity import Principal, Use
from docwell.models import Attributes, Hint, Page, RangeTask, Reason, Status
from tests.unit.fakes import FakeLedger, FakeReader, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World


def test_an_upload_becomes_live_in_two_writes_and_a_duplicate_event_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    version = world.store.put(KEY, "one page\fanother page")
    with monkeypatch.context() as patched:
        patched.setattr(world.index, "ids", lambda *_args, **_options: pytest.fail("the index was searched"))
        report = world.update()
    record = world.ledger.records[KEY]
    assert (report.status, report.tally.pages) == (Status.INDEXED, 2)
    assert (record.status, record.pages, record.pages_done, record.title) == (Status.INDEXED, 2, 2, "A title")
    assert (record.live_version, record.swept) == (version, True)
    assert record.chunks == len(world.index.of(KEY)) > 0
    assert {chunk.generation for chunk in world.index.of(KEY)} == {record.live_generation}
    assert world.ledger.holders == {}
    before = dict(world.ledger.records), world.index.upserts, 2
    assert world.update(owner="message-2").status is Status.INDEXED
    assert (dict(world.ledger.records), world.index.upserts, world.ledger.writes) == before


def test_a_document_over_the_size_limit_is_refused_before_it_is_read() -> None:
    world = World(max_document_bytes=10)
    world.store.put(KEY, "more than ten bytes")
    world.store.before_download = lambda: pytest.fail("it was downloaded")
    assert world.update().reason == Reason.TOO_LARGE


def test_hints_to_sweep_and_to_rebuild_repair_an_index_that_seems_up_to_date() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    stale = replace(world.index.of(KEY)[0], id="stale", generation="older")
    world.index.chunks["handbooks"]["stale"] = stale
    world.ingest.update(Hint(KEY, sweep=True), "message-2", lambda: 900.0)
    assert world.texts() == "some text"
    world.index.chunks.clear()
    world.ingest.update(Hint(KEY, rebuild=True), "message-3", lambda: 900.0)
    assert world.texts() == "some text"
    assert world.ledger.records[KEY].status is Status.INDEXED


def test_a_worker_short_of_time_stops_and_releases_the_document() -> None:
    world = World(stop_before_s=10.0)
    world.store.put(KEY, "some text")
    with pytest.raises(DeadlineExceeded):
        world.update(remaining_s=5.0)
    assert world.ledger.records[KEY].status is Status.PENDING
    assert world.ledger.holders == {}


def test_a_retry_that_reads_less_leaves_no_chunk_of_the_first_attempt() -> None:
    world = World()
    version = world.store.put(KEY, "one two three four five six seven eight nine ten " * 9)
    world.update()
    assert len(world.index.of(KEY)) > 1
    record = world.ledger.records[KEY]
    world.ledger.records[KEY] = replace(record, status=Status.FAILED, live_generation=None, swept=False)
    world.store.objects[KEY] = (version, b"one two")
    world.update(owner="message-2")
    assert world.texts() == "one two"


@pytest.fixture
def world() -> World:
    world = World(range_pages=2)
    world.reader.title, world.reader.author, world.reader.created = "One", "Ada", "2026-01-01"
    world.store.put(KEY, "first words", {"team": "heat"}, {"stage": "draft"})
    world.update()
    return world


def test_new_tags_apply_without_reading_the_document_again(world: World) -> None:
    world.store.before_download = lambda: pytest.fail("it was downloaded")
    world.store.tagged[KEY] = {"stage": "final"}
    world.update(owner="message-2")
    attributes = Attributes("One", "Ada", "2026-01-01", {"team": "heat"}, {"stage": "final"})
    assert world.ledger.records[KEY].live_attributes == attributes


def test_the_attributes_of_a_replacement_apply_when_it_is_live(world: World) -> None:
    before = world.ledger.records[KEY].live_attributes
    world.reader.title, world.reader.author, world.reader.media_type = "Two", "Eve", "text/html"
    world.store.put(KEY, "a\fb\fc", {"team": "cold"}, {"stage": "new"})
    world.update(owner="message-2")
    assert world.ledger.records[KEY].status is Status.PENDING
    assert world.ledger.records[KEY].live_attributes == before
    world.store.tagged[KEY] = {"stage": "newer"}
    world.work_off()
    after = Attributes("Two", "Eve", "2026-01-01", {"team": "cold"}, {"stage": "newer"}, "text/html")
    assert world.ledger.records[KEY].live_attributes == after


@pytest.mark.parametrize("body", ["!encrypted", "   ", None])
def test_a_document_that_no_longer_answers_has_no_attributes(world: World, body: str | None) -> None:
    if body is None:
        world.store.delete(KEY)
    else:
        world.store.put(KEY, body, tags={"stage": "final"})
    for owner in ("message-2", "message-3"):
        world.update(owner=owner)
        assert world.ledger.records[KEY].live_attributes is None


def test_a_document_that_failed_has_no_attributes_until_it_is_indexed_again(world: World) -> None:
    task = RangeTask(KEY, "v1", "pipeline", world.ledger.records[KEY].attempt, 0)
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=Status.PENDING)
    world.ingest.fail(task, "message-2", Reason.INTERNAL, "a bug")
    assert world.ledger.records[KEY].live_attributes is None
    world.update(owner="message-3")
    assert world.ledger.records[KEY].live_attributes is not None


class Quotas:
    """A quota of ten bytes a day, and all charges. The charge with the number `fails` fails."""

    def __init__(self, fails: int = 0) -> None:
        self.charged, self.today, self.fails = Use(), 0, fails

    def charge(self, principal: Principal, use: Use, quotas: Sequence[str]) -> None:
        self.fails -= 1
        if not self.fails:
            raise Unavailable("principals", "the table cannot be written")
        if quotas and self.today >= (principal.bytes_per_day or 0):
            raise QuotaExceeded("today's bytes are used up", 60)
        self.charged, self.today = self.charged + use, self.today + use.bytes


@pytest.mark.parametrize(
    ("body", "pages"), [("a b c d\fe f g h", 2), ("!encrypted", 0), ("!too_slow\f!corrupt", 2)]
)
def test_who_uploads_pays_and_over_a_quota_a_document_waits_unread_for_another_day(body: str, pages: int) -> None:
    quotas, world = Quotas(), World(range_pages=1)
    object.__setattr__(world.ingest, "quotas", quotas)
    world.store.before_download = lambda: time.sleep(0.002)
    for name in ("a/1", "a/2"):
        world.store.put(name, body, {"docwell-uploader": Principal("key:u", bytes_per_day=10).as_uploader})
        world.update(name)
        world.work_off()
        world.store.before_download = lambda: pytest.fail("it was downloaded")
    world.update("a/2", "again")
    first, second = (world.ledger.records[name] for name in ("a/1", "a/2"))
    assert (second.status, second.reason, second.live_generation) == (Status.REJECTED, Reason.OVER_QUOTA, None)
    assert (quotas.charged.bytes, quotas.charged.pages) == (len(body), pages)
    assert quotas.charged.reading_s > 0
    world.store.before_download, quotas.today = lambda: None, 0
    world.update("a/2", "tomorrow")
    world.work_off()
    assert world.ledger.records["a/2"].reason == first.reason
    world.store.put("a/3", body)  # of an operator, who has no quota
    world.update("a/3")
    world.work_off()
    assert (world.ledger.records["a/3"].reason, quotas.charged.pages) == (first.reason, 2 * pages)
    world.ingest.update(Hint("a/1", rebuild=True), "rebuild", lambda: 900.0)
    world.store.modified = 0.0  # a lost ledger, or a restore: they were paid for
    world.ledger.records.clear()
    world.update("a/2")
    world.work_off()
    assert (world.ledger.records["a/2"].reason, quotas.charged.pages) == (first.reason, 2 * pages)


def test_a_pipeline_that_is_built_reads_an_upload_once_the_active_one_has_charged_it() -> None:
    quotas, world, beside = Quotas(), World(), FakeLedger()
    object.__setattr__(world.ingest, "quotas", quotas)
    built = replace(world.ingest, ledger=beside, fingerprint="next", quotas=None, active=world.ledger)
    # Each row: the bytes that its uploader has used today, the number of the charge that fails, and the status.
    steps = ((10, 0, Status.REJECTED), (10, 0, Status.REJECTED), (0, 1, Status.REJECTED), (0, 0, Status.INDEXED))
    for body in ("a b c", "d e f"):  # a second version waits for its own charge
        world.store.put(KEY, body, {"docwell-uploader": Principal("key:u", bytes_per_day=10).as_uploader})
        with pytest.raises(Unavailable):
            built.update(Hint(KEY), "too early", lambda: 900.0)
        for number, (quotas.today, quotas.fails, status) in enumerate(steps):
            for ingest in (world.ingest, built):
                with suppress(Unavailable):
                    ingest.update(Hint(KEY), f"message-{number}", lambda: 900.0)
            assert {ledger.records[KEY].status for ledger in (world.ledger, beside)} == {status}


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_failed_charge_skips_no_quota_and_discards_no_work(fails: int) -> None:
    quotas, world = Quotas(fails), World()
    object.__setattr__(world.ingest, "quotas", quotas)
    world.store.put(KEY, "a b c", {"docwell-uploader": Principal("key:u", bytes_per_day=10).as_uploader})
    for _ in range(2):
        with suppress(Unavailable):
            world.update()
    assert (world.ledger.records[KEY].status, quotas.charged.bytes) == (Status.INDEXED, 5)


PAGE_REASONS = [
    Reason.READER_CRASHED,
    Reason.TOO_SLOW,
    Reason.TOO_MUCH_MEMORY,
    Reason.TOO_MUCH_TEXT,
    Reason.CORRUPT,
    Reason.UNREADABLE,
]


class CostlyReader(FakeRecogniser):
    """Takes a second for each page; counts the pages that it read."""

    read = 0

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for page in FakeReader.pages(self, path, first, last):
            self.read += 1
            yield page


def indexed(world: World, *pages: str) -> World:
    world.store.put(KEY, "\f".join(pages))
    world.update()
    world.work_off()
    return world


def hundred_pages() -> list[str]:
    return [f"text of page {number}" for number in range(1, 101)]


@pytest.mark.parametrize("range_pages", [7, 100])
@pytest.mark.parametrize("reason", PAGE_REASONS)
def test_one_bad_page_among_a_hundred_costs_one_page(reason: Reason, range_pages: int) -> None:
    pages = hundred_pages()
    pages[49] = f"!{reason}"
    world = indexed(World(range_pages=range_pages), *pages)
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.INDEXED, None)
    assert record.page_failures == {f"{reason} 50"}
    assert record.detail == f"page 50: {reason}, not indexed"
    assert {chunk.chunk.page for chunk in world.index.of(KEY)} == set(range(1, 101)) - {50}


@pytest.mark.parametrize("range_pages", [1, 50])
def test_a_document_of_bad_pages_is_refused_for_the_reason_of_the_first(range_pages: int) -> None:
    world = indexed(World(range_pages=range_pages), "!too_much_memory", "!reader_crashed", "!too_much_memory")
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.REJECTED, Reason.TOO_MUCH_MEMORY)
    assert record.detail == "pages 1, 3: too_much_memory, not indexed; page 2: reader_crashed, not indexed"


@pytest.mark.parametrize("reason", PAGE_REASONS[:4])
def test_a_page_that_broke_a_limit_is_not_recognised(reason: Reason) -> None:
    world = World(FakeRecogniser())
    world.store.put(KEY, f"text\f!{reason}")
    assert world.update().status is Status.INDEXED
    assert world.ocr_queue.sent == []


@pytest.mark.parametrize("range_pages", [10, 100])
def test_each_attempt_reads_pages_while_the_documents_processor_time_lasts(range_pages: int) -> None:
    world, reader = World(range_pages=range_pages, document_cpu_s=25.0), CostlyReader(page_cpu_s=1.0)
    object.__setattr__(world.ingest.indexer, "reader", reader)
    for attempt in (1, 2):
        indexed(world, *hundred_pages())
        record = world.ledger.records[KEY]
        assert (record.status, record.cpu_s, reader.read) == (Status.INDEXED, 25.0, 25 * attempt)
        assert record.detail == "pages 26-100: too_slow, not indexed"
        assert {chunk.chunk.page for chunk in world.index.of(KEY)} == set(range(1, 26))


@pytest.mark.parametrize("range_pages", [10, 100])
def test_a_small_file_of_slow_pages_is_refused_over_all_its_ranges(range_pages: int) -> None:
    world, reader = World(range_pages=range_pages), CostlyReader(page_cpu_s=1.0)
    object.__setattr__(world.ingest.indexer, "reader", reader)
    indexed(world, *hundred_pages())
    record = world.ledger.records[KEY]
    assert (record.status, record.reason, reader.read) == (Status.REJECTED, Reason.TOO_SLOW, 61)
    assert record.detail == "over the time for a file of this size (document_cpu_s_per_mb)"
    assert world.index.of(KEY) == []


def test_pages_over_the_processor_time_for_recognition_are_not_recognised() -> None:
    recognising = World(FakeRecogniser(page_cpu_s=1.0), ocr_range_pages=2, ocr_document_cpu_s=3.0)
    world = indexed(recognising, *(f"[0.9 picture {number}]" for number in range(1, 11)), "text", "more text")
    record = world.ledger.records[KEY]
    assert record.status is Status.INDEXED
    assert sorted({chunk.chunk.page for chunk in world.index.of(KEY)}) == [1, 2, 3, 4, 11, 12]
    assert record.detail == "pages 5-10: too_slow, not indexed; pages 1-4: recognised"


@pytest.mark.parametrize("range_pages", [1, 50])
def test_a_small_file_of_much_text_is_refused_with_its_title_and_pages(range_pages: int) -> None:
    world = World(FakeRecogniser(), range_pages=range_pages, max_characters_per_byte=0.5)
    indexed(world, "[0.9 a]", "first page", "second and more")
    record = world.ledger.records[KEY]
    assert (record.status, record.reason, record.recognised_from) == (Status.REJECTED, Reason.TOO_MUCH_TEXT, None)
    assert record.detail == "over 17 characters (max_characters_per_byte)"
    assert (record.pages, record.title, record.chunks, world.index.of(KEY)) == (3, "A title", 0, [])
