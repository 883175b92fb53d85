"""Index pages: read, chunk and embed them, mark the pieces for the overview, and write the chunks.

Embedding takes most of the time and must not wait, so a thread reads and chunks pages ahead of it. The chunks are
written once all are embedded: only then are the neighbours' vectors and the marks known.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from docwell.config import IngestLimits
from docwell.errors import Refused
from docwell.ingest.chunking import cut_pages
from docwell.ingest.outline import CutChunk, Sketch
from docwell.ingest.ranges import Span, check_length
from docwell.models import (
    Chunk,
    Generation,
    IndexRecord,
    Mark,
    ObjectVersion,
    Page,
    RangeTally,
    Reason,
    Units,
    collection_of,
)
from docwell.ports import DocumentReader, Embedder, ObjectStore, Tokenizer, VectorIndex
from docwell.text.page_lists import page_failures

# More than a range of the default size (50 pages), so that the reader's process can end early. Full pages with
# their chunks take 0.6 MB; pages of `max_page_characters` take 26 to 100 MB.
_PAGES_AHEAD = 64
# Small, so that embedding starts after two or three pages.
_FIRST_BATCH = 16
_LARGEST = 127  # of an int8
# A longer path would outweigh the chunk itself.
HEADING_TOKENS = 40
_TINY = 1e-12

_Item = TypeVar("_Item")
# A page and its chunks.
_CutPage = tuple[Page, list[CutChunk]]


@dataclass(frozen=True)
class RangeIndexer:
    """Indexes the pages of one range. Indexing a range twice writes the same chunks.

    `recogniser` also reads pages that are pictures; it is None where the pipeline has no recogniser.
    """

    store: ObjectStore
    index: VectorIndex
    embedder: Embedder
    reader: DocumentReader
    limits: IngestLimits
    recogniser: DocumentReader | None = None

    @contextmanager
    def downloaded(self, key: str, head: ObjectVersion) -> Iterator[Path]:
        """Download a version to a temporary file. Raises `NotFound` when the version is gone.

        On Linux the file has no name, so that it ends with this process. Readers open it through this process.
        """
        is_nameless = Path("/proc/self/fd").is_dir()
        with (TemporaryFile if is_nameless else NamedTemporaryFile)(prefix="docwell-") as file:
            path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}" if is_nameless else file.name)
            self.store.download(key, head, path)
            yield path

    def run(
        self, generation: Generation, path: Path, range_: int, span: Span, check: Callable[[], None]
    ) -> RangeTally:
        """Index a range of the PDF at `path`. No read is in progress when this returns or raises.

        Call `check` in this thread after each page and right before each write of chunks; it raises to stop.
        Recognition of a page starts only after the check of the previous page.
        """
        count, sketch = _Count(self.limits, path.stat().st_size), Sketch(opens=span.first == 1)
        chunks: list[tuple[Chunk, Units]] = []
        vectors: list[NDArray[np.float32]] = []
        with closing(self._cut_pages(path, span, count)) as pages:
            for batch in self._batches(pages, count, sketch, check):
                chunk_vectors, units = self._embedded(batch, sketch)
                vectors.append(chunk_vectors)
                chunks += zip((chunk for chunk, _ in batch), units, strict=True)
        count.add_chunks([chunk for chunk, _ in chunks])
        if chunks:
            moved = in_context(np.concatenate(vectors))
            records = _records(generation, range_, chunks, moved, sketch.marks())
            while batch_records := list(islice(records, self.limits.upsert_batch)):
                check()
                self.index.upsert(collection_of(generation.key), batch_records)
        return count.tally

    def _embedded(self, batch: Sequence[CutChunk], sketch: Sketch) -> tuple[NDArray[np.float32], list[Units]]:
        """Return the vectors of chunks, (n, dimension), and their units; add both to the sketch."""
        parts = [chunk.text[start:end] for chunk, spans in batch for start, end in spans]
        texts = embedded_texts([chunk for chunk, _ in batch], self.embedder, self.embedder.max_tokens)
        # Embed all in one call: the embedder sorts its texts by length.
        vectors = self.embedder.embed_passages([*texts, *parts])
        sketch.add_chunks(batch, vectors)
        units, first = list[Units](), len(batch)
        for _, spans in batch:
            units.append(pack_units(spans, vectors[first : first + len(spans)]))
            first += len(spans)
        return vectors[: len(batch)], units

    def _cut_pages(self, path: Path, span: Span, count: _Count) -> Generator[_CutPage]:
        """Read and chunk pages, ahead of embedding unless the pages are recognised.

        Recognition takes far longer than embedding and cannot be stopped within a page.
        """
        if span.recognise and self.recogniser and not span.given_up:
            return self._cut(self.recogniser, path, span, count)
        ahead = max(1, min(_PAGES_AHEAD, span.last - span.first + 1))
        return _ahead(self._cut(self.reader, path, span, count), ahead)

    def _cut(self, reader: DocumentReader, path: Path, span: Span, count: _Count) -> Generator[_CutPage]:
        chunk_tokens = min(self.limits.chunk_tokens, self.embedder.max_tokens)
        with closing(reader.pages(path, span.first, span.last)) as pages:
            texts: Iterator[Page] = map(count.without_doubtful_text, within_budget(pages, span))
            if span.given_up:
                texts = (_given_up(page, span.given_up) for page in texts)
            yield from cut_pages(texts, self.embedder, chunk_tokens)

    def _batches(
        self, pages: Iterator[_CutPage], count: _Count, sketch: Sketch, check: Callable[[], None]
    ) -> Iterator[list[CutChunk]]:
        """Group all chunks in order into batches, and count the pages."""
        waiting: list[CutChunk] = []
        size = min(_FIRST_BATCH, self.limits.upsert_batch)
        for page, chunks in pages:
            check()
            count.add_page(page)
            sketch.add_page(page, [chunk for chunk, _ in chunks])
            waiting += chunks
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
                size = self.limits.upsert_batch
        if waiting:
            yield waiting


def within_budget(pages: Iterator[Page], span: Span) -> Iterator[Page]:
    """Yield the pages while the document's processor time lasts; yield the rest unread as `too_slow`.

    Raises `Refused` in place of the rest of a small document.
    """
    left, following = span.cpu_s, span.first
    while left > 0 and (page := next(pages, None)) is not None:
        left, following = left - page.cpu_s, page.number + 1
        yield page
    if left <= 0 and span.small and following <= span.last:
        raise Refused(Reason.TOO_SLOW, "over the time for a file of this size (document_cpu_s_per_mb)")
    if left <= 0:
        yield from (Page(number, "", unreadable=Reason.TOO_SLOW) for number in range(following, span.last + 1))


def _given_up(page: Page, reason: Reason) -> Page:
    """Return the page; if a recogniser should have read it, with that reason."""
    return replace(page, unreadable=page.unreadable or reason) if page.may_be_picture else page


def _records(
    generation: Generation,
    range_: int,
    chunks: Sequence[tuple[Chunk, Units]],
    vectors: NDArray[np.float32],
    marks: Mapping[int, Sequence[Mark]],
) -> Iterator[IndexRecord]:
    """Yield the index records of a range's chunks."""
    for number, (chunk, units) in enumerate(chunks):
        vector, pieces = vectors[number].tolist(), tuple(marks.get(number, ()))
        id_, key = generation.chunk_id(range_, number), generation.key
        yield IndexRecord(id_, key, generation.id, generation.version, chunk, vector, units, pieces)


