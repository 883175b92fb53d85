"""``python -m benchmarks.speed [NAME...]``: measure, and write `build/reports/bench-NAME.json`.

Without a name it runs all, then writes docs/generated/benchmarks.md from the reports. Exit status: 0 every goal is
met, 1 a goal is missed, 2 wrong usage or something that a benchmark needs is missing.

Questions take the whole path of a local stack: identity, quota, embedding, search, ranking, prompt, model, checks
and receipt. Its model server answers at once with a sentence of the first passage. Each cold start is a fresh
process under the local runtime, with the deployed packages and no others. In the short form, and where this Python
is not Lambda's 3.13, it uses the packages of the development environment.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import chain, count, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Self, TypeVar
from venv import EnvBuilder

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.chaos import PAGES, QUESTION
from benchmarks.doors import Doors, Reply, ledger_rows, local_servers, local_stack, workers_of
from benchmarks.faults.world import CREATED, SHARDS, PipelinePlace, notification, sqs_event
from benchmarks.model_host import DELAY_PATH, MODEL, model_server
from benchmarks.pdfs import pages_of_words, pdf
from benchmarks.reading import default_reader
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout, stored_fields
from docwell.adapters.embedding.model_manifest import MODEL_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for
from docwell.config import EmbedderSettings, EmbedRuntime, IngestSettings, QuerySettings
from docwell.ingest.chunking import cut_pages
from docwell.ingest.indexing import pack_units
from docwell.ingest.outline import CutChunk
from docwell.models import Chunk, IndexRecord, Units, collection_of
from docwell.text.lexicon import sentences
from docwell.wiring.pipelines import server_auth
from infra.container import packages
from infra.container.sam import StepError
from infra.local.names import LEDGER_TABLE, LOCAL_PRINCIPAL
from infra.local.stack import MODEL_DIR, Stack, StackOptions, function_variables
from infra.measuring import Spread, in_turns, ratios
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, REPORTS, ROOT, Report
from runtime.functions import Environment, FunctionSpec, Stream

CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
_PIPELINE = PipelinePlace(MODEL_DIR, CHUNK_TOKENS)  # of the local stack
BATCH, _TIMEOUT_S = 500, 60.0
# The local ledger takes 1 ms to read a row, so poll seldom while many documents wait.
_PAUSE_S, _PAUSE_FOR_EACH_S, _LONGEST_PAUSE_S = 0.05, 0.02, 2.0
_ROWS_OF_A_WRITE = 25  # the limit of BatchWriteItem
_NOISE = 0.8  # length of the noise that is added to a vector of length 1
_CHUNKS_PER_DOCUMENT = 50
_LEAST_WORDS, _ASKED_WORDS = 12, 9
T = TypeVar("T")


class BenchError(Exception):
    """A benchmark cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """`short` is the form for CI: less of everything, and no goals for timings."""

    short: bool = False

    def form(self, long: T, short: T) -> T:
        """Return `short` in the short form, else `long`."""
        return short if self.short else long

    def goal(self, text: str) -> str | None:
        """Return the goal of a timing; the short form measures too little to have one."""
        return None if self.short else text

    def pdfs(self, *sets: str) -> list[Path]:
        """Return the PDFs of these evaluation sets, else the examples."""
        material = [folder for name in sets if (folder := EVALUATION / name / "pdf").is_dir()]
        # Read English first: the other languages of XQuAD are in files such as xq00_de.pdf.
        return [
            path
            for folder in material or [ROOT / "examples"]
            for path in sorted(folder.rglob("*.pdf"), key=lambda path: ("_" in path.stem, path))
        ]


