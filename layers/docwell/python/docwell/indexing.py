"""From pages to chunks in the index: the part of ingest that reads, embeds and writes, and decides nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from docwell.chunking import chunk_pages
from docwell.errors import Refused
from docwell.models import Chunk, DocumentRef, IndexRecord, ObjectVersion, Page, RangeTally, Reason
from docwell.naming import document_name, embedded_texts, in_context
from docwell.ports import Embedder, ObjectStore, PdfReader, Tokenizer, VectorIndex
from docwell.ranges import Span
from docwell.units import pack, split


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

        Args:
            generation: what the chunks belong to.
            path: the PDF.
            range_: the range's number.
            span: its pages.
            alive: called before each slow step and each write; raises to stop.
        """
        reader = self.recogniser if span.recognise and self.recogniser else self.reader
        tally = [RangeTally()]
        with closing(reader.pages(path, span.first, span.last)) as pages:
            chunks = chunk_pages(self._counted(pages, tally, alive), self.embedder, self._chunk_tokens)
            while batch := list(islice(chunks, self.limits.upsert_batch)):
                done = tally[0].chunks
                records = self._records(generation, range_, done, batch)
                alive()
                self.index.upsert(generation.ref.collection, records)
                tokens = sum(chunk.tokens for chunk in batch)
                tally[0] = replace(tally[0], chunks=done + len(batch), tokens=tally[0].tokens + tokens)
        return tally[0]

    def _records(
        self, generation: Generation, range_: int, first: int, chunks: Sequence[Chunk]
    ) -> list[IndexRecord]:
        """The chunks of a batch, the first of them the range's `first`, with their vectors and their units'."""
        ref, embedder = generation.ref, self.embedder
        # As a query: a title of any length is cut, not refused.
        (name,) = embedder.embed_queries([document_name(ref.key, generation.title)])
        texts = embedded_texts(chunks, embedder, embedder.max_tokens)
        vectors = in_context(embedder.embed_passages(texts), name)
        spans = [split(chunk.text, embedder) for chunk in chunks]
        parts = [
            chunk.text[start:end] for chunk, of_chunk in zip(chunks, spans, strict=True) for start, end in of_chunk
        ]
        unit_vectors = embedder.embed_passages(parts)
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

    def _counted(
        self, pages: Iterator[Page], tally: list[RangeTally], alive: Callable[[], None]
    ) -> Iterator[Page]:
        """The pages as they come, counted and within the limit of characters; without text that is doubtful."""
        limit = self.limits.max_document_characters
        for found in pages:
            alive()
            doubtful = found.confidence is not None and found.confidence < self.limits.ocr_min_confidence
            page = replace(found, text="", headings=()) if doubtful else found
            so_far = tally[0]
            tally[0] = replace(
                so_far,
                pages=so_far.pages + 1,
                characters=so_far.characters + len(page.text),
                unreadable_pages=so_far.unreadable_pages | (set() if page.readable else {page.number}),
                textless_pages=so_far.textless_pages + (not page.text.strip()),
                doubtful_pages=so_far.doubtful_pages | ({page.number} if doubtful else set()),
            )
            if tally[0].characters > limit:
                raise Refused(Reason.TOO_MUCH_TEXT, f"over {limit:,} characters (max_document_characters)")
            yield page

    @property
    def _chunk_tokens(self) -> int:
        return min(self.limits.chunk_tokens, self.embedder.max_tokens)
