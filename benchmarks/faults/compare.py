"""What the index must hold, computed from the bucket alone, against what ledger and Chroma hold.

``python -m benchmarks.faults.compare --stack .docwell/stack.json``

It shares with docwell the PDF reader and the chunker, so that it knows which text a document has, and nothing
else: versions, generations and chunk ids are computed here, the ledger is read by a plain scan and Chroma
by plain HTTP. The exit status is 0 when there is no difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import httpx

from benchmarks.reading import default_reader
from docwell.adapters.documents.reader import ChildPdfReader
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.errors import Refused
from docwell.ingest.chunking import chunk_pages
from docwell.pipeline import CHUNKER_VERSION, EMBEDDED_VERSION, TEXT_VERSION
from infra.local.names import LEDGER_TABLE, ROOT

KINDS = ("lost", "duplicate", "stale", "orphan", "stuck")
_PAGE = 1000
_STATE = "#state"
_FINAL = frozenset({"INDEXED", "EMPTY", "REJECTED", "DELETED"})


@dataclass(frozen=True, slots=True)
class PipelinePlace:
    """A pipeline as its settings say it."""

    model_dir: Path
    chunk_tokens: int

    @property
    def fingerprint(self) -> str:
        """As `docwell.pipeline` makes it: of model, chunker, text extraction and what is embedded."""
        model = ModelManifest.read(self.model_dir).fingerprint
        parts = (model, str(self.chunk_tokens), str(CHUNKER_VERSION), str(TEXT_VERSION), str(EMBEDDED_VERSION))
        return sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Places:
    """Where bucket, ledger and Chroma are."""

    aws_endpoint: str
    bucket: str
    chroma: str
    pipelines: tuple[PipelinePlace, ...]
    table: str = LEDGER_TABLE
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = "test"  # noqa: S105 - moto takes anything
    tenant: str = "default_tenant"
    database: str = "default_database"
    range_pages: int = 50


@dataclass
class Differences:
    """What is not as it must be, as lines of text by kind. Chunks, and documents in the ledger."""

    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    documents: int = 0
    chunks: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, line: str) -> None:
        """One more."""
        self.found[kind].append(line)

    @property
    def count(self) -> dict[str, int]:
        """How many of each kind."""
        return {kind: len(lines) for kind, lines in self.found.items()}

    @property
    def none(self) -> bool:
        """Whether all is as it must be."""
        return not any(self.found.values())

    def lines(self, most: int = 6) -> list[str]:
        """Some examples of each kind."""
        return [f"{kind}: {line}" for kind, lines in self.found.items() for line in lines[:most]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of Chroma."""

    collection: str
    fingerprint: str
    id: str
    document: str
    generation: str
    text: str
    has_vector: bool