def seconds_of(work: Callable[[], object]) -> float:
    """Run a work and return its seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class AskedStack:
    """A running stack, and a client of its API."""

    stack: Stack
    doors: Doors

    def ask(self, questions: Iterable[str], collection: str | None) -> list[Reply]:
        return [self.doors.ask({"question": question, "collection": collection}) for question in questions]

    def answerable(self, questions: Sequence[str], collection: str | None, fewest: int = 1) -> list[str]:
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
        yield AskedStack(stack, doors)


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
        rows = {
            row["document"]: row
            for row in ledger_rows(stack.client("dynamodb"))
            if row["pipeline"] == _PIPELINE.fingerprint
            and row.get("status", "PENDING") != "PENDING"
            and row.get("version") == versions.get(row["document"])
        }
        if not (waiting := len(versions) - len(rows)):
            return Indexed(time.monotonic() - started, rows)
        if time.monotonic() > started + timeout_s:
            raise TimeoutError(f"{waiting} documents have no final status after {timeout_s:.0f} s")
        time.sleep(min(max(_PAUSE_S, _PAUSE_FOR_EACH_S * waiting), _LONGEST_PAUSE_S))


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
        cut = list(islice((chunk for path in pdfs for chunk in _cut(path, embedder)), limit))
        chunks = [chunk for chunk, _ in cut]
        units = [
            pack_units(spans, embedder.embed_passages([chunk.text[start:end] for start, end in spans]))
            for chunk, spans in cut
        ]
        questions = filter(None, (_question(chunk.text) for chunk in chunks))
        return cls(chunks, embedder.embed_passages([chunk.text for chunk in chunks]), units, list(questions))


def _cut(path: Path, embedder: OnnxEmbedder) -> Iterator[CutChunk]:
    pages = default_reader().pages(path, 1, default_reader().inspect(path).page_count)
    return (chunk for _, chunks in cut_pages(pages, embedder, CHUNK_TOKENS) for chunk in chunks)


def _question(text: str) -> str | None:
    """Return a question for a chunk's first long sentence, or None where it has none."""
    for sentence in sentences(text):
        words = re.findall(r"[^\W_][\w'-]*", sentence)
        if len(words) >= _LEAST_WORDS:
            return f"What is said of {' '.join(words[:_ASKED_WORDS])}?"
    return None


