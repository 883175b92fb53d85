"""A local stack beside a model server that answers at once: its questions, uploads and large collections."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.doors import Doors, Reply, local_stack
from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.model_host import MODEL, model_server
from benchmarks.reading import default_reader
from benchmarks.speed.options import BenchError
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import EmbedderSettings
from docwell.ingest.chunking import cut_pages
from docwell.ingest.indexing import pack_units
from docwell.ingest.outline import CutChunk
from docwell.models import Chunk, IndexRecord, Units
from docwell.text.lexicon import sentences
from docwell.wiring.pipelines import server_auth
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack

CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
BATCH = 500
_TIMEOUT_S = 60.0
# The local ledger takes 1 ms to read a row, so poll seldom while many documents wait.
_PAUSE_S, _PAUSE_FOR_EACH_S, _LONGEST_PAUSE_S = 0.05, 0.02, 2.0
_ROWS_OF_A_WRITE = 25  # the limit of BatchWriteItem
_NOISE = 0.8  # length of the noise that is added to a vector of length 1
_CHUNKS_PER_DOCUMENT = 50
_LEAST_WORDS, _ASKED_WORDS = 12, 9


@dataclass(frozen=True, slots=True)
class AskedStack:
    """A running stack, a client of its API, and the URL of its model server."""

    stack: Stack
    doors: Doors
    model: str

    def ask(self, questions: Sequence[str], collection: str) -> list[Reply]:
        return [self.doors.ask({"question": question, "collection": collection}) for question in questions]

    def without_model(self, questions: Sequence[str], collection: str) -> tuple[list[Reply], list[float]]:
        """Ask in a row; also return the milliseconds of each question without the model server's time."""
        self._model_seconds()
        answers = self.ask(questions, collection)
        seconds = self._model_seconds()
        if len(seconds) != len(answers):  # some question never reached the model, and it is unknown which one
            seconds = [0.0] * len(answers)
        return answers, [(answer.seconds - model) * 1000 for answer, model in zip(answers, seconds, strict=True)]

    def _model_seconds(self) -> list[float]:
        """Return the seconds that the model server held each chat since the last call."""
        seconds: list[float] = httpx.get(f"{self.model}/-/held", trust_env=False).json()
        return seconds

    def answerable(self, questions: Sequence[str], collection: str, fewest: int = 1) -> list[str]:
        """Return the questions that reach the model. Raises `BenchError` for fewer than `fewest`."""
        answers = self.ask(questions, collection)
        good = [question for question, answer in zip(questions, answers, strict=True) if is_answered(answer)]
        if len(good) < fewest:
            raise BenchError(f"{len(good)} questions are answered, not {fewest}: DOCWELL_EVAL names more PDFs")
        return good


def is_answered(answer: Reply) -> bool:
    """Return whether a question took the whole path, through the model."""
    return answer.status == 200 and (answer.body["status"], answer.body["mode"]) == ("answered", "passages")


@contextmanager
def asked_stack(**options: Any) -> Iterator[AskedStack]:
    """Run a stack whose model answers at once during the block; `options` are those of the stack."""
    options = {"ingest_workers": 1, "reconcile_every_s": 0, **options}
    with model_server() as model, local_stack(MODEL, model, **options) as stack, Doors(stack, _TIMEOUT_S) as doors:
        yield AskedStack(stack, doors, model)


@dataclass(frozen=True)
class Indexed:
    """The seconds from the first upload to the last document live, and the ledger's rows by key."""

    seconds: float
    rows: Mapping[str, Mapping[str, Any]]

    def total(self, field: str) -> int:
        """Return the sum of `pages`, `chunks` or `characters` of the documents that are indexed."""
        return sum(int(row.get(field, 0)) for row in self.rows.values() if row["status"] == "INDEXED")

    @property
    def not_indexed(self) -> list[str]:
        return [key for key, row in self.rows.items() if row["status"] != "INDEXED"]


def index(stack: Stack, bodies: Mapping[str, bytes | Path], timeout_s: float) -> Indexed:
    """Upload all into the bucket and wait for a final status in the ledger. Raises `TimeoutError`.

    The API would take more processor time than the ledger.
    """
    s3, started = stack.client("s3"), time.monotonic()
    versions: dict[str, str] = {}
    for key, body in bodies.items():
        content = body.read_bytes() if isinstance(body, Path) else body
        versions[key] = s3.put_object(Bucket=stack.bucket, Key=key, Body=content)["VersionId"]
    while True:
        rows = _settled(stack, versions)
        if not (waiting := len(versions) - len(rows)):
            return Indexed(time.monotonic() - started, rows)
        if time.monotonic() > started + timeout_s:
            raise TimeoutError(f"{waiting} documents have no final status after {timeout_s:.0f} s")
        time.sleep(min(max(_PAUSE_S, _PAUSE_FOR_EACH_S * waiting), _LONGEST_PAUSE_S))