@dataclass(slots=True)
class _Count:
    """Counts the results of a range, enforces the character limits, and detects doubtful text.

    `size` is the document's, in bytes.
    """

    limits: IngestLimits
    size: int
    unreadable: dict[int, Reason] = field(default_factory=dict)
    tally: RangeTally = field(default_factory=RangeTally)

    def without_doubtful_text(self, page: Page) -> Page:
        """Return the page, without text that was recognised with too little confidence."""
        return replace(page, text="", headings=()) if self._is_doubtful(page) else page

    def add_page(self, page: Page) -> None:
        """Count a page. Raises `Refused` over the limit."""
        tally = self.tally
        is_doubtful = self._is_doubtful(page) or (page.picture and page.confidence is None)
        is_recognised = page.confidence is not None and not is_doubtful
        if page.unreadable is not None:
            self.unreadable[page.number] = page.unreadable
        self.tally = replace(
            tally,
            pages=tally.pages + 1,
            characters=tally.characters + len(page.text),
            hidden_characters=tally.hidden_characters + page.hidden,
            cpu_s=tally.cpu_s + page.cpu_s,
            page_failures=page_failures(self.unreadable),
            textless_pages=tally.textless_pages + page.may_be_picture,
            doubtful_pages=tally.doubtful_pages | ({page.number} if is_doubtful else set()),
            recognised_pages=tally.recognised_pages | ({page.number} if is_recognised else set()),
            unchecked_pages=tally.unchecked_pages | ({page.number} if page.unchecked else set()),
        )
        check_length(self.tally.characters + self.tally.hidden_characters, self.size, self.limits)

    def add_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Count all chunks of the range."""
        self.tally = replace(self.tally, chunks=len(chunks), tokens=sum(chunk.tokens for chunk in chunks))

    def _is_doubtful(self, page: Page) -> bool:
        return page.confidence is not None and page.confidence < self.limits.ocr_min_confidence


def pack_units(spans: Sequence[tuple[int, int]], vectors: NDArray[np.float32]) -> Units:
    """Return units with their (n, dimension) vectors, each number in one byte.

    Each vector is scaled so that its largest number is 127; cosines do not depend on the scale, and change by less
    than 0.01.
    """
    if not spans:
        return Units()
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Units(tuple(spans), np.rint(vectors / largest * _LARGEST).astype(np.int8).tobytes())


def _ahead(items: Generator[_Item], count: int) -> Generator[_Item]:
    """Produce the items in another thread, up to `count` in advance. Closing this closes `items`."""
    pool = ThreadPoolExecutor(1, "read")
    try:
        waiting = deque(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


def embedded_texts(chunks: Sequence[Chunk], tokenizer: Tokenizer, max_tokens: int) -> list[str]:
    """Return the text to embed for each chunk: its section's path, a line break and its text.

    The path is cut to fit `max_tokens` with the text, and left out where there is no room.
    """
    texts: list[str] = []
    for heading, group in groupby(chunks, key=lambda chunk: chunk.heading):
        ends = [end for _, end in tokenizer.offsets([heading])[0]]
        for chunk in group:
            room = min(len(ends), HEADING_TOKENS, max_tokens - chunk.tokens)
            texts.append(f"{heading[: ends[room - 1]]}\n{chunk.text}" if room > 0 else chunk.text)
    return texts


def in_context(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors of a range's chunks, (n, dimension), each moved towards its neighbours, of unit length.

    A chunk next to one that is near the question is often relevant. At an end, the chunk is its own neighbour.
    """
    padded = np.concatenate([vectors[:1], vectors, vectors[-1:]])
    moved = vectors + (padded[:-2] + vectors + padded[2:]) / 3
    unit = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _TINY)
    return np.asarray(unit, dtype=np.float32)
