"""A collection of any number of chunks, written straight into Chroma and the ledger.

The first chunks are real, read and cut as ingest does. The rest repeat their texts, with vectors at a cosine of
about 0.78 to theirs, so that a search has near neighbours to choose from.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.reading import default_reader
from benchmarks.speed.options import BenchError
from benchmarks.speed.stack import CHUNK_TOKENS
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.ingest.chunking import cut_pages
from docwell.ingest.indexing import pack_units
from docwell.ingest.outline import CutChunk
from docwell.models import Chunk, IndexRecord, Units
from docwell.text.lexicon import sentences
from docwell.wiring.stores import server_auth
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack

_NOISE = 0.8  # length of the noise that is added to a vector of length 1
_CHUNKS_PER_DOCUMENT = 50
BATCH = 500
_LEDGER_BATCH = 25  # items of one BatchWriteItem
_LEAST_WORDS, _ASKED_WORDS = 12, 9


@dataclass(frozen=True)
class Texts:
    """Real chunks with their vectors, (n, 384) float32, and units, and questions that they answer."""

    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32]
    units: Sequence[Units]
    questions: Sequence[str]

    @classmethod
    def read(cls, folders: Sequence[Path], limit: int) -> Self:
        """Read up to `limit` chunks of the PDFs in the folders. Raises `BenchError` where there are none."""
        embedder = OnnxEmbedder(MODEL_DIR)
        cut = list(islice(cut_folders(folders, embedder), limit))
        if not cut:
            raise BenchError(f"no text in any PDF of {', '.join(map(str, folders))}")
        units, questions = [], []
        for chunk, spans in cut:
            parts = [chunk.text[start:end] for start, end in spans]
            units.append(pack_units(spans, embedder.embed_passages(parts)))
            questions += [question] if (question := _question(chunk.text)) else []
        chunks = [chunk for chunk, _ in cut]
        return cls(chunks, embedder.embed_passages([chunk.text for chunk in chunks]), units, questions)


class FilledCollection:
    """A collection of one stack with `size` chunks."""

    def __init__(self, stack: Stack, texts: Texts, size: int, step: Callable[[], None] = lambda: None) -> None:
        self.name = f"bench-{size}"
        self.size = size
        self._stack = stack
        self._texts = texts
        self._random = np.random.default_rng(7)
        self.pipeline = PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint
        server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.chroma_token), timeout_s=120)
        index = ChromaIndex(server, Layout(self.pipeline, SHARDS))
        self._write_ledger(sorted({self._key(number) for number in range(size)}))
        for start in range(0, size, BATCH):
            index.upsert(self.name, [self._record(number) for number in range(start, min(start + BATCH, size))])
            step()

    def _record(self, number: int) -> IndexRecord:
        place = number % len(self._texts.chunks)
        vector = self._texts.vectors[place]
        if number >= len(self._texts.chunks):
            away = self._random.standard_normal(len(vector), dtype=np.float32)
            vector = vector + away * (_NOISE / np.linalg.norm(away))
            vector /= np.linalg.norm(vector)
        chunk, units = self._texts.chunks[place], self._texts.units[place]
        return IndexRecord(f"{number:032x}", self._key(number), "live", "v1", chunk, vector.tolist(), units)

    def _key(self, number: int) -> str:
        return f"{self.name}/{number // _CHUNKS_PER_DOCUMENT:05}.pdf"

    def _write_ledger(self, keys: Sequence[str]) -> None:
        client = self._stack.client("dynamodb")
        for start in range(0, len(keys), _LEDGER_BATCH):
            puts = [{"PutRequest": {"Item": self._row(key)}} for key in keys[start : start + _LEDGER_BATCH]]
            client.batch_write_item(RequestItems={LEDGER_TABLE: puts})

    def _row(self, key: str) -> dict[str, Any]:
        texts = {"document": key, "pipeline": self.pipeline, "collection": self.name, "status": "INDEXED"}
        texts |= {"version": "v1", "live_version": "v1", "live_generation": "live"}
        return {name: {"S": value} for name, value in texts.items()}


def cut_folders(folders: Sequence[Path], embedder: OnnxEmbedder, each: int | None = None) -> Iterator[CutChunk]:
    """Yield the chunks of the PDFs in the folders, at most `each` of one PDF."""
    reader = default_reader()
    for folder in folders:
        # English first: the set's other languages are in files such as xq00_de.pdf.
        for path in sorted(folder.rglob("*.pdf"), key=lambda path: ("_" in path.stem, path)):
            pages = reader.pages(path, 1, min(reader.inspect(path).page_count, each or sys.maxsize))
            cut = (chunk for _, chunks in cut_pages(pages, embedder, CHUNK_TOKENS) for chunk in chunks)
            yield from islice(cut, each)


def _question(text: str) -> str | None:
    """Return a question for a chunk's first long sentence, or None where it has none."""
    for sentence in sentences(text):
        words = re.findall(r"[^\W_][\w'-]*", sentence)
        if len(words) >= _LEAST_WORDS:
            return f"What is said of {' '.join(words[:_ASKED_WORDS])}?"
    return None
