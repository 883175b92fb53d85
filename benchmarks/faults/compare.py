"""Compare the ledger and Chroma with the bucket: the index must equal it.

It shares with docwell only the PDF reader and the chunker, which give a document's text. It computes versions,
generations and chunk ids itself, scans the ledger with boto3, and reads Chroma with its client.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import chromadb

from benchmarks.doors import until
from benchmarks.reading import default_reader
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.errors import Refused
from docwell.ingest.chunking import cut_pages
from docwell.pipeline import CHUNKER_VERSION, EMBEDDED_VERSION, TEXT_VERSION
from infra.local.names import LEDGER_TABLE
from infra.local.stack import Stack

KINDS = ("lost", "duplicate", "stale", "orphan", "stuck")
_PAGE = 1000
SHARDS = 4  # the default of the setting
_MARK = 8  # characters of a stored id before the chunk's own
_STATE = "#state"
_FINAL = frozenset({"INDEXED", "EMPTY", "REJECTED", "DELETED"})


@dataclass(frozen=True, slots=True)
class PipelinePlace:
    """A pipeline by its settings."""

    model_dir: Path
    chunk_tokens: int

    @property
    def fingerprint(self) -> str:
        """The hash of model, chunker, text extraction and embedded text, as in `docwell.pipeline`."""
        model = ModelManifest.read(self.model_dir).fingerprint
        versions = (str(CHUNKER_VERSION), str(TEXT_VERSION), str(EMBEDDED_VERSION))
        return _digest(model, str(self.chunk_tokens), *versions, f"shards={SHARDS}")


@dataclass
class Differences:
    """The differences as lines of text by kind: chunks, and documents in the ledger."""

    documents: int = 0
    chunks: int = 0
    lines_of: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, line: str) -> None:
        self.lines_of[kind].append(line)

    @property
    def count(self) -> dict[str, int]:
        return {kind: len(lines) for kind, lines in self.lines_of.items()}

    @property
    def none(self) -> bool:
        return not any(self.lines_of.values())

    def lines(self, limit: int = 6) -> list[str]:
        return [f"{kind}: {line}" for kind, lines in self.lines_of.items() for line in lines[:limit]]


@dataclass(frozen=True, slots=True)
class _Document:
    """The expected content of the index for one key: the text of each chunk by its id."""

    version: str
    generation: str
    texts: Mapping[str, str]


class Comparator:
    """Compares index and bucket. It chunks each content once, and caches the chunks."""

    def __init__(self, stack: Stack, pipelines: Sequence[PipelinePlace], range_pages: int) -> None:
        """`pipelines` are the only ones whose indexes may be there. Raises `docwell.errors.Corrupt`."""
        self._stack = stack
        self._pipelines = {place.fingerprint: place for place in pipelines}
        self._range_pages = range_pages
        self._reader = default_reader()
        self._embedders = {place: OnnxEmbedder(place.model_dir, threads=1) for place in pipelines}
        self._cut: dict[tuple[str, int], list[list[str]]] = {}
        self._s3, self._dynamodb = stack.client("s3"), stack.client("dynamodb")

    def compare(self) -> Differences:
        """Read everything and compare."""
        ledger, current, rows = self._ledger(), dict(self._current()), list(self._rows())
        result = Differences(len(current), len(rows))
        # Chroma's metadata has the first half of the fingerprint.
        by_index: dict[str, list[dict[str, Any]]] = {fingerprint[:16]: [] for fingerprint in self._pipelines}
        for row in rows:
            if row["fingerprint"] in by_index:
                by_index[row["fingerprint"]].append(row)
            else:
                result.add(
                    "orphan", f"chunk {row['id']} of {row['document']!r} in an index of an unknown pipeline"
                )
        for fingerprint, pipeline in self._pipelines.items():
            items = {document: item for (document, name), item in ledger.items() if name == fingerprint}
            expected = self._expected(pipeline, current)
            _compare_rows(result, expected, by_index[fingerprint[:16]])
            _compare_ledger(result, expected, items)
        for document, name in ledger:
            if name not in self._pipelines:
                result.add("orphan", f"ledger: {document!r} under the unknown pipeline {name}")
        return result

    def compare_patiently(self, timeout_s: float) -> Differences:
        """Compare until there is no difference or the time is up: leases and late writes take a moment."""
        results = list[Differences]()

        def is_equal() -> bool:
            results.append(self.compare())
            return results[-1].none

        until(is_equal, timeout_s, 0.5)
        return results[-1]

    def _current(self) -> Iterator[tuple[str, tuple[str, bytes]]]:
        """Yield the version and the content of each key in the bucket."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._stack.bucket):
            for row in page.get("Contents", ()):
                answer = self._s3.get_object(Bucket=self._stack.bucket, Key=row["Key"])
                version = answer.get("VersionId")
                # Without versioning it is absent or "null"; then the ETag, with its quotes, is the version.
                version = answer["ETag"] if version in (None, "null") else version
                yield row["Key"], (version, answer["Body"].read())

    def _expected(self, pipeline: PipelinePlace, current: Mapping[str, tuple[str, bytes]]) -> dict[str, _Document]:
        def expect(key: str) -> _Document:
            version, content = current[key]
            generation = _digest(self._stack.bucket, key, version, pipeline.fingerprint)
            texts = {
                _digest(self._stack.bucket, key, generation, f"{number}", f"{ordinal}"): text
                for number, texts in enumerate(self._chunks(pipeline, content))
                for ordinal, text in enumerate(texts)
            }
            return _Document(version, generation, texts)

        with ThreadPoolExecutor(4) as pool:
            return dict(zip(current, pool.map(expect, current), strict=True))

    def _chunks(self, pipeline: PipelinePlace, content: bytes) -> list[list[str]]:
        """Return the texts of each range's chunks, or nothing where no reader can read the content."""
        name = (sha256(content).hexdigest(), pipeline.chunk_tokens)
        if name not in self._cut:
            with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
                file.write(content)
                file.flush()
                try:
                    self._cut[name] = list(self._ranges(pipeline, Path(file.name)))
                except Refused:
                    self._cut[name] = []
        return self._cut[name]

    def _ranges(self, pipeline: PipelinePlace, path: Path) -> Iterator[list[str]]:
        embedder = self._embedders[pipeline]
        size, limit = self._range_pages, min(pipeline.chunk_tokens, embedder.max_tokens)
        pages = self._reader.inspect(path).page_count
        for first in range(1, pages + 1, size):
            read = self._reader.pages(path, first, min(first + size - 1, pages))
            yield [chunk.text for _, chunks in cut_pages(read, embedder, limit) for chunk, _ in chunks]

    def _ledger(self) -> dict[tuple[str, str], dict[str, Any]]:
        items = [
            {name: next(iter(value.values())) for name, value in item.items()}
            for page in self._dynamodb.get_paginator("scan").paginate(TableName=LEDGER_TABLE, ConsistentRead=True)
            for item in page["Items"]
        ]
        return {(item["document"], item["pipeline"]): item for item in items if item["pipeline"] != _STATE}

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Yield the fields of every row of Chroma, by the stock client, with its id, text and vector."""
        host, port = self._stack.chroma.removeprefix("http://").split(":")
        headers = {"Authorization": f"Bearer {self._stack.chroma_token or 'none'}"}
        client = chromadb.HttpClient(host=host, port=int(port), headers=headers)
        include: Any = ["metadatas", "documents", "embeddings"]
        for collection in client.list_collections():
            fingerprint = str((collection.metadata or {}).get("fingerprint", ""))
            for offset in range(0, collection.count(), _PAGE):
                page: Any = collection.get(limit=_PAGE, offset=offset, include=include)
                columns = (page["ids"], page["metadatas"], page["documents"], page["embeddings"])
                for id_, fields, text, vector in zip(*columns, strict=True):
                    row = {"collection": "", "document": "", "generation": "", **(fields or {})}
                    has_vector = vector is not None and len(vector) > 0
                    row |= {"fingerprint": fingerprint, "id": id_[_MARK:], "text": text, "has_vector": has_vector}
                    yield row


def _compare_rows(
    result: Differences, expected: Mapping[str, _Document], rows: Sequence[Mapping[str, Any]]
) -> None:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["id"]] += 1
        if fault := _fault(row, expected.get(row["document"]), counts[row["id"]]):
            kind, why = fault
            place = f"chunk {row['id']} of {row['document']!r}, generation {row['generation']}"
            result.add(kind, f"{place}: {why}")
    for key, document in expected.items():
        for id_ in document.texts:
            if not counts[id_]:
                result.add("lost", f"chunk {id_} of {key!r}, generation {document.generation}")


def _fault(row: Mapping[str, Any], document: _Document | None, count: int) -> tuple[str, str] | None:
    """Return the kind of a row's difference, and why; None where it is right."""
    if document is None or row["collection"] != _home(row["document"]):
        return "orphan", f"it is in the collection {row['collection']!r}"
    if row["generation"] != document.generation:
        return "stale", f"the current generation is {document.generation}"
    if row["id"] not in document.texts:
        return ("duplicate" if document.texts else "orphan"), "no such chunk is expected"
    if count > 1:
        return "duplicate", "it is there twice"
    if row["text"] != document.texts[row["id"]]:
        return "stale", "it has another text"
    return None if row["has_vector"] else ("lost", "it has no vector")


def _compare_ledger(
    result: Differences, expected: Mapping[str, _Document], ledger: Mapping[str, Mapping[str, Any]]
) -> None:
    for key, item in ledger.items():
        status = item.get("status", "PENDING")
        result.statuses[status] += 1
        line = f"ledger: {key!r} is {status}({item.get('reason', '')}) version {item.get('version')}"
        document = expected.get(key)
        if status not in _FINAL:
            result.add("stuck", f"{line}, lease of {item.get('lease_owner')}, {item.get('detail', '')}")
        elif document is None:
            if status != "DELETED" or "live_generation" in item:
                result.add("orphan", f"{line}; the bucket has no such key")
        elif item.get("version") != document.version:
            result.add("stale", f"{line}; the current version is {document.version}")
        elif document.texts and item.get("live_generation") != document.generation:
            result.add("lost", f"{line}; live is {item.get('live_generation')}")
    for key in expected.keys() - ledger.keys():
        result.add("lost", f"ledger: it has no {key!r}")


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _home(key: str) -> str:
    first, slash, _ = key.partition("/")
    return first if slash and first else "default"
