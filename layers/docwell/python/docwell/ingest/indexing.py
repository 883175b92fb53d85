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
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from docwell.errors import Refused
from docwell.ingest.chunking import cut_pages
from docwell.ingest.ranges import Span
from docwell.ingest.units import pack, split
from docwell.models import Chunk, DocumentRef, IndexRecord, ObjectVersion, Page, RangeTally, Reason, Units
from docwell.ports import Embedder, ObjectStore, PdfReader, Tokenizer, VectorIndex
from docwell.text.naming import InContext, document_name, embedded_texts

# More than a range of the default size: it is read whole while its first pages are embedded, and the reader's
# process has ended by then. With their chunks, full pages are 0.6 MB; 26 to 100 MB where each has as many
# characters as `max_page_characters` allows.
_PAGES_AHEAD = 64
# The first batch is small, so that embedding begins once two or three pages are read.
_FIRST_BATCH = 16

_Item = TypeVar("_Item")
# A chunk, and where its units begin and end; a page with its chunks.
_CutChunk = tuple[Chunk, list[tuple[int, int]]]
_CutPage = tuple[Page, list[_CutChunk]]


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
    ocr_range_pages: int = 5
    ocr_page_timeout_s: float = 90.0
    ocr_min_confidence: float = 0.75


@dataclass(frozen=True, slots=True)
class Generation:
    """What is being indexed: one version of one document, the id of the chunks' generation, the PDF's title."""

    ref: DocumentRef
    version: str
    id: str
    title: str | None = None


@dataclass(frozen=True)
class RangeIndexer:
    """Reads pages of a document and writes their chunks. Doing a range twice gives the same chunks.

    `recogniser` also reads pages that are pictures, where there is one.
    """

    store: ObjectStore
    index: VectorIndex
    embedder: EmbedderWithTokenizer
    reader: PdfReader
    limits: IngestLimits
    recogniser: PdfReader | None = None

    @contextmanager
    def downloaded(self, key: str, head: ObjectVersion) -> Iterator[Path]:
        """That version in a file, for the time of the block. Raises `NotFound` when it is gone."""
        with tempfile.TemporaryDirectory(prefix="docwell-") as folder:
            path = Path(folder) / "document.pdf"
            self.store.download(key, head, path)
            yield path

    def run(
        self, generation: Generation, path: Path, range_: int, span: Span, alive: Callable[[], None]
    ) -> RangeTally:
        """Index the pages of the range numbered `range_`.

        Nothing is being read or written any more when this returns or raises.

        Args:
            generation: what the chunks belong to.
            path: the PDF.
            range_: the range's number.
            span: its pages.
            alive: called in this thread for each page and right before each write; raises to stop. Of pages
                that are recognised none is begun before it has been called for the one before.
        """
        ref, count = generation.ref, _Count(self.limits.max_document_characters, self.limits.ocr_min_confidence)
        # As a query: a title of any length is cut, not refused.
        (name,) = self.embedder.embed_queries([document_name(ref.key, generation.title)])
        with (
            closing(self._cut_pages(path, span, count)) as pages,
            _Writer(self.index, ref.collection, alive) as writer,
        ):
            for finished in self._embedded(self._batches(pages, count, alive), name):
                first = count.tally.chunks
                writer.write(
                    [
                        IndexRecord(
                            ref.chunk_id(generation.id, range_, number),
                            ref.key,
                            generation.id,
                            generation.version,
                            chunk,
                            vector.tolist(),
                            units,
                        )
                        for number, (chunk, vector, units) in enumerate(finished, first)
                    ]
                )
                count.add_chunks([chunk for chunk, _, _ in finished])
            writer.finish()
        return count.tally

    def _embedded(
        self, batches: Iterator[list[_CutChunk]], name: NDArray[np.float32]
    ) -> Iterator[list[tuple[Chunk, NDArray[np.float32], Units]]]:
        """The chunks with vectors and units. The last of a batch waits for the next, as it leans to that too."""
        context = InContext(name)
        waiting: list[tuple[Chunk, Units]] = []
        for batch in batches:
            parts = [chunk.text[start:end] for chunk, spans in batch for start, end in spans]
            texts = embedded_texts([chunk for chunk, _ in batch], self.embedder, self.embedder.max_tokens)
            # Together, since texts of one length are embedded fastest.
            vectors = self.embedder.embed_passages([*texts, *parts])
            rest = vectors[len(batch) :]
            for chunk, spans in batch:
                waiting.append((chunk, pack(spans, rest[: len(spans)])))
                rest = rest[len(spans) :]
            ready = context.add(vectors[: len(batch)])
            if len(ready):
                yield _joined(waiting, ready)
                del waiting[: len(ready)]
        if waiting:
            yield _joined(waiting, context.last())

    def _cut_pages(self, path: Path, span: Span, count: _Count) -> Generator[_CutPage]:
        """The pages with their chunks, made ahead of whoever takes them unless they are recognised.

        Of pictures nothing is gained by it, since they take far longer than their chunks, and one that is begun
        cannot be stopped.
        """
        if span.recognise and self.recogniser is not None:
            return self._cut(self.recogniser, path, span, count)
        return _ahead(self._cut(self.reader, path, span, count), _PAGES_AHEAD)

    def _cut(self, reader: PdfReader, path: Path, span: Span, count: _Count) -> Generator[_CutPage]:
        chunk_tokens = min(self.limits.chunk_tokens, self.embedder.max_tokens)
        with closing(reader.pages(path, span.first, span.last)) as pages:
            for page, chunks in cut_pages(map(count.without_doubtful_text, pages), self.embedder, chunk_tokens):
                yield page, [(chunk, split(chunk.text, self.embedder)) for chunk in chunks]

    def _batches(
        self, pages: Iterator[_CutPage], count: _Count, alive: Callable[[], None]
    ) -> Iterator[list[_CutChunk]]:
        """All chunks in order, as many at a time as are embedded and written together; pages are counted."""
        waiting: list[_CutChunk] = []
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


