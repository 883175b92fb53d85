"""Make the index match the bucket for one key.

An event is only a hint that something may have changed. Whatever it says, the key's current version is
read, indexed as a generation of its own, made live in one write, and the generations before it are
removed; then the key is looked at again. Running this twice, late, or after a crash gives the same state.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import monotonic, time
from typing import Protocol

from docwell.chunking import chunk_pages
from docwell.errors import DeadlineExceeded, DocwellError, NotFound, Refused
from docwell.models import (
    Chunk,
    DocumentRecord,
    DocumentRef,
    IndexRecord,
    Lease,
    ObjectVersion,
    Page,
    Reason,
    Status,
)
from docwell.ports import Embedder, Ledger, ObjectStore, PdfReader, Tokenizer, VectorIndex

logger = logging.getLogger(__name__)

# Statuses that need no work while the object stays as it is. FAILED is not one: the next event tries again.
_SETTLED = frozenset({Status.INDEXED, Status.EMPTY, Status.REJECTED})


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
class IngestReport:
    """What was done for one event. `status` is None when another worker has the document and will look again."""

    status: Status | None
    reason: str | None = None
    pages: int = 0
    chunks: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Work:
    """What one call did, and the lease it does it under."""

    lease: Lease
    pages: int = 0
    chunks: int = 0
    tokens: int = 0
    characters: int = 0


@dataclass(frozen=True)
class Ingest:
    """The use case. `fingerprint` is the pipeline's: model, chunker and text extraction together."""

    bucket: str
    store: ObjectStore
    ledger: Ledger
    index: VectorIndex
    embedder: EmbedderWithTokenizer
    reader: PdfReader
    fingerprint: str
    limits: IngestLimits = IngestLimits()

    def update(self, key: str, owner: str, remaining_s: Callable[[], float]) -> IngestReport:
        """Make the index match the bucket for `key`.

        Args:
            key: the S3 key, decoded.
            owner: names this delivery; its redelivery comes with the same name.
            remaining_s: the seconds left until this worker is stopped.

        Raises:
            Unavailable: nothing is lost; the same event must be delivered again.
        """
        started = monotonic()
        lease = self.ledger.acquire(key, owner)
        if lease is None:
            return IngestReport(status=None)
        work = _Work(lease)
        try:
            self._match(work, remaining_s)
            while not self.ledger.release(work.lease):
                self._match(work, remaining_s)
        except BaseException:
            # Free the document for the next delivery at once; where this fails the lease runs out by itself.
            with suppress(DocwellError):
                self.ledger.release(work.lease)
            raise
        record = work.lease.record
        return IngestReport(
            record.status, record.reason, work.pages, work.chunks, work.tokens, monotonic() - started
        )

    def fail(self, key: str, owner: str, reason: Reason, detail: str) -> None:
        """Give up on `key`: FAILED with a reason, and nothing of it is shown any more."""
        lease = self.ledger.acquire(key, owner)
        if lease is None:
            return
        failed = replace(lease.record, status=Status.FAILED, reason=reason.value, detail=detail, swept=False)
        lease = self.ledger.write(lease, replace(failed, live_generation=None, live_version=None))
        self.ledger.release(lease)

    def _match(self, work: _Work, remaining_s: Callable[[], float]) -> None:
        """Look at the key until it is what was made live; an object that changes meanwhile is looked at again."""
        while True:
            key, record = work.lease.key, work.lease.record
            head = self.store.head(key)
            if head is None:
                self._settle(work, DocumentRecord(key, Status.DELETED, swept=False))
                return
            same = record.version == head.version and record.fingerprint == self.fingerprint
            if same and record.status in _SETTLED:
                self._sweep(work)
                return
            try:
                self._index(work, head, remaining_s)
            except NotFound:
                continue  # replaced or deleted while it was being read
            except Refused as refused:
                self._settle_refused(work, head, refused)
            if self.store.head(key) == head:
                return

    def _index(self, work: _Work, head: ObjectVersion, remaining_s: Callable[[], float]) -> None:
        key = work.lease.key
        ref = DocumentRef(self.bucket, key)
        generation = ref.generation(head.version, self.fingerprint)
        self._begin(work, head)
        if head.size > self.limits.max_document_bytes:
            limit = self.limits.max_document_bytes
            raise Refused(Reason.TOO_LARGE, f"{head.size:,} bytes; the limit is {limit:,} (max_document_bytes)")
        with tempfile.TemporaryDirectory(prefix="docwell-") as folder:
            path = Path(folder) / "document.pdf"
            self.store.download(key, head, path)
            info = self.reader.inspect(path)
            self._write(work, replace(work.lease.record, pages=info.page_count, title=info.title))
            while (done := work.lease.record.pages_done) < info.page_count:
                if remaining_s() < self.limits.stop_before_s:
                    raise DeadlineExceeded("time", f"{done} of {info.page_count} pages are done, the rest follows")
                last = min(done + self.limits.range_pages, info.page_count)
                self._index_range(work, ref, head, generation, path, done + 1, last)
        record = work.lease.record
        if record.chunks == 0:
            if record.unreadable_pages:
                detail = (
                    f"{record.unreadable_pages} pages have text whose fonts do not say which characters they show"
                )
                raise Refused(Reason.UNREADABLE, detail)
            empty = replace(record, status=Status.EMPTY, reason=Reason.NO_TEXT.value)
            self._settle(work, replace(empty, detail="no page has a text layer: most often a scan"))
        elif self.store.head(key) == head:  # else what was indexed is out of date already: never make it live
            live = replace(record, status=Status.INDEXED, reason=None, detail=None)
            self._settle(work, replace(live, live_generation=generation, live_version=head.version))

    def _begin(self, work: _Work, head: ObjectVersion) -> None:
        """Note what is about to be indexed; a worker that stopped half-way left a note to go on from."""
        record = work.lease.record
        if (record.status, record.version, record.fingerprint) == (
            Status.PENDING,
            head.version,
            self.fingerprint,
        ):
            return
        self._write(
            work,
            DocumentRecord(
                key=record.key,
                status=Status.PENDING,
                version=head.version,
                fingerprint=self.fingerprint,
                size=head.size,
                live_generation=record.live_generation,
                live_version=record.live_version,
                swept=False,
            ),
        )

    def _index_range(
        self,
        work: _Work,
        ref: DocumentRef,
        head: ObjectVersion,
        generation: str,
        path: Path,
        first: int,
        last: int,
    ) -> None:
        range_ = (first - 1) // self.limits.range_pages
        unreadable = [0]
        ordinal = 0
        with closing(self.reader.pages(path, first, last)) as pages:
            chunks = chunk_pages(self._watched(work, pages, unreadable), self.embedder, self._chunk_tokens)
            while batch := list(islice(chunks, self.limits.upsert_batch)):
                ids = [ref.chunk_id(generation, range_, ordinal + i) for i in range(len(batch))]
                self._upsert(work, ref, head, generation, ids, batch)
                ordinal += len(batch)
        record = work.lease.record
        self._write(
            work,
            replace(
                record,
                pages_done=last,
                chunks=record.chunks + ordinal,
                unreadable_pages=record.unreadable_pages + unreadable[0],
            ),
        )
        work.pages += last - first + 1

    def _watched(self, work: _Work, pages: Iterator[Page], unreadable: list[int]) -> Iterator[Page]:
        """Pages within the limits; counts the unreadable ones and keeps the lease while the reader is slow."""
        limit = self.limits.max_document_characters
        for page in pages:
            work.characters += len(page.text)
            if work.characters > limit:
                raise Refused(Reason.TOO_MUCH_TEXT, f"over {limit:,} characters (max_document_characters)")
            self._keep_lease(work)
            unreadable[0] += not page.readable
            yield page

    def _upsert(
        self,
        work: _Work,
        ref: DocumentRef,
        head: ObjectVersion,
        generation: str,
        ids: Sequence[str],
        chunks: Sequence[Chunk],
    ) -> None:
        vectors = self.embedder.embed_passages([chunk.text for chunk in chunks])
        self._keep_lease(work)
        self.index.upsert(
            ref.collection,
            [
                IndexRecord(id_, ref.key, generation, head.version, chunk, vector.tolist())
                for id_, chunk, vector in zip(ids, chunks, vectors, strict=True)
            ],
        )
        work.chunks += len(chunks)
        work.tokens += sum(chunk.tokens for chunk in chunks)

    def _settle_refused(self, work: _Work, head: ObjectVersion, refused: Refused) -> None:
        logger.info("refused", extra={"reason": refused.reason, "size": head.size})
        record = replace(work.lease.record, status=Status.REJECTED, reason=str(refused.reason))
        record = replace(record, detail=refused.detail, version=head.version, size=head.size)
        self._settle(work, replace(record, live_generation=None, live_version=None))

    def _settle(self, work: _Work, record: DocumentRecord) -> None:
        """Switch what is live in one write, then remove everything else of the document."""
        if record.status is not Status.INDEXED:
            record = replace(record, live_generation=None, live_version=None, chunks=0)
        self._write(work, replace(record, swept=False))
        self._sweep(work)

    def _sweep(self, work: _Work) -> None:
        record = work.lease.record
        if record.swept:
            return
        self.index.prune(DocumentRef(self.bucket, record.key).collection, record.key, record.live_generation)
        self._write(work, replace(record, swept=True))

    def _write(self, work: _Work, record: DocumentRecord) -> None:
        work.lease = self.ledger.write(work.lease, record)

    def _keep_lease(self, work: _Work) -> None:
        """Renew when a third of the lease is gone; raises `LeaseLost` before anything more is written."""
        if time() > work.lease.expires_at - self.limits.lease_s * 2 / 3:
            work.lease = self.ledger.renew(work.lease)

    @property
    def _chunk_tokens(self) -> int:
        return min(self.limits.chunk_tokens, self.embedder.max_tokens)
