"""A collection of as many chunks as are wanted, written straight into Chroma and the ledger.

The first chunks are real ones, read and cut as ingest does it, with their units; only the lean to neighbours and
to the document's name is left out. Those that follow repeat their texts, with vectors at a cosine of about 0.78
from theirs, so that a search has near neighbours to choose between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from benchmarks.reading import default_reader
from benchmarks.speed.options import TooFewPdfsError
from docwell import pipeline
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.ingest.chunking import chunk_pages
from docwell.ingest.units import pack, split
from docwell.models import Chunk, IndexRecord, Units
from docwell.text.lexicon import sentences
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack
from infra.report import EVALUATION, ROOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK_TOKENS = 200  # as in docwell.config.EmbedderSettings
_NOISE = 0.8  # length of what is added to a vector of length 1
_CHUNKS_PER_DOCUMENT = 50
BATCH = 500
_LEDGER_BATCH = 25  # items of one BatchWriteItem
_LEAST_WORDS, _ASKED_WORDS = 12, 9
_SEED = 7


@dataclass(frozen=True)
class Texts:
    """Real chunks with their vectors, (n, 384) float32, and units, and questions that they answer."""

    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32]
    units: Sequence[Units]
    questions: Sequence[str]

    @classmethod
    def read(cls, folders: Sequence[Path], most: int) -> Texts:
        """Up to `most` chunks of the PDFs in the folders. Raises `TooFewPdfsError` where there are none."""
        embedder = OnnxEmbedder(MODEL_DIR)
        chunks = list(islice(_chunks(folders, embedder), most))
        if not chunks:
            raise TooFewPdfsError(f"no text in any PDF of {', '.join(map(str, folders))}")
        questions = [question for chunk in chunks if (question := _question(chunk.text))]
        spans = [split(chunk.text, embedder) for chunk in chunks]
        parts = [[chunk.text[start:end] for start, end in own] for chunk, own in zip(chunks, spans, strict=True)]
        units = [pack(own, embedder.embed_passages(part)) for own, part in zip(spans, parts, strict=True)]
        return cls(chunks, embedder.embed_passages([chunk.text for chunk in chunks]), units, questions)


def folders(pdfs: Sequence[Path], sets: Sequence[str] = ("xquad",)) -> tuple[Sequence[Path], str]:
    """Where the PDFs are, and what they are called: those given, else the evaluation sets', else the examples."""
    if pdfs:
        return pdfs, "the PDFs given"
    found = [folder for name in sets if (folder := EVALUATION / name / "pdf").is_dir()]
    return (found, f"the evaluation set's {', '.join(sets)}") if found else ([ROOT / "examples"], "the examples")


class FilledCollection:
    """A collection of one stack with `size` chunks, once it is filled."""

    def __init__(self, stack: Stack, texts: Texts, size: int) -> None:
        """Nothing is written yet."""
        self.name = f"bench-{size}"
        self.size = size
        self._stack = stack
        self._texts = texts
        self._random = np.random.default_rng(_SEED)
        self._pipeline = pipeline.fingerprint(ModelManifest.read(MODEL_DIR).fingerprint, _CHUNK_TOKENS)
        self._index = ChromaIndex(
            stack.chroma, self._pipeline, tenant="default_tenant", database="default_database", timeout_s=120
        )

    @property
    def chroma_name(self) -> str:
        """What Chroma calls it."""
        where = f"{self._stack.chroma}/api/v2/tenants/default_tenant/databases/default_database/collections"
        found = httpx.get(where, trust_env=False).raise_for_status().json()
        return str(next(one["name"] for one in found if one["metadata"]["collection"] == self.name))

    def fill(self, tick: Callable[[], None] = lambda: None) -> None:
        """Write everything; `tick` is called after each `BATCH` chunks."""
        self._write_ledger(sorted({self._key(number) for number in range(self.size)}))
        for start in range(0, self.size, BATCH):
            numbers = range(start, min(start + BATCH, self.size))
            self._index.upsert(self.name, [self._record(number) for number in numbers])
            tick()

    def _record(self, number: int) -> IndexRecord:
        which = number % len(self._texts.chunks)
        vector = self._texts.vectors[which]
        if number >= len(self._texts.chunks):
            away = self._random.standard_normal(len(vector), dtype=np.float32)
            vector = vector + away * (_NOISE / np.linalg.norm(away))
            vector /= np.linalg.norm(vector)
        chunk, units = self._texts.chunks[which], self._texts.units[which]
        return IndexRecord(f"{number:032x}", self._key(number), "live", "v1", chunk, vector.tolist(), units)

    def _key(self, number: int) -> str:
        return f"{self.name}/{number // _CHUNKS_PER_DOCUMENT:05}.pdf"

    def _write_ledger(self, keys: Sequence[str]) -> None:
        client = self._stack.client("dynamodb")
        for start in range(0, len(keys), _LEDGER_BATCH):
            puts = [{"PutRequest": {"Item": self._row(key)}} for key in keys[start : start + _LEDGER_BATCH]]
            client.batch_write_item(RequestItems={LEDGER_TABLE: puts})

    def _row(self, key: str) -> dict[str, Any]:
        texts = {
            "document": key,
            "pipeline": self._pipeline,
            "collection": self.name,
            "status": "INDEXED",
            "version": "v1",
            "live_version": "v1",
            "live_generation": "live",
        }
        return {name: {"S": value} for name, value in texts.items()}


def _chunks(folders: Sequence[Path], embedder: OnnxEmbedder) -> Iterator[Chunk]:
    reader = default_reader()
    for folder in folders:
        for path in sorted(folder.rglob("*.pdf"), key=_in_english_first):
            pages = reader.pages(path, 1, reader.inspect(path).page_count)
            yield from chunk_pages(pages, embedder, _CHUNK_TOKENS)


def _in_english_first(path: Path) -> tuple[bool, Path]:
    # The set's other languages are in files such as xq00_de.pdf.
    return "_" in path.stem, path


def _question(text: str) -> str | None:
    """The beginning of a chunk's first long sentence, asked for; None where it has none."""
    for sentence in sentences(text):
        words = re.findall(r"[^\W_][\w'-]*", sentence)
        if len(words) >= _LEAST_WORDS:
            return f"What is said of {' '.join(words[:_ASKED_WORDS])}?"
    return None
