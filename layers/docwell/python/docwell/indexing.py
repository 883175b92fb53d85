"""From pages to chunks in the index: the part of ingest that reads, embeds and writes, and decides nothing.

The three go on side by side, since embedding takes most of the time and is not to wait for the others: pages are
read and cut in a thread ahead of it, and one batch is written in another while the next is embedded.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeVar

from docwell.chunking import chunk_pages
from docwell.errors import Refused
from docwell.models import Chunk, DocumentRef, IndexRecord, ObjectVersion, Page, RangeTally, Reason
from docwell.ports import Embedder, ObjectStore, PdfReader, Tokenizer, VectorIndex

# More than a range of the default size: it is read whole while its first pages are embedded, and the reader's
# process has ended by then. Of full pages these are 0.3 MB; 13 to 50 MB where each has as many characters as
# `max_page_characters` allows.
_PAGES_AHEAD = 64
# The first batch is small, so that embedding begins once two or three pages are read.
_FIRST_BATCH = 16

_Item = TypeVar("_Item")


class EmbedderWithTokenizer(Embedder, Tokenizer, Protocol):
    """Chunks are measured by the model that embeds them."""


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """See `docwell.config.IngestSettings`, where each has its reason."""

    range_pages: int = 50
    max_document_bytes: int = 512 * 1024 * 1024
    max_document_characters: int = 100_000_000
    chunk_tokens: int = 200
    upsert_batch: int = 128
    lease_s: float = 90.0
    stop_before_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Generation:
    """What is being indexed: one version of one document, and the id of the chunks' generation."""

    ref: DocumentRef
    version: str
    id: str


@dataclass(frozen=True)
class RangeIndexer:
    """Reads pages of a document and writes their chunks. Doing a range twice gives the same chunks."""

    store: ObjectStore
    index: VectorIndex
    embedder: EmbedderWithTokenizer
    reader: PdfReader
    limits: IngestLimits

    @contextmanager
    def downloaded(self, key: str, head: ObjectVersion) -> Iterator[Path]:
        """That version in a file, for the time of the block. Raises `NotFound` when it is gone."""
        with tempfile.TemporaryDirectory(prefix="docwell-") as folder:
            path = Path(folder) / "document.pdf"
            self.store.download(key, head, path)
            yield path

    def run(
        self, generation: Generation, path: Path, range_: int, last_page: int, alive: Callable[[], None]
    ) -> RangeTally:
        """Index the range (numbered from 0) of the file; `last_page` is the document's.

        Nothing is being read or written any more when this returns or raises.

        Args:
            generation: what the chunks belong to.
            path: the PDF.
            range_: the range's number.
            last_page: how many pages the document has.
            alive: called in this thread for each page and right before each write; raises to stop.
        """
        size = self.limits.range_pages
        first, last = range_ * size + 1, min((range_ + 1) * size, last_page)
        ref, count = generation.ref, _Count(self.limits.max_document_characters)
        with (
            closing(_ahead(self._cut_pages(path, first, last), _PAGES_AHEAD)) as pages,
            _Writer(self.index, ref.collection, alive) as writer,
        ):
            for batch in self._batches(pages, count, alive):
                vectors = self.embedder.embed_passages([chunk.text for chunk in batch])
                done = count.tally.chunks
                ids = [ref.chunk_id(generation.id, range_, done + i) for i in range(len(batch))]
                writer.write(
                    [
                        IndexRecord(id_, ref.key, generation.id, generation.version, chunk, vector.tolist())
                        for id_, chunk, vector in zip(ids, batch, vectors, strict=True)
                    ]
                )
                count.add_chunks(batch)
            writer.finish()
        return count.tally

    def _cut_pages(self, path: Path, first: int, last: int) -> Generator[_CutPage]:
        chunk_tokens = min(self.limits.chunk_tokens, self.embedder.max_tokens)
        with closing(self.reader.pages(path, first, last)) as pages:
            for page in pages:
                yield _CutPage(page, tuple(chunk_pages([page], self.embedder, chunk_tokens)))

    def _batches(
        self, pages: Iterator[_CutPage], count: _Count, alive: Callable[[], None]
    ) -> Iterator[list[Chunk]]:
        """All chunks in order, as many at a time as are embedded and written together; pages are counted."""
        waiting: list[Chunk] = []
        size = min(_FIRST_BATCH, self.limits.upsert_batch)
        for page, chunks in pages:
            alive()
            count.add_page(page)
            waiting += chunks
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
                size = self.limits.upsert_batch
        if waiting:
            yield waiting


class _CutPage(NamedTuple):
    page: Page
    chunks: tuple[Chunk, ...]


@dataclass(slots=True)
class _Count:
    """What a range has come to so far, within the limit of characters."""

    most_characters: int
    tally: RangeTally = field(default_factory=RangeTally)

    def add_page(self, page: Page) -> None:
        """One page more was read. Raises `Refused` over the limit."""
        tally = self.tally
        self.tally = replace(
            tally,
            pages=tally.pages + 1,
            characters=tally.characters + len(page.text),
            unreadable_pages=tally.unreadable_pages | (set() if page.readable else {page.number}),
        )
        if self.tally.characters > self.most_characters:
            limit = f"over {self.most_characters:,} characters (max_document_characters)"
            raise Refused(Reason.TOO_MUCH_TEXT, limit)

    def add_chunks(self, chunks: Sequence[Chunk]) -> None:
        """These chunks were given to be written."""
        tokens = self.tally.tokens + sum(chunk.tokens for chunk in chunks)
        self.tally = replace(self.tally, chunks=self.tally.chunks + len(chunks), tokens=tokens)


def _ahead(items: Generator[_Item], most: int) -> Generator[_Item]:
    """The same items, made in a thread of their own up to `most` in advance. Close it: that closes `items`."""
    pool = ThreadPoolExecutor(1, "read")
    try:
        waiting = deque(pool.submit(next, items, None) for _ in range(most))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


class _Writer:
    """Writes to the index in a thread of its own, one batch at a time. The end of the block waits for it."""

    def __init__(self, index: VectorIndex, collection: str, alive: Callable[[], None]) -> None:
        self._index = index
        self._collection = collection
        self._alive = alive
        self._pool = ThreadPoolExecutor(1, "write")
        self._begun: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def write(self, records: Sequence[IndexRecord]) -> None:
        """Begin to write, once the batch before is written. Raises what became of that, or what `alive` does."""
        self.finish()
        # No batch waits in a queue: between this and the write another worker could take the document over.
        self._alive()
        self._begun = self._pool.submit(self._index.upsert, self._collection, records)

    def finish(self) -> None:
        """Wait until all is written. Raises what the index does."""
        if self._begun is not None:
            self._begun.result()
