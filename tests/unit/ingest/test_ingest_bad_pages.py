"""One bad page costs one page; time and text are bounded for a whole document. On ports in memory."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from docwell.models import Page, Reason, Status
from tests.unit.fakes import FakeReader, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World

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


def test_a_partly_unreadable_page_is_indexed_and_listed() -> None:
    world = World()
    world.store.put(KEY, hundred_pages((50, "~some reTuire words")))
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert record.status is Status.INDEXED
    assert record.page_failures == {"partly_unreadable 50"}
    assert (
        record.detail
        == "page 50: partly_unreadable, indexed, but fonts map some letters wrongly: these words are missing or "
        "misspelt"
    )
    assert {chunk.chunk.page for chunk in world.index.of(KEY)} == set(range(1, 101))


def test_a_partly_unreadable_page_is_recognised() -> None:
    world = World(FakeRecogniser())
    world.store.put(KEY, "text of page 1\f~some reTuire words")
    world.update()
    assert world.ledger.records[KEY].detail == "recognising 1 page without all text"
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.detail, record.page_failures) == (Status.INDEXED, None, frozenset())
    assert {chunk.chunk.text for chunk in world.index.of(KEY)} == {"text of page 1", "some retuire words"}


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
