"""Pages are read ahead of embedding; reading and writing stop together."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.config import IngestLimits
from docwell.errors import LeaseLost, Refused, Unavailable
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ranges import Span
from docwell.models import Generation, IndexRecord, Page, RangeTally, Reason
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeReader, FakeStore

WAIT_S = 20.0
GENERATION = Generation("documents", "handbooks/a.pdf", "v1", "generation")


@dataclass
class WatchedReader(FakeReader):
    """Counts the pages that it gave, and knows when it is closed."""

    given: int = 0
    closed: bool = False
    on_page: Callable[[int], None] = lambda _number: None

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        try:
            for page in super().pages(path, first, last):
                self.given += 1
                self.on_page(page.number)
                yield page
        finally:
            self.closed = True


@dataclass
class WatchedEmbedder(FakeEmbedder):
    """Notes the size of each batch, then calls `before_embed`."""

    batches: list[int] = field(default_factory=list)
    before_embed: Callable[[], None] = lambda: None

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(len(texts))
        self.before_embed()
        return super().embed_passages(texts)


class Line:
    """An indexer on watched parts, and a document whose pages have one chunk each."""

    def __init__(self, folder: Path, pages: int, upsert_batch: int = 4) -> None:
        self.reader, self.embedder, self.index = WatchedReader(), WatchedEmbedder(), FakeIndex()
        self.path, self.count = folder / "document.pdf", pages
        self.path.write_text("\f".join(f"page number {number}" for number in range(1, pages + 1)))
        limits = IngestLimits(range_pages=1000, upsert_batch=upsert_batch)
        self.indexer = RangeIndexer(FakeStore(), self.index, self.embedder, self.reader, limits)
        self.check: Callable[[], None] = lambda: None

    def run(self) -> RangeTally:
        return self.indexer.run(GENERATION, self.path, 0, Span(1, self.count), self.check)

    def written(self) -> list[IndexRecord]:
        return self.index.of(GENERATION.key)


def wait(event: threading.Event) -> None:
    assert event.wait(WAIT_S), "it does not go on side by side"


def test_pages_are_read_while_others_are_embedded(tmp_path: Path) -> None:
    line, read = Line(tmp_path, pages=20), threading.Event()
    line.reader.on_page = lambda number: read.set() if number == 20 else None
    line.embedder.before_embed = lambda: wait(read)
    assert line.run().pages == 20


def test_at_most_64_pages_are_read_ahead(tmp_path: Path) -> None:
    line = Line(tmp_path, pages=500)
    ahead: list[int] = []
    line.check = lambda: ahead.append(line.reader.given - sum(line.embedder.batches))
    line.run()
    assert max(ahead) <= 64 + 2 * 4


@pytest.mark.parametrize("upsert_batch", [1, 3, 128])
def test_ids_and_tally_do_not_depend_on_the_batches(tmp_path: Path, upsert_batch: int) -> None:
    line = Line(tmp_path, pages=40, upsert_batch=upsert_batch)
    tally = line.run()
    expected = {GENERATION.chunk_id(0, ordinal) for ordinal in range(40)}
    assert {record.id for record in line.written()} == expected
    assert (tally.pages, tally.chunks, tally.tokens, tally.characters) == (40, 40, 120, 40 * 13 + 31)
    by_page = sorted(line.written(), key=lambda record: record.chunk.page)
    assert [record.id for record in by_page] == [GENERATION.chunk_id(0, ordinal) for ordinal in range(40)]


def test_every_chunk_is_written_once_with_its_marks(tmp_path: Path) -> None:
    line = Line(tmp_path, pages=40)
    line.run()
    assert line.index.upserts == 10
    assert any(record.marks for record in line.written())


def test_no_chunk_is_written_once_this_worker_must_stop(tmp_path: Path) -> None:
    line = Line(tmp_path, pages=40)
    upserts_at_stop: list[int] = []

    def stop_after_two_writes() -> None:
        if line.index.upserts >= 2:
            upserts_at_stop.append(line.index.upserts)
            raise LeaseLost(GENERATION.key)

    line.check = stop_after_two_writes
    with pytest.raises(LeaseLost):
        line.run()
    assert line.index.upserts == upserts_at_stop[0]
    assert line.reader.closed


@pytest.mark.parametrize("pages", [2, 40])  # with 2 pages, the first write is the last
def test_a_write_that_fails_ends_the_range_and_nothing_more_is_written(tmp_path: Path, pages: int) -> None:
    line = Line(tmp_path, pages=pages)
    tries: list[bool] = []

    def fail() -> None:
        tries.append(True)
        raise Unavailable("chroma", "down")

    line.index.before_upsert = fail
    with pytest.raises(Unavailable):
        line.run()
    assert (len(tries), line.reader.closed) == (1, True)


def test_a_refusal_by_the_reader_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    line = Line(tmp_path, pages=40)
    line.run()
    line.reader.refuses_at = 30
    with pytest.raises(Refused) as refused:
        line.run()
    assert (refused.value.reason, line.reader.closed) == (Reason.TOO_SLOW, True)
    assert set(threading.enumerate()) <= before


def test_a_copy_of_a_document_has_no_name_and_so_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    (store := FakeStore()).put("a.pdf", "secret")
    head = store.head("a.pdf")
    assert head
    with replace(Line(tmp_path, 1).indexer, store=store).downloaded("a.pdf", head) as path:
        assert path.read_text() == "secret"
        assert not any((tmp_path / "empty").iterdir())
