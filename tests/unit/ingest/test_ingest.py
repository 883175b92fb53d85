"""Ingest of short documents, on ports in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.errors import DeadlineExceeded, LeaseLost
from docwell.models import Hint, Reason, Status
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


def test_a_replaced_key_leaves_only_its_new_content() -> None:
    world = World()
    world.store.put(KEY, "old words here")
    world.update()
    world.store.put(KEY, "new text there")
    world.update(owner="message-2")
    assert world.texts() == "new text there"
    assert world.ledger.records[KEY].live_generation == world.index.of(KEY)[0].generation


def test_a_deleted_key_leaves_nothing() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.update()
    world.store.delete(KEY)
    assert world.update(owner="message-2").status is Status.DELETED
    assert world.index.of(KEY) == []
    assert world.ledger.records[KEY].live_generation is None


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


def test_a_worker_that_lost_its_lease_makes_nothing_live() -> None:
    world = World()
    world.store.put(KEY, "some text")
    world.index.before_upsert = lambda: world.ledger.holders.update({KEY: ("another", 99)})
    with pytest.raises(LeaseLost):
        world.update()
    assert world.ledger.records[KEY].live_generation is None


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
