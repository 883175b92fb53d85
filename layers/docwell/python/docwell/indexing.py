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
from docwell.naming import document_name, embedded_texts, in_context
from docwell.outline import Outline
from docwell.ports import Embedder, ObjectStore, PdfReader, Tokenizer, VectorIndex
from docwell.units import pack, split

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
    """What is being indexed: one version of one document, the id of the chunks' generation, the PDF's title."""

    ref: DocumentRef
    version: str
    id: str
    title: str | None = None


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
        count = _Count(self.limits.max_document_characters)
        with (
            closing(_ahead(self._cut_pages(path, first, last), _PAGES_AHEAD)) as pages,
            _Writer(self.index, generation.ref.collection, alive) as writer,
        ):
            for batch in self._batches(pages, count, alive):
                writer.write(self._records(generation, range_, count.tally.chunks, batch))
                count.add_chunks(batch)
            writer.finish()
        return count.tally

    def _records(
        self, generation: Generation, range_: int, first: int, chunks: Sequence[Chunk]
    ) -> list[IndexRecord]:
        """The chunks of a batch, the first of them the range's `first`, with their vectors and their units'."""
        ref, embedder = generation.ref, self.embedder
        # As a query: a title of any length is cut, not refused.
        (name,) = embedder.embed_queries([document_name(ref.key, generation.title)])
        texts = embedded_texts(chunks, embedder, embedder.max_tokens)
        spans = [split(chunk.text, embedder) for chunk in chunks]
        parts = [
            chunk.text[start:end] for chunk, of_chunk in zip(chunks, spans, strict=True) for start, end in of_chunk
        ]
        embedded = embedder.embed_passages([*texts, *parts])
        vectors, unit_vectors = in_context(embedded[: len(texts)], name), embedded[len(texts) :]
        records: list[IndexRecord] = []
        for place, (chunk, of_chunk, vector) in enumerate(zip(chunks, spans, vectors, strict=True)):
            own, unit_vectors = unit_vectors[: len(of_chunk)], unit_vectors[len(of_chunk) :]
            id_ = ref.chunk_id(generation.id, range_, first + place)
            records.append(
                IndexRecord(
                    id_, ref.key, generation.id, generation.version, chunk, vector.tolist(), pack(of_chunk, own)
                )
            )
        return records

    def _cut_pages(self, path: Path, first: int, last: int) -> Generator[_CutPage]:
        outline = Outline()
        chunk_tokens = min(self.limits.chunk_tokens, self.embedder.max_tokens)
        with closing(self.reader.pages(path, first, last)) as pages:
            for page in pages:
                yield _CutPage(page, tuple(chunk_pages([page], self.embedder, chunk_tokens, outline)))

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
