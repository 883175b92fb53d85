"""Writes the documents of the sets to a new index, and caches their vectors for the next run."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.chroma import chroma_server
from benchmarks.retrieval.records import CACHE, Records, generation_of
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.model_manifest import QUESTIONS_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import IngestLimits, QuerySettings
from docwell.models import IndexRecord, collection_of
from infra.progress import bar

_LOOKED_UP_AT_ONCE = 500
_EMBEDDED_AT_ONCE = 256
# The most that ingest can be set to write at once (`IngestLimits.upsert_batch`).
_WRITTEN_AT_ONCE = 1000


class CachedEmbedder:
    """The embedders of a model folder that ingest and query use. Thread-safe.

    Each text's vector is computed once for all runs with this model.
    """

    def __init__(self, folder: Path) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        embedder = OnnxEmbedder(folder)
        asking = OnnxEmbedder(folder, 0, session_opener("onnxruntime"), for_questions=True)
        self._passages, self._questions = embedder.embed_passages, asking.embed_queries
        entry = asking.manifest.stored.get(QUESTIONS_FILE)
        self._question = f"query {entry.sha256}" if entry else "query"
        path = CACHE / f"{embedder.manifest.fingerprint[:16]}.sqlite3"
        self._rows = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._lock = Lock()
        self._rows.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
        self.name, self.fingerprint = embedder.manifest.name, embedder.manifest.fingerprint
        self.max_tokens = embedder.max_tokens
        self.offsets, self.cuts_at_blanks = embedder.offsets, embedder.cuts_at_blanks

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock:
            return self._known("passage", texts, self._passages)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock:
            return self._known(self._question, texts, self._questions)

    def _known(
        self, kind: str, texts: Sequence[str], work: Callable[[Sequence[str]], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        keys = [sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).digest() for text in texts]
        vectors = self._stored(keys)
        absent = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        order = list(absent)
        for start in range(0, len(order), _EMBEDDED_AT_ONCE):
            some = order[start : start + _EMBEDDED_AT_ONCE]
            made = dict(zip(some, work([absent[key] for key in some]), strict=True))
            rows = [(key, vector.tobytes()) for key, vector in made.items()]
            self._rows.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            self._rows.commit()
            vectors |= made
        return np.stack([vectors[key] for key in keys]) if keys else work(())

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
        kept_passages = QuerySettings.model_fields["kept_passages"].default
        yield ChromaIndex(ChromaServer(url, timeout_s=60), layout, kept_passages)


def indexed(
    files: Mapping[str, Path], index: ChromaIndex, embedder: CachedEmbedder
) -> tuple[dict[str, str], dict[str, int]]:
    """Write the records of every file; return the generations and the number of chunks, by key."""
    generations, chunks = dict[str, str](), dict[str, int]()

    def records() -> Iterator[IndexRecord]:
        with bar("indexing", len(files)) as step:
            for key, written in Records(embedder, embedder.fingerprint).of(files):
                step.say(key)
                yield from written
                generations[key] = generation_of(key, embedder.fingerprint).id
                chunks[key] = len(written)
                step()

    for collection, group in groupby(records(), lambda one: collection_of(one.document)):
        while batch := list(islice(group, _WRITTEN_AT_ONCE)):
            index.upsert(collection, batch)
    return generations, chunks


def catalogue(generations: Mapping[str, str]) -> Any:
    """Return the query's catalogue, in which these generations are live; nothing here filters documents."""
    return SimpleNamespace(live=lambda keys: {key: generations[key] for key in keys if key in generations})