def _settled(stack: Stack, versions: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Return the ledger's rows of the keys that have a final status for their version."""
    pipeline = PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint
    scan = stack.client("dynamodb").get_paginator("scan").paginate(TableName=LEDGER_TABLE, ConsistentRead=True)
    rows = [
        {name: next(iter(value.values())) for name, value in item.items()}
        for page in scan
        for item in page["Items"]
    ]
    return {
        row["document"]: row
        for row in rows
        if row["pipeline"] == pipeline
        and row.get("status", "PENDING") != "PENDING"
        and row.get("version") == versions.get(row["document"])
    }


@dataclass(frozen=True)
class Texts:
    """Real chunks with their vectors, (n, 384) float32, and units, and questions that they answer."""

    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32]
    units: Sequence[Units]
    questions: Sequence[str]

    @classmethod
    def read(cls, pdfs: Sequence[Path], limit: int) -> Self:
        """Read up to `limit` chunks of the PDFs."""
        embedder = OnnxEmbedder(MODEL_DIR)
        cut = list(islice(cut_pdfs(pdfs, embedder), limit))
        chunks = [chunk for chunk, _ in cut]
        units = [
            pack_units(spans, embedder.embed_passages([chunk.text[start:end] for start, end in spans]))
            for chunk, spans in cut
        ]
        questions = filter(None, (_question(chunk.text) for chunk in chunks))
        return cls(chunks, embedder.embed_passages([chunk.text for chunk in chunks]), units, list(questions))


def cut_pdfs(pdfs: Sequence[Path], embedder: OnnxEmbedder, most_of_one: int | None = None) -> Iterator[CutChunk]:
    """Yield the chunks of the PDFs, at most `most_of_one` of a PDF."""
    reader = default_reader()
    for path in pdfs:
        pages = reader.pages(path, 1, min(reader.inspect(path).page_count, most_of_one or sys.maxsize))
        cut = (chunk for _, chunks in cut_pages(pages, embedder, CHUNK_TOKENS) for chunk in chunks)
        yield from islice(cut, most_of_one)


def _question(text: str) -> str | None:
    """Return a question for a chunk's first long sentence, or None where it has none."""
    for sentence in sentences(text):
        words = re.findall(r"[^\W_][\w'-]*", sentence)
        if len(words) >= _LEAST_WORDS:
            return f"What is said of {' '.join(words[:_ASKED_WORDS])}?"
    return None


def fill(stack: Stack, texts: Texts, size: int, step: Callable[[], None] = lambda: None) -> str:
    """Write a collection of `size` chunks straight into Chroma and the ledger; return its name.

    The chunks after the first ones repeat their texts, with vectors at a cosine of about 0.78 to theirs, so that a
    search has near neighbours to choose from.
    """
    name, chooser = f"bench-{size}", np.random.default_rng(7)
    pipeline = PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.chroma_token), timeout_s=120)
    chroma = ChromaIndex(server, Layout(pipeline, SHARDS))

    def record(number: int) -> IndexRecord:
        place = number % len(texts.chunks)
        vector = texts.vectors[place]
        if number >= len(texts.chunks):
            noise = chooser.standard_normal(len(vector), dtype=np.float32)
            vector = vector + noise * (_NOISE / np.linalg.norm(noise))
            vector /= np.linalg.norm(vector)
        key = f"{name}/{number // _CHUNKS_PER_DOCUMENT:05}.pdf"
        chunk, units = texts.chunks[place], texts.units[place]
        return IndexRecord(f"{number:032x}", key, "live", "v1", chunk, vector.tolist(), units)

    fields = {"pipeline": pipeline, "collection": name, "status": "INDEXED"}
    fields |= {"version": "v1", "live_version": "v1", "live_generation": "live"}
    keys = [f"{name}/{number:05}.pdf" for number in range(-(-size // _CHUNKS_PER_DOCUMENT))]
    for start in range(0, len(keys), _ROWS_OF_A_WRITE):
        rows = [{"document": key, **fields} for key in keys[start : start + _ROWS_OF_A_WRITE]]
        items = [{field: {"S": value} for field, value in row.items()} for row in rows]
        puts = [{"PutRequest": {"Item": item}} for item in items]
        stack.client("dynamodb").batch_write_item(RequestItems={LEDGER_TABLE: puts})
    for start in range(0, size, BATCH):
        chroma.upsert(name, [record(number) for number in range(start, min(start + BATCH, size))])
        step()
    return name