def _joined(
    chunks: Sequence[tuple[Chunk, Units]], vectors: NDArray[np.float32]
) -> list[tuple[Chunk, NDArray[np.float32], Units]]:
    """The first of the chunks with these vectors."""
    return [(chunk, vector, units) for (chunk, units), vector in zip(chunks, vectors, strict=False)]


@dataclass(slots=True)
class _Count:
    """What a range has come to so far, within the limit of characters; and which pages' text is doubtful."""

    most_characters: int
    least_confidence: float
    tally: RangeTally = field(default_factory=RangeTally)

    def without_doubtful_text(self, page: Page) -> Page:
        """The page, without text if that was recognised with too little confidence."""
        return replace(page, text="", headings=()) if self._is_doubtful(page) else page

    def add_page(self, page: Page) -> None:
        """One page more was read. Raises `Refused` over the limit."""
        tally = self.tally
        self.tally = replace(
            tally,
            pages=tally.pages + 1,
            characters=tally.characters + len(page.text),
            unreadable_pages=tally.unreadable_pages | (set() if page.readable else {page.number}),
            textless_pages=tally.textless_pages + (not page.text.strip()),
            doubtful_pages=tally.doubtful_pages | ({page.number} if self._is_doubtful(page) else set()),
        )
        if self.tally.characters > self.most_characters:
            limit = f"over {self.most_characters:,} characters (max_document_characters)"
            raise Refused(Reason.TOO_MUCH_TEXT, limit)

    def add_chunks(self, chunks: Sequence[Chunk]) -> None:
        """These chunks were given to be written."""
        tokens = self.tally.tokens + sum(chunk.tokens for chunk in chunks)
        self.tally = replace(self.tally, chunks=self.tally.chunks + len(chunks), tokens=tokens)

    def _is_doubtful(self, page: Page) -> bool:
        return page.confidence is not None and page.confidence < self.least_confidence


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
