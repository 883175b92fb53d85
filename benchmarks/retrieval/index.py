"""Indexes the documents of a set with docwell's own ingest, and caches their vectors for the next run."""

import sqlite3
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.chroma import chroma_server
from benchmarks.reading import default_reader
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.chroma_layout import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import IngestLimits, QuerySettings
from docwell.ingest.indexing import Generation, RangeIndexer
from docwell.ingest.ranges import Span
from docwell.models import DocumentRef, Page, PdfInfo
from infra.progress import bar
from infra.report import ROOT

CACHE = ROOT / "build" / "retrieval-cache"
_LOOKED_UP_AT_ONCE = 500
_EMBEDDED_AT_ONCE = 256


class CachedEmbedder:
    """An embedder that computes each text's vector once for all runs with this model."""

    def __init__(self, embedder: OnnxEmbedder) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._rows = sqlite3.connect(CACHE / f"{embedder.manifest.fingerprint[:16]}.sqlite3", timeout=60)
        self._rows.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
        self.name, self.fingerprint = embedder.manifest.name, embedder.manifest.fingerprint
        self.max_tokens = embedder.max_tokens
        self.offsets = embedder.offsets

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._known("passage", texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._known("query", texts)

    def _known(self, kind: str, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).digest() for text in texts]
        vectors = self._stored(keys)
        absent = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        work = self._embedder.embed_passages if kind == "passage" else self._embedder.embed_queries
        order = list(absent)
        for start in range(0, len(order), _EMBEDDED_AT_ONCE):
            some = order[start : start + _EMBEDDED_AT_ONCE]
            made = dict(zip(some, work([absent[key] for key in some]), strict=True))
            rows = [(key, vector.tobytes()) for key, vector in made.items()]
            self._rows.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            self._rows.commit()
            vectors |= made
        found = [vectors[key] for key in keys]
        return np.stack(found) if found else np.empty((0, self._embedder.manifest.dimension), dtype=np.float32)

    def _stored(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        found: dict[bytes, NDArray[np.float32]] = {}
        for start in range(0, len(keys), _LOOKED_UP_AT_ONCE):
            some = keys[start : start + _LOOKED_UP_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._rows.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)  # noqa: S608 - marks are placeholders
            found |= {key: np.frombuffer(vector, dtype=np.float32) for key, vector in rows}
        return found


@contextmanager
def new_index(fingerprint: str) -> Iterator[ChromaIndex]:
    """Run a new Chroma server during the block; yields its empty index, which keeps passages as the query does."""
    with chroma_server() as url:
        layout = Layout(fingerprint, IngestLimits().shards)
        yield ChromaIndex(
            url,
            layout,
            tenant="default_tenant",
            database="default_database",
            timeout_s=60,
            kept_passages=QuerySettings.model_fields["kept_passages"].default,
        )


class TextOrPdfReader:
    """Reads PDFs as ingest does, and a text file as a document of one page."""

    def __init__(self) -> None:
        self._pdfs = default_reader()

    def inspect(self, path: Path) -> PdfInfo:
        return self._pdfs.inspect(path) if _is_pdf(path) else PdfInfo(1)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        if _is_pdf(path):
            yield from self._pdfs.pages(path, first, last)
        else:
            yield Page(1, path.read_text(encoding="utf-8"))


def _is_pdf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(5) == b"%PDF-"


def indexed(
    files: Mapping[str, Path], index: ChromaIndex, embedder: CachedEmbedder, chunk_tokens: int
) -> tuple[dict[str, str], dict[str, int]]:
    """Index every file with `docwell.ingest.indexing`; return the generations and the number of chunks, by key."""
    limits = IngestLimits(chunk_tokens=chunk_tokens)
    no_store: Any = None  # the files are here: nothing is downloaded
    indexer = RangeIndexer(no_store, index, embedder, TextOrPdfReader(), limits)
    generations, chunks = dict[str, str](), Counter[str]()
    with bar("indexing", len(files)) as step:
        for key, path in files.items():
            step.say(key)
            info = indexer.reader.inspect(path)
            ref = DocumentRef("evaluation", key)
            generation = Generation(ref, "v1", ref.generation("v1", embedder.fingerprint))
            for number, first in enumerate(range(1, info.page_count + 1, limits.range_pages)):
                pages = Span(first, min(first + limits.range_pages - 1, info.page_count))
                chunks[key] += indexer.run(generation, path, number, pages, lambda: None).chunks
            generations[key] = generation.id
            step()
    return generations, chunks


def catalogue(generations: Mapping[str, str]) -> Any:
    """Return the query's catalogue, in which these generations are live; nothing here filters documents."""
    return SimpleNamespace(live=lambda keys: {key: generations[key] for key in keys if key in generations})