def fill(
    stack: Stack, texts: Texts, size: int, step: Callable[[], None] = lambda: None, collections: int = 1
) -> str:
    """Write `size` chunks straight into Chroma and the ledger; return the name of the first collection.

    The chunks after the first ones repeat their texts, with vectors at a cosine of about 0.78 to theirs, so that a
    search has near neighbours to choose from.
    """
    names = [f"bench-{size}", *(f"bench-{size}-{number}" for number in range(1, collections))]
    pipeline, chooser = _PIPELINE.fingerprint, np.random.default_rng(7)
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.token), timeout_s=120)
    layout = Layout(pipeline, SHARDS)
    of_document = min(_CHUNKS_PER_DOCUMENT, size // collections)

    def key(number: int) -> str:
        return f"{names[number // of_document % collections]}/{number // of_document:05}.pdf"

    def record(number: int) -> IndexRecord:
        place = number % len(texts.chunks)
        vector = texts.vectors[place]
        if number >= len(texts.chunks):
            noise = chooser.standard_normal(len(vector), dtype=np.float32)
            vector = vector + noise * (_NOISE / np.linalg.norm(noise))
        chunk, values = texts.chunks[place], vector.tolist()
        return IndexRecord(f"{number:032x}", key(number), "live", "v1", chunk, values, texts.units[place])

    fields = {"status": "INDEXED", "version": "v1", "live_version": "v1", "live_generation": "live"}
    keys = dict.fromkeys(map(key, range(size)))
    rows = [fields | {"document": row, "pipeline": pipeline, "collection": collection_of(row)} for row in keys]
    puts = [{"PutRequest": {"Item": {field: {"S": value} for field, value in row.items()}}} for row in rows]
    for start in range(0, len(puts), _ROWS_OF_A_WRITE):
        stack.client("dynamodb").batch_write_item(RequestItems={LEDGER_TABLE: puts[start:][:_ROWS_OF_A_WRITE]})
    for start in range(0, size, BATCH):
        placed = [(collection_of(row.document), row) for row in map(record, range(start, size)[:BATCH])]
        for shard in {layout.name(name) for name, _ in placed}:
            of_shard = [(name, row) for name, row in placed if layout.name(name) == shard]
            columns = {
                "ids": [layout.mark(name) + row.id for name, row in of_shard],
                "embeddings": [row.vector for _, row in of_shard],
                "documents": [row.chunk.text for _, row in of_shard],
                "metadatas": [stored_fields(name, row, "live") for name, row in of_shard],
            }
            server.upsert(shard, layout.metadata(), columns)
        step()
    return names[0]


JUDGED = 10_000  # chunks in the collection that the goals are about
_LEAST_QUESTIONS, _TOP_K, _THREADS = 10, 5, 2


def query(report: Report, options: Options) -> None:
    """Measure whole questions over one collection. Raises `BenchError` where the PDFs lack text."""
    _ask_over(report, options, [options.form(JUDGED, 1_000)])


def scale(report: Report, options: Options) -> None:
    """Measure growth: a question by chunks and by collections, and ingest by documents of one page."""
    sizes = options.form([1_000, JUDGED, 100_000], [100, 1_000])
    texts = _ask_over(report, options, sizes)
    rounds, size = options.form((5, 40), (3, 10))
    by_collections, by_documents = dict[int, list[float]](), dict[int, list[float]]()
    for collections in options.form((1, 10, 1_000), (1, 10, 100)):
        with asked_stack() as bench:
            fill(bench.stack, texts, 1_000, collections=collections)
            turns = cycle(bench.answerable(texts.questions[:size], None))
            asked = [bench.ask(islice(turns, size), None) for _ in range(rounds)]
            by_collections[collections] = [1000 * median(reply.seconds for reply in row) for row in asked]
    with asked_stack(ingest_workers=WORKERS) as bench:
        index(bench.stack, {"warm-up/0.pdf": pages_of_words(1, WORDS)}, _INDEXED_S)
        for documents in options.form((1, 100, 10_000), (1, 10, 100)):
            bodies = {f"in-{documents}/{n}.pdf": pages_of_words(1, WORDS, f"{n}") for n in range(documents)}
            by_documents[documents] = [index(bench.stack, bodies, _INDEXED_S).seconds]
    for work, unit, samples in (
        ("question over all collections, p50", "ms", by_collections),
        ("ingest of documents", "s", by_documents),
    ):
        for number, values in samples.items():
            report.add_spread(f"{work}: {number:,}", Spread.of(values), unit)
        _add_growth(report, work, samples)


def _add_growth(report: Report, name: str, samples: Mapping[int, Sequence[float]]) -> None:
    low, high = sorted(samples)[-2:]
    exponents = np.log(np.divide(samples[high], samples[low])) / np.log(high / low)
    report.add_spread(f"{name}: exponent, {low:,} to {high:,}", Spread.of(exponents.tolist()), "")


def _ask_over(report: Report, options: Options, sizes: Sequence[int]) -> Texts:
    """Add questions over collections of these sizes. They are repeated, and the function caches candidates."""
    texts = Texts.read(options.pdfs("xquad"), options.form(1_000, 100))
    with asked_stack() as bench:
        with bar("filling", sum(-(-size // BATCH) for size in sizes)) as step:
            collections = {size: fill(bench.stack, texts, size, step) for size in sizes}
        questions = list(texts.questions[: options.form(None, 30)])
        for name in collections.values():
            questions = bench.answerable(questions, name, _LEAST_QUESTIONS)
        before = _memory_mb()
        replies = _add_sizes(report, options, bench, collections, cycle(questions))
        goal = options.goal("<= 1.05") if len(sizes) == 1 else None  # other chunks fill the cache
        report.add("growth of the query function's memory", _memory_mb() / before, "x", goal)
        bodies = [{"question": text, "collection": name, "stream": True} for text in questions]
        host = f"{bench.stack.ollama}{DELAY_PATH}"
        pairs = [(bench.doors.ask(body).first_token_s or _TIMEOUT_S, *httpx.get(host).json()) for body in bodies]
        report.add_spread("first token of a stream: p50", Spread.of([1000 * ours for ours, _ in pairs]), "ms")
        added = Spread.of([1000 * (ours - hosts) for ours, hosts in pairs])
        report.add_spread("first token, over the model host's own: p50", added, "ms", options.goal("<= 60"))
    unanswered = sum(not is_answered(reply) for reply in replies)
    report.add("questions without an answer", unanswered, f"of {len(replies):,}", "== 0")
    return texts


def _add_sizes(
    report: Report, options: Options, bench: AskedStack, collections: dict[int, str], turns: Iterator[str]
) -> list[Reply]:
    """Add the times of one client, and the processor time of a question, by the size of the collection.

    Return all answers.
    """
    rounds, questions_of_a_round = options.form((7, 60), (2, 15))
    replies, samples = list[Reply](), dict[int, list[float]]((size, []) for size in collections)
    used: dict[int, list[NDArray[np.float64]]] = {size: [] for size in collections}

    def median_ms(size: int) -> float:
        before = _processor_ms()
        answers = bench.ask(list(islice(turns, questions_of_a_round)), collections[size])
        used[size].append((_processor_ms() - before) / questions_of_a_round)
        replies.extend(answers)
        milliseconds = [1000 * answer.seconds for answer in answers]
        samples[size] += milliseconds
        return median(milliseconds)

    with bar("one client", rounds * len(collections)) as step:
        medians = in_turns({f"{size}": partial(median_ms, size) for size in collections}, rounds, step)
    for size, milliseconds in samples.items():
        name, busy = f"warm, {size:,} chunks, 1 client", f"processor time of a question, {size:,} chunks"
        p50, p95, processor = ("<= 20", "<= 40", "<= 25") if size == JUDGED else (None,) * 3
        report.add_spread(f"{name}: p50", Spread.of(medians[f"{size}"]), "ms", p50)
        report.add(f"{name}: p95", float(np.quantile(milliseconds, 0.95)), "ms", p95)
        for part, times in zip(("query function", "Chroma"), np.transpose(used[size]), strict=True):
            report.add_spread(f"{busy}: {part}", Spread.of(times.tolist()), "ms")
        report.add_spread(f"{busy}: both", Spread.of(np.sum(used[size], axis=1).tolist()), "ms", processor)
    if len(samples) > 1:
        low, high = min(samples), max(samples)
        growth = ratios(medians[f"{high}"], medians[f"{low}"])
        report.add_spread(f"p50, {high:,} chunks over {low:,}", growth, "x", options.goal("<= 2"))
        _add_growth(report, "p50, by chunks", {size: medians[f"{size}"] for size in samples})
    return replies


def _memory_mb() -> float:
    """Return the memory of the largest query function: all questions of one client go to one environment."""
    workers = workers_of(psutil.Process(), StackOptions.query_handler)
    return max(worker.memory_info().rss for worker in workers) / 1e6


def _processor_ms() -> NDArray[np.float64]:
    """Return the milliseconds that the query function and Chroma have run so far, user and system."""
    parent = psutil.Process()
    chroma = [process for process in parent.children(recursive=True) if process.name() == "chroma"]
    parts = workers_of(parent, StackOptions.query_handler), chroma
    return np.array([1000 * sum(sum(process.cpu_times()[:2]) for process in part) for part in parts])


def find(report: Report, options: Options) -> None:
    """Measure a question embedded and its nearest five chunks found. Raises `BenchError`.

    docwell is measured by the function's clock; its limit is embedder and index alone.
    Both get the same questions in a round, and no question repeats.
    """
    rounds, largest, chunks = options.form((4, 60, 10_000), (2, 10, 1_000))
    texts = Texts.read(options.pdfs("xquad"), options.form(1_000, 100))
    questions = list(dict.fromkeys(texts.questions))
    size = min(largest, len(questions) // (rounds + 1))
    if size < _LEAST_QUESTIONS:
        raise BenchError(f"the PDFs give {len(questions)} questions: DOCWELL_EVAL names more PDFs")
    with asked_stack() as bench:
        with bar("filling", -(-chunks // BATCH)) as step:
            collection = fill(bench.stack, texts, chunks, step)
        samplers = {
            name: _rounds_of(work, questions, size) for name, work in _finders(bench.stack, collection).items()
        }
        for sampler in samplers.values():  # the first round warms up
            sampler()
        with bar("rounds", rounds * len(samplers)) as step:
            medians = in_turns(samplers, rounds, step)
    for name, samples in medians.items():
        report.add_spread(f"{name}, {chunks:,} chunks: p50", Spread.of(samples), "ms")
    added = Spread.of([docwell - alone for docwell, alone in zip(*medians.values(), strict=True)])
    report.add_spread("docwell beyond embedder and index alone: p50", added, "ms", options.goal("<= 5"))


def _rounds_of(work: Callable[[str], float], questions: Sequence[str], size: int) -> Callable[[], float]:
    """Return a function that gives the median milliseconds of the next `size` questions."""
    turns = iter(questions)
    return lambda: 1000 * median(work(question) for question in islice(turns, size))


def _finders(stack: Stack, collection: str) -> dict[str, Callable[[str], float]]:
    """Return docwell and the limits by name; each takes a question and returns seconds."""
    embedder = OnnxEmbedder(MODEL_DIR, _THREADS, session_opener("onnxruntime"), for_questions=True)
    layout = Layout(_PIPELINE.fingerprint, SHARDS)
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.token))
    index = ChromaIndex(server, layout, int(QuerySettings.model_fields["kept_passages"].default))
    client = stack.http(60.0)

    def docwell(question: str) -> float:
        body = {"question": question, "collection": collection, "top_k": _TOP_K}
        answer = client.post("/v1/search", json=body).raise_for_status().json()
        return float(answer["timings_ms"]["total"]) / 1000

    def alone(question: str) -> float:
        return seconds_of(
            lambda: index.search({collection: None}, embedder.embed_queries([question])[0].tolist(), _TOP_K)
        )

    return {
        "docwell with grants, live generations and ranking": docwell,
        "docwell, embedder and index alone": alone,
    }


SLICES, SHORT_PDFS, WORKERS = 3, 4, 2
# Pages of about 150 words are one chunk each; the ratio of LARGE to SMALL shows whether memory is flat.
MEMORY_PAGES, SMALL, LARGE = (10, 100, 1_000, 5_000), 100, 5_000
WORDS = 150
_INDEXED_S = 3600.0


def ingest(report: Report, options: Options) -> None:
    """Measure PDFs from upload to live, in three slices; the short form takes few.

    A local stack has two workers of one thread each. `encode` measures the encoder, most of their work, alone.
    """
    pdfs = options.pdfs(*options.form(("financebench", "xquad"), ()))[: options.form(None, SHORT_PDFS)]
    count = min(options.form(SLICES, 1), len(pdfs))
    slices = [sorted(pdfs, key=lambda pdf: pdf.stat().st_size)[turn::count] for turn in range(count)]
    done = []
    with asked_stack(environment={"DOCWELL_EMBED_THREADS": "1"}, ingest_workers=WORKERS) as bench:
        index(bench.stack, {f"warm-up/{number}.pdf": pdfs[0] for number in range(WORKERS)}, _INDEXED_S)
        with bar("slices", len(slices)) as step:
            for turn, paths in enumerate(slices):
                bodies: dict[str, bytes | Path] = {
                    f"slice-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(paths)
                }
                done.append(index(bench.stack, bodies, _INDEXED_S))
                step()
    report.add("PDFs", len(pdfs), "PDFs")
    report.add("pages of them", sum(result.total("pages") for result in done), "pages")
    for figure in ("pages", "chunks", "characters"):
        speeds = Spread.of([result.total(figure) / result.seconds for result in done])
        report.add_spread(f"docwell: {figure} a second", speeds, f"{figure}/s")
    report.add("docwell: PDFs that it did not index", sum(len(result.not_indexed) for result in done), "PDFs")


def _proportion(process: psutil.Process) -> int:
    """Return a child's part of the bytes that it shares, or 0 right after the fork, while it copies the worker."""
    try:
        return 0 if StackOptions.ingest_handler in process.cmdline() else int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def memory(report: Report, options: Options) -> None:
    """Measure the peak of the ingest worker for 10 to 5,000 pages."""
    sizes = options.form(MEMORY_PAGES, (SMALL,))
    with bar("ingest", len(sizes)) as step:
        peaks: dict[int, int] = {}
        for pages in sizes:
            peaks[pages] = _peak(pages)
            step()
    for pages, peak in peaks.items():
        name = f"ingest, {pages:,} pages: peak, worker and child"
        report.add(name, peak / 1e6, "MB", options.goal("<= 500"))
    if LARGE in peaks:
        growth = peaks[LARGE] / peaks[SMALL]
        report.add(f"ingest, {LARGE:,} pages over {SMALL} pages", growth, "x", options.goal("<= 1.2"))


def _peak(pages: int) -> int:
    """Return the peak in bytes of the ingest worker with its children, for one document in a new stack.

    Raises `RuntimeError` where the document is refused.
    """
    bodies = {f"memory/{pages}.pdf": pages_of_words(pages, WORDS)}
    peak, workers = 0, list[psutil.Process]()
    with asked_stack() as bench, ThreadPoolExecutor(1) as pool:
        done = pool.submit(index, bench.stack, bodies, _INDEXED_S)
        while not done.done():
            workers = workers or workers_of(psutil.Process(), StackOptions.ingest_handler)
            for process in workers:
                with suppress(psutil.Error):
                    children = sum(map(_proportion, process.children(recursive=True)))
                    peak = max(peak, process.memory_info().rss + children)
            time.sleep(_PAUSE_S)
    if done.result().not_indexed or not peak:
        raise RuntimeError(f"{pages} pages were not indexed: {done.result().rows}")
    return peak


# Percent of the speed of the bare runtime on the same arrays. OpenVINO is not installed on ARM.
_ENCODE_GOALS: Mapping[EmbedRuntime, str] = {"onnxruntime": ">= 95", "openvino": ">= 97"}
_INGEST_BATCH = int(IngestSettings.model_fields["upsert_batch"].default)
_CHUNKS_OF_A_PDF = 32  # at most, so that a long document is not the whole sample


def encode(report: Report, options: Options) -> None:
    """Measure the embedder beside the bare runtimes on its arrays, and its cosines to single precision."""
    runtimes, threads = [name for name in _ENCODE_GOALS if find_spec(name)], threads_for(None)
    embedders = {name: OnnxEmbedder(MODEL_DIR, threads, session_opener(name)) for name in runtimes}
    cut = (
        islice(_cut(path, embedders[runtimes[0]]), _CHUNKS_OF_A_PDF)
        for path in options.pdfs("financebench", "xquad")
    )
    texts = [chunk.text for chunk, _ in islice(chain.from_iterable(cut), options.form(_INGEST_BATCH, 32))]
    samplers, rounds = dict[str, Callable[[], float]](), options.form(8, 2)
    for name, embedder in embedders.items():
        feeds = [feed for _, feed in embedder.feeds(texts)]
        tokens = sum(int(feed["attention_mask"].sum()) for feed in feeds)  # the same in all
        samplers[f"docwell, {name}"] = partial(seconds_of, partial(embedder.embed_passages, texts))
        samplers[f"limit: raw {name}"] = partial(seconds_of, _raw(name, feeds, threads))
    for sampler in samplers.values():  # the first round warms up
        sampler()
    with bar("rounds", rounds * len(samplers)) as step:
        seconds = in_turns(samplers, rounds, step)
    for name in runtimes:
        share = ratios([100 * raw for raw in seconds[f"limit: raw {name}"]], seconds[f"docwell, {name}"])
        report.add_spread(f"docwell's speed of raw {name}'s", share, "%", options.goal(_ENCODE_GOALS[name]))
    for title, samples in seconds.items():
        speeds = Spread.of([tokens / sample for sample in samples])
        report.add_spread(f"{title}: tokens a second", speeds, "tokens/s")
    # onnxruntime computes in single precision. A table would show a cosine of 0.9999 as 1.
    single, fast = (embedders[name].embed_passages(texts) for name in (runtimes[0], runtimes[-1]))
    lacks = 1e6 * (1 - float(np.min(np.sum(single.astype(np.float64) * fast, axis=1))))
    report.add("lowest cosine to single precision: what it lacks to 1", lacks, "millionths", "<= 100")


def _raw(runtime: EmbedRuntime, feeds: Sequence[Any], threads: int) -> Callable[[], object]:
    """Return a run of the bare runtime, as in its documentation."""
    path = str(MODEL_DIR / MODEL_FILE)
    if runtime == "openvino":
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
        return lambda: [request.infer(feed, share_inputs=True) for feed in feeds]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: [session.run(None, feed) for feed in feeds]


_LAMBDA_PYTHON = (3, 13)
_QUESTION_EVENT = ROOT / "tests" / "events" / "query.json"
_COLD_STREAM_S = 300.0
# Ingest first: query needs a document.
_COLDSTART_GOALS = {"ingest": ("first document live", "<= 0.8"), "query": ("first answer", "<= 0.5")}


@dataclass
class _Function:
    """A function that is started again and again. `begin` makes the next event; `holds` checks the result."""

    spec: FunctionSpec
    begin: Callable[[], tuple[str, dict[str, Any]]]
    holds: Callable[[str, str], bool]
    ready: list[float] = field(default_factory=list)

    def start(self) -> float:
        """Return the seconds from the start of a fresh process to its answer.

        Raises `FunctionError`, and `BenchError` for an answer that is wrong.
        """
        key, event = self.begin()
        started = time.perf_counter()
        environment = Environment(self.spec)
        try:
            environment.wait_ready()
            self.ready.append(time.perf_counter() - started)
            answer = _complete(environment.begin(json.dumps(event).encode()))
            seconds = time.perf_counter() - started
        finally:
            environment.kill()
        if not self.holds(key, answer):
            raise BenchError(f"a fresh process did not do its work: {answer}")
        return seconds


def _complete(answer: bytes | Stream) -> str:
    """Return the answer; of a stream its body, once the environment is free."""
    if not isinstance(answer, Stream):
        return answer.decode()
    free = threading.Event()
    answer.start(lambda _: free.set())
    answer.metadata()
    body = b"".join(answer).decode()
    free.wait(_COLD_STREAM_S)
    return body


def coldstart(report: Report, options: Options) -> None:
    """Add rows for query and ingest. Raises `BenchError` where a function does not start."""
    deployed = not options.short and sys.version_info[:2] == _LAMBDA_PYTHON
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docwell-cold-")))
        model = stack.enter_context(model_server())
        places, _ = stack.enter_context(local_servers(StackOptions(folder / "data", MODEL, port=0), model))
        functions = _functions(places, _deploy(folder) if deployed else None)
        for name in _COLDSTART_GOALS:  # a first run is not counted
            functions[name].start()
            functions[name].ready.clear()
        rounds = options.form(7, 2)
        with bar("fresh processes", rounds * len(functions)) as step:
            samples = in_turns({name: function.start for name, function in functions.items()}, rounds, step)
    report.add("docwell runs what is deployed", deployed, "1: yes")
    for name, (end, goal) in _COLDSTART_GOALS.items():
        times = Spread.of(samples[name])
        report.add_spread(f"docwell: {name}, process start to {end}", times, "s", options.goal(goal))
        report.add_spread(f"docwell: {name}, of which until ready", Spread.of(functions[name].ready), "s")


def _functions(stack: Stack, deployed: Path | None) -> dict[str, _Function]:
    content, numbers = pdf(PAGES), count()
    s3, dynamodb = stack.client("s3"), stack.client("dynamodb")

    def upload() -> tuple[str, dict[str, Any]]:
        key = f"cold/{next(numbers)}.pdf"
        s3.put_object(Bucket=stack.bucket, Key=key, Body=content)
        return key, sqs_event("message", notification(CREATED, stack.bucket, key))

    def is_live(key: str, _: str) -> bool:
        return any(row["document"] == key and row.get("status") == "INDEXED" for row in ledger_rows(dynamodb))

    def question() -> tuple[str, dict[str, Any]]:
        event: dict[str, Any] = json.loads(_QUESTION_EVENT.read_text(encoding="utf-8"))
        event["requestContext"]["authorizer"] = {"principalId": LOCAL_PRINCIPAL}  # the local stack's own key
        return "", event | {"body": json.dumps({"question": QUESTION})}

    query = _spec(stack, "query", deployed, memory_mb=1769)
    ingest = _spec(stack, "ingest", deployed, timeout_s=120, memory_mb=3008)
    return {
        "query": _Function(query, question, lambda _, answer: '"answered"' in answer),
        "ingest": _Function(ingest, upload, is_live),
    }


def _spec(stack: Stack, name: str, deployed: Path | None, **settings_of: Any) -> FunctionSpec:
    # Lambda always sets this variable; without it the X-Ray SDK spends 0.1 s on a client for servers.
    variables = function_variables(stack, name) | {"LAMBDA_TASK_ROOT": str(deployed)}
    settings = {"init_timeout_s": 120.0, "on_line": lambda _: None, **settings_of}
    if deployed is None:
        return FunctionSpec(f"functions.{name}.handler.handler", variables, **settings)
    layers = [deployed / "QueryFunction", deployed / "DocwellLayer/python", deployed / "EmbedderLayer/python"]
    path = layers if name == "query" else [deployed / "image"]
    # Write no bytecode: Lambda's folders are read-only, so modules without bytecode are compiled at each start.
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    handler = "handler.handler" if name == "query" else "start.handler"
    return FunctionSpec(handler, variables, python=str(deployed / "python/bin/python"), **settings)


def _deploy(folder: Path) -> Path:
    """Build the files of the zips and the image. Raises `StepError`."""
    for part in packages.QUERY:
        packages.build_zip(part, folder / part)
    packages.build_image_folder(folder / "image")
    # Create a Python without this machine's other packages.
    EnvBuilder(symlinks=True).create(folder / "python")
    return folder


_PAGE = ROOT / "docs" / "generated" / "benchmarks.md"
_HEAD = """\
<!-- Written by `make bench`: change the benchmarks, not this page. -->

# Benchmark tables

Each table is the report of one `make bench-NAME`. [Benchmarks](../develop/benchmarks.md) explains how they are
measured. Repeated figures are medians with their quartiles.
"""
# Each name has a target `make bench-NAME`.
_MEASURES = {measure.__name__: measure for measure in (encode, coldstart, query, scale, find, memory, ingest)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_MEASURES)} (default: all)")
    parser.add_argument("--short", action="store_true", help="measure less, and judge no timing")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - _MEASURES.keys():
        parser.error(f"unknown benchmarks: {', '.join(sorted(unknown))}; known: {', '.join(_MEASURES)}")
    options = Options(arguments.short)
    status = max(_run(name, options) for name in arguments.names or _MEASURES)
    if not (arguments.short or arguments.names):
        _write_page()
    return status


def _run(name: str, options: Options) -> int:
    CONSOLE.rule(f"bench-{name}", align="left")
    report = Report(f"bench-{name}")
    (REPORTS / f"{report.name}.json").unlink(missing_ok=True)  # a failed run must not leave an older report
    try:
        _MEASURES[name](report, options)
    except (BenchError, StepError) as error:
        CONSOLE.print(f"[red]bench-{name}:[/] {error}", soft_wrap=True)
        return 2
    except Exception:  # noqa: BLE001 - run the other benchmarks all the same
        CONSOLE.print_exception()
        return 2
    return report.finish()


def _write_page() -> None:
    """Write the page of all reports."""
    sections = [_HEAD]
    for name in _MEASURES:
        path = REPORTS / f"bench-{name}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        minutes = f"{report['seconds'] / 60:.1f} minutes"
        when = f"Commit {report['commit']} on {report['machine']}, {report['started'][:10]}; {minutes}."
        head = ["| figure | value | quartiles | unit | goal |  |", "| --- | ---: | --- | --- | --- | --- |"]
        # Show missed goals first.
        rows = sorted(report["rows"], key=lambda row: bool(row["ok"]))
        sections.append("\n".join([f"## {name}", "", when, "", *head, *map(_line, rows), ""]))
    _PAGE.write_text("\n".join(sections), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    quartiles = f"{row['low']:,g} to {row['high']:,g}, of {row['repeats']}" if row.get("repeats") else ""
    verdict = "" if row["goal"] is None else "met" if row["ok"] else "**missed**"
    return (
        f"| {row['metric']} | {row['value']:,g} | {quartiles} | {row['unit']} | {row['goal'] or ''} | {verdict} |"
    )


if __name__ == "__main__":
    sys.exit(main())
