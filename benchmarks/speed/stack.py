"""The speed of questions, of finding passages and of ingest, and the memory of both.

All run on a local stack beside a model server that answers at once with a sentence of the first passage, so every
question takes the whole path: identity, quota, embedding, search, ranking, prompt, model, checks and receipt.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Self, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.doors import Doors, Reply, local_stack, workers_of
from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.model_host import MODEL, model_server
from benchmarks.pdfs import pages_of_words
from benchmarks.reading import default_reader
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import EmbedderSettings, QuerySettings
from docwell.ingest.chunking import cut_pages
from docwell.ingest.indexing import pack_units
from docwell.ingest.outline import CutChunk
from docwell.models import Chunk, IndexRecord, Units
from docwell.text.lexicon import sentences
from docwell.wiring.pipelines import server_auth
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack, StackOptions
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import EVALUATION, ROOT, Report

CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
BATCH = 500
_TIMEOUT_S = 60.0
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

    def ask(self, questions: Sequence[str], collection: str) -> list[Reply]:
        return [self.doors.ask({"question": question, "collection": collection}) for question in questions]

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


JUDGED = 10_000  # chunks in the collection that the goals are about
_CLIENTS = 16  # with this many clients, the processor must be busy
_LEAST_QUESTIONS, _TOP_K, _THREADS = 10, 5, 2


def query(report: Report, options: Options) -> None:
    """Measure whole questions over collections of some sizes. Raises `BenchError` where the PDFs lack text.

    Questions are repeated, and the function caches the candidates that it has read.
    """
    texts = Texts.read(options.pdfs("xquad"), options.form(1_000, 100))
    sizes = options.form((1_000, JUDGED, 100_000), (1_000,))
    with asked_stack() as bench:
        with bar("filling", sum(-(-size // BATCH) for size in sizes)) as step:
            collections = {size: fill(bench.stack, texts, size, step) for size in sizes}
        questions = list(texts.questions[: options.form(None, 30)])
        for name in collections.values():
            questions = bench.answerable(questions, name, _LEAST_QUESTIONS)
        turns = cycle(questions)
        replies = _add_sizes(report, options, bench, collections, turns)
        collection = collections[JUDGED if JUDGED in collections else min(sizes)]
        replies += _add_crowd(report, options, bench, collection, turns)
    unanswered = sum(not is_answered(reply) for reply in replies)
    report.add("questions without an answer", unanswered, f"of {len(replies):,}", "== 0")


def _add_sizes(
    report: Report, options: Options, bench: AskedStack, collections: dict[int, str], turns: Iterator[str]
) -> list[Reply]:
    """Add the times of one client by the size of the collection; return all answers."""
    rounds, questions_of_a_round = options.form((7, 60), (2, 15))
    replies, samples = list[Reply](), dict[int, list[float]]((size, []) for size in collections)

    def median_ms(size: int) -> float:
        answers = bench.ask(list(islice(turns, questions_of_a_round)), collections[size])
        replies.extend(answers)
        milliseconds = [1000 * answer.seconds for answer in answers]
        samples[size] += milliseconds
        return median(milliseconds)

    with bar("one client", rounds * len(collections)) as step:
        medians = in_turns({f"{size}": partial(median_ms, size) for size in collections}, rounds, step)
    for size, milliseconds in samples.items():
        name = f"warm, {size:,} chunks, 1 client"
        p50, p95 = ("<= 20", "<= 40") if size == JUDGED else (None, None)
        report.add_spread(f"{name}: p50", Spread.of(medians[f"{size}"]), "ms", p50)
        report.add(f"{name}: p95", float(np.quantile(milliseconds, 0.95)), "ms", p95)
        report.add(f"{name}: p99", float(np.quantile(milliseconds, 0.99)), "ms")
    low, high = min(samples), max(samples)
    if low != high:
        growth = ratios(medians[f"{high}"], medians[f"{low}"])
        report.add_spread(f"p50, {high:,} chunks over {low:,}", growth, "x", "<= 2")
    return replies


def _add_crowd(
    report: Report, options: Options, bench: AskedStack, collection: str, turns: Iterator[str]
) -> list[Reply]:
    """Add the figures of many clients at once; return all answers."""
    with ThreadPoolExecutor(_CLIENTS) as pool:

        def ask(count: int) -> list[Reply]:
            bodies = [{"question": question, "collection": collection} for question in islice(turns, count)]
            return list(pool.map(bench.doors.ask, bodies))

        ask(_CLIENTS)  # warm every environment
        psutil.cpu_percent()
        started = time.perf_counter()
        replies = ask(options.form(400, 40))
        seconds, busy = time.perf_counter() - started, psutil.cpu_percent()
    name = f"warm, {int(collection.removeprefix('bench-')):,} chunks, {_CLIENTS} clients at once"
    report.add(f"{name}: p50", 1000 * median(reply.seconds for reply in replies), "ms")
    report.add(f"{name}: questions", len(replies) / seconds, "1/s")
    report.add(f"{name}: processor in use", busy, "%", options.goal(">= 80"))
    return replies


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
    report.add("questions of a round", size, "questions")
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
    layout = Layout(PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint, SHARDS)
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.chroma_token))
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


SLICES, SHORT_PDFS = 3, 4
WORKERS = 2
# Pages of about 150 words are one chunk each; the ratio of LARGE to SMALL shows whether memory is flat.
PAGES, SMALL, LARGE = (10, 100, 1_000, 5_000), 100, 5_000
WORDS = 150
_QUESTIONS = 100  # between two looks at the query function
_TIMEOUT_S = 3600.0
_PAUSE_S = 0.05
_SAMPLES_FOR_EACH_LIST = 20


def ingest(report: Report, options: Options) -> None:
    """Measure PDFs from upload to live, in three slices; the short form takes few.

    A local stack has two workers of one thread each. The limit of the machine is the encoder's runtime alone
    (`make bench-encode`).
    """
    pdfs = options.pdfs(*options.form(("financebench", "xquad"), ()))[: options.form(None, SHORT_PDFS)]
    count = min(options.form(SLICES, 1), len(pdfs))
    slices = [sorted(pdfs, key=lambda pdf: pdf.stat().st_size)[turn::count] for turn in range(count)]
    done = []
    with asked_stack(environment={"DOCWELL_EMBED_THREADS": "1"}, ingest_workers=WORKERS) as bench:
        index(bench.stack, {f"warm-up/{number}.pdf": pdfs[0] for number in range(WORKERS)}, _TIMEOUT_S)
        with bar("slices", len(slices)) as step:
            for turn, paths in enumerate(slices):
                bodies: dict[str, bytes | Path] = {
                    f"slice-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(paths)
                }
                done.append(index(bench.stack, bodies, _TIMEOUT_S))
                step()
    report.add("PDFs", len(pdfs), "PDFs")
    report.add("pages of them", sum(result.total("pages") for result in done), "pages")
    for figure in ("pages", "chunks", "characters"):
        speeds = Spread.of([result.total(figure) / result.seconds for result in done])
        report.add_spread(f"docwell: {figure} a second", speeds, f"{figure}/s")
    report.add("docwell: PDFs that it did not index", sum(len(result.not_indexed) for result in done), "PDFs")


@contextmanager
def _ingest_memory() -> Iterator[list[int]]:
    """Collect the bytes of the ingest worker with its children during the block, twenty times a second."""
    stop, samples = threading.Event(), list[int]()
    thread = threading.Thread(target=_sample, args=(stop, samples), daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _sample(stop: threading.Event, samples: list[int]) -> None:
    workers = list[psutil.Process]()
    while not stop.wait(_PAUSE_S):
        if not workers or len(samples) % _SAMPLES_FOR_EACH_LIST == 0:
            workers = workers_of(psutil.Process(), StackOptions.ingest_handler)
        for process in workers:
            with suppress(psutil.Error):
                samples.append(process.memory_info().rss + sum(map(_proportion, process.children(recursive=True))))


def _proportion(process: psutil.Process) -> int:
    """Return a child's part of the bytes that it shares, or 0 right after the fork, while it copies the worker."""
    try:
        return 0 if StackOptions.ingest_handler in process.cmdline() else int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def memory(report: Report, options: Options) -> None:
    """Measure the peak of the ingest worker for 10 to 5,000 pages, and the query function over 1,000 requests."""
    sizes = options.form(PAGES, (SMALL,))
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
    after_first, after_last = _query_memory(options)
    report.add("query, after 100 requests", after_first, "MiB")
    report.add(f"query, after {options.form('1,000', '200')} requests", after_last, "MiB")
    growth = after_last / after_first
    report.add("query, growth since the first 100 requests", growth, "x", options.goal("<= 1.05"))


