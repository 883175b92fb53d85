"""Ports in memory. Their hooks let a test fail or interrupt a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from docwell.errors import BadInput, LeaseLost, NotFound, Refused
from docwell.models import (
    COUNTED,
    OBSERVED,
    PROGRESS,
    Attributes,
    DocumentInfo,
    DocumentRecord,
    Hint,
    IndexRecord,
    Lease,
    Mark,
    ObjectVersion,
    Page,
    Passage,
    RangeTally,
    RangeTask,
    Reason,
    Status,
    StoredObject,
    collection_of,
)
from docwell.ports import LiveDocument, Places, Stamped

DIMENSION = 64
UNREADABLE = "??"  # the fake reader's unreadable text


@dataclass
class FakeStore:
    """A versioned bucket. `before_download` runs between HEAD and GET."""

    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    before_download: Callable[[], None] = lambda: None
    versions: int = 0
    modified: float = field(default_factory=time)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    tagged: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(
        self,
        key: str,
        body: str | bytes,
        metadata: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> str:
        self.versions += 1
        version = f"v{self.versions}"
        self.metadata[key], self.tagged[key] = metadata or {}, tags or {}
        self.objects[key] = (version, body.encode() if isinstance(body, str) else body)
        return version

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def head(self, key: str, version: str | None = None) -> ObjectVersion | None:
        if key not in self.objects:
            return None
        version, body = self.objects[key]
        metadata, tag_count = dict(self.metadata.get(key, {})), len(self.tagged.get(key, {}))
        payer = metadata.pop("docwell-uploader", None)
        return ObjectVersion(version, len(body), f'"{crc32(body):x}"', metadata, tag_count, payer, self.modified)

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        if self.objects.get(key, ("",))[0] != version.version:
            raise NotFound("changed")
        return self.tagged.get(key, {})

    def page(self, after: str) -> tuple[Sequence[StoredObject], str | None]:
        raise AssertionError("ingest lists no bucket")

    def download(self, key: str, version: ObjectVersion, path: Path) -> None:
        self.before_download()
        found, body = self.objects.get(key, ("", b""))
        if found != version.version:
            raise NotFound("changed")
        path.write_bytes(body)


@dataclass
class FakeLedger:
    """Leases and records, with the rules of `docwell.ports.Ledger`."""

    records: dict[str, DocumentRecord] = field(default_factory=dict)
    holders: dict[str, tuple[str, int]] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    fence: int = 0
    writes: int = 0
    before_write: Callable[[DocumentRecord], None] = lambda _record: None
    after_finish: Callable[[], None] = lambda: None

    def acquire(self, key: str, owner: str) -> Lease | None:
        holder = self.holders.get(key)
        if holder and holder[0] != owner:
            self.again.add(key)
            return None
        self.fence += 1
        self.holders[key] = (owner, self.fence)
        self.again.discard(key)
        record = self.records.setdefault(key, DocumentRecord(key))
        return Lease(key, owner, self.fence, 1e12, record)

    def renew(self, lease: Lease) -> Lease:
        self._check(lease)
        return lease

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        self.before_write(record)
        self._check(lease)
        self.writes += 1
        now, names = self.records[lease.key], OBSERVED if fresh else OBSERVED | PROGRESS
        record = replace(record, **{name: getattr(now, name) for name in names})
        self.records[lease.key] = record
        return replace(lease, record=record)

    def release(self, lease: Lease) -> Lease | None:
        self._check(lease)
        if lease.key in self.again:
            self.again.discard(lease.key)
            return replace(lease, record=self.records[lease.key])
        del self.holders[lease.key]
        return None

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        record = self.records.get(task.key)
        expected = (Status.PENDING, task.version, task.attempt)
        if record is None or (record.status, record.version, record.attempt) != expected:
            return None
        if task.range not in record.ranges_done:
            counts = [(name, getattr(record, name), getattr(tally, name)) for name in COUNTED]
            record = replace(
                record,
                ranges_done=record.ranges_done | {task.range},
                pages_done=record.pages_done + tally.pages,
                **{name: old | new if isinstance(old, frozenset) else old + new for name, old, new in counts},
            )
            self.records[task.key] = record
        self.after_finish()
        return record

    def observe(self, record: DocumentRecord, version: str) -> bool:
        now = self.records.get(record.key)
        if now is None or now.observations != record.observations:
            return False
        self.records[record.key] = replace(now, observed_version=version, observations=now.observations + 1)
        return True

    def _check(self, lease: Lease) -> None:
        if self.holders.get(lease.key) != (lease.owner, lease.fence):
            raise LeaseLost(lease.key)

    def get(self, key: str) -> DocumentRecord | None:
        return self.records.get(key)

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        records = (self.records[key] for key in keys if key in self.records)
        return {
            record.key: LiveDocument(record.live_generation, record.live_attributes or Attributes())
            for record in records
            if record.answers and record.live_generation
        }

    def under(
        self, collection: str | None, prefix: str, limit: int
    ) -> tuple[Mapping[str, LiveDocument], int | None]:
        candidates = [key for key in sorted(self.records) if collection in (None, collection_of(key))]
        keys = [key for key in candidates if key.startswith(prefix)]
        return self.described(keys[:limit]), len(keys) if len(keys) <= limit else None

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
        visible: Callable[[DocumentRecord], bool] | None = None,
    ) -> tuple[list[DocumentRecord], str | None]:
        rows = [r for r in self.records.values() if collections is None or collection_of(r.key) in collections]
        rows = [r for r in rows if r.key.startswith(prefix) and status in (None, r.status)]
        return [r for r in rows if visible is None or visible(r)][:limit], None


@dataclass
class FakeQueue:
    """Messages that were sent, in order."""

    sent: list[Hint | RangeTask] = field(default_factory=list)

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        self.sent += messages


@dataclass
class FakeIndex:
    """Chunks by collection and id."""

    chunks: dict[str, dict[str, IndexRecord]] = field(default_factory=dict)
    marks: dict[str, Sequence[Mark]] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    upserts: int = 0
    before_upsert: Callable[[], None] = lambda: None
    after_upsert: Callable[[], None] = lambda: None
    before_delete: Callable[[], None] = lambda: None
    before_search: Callable[[], object] = lambda: None

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        self.before_upsert()
        self.upserts += 1
        self.chunks.setdefault(collection, {}).update({record.id: record for record in records})
        self.marks |= {record.id: record.marks for record in records if record.marks}
        self.stamps |= {record.id: str(self.upserts) for record in records}
        self.after_upsert()

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        self.before_search()
        searched: Places = dict.fromkeys(self.chunks) if places is None else places
        records = [
            record
            for collection, documents in searched.items()
            for record in self.chunks.get(collection, {}).values()
            if documents is None or record.document in documents
        ]
        hits = [_passage(record, float(np.dot(vector, record.vector))) for record in records]
        return sorted(hits, key=lambda hit: -hit.score)[:k]

    def on_page(self, document: str, generation: str, page: int) -> list[Passage]:
        records = self.of(document)
        return [_passage(r) for r in records if (r.generation, r.chunk.page) == (generation, page)]

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> list[Passage]:
        self.before_search()
        found = [
            _passage(r)
            for collection, documents in places.items()
            for r in self.chunks.get(collection, {}).values()
            if r.document in (documents or ())
            and all(re.search(pattern, r.chunk.text, re.IGNORECASE) for pattern in patterns)
        ]
        return found[:limit]

    def mark(self, collection: str, marks: Mapping[str, Sequence[Mark]]) -> None:
        stored = self.chunks.get(collection, {})
        self.marks |= {id_: marked for id_, marked in marks.items() if id_ in stored}

    def marked(self, document: str, generation: str) -> list[tuple[Passage, Sequence[Mark]]]:
        records = [r for r in self.of(document) if r.id in self.marks and r.generation == generation]
        return [(_passage(record), self.marks[record.id]) for record in records]

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> Stamped:
        found = [
            (id_, self.stamps.get(id_, ""))
            for id_, record in self.chunks.get(collection, {}).items()
            if record.document == document
            and of in (None, record.generation)
            and (but is None or record.generation != but)
        ]
        return dict(found[:limit])

    def delete(self, collection: str, ids: Stamped) -> None:
        self.before_delete()
        for id_ in (id_ for id_, stamp in ids.items() if self.stamps.get(id_, "") == stamp):
            self.chunks.get(collection, {}).pop(id_, None)
            self.marks.pop(id_, None)

    def collections(self) -> list[str]:
        return sorted(self.chunks)

    def of(self, key: str) -> list[IndexRecord]:
        return [r for chunks in self.chunks.values() for r in chunks.values() if r.document == key]


def _passage(record: IndexRecord, score: float = 0.0) -> Passage:
    ids = (record.id, record.document, record.generation, record.version)
    return Passage(*ids, record.chunk, score, record.units)


class FakeEmbedder:
    """Texts that share words have near vectors."""

    max_tokens = 100
    cuts_at_blanks = True

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[match.span() for match in re.finditer(r"\w+|[^\w\s]", text)] for text in texts]

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any(len(tokens) > self.max_tokens for tokens in self.offsets(texts)):
            raise BadInput("a passage is too long")
        return self.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[crc32(word.encode()) % DIMENSION] += 1
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)


@dataclass
class FakeReader:
    """A "PDF" is text with form feeds between pages; `!reason` alone refuses it, on a page loses the page."""

    title: str | None = "A title"
    author: str | None = None
    created: str | None = None
    media_type: str | None = None
    page_cpu_s: float = 0.0
    refuses_at: int | None = None  # a page's number

    def inspect(self, path: Path) -> DocumentInfo:
        text = path.read_text()
        if text.startswith("!") and "\f" not in text:
            raise Refused(Reason(text[1:].strip()), "refused by the fake")
        return DocumentInfo(text.count("\f") + 1, self.title, self.author, self.created, self.media_type)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for number, text in enumerate(path.read_text().split("\f"), 1):
            if first <= number <= last:
                if number == self.refuses_at:
                    raise Refused(Reason.TOO_SLOW, "refused by the fake")
                shown = "" if text.startswith("[") else text  # a picture: see FakeRecogniser
                broken = Reason(text[1:]) if text.startswith("!") else None
                reason = Reason.UNREADABLE if text == UNREADABLE else broken
                yield Page(number, "" if reason else shown, unreadable=reason, cpu_s=self.page_cpu_s)


@dataclass
class FakeRecogniser(FakeReader):
    """Also reads pages in square brackets: `[0.9 the text of a picture]`, confidence first.

    `[!]` is a picture that cannot be recognised. `busy` runs before each page.
    """

    busy: Callable[[], None] = lambda: None

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        for number, text in enumerate(path.read_text().split("\f"), 1):
            if first <= number <= last:
                self.busy()
                yield self._read(number, text)

    def _read(self, number: int, text: str) -> Page:
        picture = re.fullmatch(r"\[(\S+) ?(.*)\]", text)
        if picture is None:
            return Page(number, text)
        if picture[1] == "!":
            return Page(number, "", unreadable=Reason.TOO_SLOW)
        return Page(number, picture[2], confidence=float(picture[1]), cpu_s=self.page_cpu_s)