class Comparator:
    """Compares; what a content is cut into is computed once and kept."""

    def __init__(self, places: Places, reader: ChildPdfReader | None = None) -> None:
        """Read the models. Raises `docwell.errors.Corrupt`."""
        self.places = places
        self._reader = reader or default_reader()
        self._embedders = {one: OnnxEmbedder(one.model_dir, threads=1) for one in places.pipelines}
        self._cut: dict[tuple[str, int], list[list[str]]] = {}
        session = boto3.Session(places.access_key, places.secret_key, region_name=places.region)
        self._s3 = session.client("s3", endpoint_url=places.aws_endpoint)
        self._dynamodb = session.client("dynamodb", endpoint_url=places.aws_endpoint)

    def compare(
        self, pipelines: Sequence[PipelinePlace] | None = None, *, believe_refusals: bool = False
    ) -> Differences:
        """Read everything and compare.

        Args:
            pipelines: those whose indexes must be there, and no other; by default all.
            believe_refusals: a document that the ledger calls EMPTY or REJECTED needs no chunks, and is not read.
        """
        differences = Differences()
        chosen = self.places.pipelines if pipelines is None else tuple(pipelines)
        by_fingerprint = {one.fingerprint: one for one in chosen}
        ledger = self._ledger()
        current = self._current()
        rows = list(self._rows())
        differences.documents, differences.chunks = len(current), len(rows)
        for fingerprint, pipeline in by_fingerprint.items():
            own = {document: item for (document, name), item in ledger.items() if name == fingerprint}
            refused = {document for document, item in own.items() if item.get("status") in ("EMPTY", "REJECTED")}
            expected = self._expected(pipeline, fingerprint, current, refused if believe_refusals else set())
            own_rows = [row for row in rows if row.fingerprint == fingerprint[:16]]
            _compare_rows(differences, expected, own_rows)
            _compare_ledger(differences, expected, own, current)
        known = {fingerprint[:16] for fingerprint in by_fingerprint}
        for row in rows:
            if row.fingerprint not in known:
                differences.add("orphan", f"chunk {row.id} of {row.document!r} in an index of no known pipeline")
        for document, name in ledger:
            if name not in by_fingerprint:
                differences.add("orphan", f"ledger: {document!r} under the unknown pipeline {name}")
        return differences

    def compare_patiently(self, timeout_s: float, **options: Any) -> Differences:
        """Compare until there is no difference or the time is over: leases and late writes need a moment."""
        deadline = time.monotonic() + timeout_s
        while not (found := self.compare(**options)).none and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    # --- what must be ---

    def _current(self) -> dict[str, tuple[str, bytes]]:
        """The version and content of every key."""
        keys = [
            row["Key"]
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.places.bucket)
            for row in page.get("Contents", ())
        ]

        def read(key: str) -> tuple[str, tuple[str, bytes]]:
            answer = self._s3.get_object(Bucket=self.places.bucket, Key=key)
            version = answer.get("VersionId")
            # A bucket without versioning names no version or "null": then the ETag, in its quotes, is the version.
            return key, (answer["ETag"] if version in (None, "null") else version, answer["Body"].read())

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(read, keys))

    def _expected(
        self,
        pipeline: PipelinePlace,
        fingerprint: str,
        current: Mapping[str, tuple[str, bytes]],
        believed: set[str],
    ) -> dict[str, _Document]:
        def of(key: str) -> tuple[str, _Document]:
            version, content = current[key]
            generation = _digest(self.places.bucket, key, version, fingerprint)
            ranges = [] if key in believed else self._chunks(pipeline, content)
            texts = {
                _digest(self.places.bucket, key, generation, str(number), str(ordinal)): text
                for number, texts in enumerate(ranges)
                for ordinal, text in enumerate(texts)
            }
            return key, _Document(version, generation, texts)

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(of, current))

    def _chunks(self, pipeline: PipelinePlace, content: bytes) -> list[list[str]]:
        """The text of each chunk of each range; nothing for what no reader reads."""
        name = (sha256(content).hexdigest(), pipeline.chunk_tokens)
        if name not in self._cut:
            self._cut[name] = self._cut_content(pipeline, content)
        return self._cut[name]

    def _cut_content(self, pipeline: PipelinePlace, content: bytes) -> list[list[str]]:
        embedder = self._embedders[pipeline]
        size, limit = self.places.range_pages, min(pipeline.chunk_tokens, embedder.max_tokens)
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(content)
            file.flush()
            path = Path(file.name)
            try:
                pages = self._reader.inspect(path).page_count
                return [
                    [
                        chunk.text
                        for chunk in chunk_pages(
                            self._reader.pages(path, first, min(first + size - 1, pages)), embedder, limit
                        )
                    ]
                    for first in range(1, pages + 1, size)
                ]
            except Refused:
                return []

    # --- what is ---

    def _ledger(self) -> dict[tuple[str, str], dict[str, Any]]:
        items: dict[tuple[str, str], dict[str, Any]] = {}
        for page in self._dynamodb.get_paginator("scan").paginate(
            TableName=self.places.table, ConsistentRead=True
        ):
            for item in page["Items"]:
                plain: dict[str, Any] = {name: next(iter(value.values())) for name, value in item.items()}
                if plain["pipeline"] != _STATE:
                    items[plain["document"], plain["pipeline"]] = plain
        return items

    def _rows(self) -> Iterator[Row]:
        base = f"{self.places.chroma}/api/v2/tenants/{self.places.tenant}/databases/{self.places.database}"
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
            for collection in _pages(client, "/collections"):
                metadata = collection["metadata"] or {}
                yield from _rows_of(client, collection["id"], metadata)


@dataclass(frozen=True, slots=True)
class _Document:
    version: str
    generation: str
    texts: Mapping[str, str]


def _compare_rows(differences: Differences, expected: Mapping[str, _Document], rows: Sequence[Row]) -> None:
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row.id] += 1
        kind, why = _judge(row, expected.get(row.document), seen[row.id])
        if kind:
            differences.add(kind, f"chunk {row.id} of {row.document!r}, generation {row.generation}: {why}")
    for key, document in expected.items():
        for id_ in document.texts:
            if not seen[id_]:
                differences.add("lost", f"chunk {id_} of {key!r}, generation {document.generation}")


