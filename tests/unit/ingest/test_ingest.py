"""Ingest of short documents, on ports in memory."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from docwell.errors import DeadlineExceeded
from docwell.models import Attributes, Hint, Page, RangeTask, Reason, Status
from tests.unit.fakes import FakeReader, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World


def test_an_upload_becomes_indexed_and_live() -> None:
    world = World()
    version = world.store.put(KEY, "one page\fanother page")
    report = world.update()
    record = world.ledger.records[KEY]
    assert (report.status, report.tally.pages) == (Status.INDEXED, 2)
    assert (record.status, record.pages, record.pages_done, record.title) == (Status.INDEXED, 2, 2, "A title")
    assert record.live_version == version
    assert record.chunks == len(world.index.of(KEY)) > 0
    assert {chunk.generation for chunk in world.index.of(KEY)} == {record.live_generation}
    assert world.ledger.holders == {}


def test_a_duplicate_event_changes_nothing() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    before = dict(world.ledger.records), world.index.upserts, world.ledger.writes
    report = world.update(owner="message-2")
    assert report.status is Status.INDEXED
    assert (dict(world.ledger.records), world.index.upserts, world.ledger.writes) == before


def test_a_replacement_that_is_refused_takes_the_old_content_away() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    world.store.put(KEY, "!encrypted")
    report = world.update(owner="message-2")
    assert (report.status, report.reason) == (Status.REJECTED, "encrypted")
    assert world.index.of(KEY) == []
    assert world.ledger.records[KEY].detail == "refused by the fake"


def test_pages_without_text_make_the_document_empty() -> None:
    world = World()
    world.store.put(KEY, "  \f \n ")
    report = world.update()
    assert (report.status, report.reason) == (Status.EMPTY, Reason.NO_TEXT)


def test_a_document_over_the_size_limit_is_refused_before_it_is_read() -> None:
    world = World(max_document_bytes=10)
    world.store.put(KEY, "more than ten bytes")
    world.store.before_download = lambda: pytest.fail("it was downloaded")
    assert world.update().reason == Reason.TOO_LARGE


def test_an_object_that_changes_while_it_is_read_is_read_again() -> None:
    world = World()
    world.store.put(KEY, "first words")

    def replace_once() -> None:
        world.store.before_download = lambda: None
        world.store.put(KEY, "second words")

    world.store.before_download = replace_once
    assert world.update().status is Status.INDEXED
    assert world.texts() == "second words"


def test_an_object_that_changes_while_it_is_indexed_never_becomes_live() -> None:
    world = World()
    world.store.put(KEY, "first words")
    lives: list[str | None] = []

    def replace_once() -> None:
        world.index.before_upsert = lambda: None
        world.store.put(KEY, "second words")

    world.index.before_upsert = replace_once
    world.ledger.before_write = lambda record: lives.append(record.live_version)
    world.update()
    assert set(lives) == {None, "v2"}
    assert world.texts() == "second words"


def test_a_worker_that_finds_the_document_taken_leaves_it_to_the_other_who_looks_again() -> None:
    world = World()
    world.store.put(KEY, "first words")

    def another_event() -> None:
        world.index.before_upsert = lambda: None
        world.store.put(KEY, "second words")
        assert world.update(owner="message-2").status is None

    world.index.before_upsert = another_event
    assert world.update().status is Status.INDEXED
    assert world.texts() == "second words"
    assert world.ledger.holders == {}


def test_an_event_that_comes_after_the_last_look_is_not_lost() -> None:
    world = World()
    world.store.put(KEY, "first words")

    def when_swept(record: object) -> None:
        if getattr(record, "swept", False):
            world.ledger.before_write = lambda _record: None
            world.store.delete(KEY)
            world.update(owner="message-2")

    world.ledger.before_write = when_swept
    assert world.update().status is Status.DELETED
    assert world.index.of(KEY) == []


def test_a_rebuild_indexes_again_what_seems_up_to_date() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    world.index.chunks.clear()
    world.update(owner="message-2")
    assert world.index.of(KEY) == []
    world.ingest.update(Hint(KEY, rebuild=True), "message-3", lambda: 900.0)
    assert world.texts() == "some text"
    assert world.ledger.records[KEY].status is Status.INDEXED


def test_a_sweep_removes_chunks_that_should_not_be_there() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    stale = replace(world.index.of(KEY)[0], id="stale", generation="older")
    world.index.chunks["handbooks"]["stale"] = stale
    world.ingest.update(Hint(KEY, sweep=True), "message-2", lambda: 900.0)
    assert world.texts() == "some text"


def test_a_worker_short_of_time_stops_and_leaves_the_rest() -> None:
    world = World(stop_before_s=10.0)
    world.store.put(KEY, "some text")
    with pytest.raises(DeadlineExceeded):
        world.update(remaining_s=5.0)
    assert world.ledger.records[KEY].status is Status.PENDING
    assert world.ledger.holders == {}


def test_giving_up_leaves_a_named_status_and_shows_nothing() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    world.store.put(KEY, "new text")
    world.ingest.fail(Hint(KEY), "message-2", Reason.UNAVAILABLE, "chroma cannot be reached")
    record = world.ledger.records[KEY]
    assert (record.status, record.reason, record.live_generation) == (Status.FAILED, Reason.UNAVAILABLE, None)
    assert world.update(owner="message-3").status is Status.INDEXED


def test_a_second_try_that_reads_less_leaves_nothing_of_the_first() -> None:
    world = World()
    version = world.store.put(KEY, "one two three four five six seven eight nine ten " * 9)
    world.update()
    chunks = world.index.of(KEY)
    assert len(chunks) > 1
    # The first try did not finish, and the second reader finds less text.
    record = world.ledger.records[KEY]
    world.ledger.records[KEY] = replace(record, status=Status.FAILED, live_generation=None, swept=False)
    world.store.objects[KEY] = (version, b"one two")
    world.update(owner="message-2")
    assert world.texts() == "one two"


def test_a_first_upload_costs_two_writes_of_its_record_and_no_search_for_older_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.store.put(KEY, "some text")
    monkeypatch.setattr(world.index, "ids", lambda *_args, **_options: pytest.fail("the index was searched"))
    world.update()
    record = world.ledger.records[KEY]
    assert (record.status, record.pages, record.chunks, record.swept) == (Status.INDEXED, 1, 1, True)
    assert world.ledger.writes == 2


def test_a_document_that_is_refused_while_it_is_read_keeps_its_title_and_pages() -> None:
    world = World(max_document_characters=10)
    world.store.put(KEY, "short\fa page that is much too long")
    assert world.update().reason == Reason.TOO_MUCH_TEXT
    record = world.ledger.records[KEY]
    assert (record.status, record.pages, record.title, record.chunks) == (Status.REJECTED, 2, "A title", 0)


def said(world: World) -> Attributes | None:
    return world.ledger.records[KEY].live_attributes


@pytest.fixture
def world() -> World:
    world = World(range_pages=2)
    world.reader.title, world.reader.author, world.reader.created = "One", "Ada", "2026-01-01"
    world.store.put(KEY, "first words", {"team": "heat"}, {"stage": "draft"})
    world.update()
    return world


def test_the_kind_of_file_is_that_of_the_live_version(world: World) -> None:
    world.reader.media_type = "text/html"
    world.store.put(KEY, "a\fb\fc")
    world.update(owner="message-2")
    found = said(world)
    assert found is not None
    assert found.media_type is None
    world.work_off()
    found = said(world)
    assert found is not None
    assert found.media_type == "text/html"


def test_new_tags_are_taken_over_without_reading_the_document_again(world: World) -> None:
    world.store.before_download = lambda: pytest.fail("it was downloaded")
    world.store.tagged[KEY] = {"stage": "final"}
    world.update(owner="message-2")
    assert said(world) == Attributes("One", "Ada", "2026-01-01", {"team": "heat"}, {"stage": "final"})


def test_until_a_replacement_is_live_the_ledger_speaks_of_what_answers_come_from(world: World) -> None:
    world.reader.title, world.reader.author = "Two", "Eve"
    world.store.put(KEY, "a\fb\fc", {"team": "cold"}, {"stage": "new"})
    world.update(owner="message-2")
    assert world.ledger.records[KEY].status is Status.PENDING
    assert said(world) == Attributes("One", "Ada", "2026-01-01", {"team": "heat"}, {"stage": "draft"})
    world.work_off()
    assert said(world) == Attributes("Two", "Eve", "2026-01-01", {"team": "cold"}, {"stage": "new"})


def test_tags_that_change_while_a_long_document_is_read_are_those_of_the_end(world: World) -> None:
    world.store.put(KEY, "a\fb\fc", tags={"stage": "new"})
    world.update(owner="message-2")
    world.store.tagged[KEY] = {"stage": "newer"}
    world.work_off()
    found = said(world)
    assert found is not None
    assert found.tags == {"stage": "newer"}


@pytest.mark.parametrize("body", ["!encrypted", "   "])
def test_nothing_is_said_of_a_document_that_is_not_shown_any_more(world: World, body: str) -> None:
    world.store.put(KEY, body, tags={"stage": "final"})
    world.update(owner="message-2")
    world.update(owner="message-3")
    assert said(world) is None


def test_nothing_is_said_of_a_document_that_was_deleted_or_given_up(world: World) -> None:
    task = RangeTask(KEY, "v1", "pipeline", world.ledger.records[KEY].attempt, 0)
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=Status.PENDING)
    world.ingest.fail(task, "message-2", Reason.INTERNAL, "a bug")
    assert said(world) is None
    world.update(owner="message-3")
    assert said(world) is not None
    world.store.delete(KEY)
    world.update(owner="message-4")
    assert said(world) is None


def test_a_version_that_goes_while_its_tags_are_asked_for_is_looked_at_again(world: World) -> None:
    tags, versions = world.store.tags, []

    def replaced(key: str, version: object) -> dict[str, str]:
        world.store.tags = tags  # type: ignore[method-assign]
        versions.append(world.store.put(KEY, "second words", tags={"stage": "second"}))
        return dict(tags(key, version))  # type: ignore[arg-type]

    world.store.tags = replaced  # type: ignore[method-assign]
    world.update(owner="message-2")
    record = world.ledger.records[KEY]
    assert [record.live_version] == versions
    assert record.live_attributes is not None
    assert record.live_attributes.tags == {"stage": "second"}


PAGE_REASONS = [
    Reason.READER_CRASHED,
    Reason.TOO_SLOW,
    Reason.TOO_MUCH_MEMORY,
    Reason.TOO_MUCH_TEXT,
    Reason.CORRUPT,
    Reason.UNREADABLE,
]


class CostlyReader(FakeRecogniser):
    """Each page takes a second; counts the pages that it read."""

    read = 0

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for page in FakeReader.pages(self, path, first, last):
            self.read += 1
            yield page


def hundred_pages(*bad: tuple[int, str]) -> str:
    pages = [f"text of page {number}" for number in range(1, 101)]
    for number, text in bad:
        pages[number - 1] = text
    return "\f".join(pages)


def costly(world: World) -> CostlyReader:
    reader = CostlyReader(page_cpu_s=1.0)
    object.__setattr__(world.ingest.indexer, "reader", reader)
    return reader


@pytest.mark.parametrize("range_pages", [7, 100])
@pytest.mark.parametrize("reason", PAGE_REASONS)
def test_one_bad_page_among_a_hundred_costs_one_page(reason: Reason, range_pages: int) -> None:
    world = World(range_pages=range_pages)
    world.store.put(KEY, hundred_pages((50, f"!{reason}")))
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.INDEXED, None)
    assert record.page_failures == {f"{reason} 50"}
    assert record.detail == f"page 50: {reason}, not indexed"
    assert {chunk.chunk.page for chunk in world.index.of(KEY)} == set(range(1, 101)) - {50}


@pytest.mark.parametrize("range_pages", [1, 50])
def test_a_document_of_bad_pages_is_refused_for_the_reason_of_the_first(range_pages: int) -> None:
    world = World(range_pages=range_pages)
    world.store.put(KEY, "!too_much_memory\f!reader_crashed\f!too_much_memory")
    world.update()
    world.work_off()
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
def test_pages_over_the_documents_processor_time_are_not_read(range_pages: int) -> None:
    world = World(range_pages=range_pages, document_cpu_s=25.0)
    reader = costly(world)
    world.store.put(KEY, hundred_pages())
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.cpu_s, reader.read) == (Status.INDEXED, 25.0, 25)
    assert record.detail == "pages 26-100: too_slow, not indexed"
    assert {chunk.chunk.page for chunk in world.index.of(KEY)} == set(range(1, 26))


def test_pages_over_the_processor_time_for_recognition_are_not_recognised() -> None:
    recogniser = FakeRecogniser(page_cpu_s=1.0)
    world = World(recogniser, ocr_range_pages=2, ocr_document_cpu_s=3.0)
    world.store.put(KEY, "\f".join(f"[0.9 picture {number}]" for number in range(1, 11)))
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert record.status is Status.INDEXED
    assert sorted({chunk.chunk.page for chunk in world.index.of(KEY)}) == [1, 2, 3]
    assert record.detail == "pages 4-10: too_slow, not indexed"


def test_a_second_attempt_has_the_whole_processor_time_again() -> None:
    world = World(document_cpu_s=25.0)
    costly(world)
    for _ in range(2):
        world.store.put(KEY, hundred_pages())
        world.update()
        world.work_off()
        assert world.ledger.records[KEY].cpu_s == 25.0


@pytest.mark.parametrize("range_pages", [1, 50])
def test_a_small_file_of_much_text_is_refused(range_pages: int) -> None:
    world = World(range_pages=range_pages, max_characters_per_byte=0.5)
    world.store.put(KEY, "first page\fsecond page\fthird page")
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.REJECTED, Reason.TOO_MUCH_TEXT)
    assert record.detail == "over 16 characters (max_characters_per_byte)"
    assert world.index.of(KEY) == []
