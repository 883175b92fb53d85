"""Pages that are pictures are recognised after the text layers are live, on ports in memory."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from docwell.errors import DeadlineExceeded
from docwell.ingest.ingest import RangeWorker
from docwell.models import Attributes, Hint, Page, RangeTask, Reason, Status
from tests.unit.fakes import FakeReader, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World

MIXED = "text of page one\f[0.9 picture of page two]\ftext of page three"


def scanning(**limits: float) -> World:
    return World(FakeRecogniser(), **{"range_pages": 2, "ocr_range_pages": 1, **limits})


def in_the_index(world: World) -> list[str]:
    return sorted(record.chunk.text for record in world.index.of(KEY))


def live(world: World) -> list[str]:
    """The texts that queries may see."""
    generation = world.ledger.records[KEY].live_generation
    return sorted(r.chunk.text for r in world.index.of(KEY) if r.generation == generation)


def tasks(world: World) -> list[RangeTask]:
    """Take the range tasks off the OCR queue."""
    sent, world.ocr_queue.sent = world.ocr_queue.sent, []
    return [message for message in sent if isinstance(message, RangeTask)]


def test_the_text_of_a_mixed_document_is_live_before_its_pictures_are_recognised() -> None:
    world = scanning(range_pages=50)
    version = world.store.put(KEY, MIXED)
    assert world.update().status is Status.PENDING
    record = world.ledger.records[KEY]
    assert live(world) == ["text of page one", "text of page three"]
    assert (record.live_version, record.detail) == (version, "recognising 1 page without all text")
    assert world.queue.sent == []
    for number, task in enumerate(tasks(world)):  # they wait in a separate queue, and apply together
        assert live(world) == ["text of page one", "text of page three"]
        world.index_range(task, f"range-{number}", lambda: 900.0)
    assert len(live(world)) == 3
    confidences = {record.chunk.page: record.chunk.confidence for record in world.index.of(KEY)}
    assert confidences == {1: None, 2: 0.9, 3: None}


@pytest.mark.parametrize("shuffle", range(3))
@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize("range_pages", [1, 50])
def test_recognised_pages_join_the_others(*, shuffle: int, twice: bool, range_pages: int) -> None:
    world = scanning(range_pages=range_pages)
    world.store.put(KEY, MIXED)
    world.update()
    world.work_off(shuffle=shuffle, twice=twice)
    record = world.ledger.records[KEY]
    assert live(world) == in_the_index(world) == ["picture of page two", "text of page one", "text of page three"]
    assert (record.status, record.detail, record.chunks, record.pages_done) == (
        Status.INDEXED,
        "page 2: recognised",
        3,
        3,
    )
    assert world.ledger.holders == {}


class StampedScans(FakeReader):
    """A reader whose pages that begin with "stamp" are pictures with a little text."""

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for page in super().pages(path, first, last):
            yield replace(page, picture=page.text.startswith("stamp"))


def reading_stamps(world: World) -> World:
    world.ingest = replace(world.ingest, indexer=replace(world.ingest.indexer, reader=StampedScans()))
    return world


def test_without_a_recogniser_a_picture_with_some_text_is_indexed_and_named() -> None:
    world = reading_stamps(World())
    world.store.put(KEY, "text\fstamp of May\fstamp of June")
    assert world.update().status is Status.INDEXED
    assert live(world) == ["stamp of June", "stamp of May", "text"]
    assert world.ledger.records[KEY].detail == "pages 2-3: mostly a picture, whose text is not indexed"


def test_a_picture_with_some_text_is_recognised() -> None:
    world = reading_stamps(scanning(range_pages=50))
    world.store.put(KEY, "text\fstamp of May")
    assert world.update().status is Status.PENDING
    assert live(world) == ["stamp of May", "text"]
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.detail) == (Status.INDEXED, None)


DOUBTFUL = "picture recognised with too little confidence, not indexed"


@pytest.mark.parametrize(
    ("text", "live_texts", "end", "detail"),
    [
        ("page one\fpage two", ["page one", "page two"], (Status.INDEXED, None), None),
        ("[0.9 first]\f[0.95 second]", ["first", "second"], (Status.INDEXED, None), "pages 1-2: recognised"),
        (
            "text\f[0.6 h4lf r3ad]\f[!]\f[0.9 well read]",
            ["text", "well read"],
            (Status.INDEXED, None),
            f"page 3: too_slow, not indexed; page 4: recognised; page 2: {DOUBTFUL}",
        ),
        ("[0.2 noise]", [], (Status.EMPTY, Reason.NO_TEXT), f"page 1: {DOUBTFUL}"),
        ("[!]\f[!]", [], (Status.REJECTED, Reason.TOO_SLOW), "pages 1-2: too_slow, not indexed"),
    ],
)
def test_each_page_is_indexed_or_listed_with_its_reason(
    text: str, live_texts: list[str], end: tuple[Status, Reason | None], detail: str | None
) -> None:
    world = scanning(ocr_min_confidence=0.75)
    world.store.put(KEY, text)
    world.update()
    world.work_off()
    record = world.ledger.records[KEY]
    assert live(world) == in_the_index(world) == live_texts
    assert (record.status, record.reason, record.detail) == (*end, detail)


def test_a_scanned_replacement_is_live_only_once_it_is_recognised() -> None:
    world = scanning(range_pages=50)
    world.store.put(KEY, "old text")
    world.update()
    world.store.put(KEY, "[0.9 new picture]")
    world.update(owner="message-2")
    assert live(world) == ["old text"]
    world.work_off()
    assert live(world) == in_the_index(world) == ["new picture"]


def test_a_rebuild_recognises_again() -> None:
    world = scanning()
    world.store.put(KEY, MIXED)
    world.update()
    world.work_off()
    before = {record.id for record in world.index.of(KEY)}
    extra = replace(world.index.of(KEY)[0], id="extra")
    world.index.chunks["handbooks"]["extra"] = extra
    world.ingest.update(Hint(KEY, rebuild=True), "message-2", lambda: 900.0)
    world.work_off()
    assert {record.id for record in world.index.of(KEY)} == before


def with_recogniser(world: World, recogniser: FakeRecogniser | None) -> World:
    world.ingest = replace(world.ingest, indexer=replace(world.ingest.indexer, recogniser=recogniser))
    return world


@pytest.mark.parametrize(("text", "end"), [(MIXED, Status.INDEXED), ("[0.9 only a picture]", Status.EMPTY)])
def test_a_document_whose_recogniser_is_switched_off_settles_and_waits_for_it(text: str, end: Status) -> None:
    world = scanning(range_pages=50)
    world.store.put(KEY, text)
    world.update()
    with_recogniser(world, None).work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.was_given_up, len(live(world))) == (end, True, 2 * (text is MIXED))


@pytest.mark.parametrize("text", [MIXED, "[0.9 first]\f[0.9 second]", "[!]\ftext", "only\ftext"])
@pytest.mark.parametrize("range_pages", [1, 50])
def test_settled_documents_are_recognised_once_there_is_a_recogniser(range_pages: int, text: str) -> None:
    world, fresh = World(range_pages=range_pages, ocr_range_pages=1), scanning(range_pages=range_pages)
    for case in (world, fresh):
        case.store.put(KEY, text)
        case.update()
        case.work_off()
    before, pictures = live(world), "[" in text
    with_recogniser(world, FakeRecogniser()).update(owner="message-2")
    record = world.ledger.records[KEY]
    assert (record.status is Status.PENDING, live(world)) == (pictures, before)
    world.work_off()
    assert live(world) == in_the_index(world) == live(fresh)
    world.update(owner="message-3")
    assert tasks(world) == []
    record, expected = world.ledger.records[KEY], fresh.ledger.records[KEY]
    assert (record.status, record.detail) == (expected.status, expected.detail)


@pytest.mark.parametrize("text", [MIXED, "[0.9 only a picture]"])
def test_at_the_last_delivery_a_document_with_text_gives_up_only_its_pictures(text: str) -> None:
    world = scanning(range_pages=50)
    world.store.put(KEY, text)
    world.update()
    for number, task in enumerate(tasks(world)):
        RangeWorker(world.ingest, task, f"range-{number}", lambda: 900.0, is_last=True).index_range()
    record, has_text = world.ledger.records[KEY], text is MIXED
    detail = "page 2: dependency_unavailable, not indexed" if has_text else "page 1: recognised"
    assert (record.status, record.detail) == (Status.INDEXED, detail)
    assert live(world) == (["text of page one", "text of page three"] if has_text else ["only a picture"])


def test_a_recognition_range_needs_the_time_of_one_page_to_start() -> None:
    world = scanning(range_pages=50, ocr_page_timeout_s=90.0, stop_before_s=10.0)
    world.store.put(KEY, MIXED)
    world.update()
    with pytest.raises(DeadlineExceeded):
        world.index_range(tasks(world)[0], "range", lambda: 99.0)


def test_recognition_stops_between_pages_when_time_is_short() -> None:
    left, begun = [900.0], list[float]()

    def busy() -> None:
        begun.append(left[0])
        left[0] -= 801.0

    world = World(FakeRecogniser(busy=busy), ocr_range_pages=3, ocr_page_timeout_s=90.0, stop_before_s=10.0)
    world.store.put(KEY, "[0.9 first]\f[0.9 second]\f[0.9 third]")
    world.update()
    with pytest.raises(DeadlineExceeded):
        world.index_range(tasks(world)[0], "range", lambda: left[0])
    assert begun == [900.0]


def test_attributes_are_live_with_the_text_layers_and_are_renewed_during_recognition() -> None:
    world = scanning(range_pages=50)
    world.reader.title = "One"
    version = world.store.put(KEY, MIXED, tags={"stage": "draft"})
    world.update()
    waiting = tasks(world)
    for stage in ("draft", "final"):
        world.store.tagged[KEY] = {"stage": stage}
        world.update(owner=stage)
        record = world.ledger.records[KEY]
        assert (record.status, record.live_version) == (Status.PENDING, version)
        assert record.live_attributes == Attributes("One", tags={"stage": stage})
    assert tasks(world) == []
    world.ocr_queue.sent += waiting
    world.work_off()
    assert world.ledger.records[KEY].live_attributes == Attributes("One", tags={"stage": "final"})
