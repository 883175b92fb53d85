"""The time of a question over HTTP without the model's own, and of finding its passages.

The model server answers at once with a sentence of the first passage, so every question takes the whole path:
identity, quota, embedding, search, ranking, prompt, model, checks and receipt.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from statistics import median

import numpy as np
import psutil

from benchmarks.doors import Reply
from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.speed.options import BenchError, Options, seconds_of
from benchmarks.speed.stack import BATCH, CHUNK_TOKENS, AskedStack, Texts, asked_stack, fill, is_answered
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import QuerySettings
from docwell.wiring.pipelines import server_auth
from infra.local.stack import MODEL_DIR, Stack
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

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
        answers, milliseconds = bench.without_model(list(islice(turns, questions_of_a_round)), collections[size])
        replies.extend(answers)
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