def _judge(row: Row, document: _Document | None, seen: int) -> tuple[str, str]:
    """What is wrong with a row of Chroma, and why; nothing: two empty strings."""
    if document is None or row.collection != _home(row.document):
        return "orphan", f"it is in the collection {row.collection!r}"
    if row.generation != document.generation:
        return "stale", f"the current generation is {document.generation}"
    if row.id not in document.texts:
        return ("duplicate" if document.texts else "orphan"), "no such chunk is to be"
    if seen > 1:
        return "duplicate", "it is there twice"
    if row.text != document.texts[row.id]:
        return "stale", "it has another text"
    return ("", "") if row.has_vector else ("lost", "it has no vector")


def _compare_ledger(
    differences: Differences,
    expected: Mapping[str, _Document],
    ledger: Mapping[str, Mapping[str, Any]],
    current: Mapping[str, tuple[str, bytes]],
) -> None:
    for key, item in ledger.items():
        status = item.get("status", "PENDING")
        differences.statuses[status] += 1
        says = f"ledger: {key!r} is {status}({item.get('reason', '')}) version {item.get('version')}"
        if status not in _FINAL:
            differences.add("stuck", f"{says}, lease of {item.get('lease_owner')}, {item.get('detail', '')}")
        elif key not in current:
            if status != "DELETED" or "live_generation" in item:
                differences.add("orphan", f"{says}; the bucket has no such key")
        elif item.get("version") != expected[key].version:
            differences.add("stale", f"{says}; the current version is {expected[key].version}")
        elif expected[key].texts and item.get("live_generation") != expected[key].generation:
            differences.add("lost", f"{says}; live is {item.get('live_generation')}")
    for key in current:
        if key not in ledger:
            differences.add("lost", f"ledger: it has no {key!r}")


def _pages(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        page = client.get(path, params={"limit": _PAGE, "offset": offset}).raise_for_status().json()
        yield from page
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _rows_of(client: httpx.Client, id_: str, metadata: Mapping[str, Any]) -> Iterator[Row]:
    offset = 0
    include = ["metadatas", "documents", "embeddings"]
    while True:
        request = {"limit": _PAGE, "offset": offset, "include": include}
        page = client.post(f"/collections/{id_}/get", json=request).raise_for_status().json()
        for number, row_id in enumerate(page["ids"]):
            row = page["metadatas"][number] or {}
            yield Row(
                collection=metadata.get("collection", ""),
                fingerprint=metadata.get("fingerprint", ""),
                id=row_id,
                document=row.get("document", ""),
                generation=row.get("generation", ""),
                text=page["documents"][number] or "",
                has_vector=bool(page["embeddings"][number]),
            )
        if len(page["ids"]) < _PAGE:
            return
        offset += _PAGE


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _home(key: str) -> str:
    first, slash, _ = key.partition("/")
    return first if slash and first else "default"


def main() -> int:
    """Compare a stack on this machine. Gives 0 when there is no difference."""
    parser = argparse.ArgumentParser(description="Compare bucket, ledger and Chroma.")
    parser.add_argument("--stack", type=Path, default=ROOT / ".docwell" / "stack.json")
    parser.add_argument("--table", default=LEDGER_TABLE)
    parser.add_argument("--model-dir", type=Path, default=ROOT / "layers" / "embedder" / "model")
    parser.add_argument("--chunk-tokens", type=int, action="append", help="once for each pipeline; default 200")
    parser.add_argument("--range-pages", type=int, default=50)
    parser.add_argument("--believe-refusals", action="store_true", help="do not read what the ledger refuses")
    options = parser.parse_args()
    stack = json.loads(options.stack.read_text(encoding="utf-8"))
    places = Places(
        aws_endpoint=stack["aws_endpoint"],
        bucket=stack["bucket"],
        chroma=stack["chroma"],
        pipelines=tuple(PipelinePlace(options.model_dir, one) for one in options.chunk_tokens or [200]),
        table=options.table,
        region=stack["region"],
        access_key=stack["access_key"],
        secret_key=stack["secret_key"],
        range_pages=options.range_pages,
    )
    found = Comparator(places).compare(believe_refusals=options.believe_refusals)
    statuses = ", ".join(f"{count} {status}" for status, count in found.statuses.most_common())
    print(f"{found.documents} documents, {found.chunks} chunks; ledger: {statuses or 'empty'}")
    print("  ".join(f"{kind} {count}" for kind, count in found.count.items()))
    print("\n".join(found.lines(most=20)))
    return 0 if found.none else 1


if __name__ == "__main__":
    sys.exit(main())