def _peak(pages: int) -> int:
    """Return the peak in bytes of one document in a new stack. Raises `RuntimeError` where it is refused."""
    with asked_stack() as bench, _ingest_memory() as samples:
        done = index(bench.stack, {f"memory/{pages}.pdf": pages_of_words(pages, WORDS)}, _TIMEOUT_S)
    if done.not_indexed or not samples:
        raise RuntimeError(f"{pages} pages were not indexed: {done.rows}, {len(samples)} samples")
    return max(samples)


def _query_memory(options: Options) -> tuple[float, float]:
    """Return the function's resident memory in MiB after 100 and after 1,000 questions (short form: 200).

    Raises `RuntimeError` where a question fails, `BenchError` where no question can be made.
    """
    texts, looks = Texts.read(options.pdfs("xquad"), 100), options.form(10, 2)
    with asked_stack() as bench, bar("query", looks) as step:
        name = fill(bench.stack, texts, 1_000)
        questions, sizes = cycle(bench.answerable(texts.questions, name)), list[float]()
        for _ in range(looks):
            answers = bench.ask(list(islice(questions, _QUESTIONS)), name)
            if failed := [answer for answer in answers if answer.status != 200]:
                raise RuntimeError(f"{len(failed)} of {_QUESTIONS} questions failed: {failed[0].body}")
            # All questions of one client go to one environment, which is the largest.
            workers = workers_of(psutil.Process(), StackOptions.query_handler)
            sizes.append(max(worker.memory_info().rss for worker in workers) / 2**20)
            step()
    return sizes[0], sizes[-1]
