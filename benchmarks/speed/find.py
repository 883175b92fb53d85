"""A question embedded and its nearest five chunks found.

docwell is measured by the function's clock, which checks grants and live generations and ranks, as its embedder
and index alone, and as its embedder alone. All get the same questions in a round, and no question comes twice.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.speed.collection import BATCH, FilledCollection, Texts
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.stack import CHUNK_TOKENS, asked_stack
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import QuerySettings
from docwell.wiring.stores import server_auth
from infra.local.stack import MODEL_DIR, Stack
from infra.measuring import Spread, in_turns
from infra.progress import bar
from infra.report import Report

ROUNDS, QUESTIONS = 4, 60
SHORT_ROUNDS, SHORT_QUESTIONS = 2, 10
WARM_UP = 10
TOP_K = 5
THREADS = 2
_TIMEOUT_S = 60.0

Ask = Callable[[Sequence[str]], list[float]]


def measure(report: Report, options: Options) -> None:
    """Fill a collection, then ask in turns. Raises `BenchError`."""
    rounds = SHORT_ROUNDS if options.short else ROUNDS
    texts = Texts.read(options.folders("xquad"), 100 if options.short else 1_000)
    questions = list(dict.fromkeys(texts.questions))
    most = SHORT_QUESTIONS if options.short else QUESTIONS
    size = min(most, (len(questions) - WARM_UP) // rounds)  # so that none comes twice
    if size < SHORT_QUESTIONS:
        raise BenchError(f"the PDFs give {len(questions)} questions: take more PDFs")
    warm_up, questions = questions[:WARM_UP], questions[WARM_UP:]
    chunks = 1_000 if options.short else 10_000
    with asked_stack() as bench:
        with bar("filling", -(-chunks // BATCH)) as step:
            collection = FilledCollection(bench.stack, texts, chunks, step)
        samplers = _samplers(bench.stack, collection)
        for sampler in samplers.values():
            sampler(warm_up)
        turns = {name: iter(range(rounds)) for name in samplers}

        def median_of_round(name: str) -> float:
            turn = next(turns[name])
            return statistics.median(samplers[name](questions[turn * size : (turn + 1) * size])) * 1000

        with bar("rounds", rounds * len(samplers)) as step:
            medians = in_turns({name: partial(median_of_round, name) for name in samplers}, rounds, step)
    report.add("questions of a round", size, "questions")
    for name, samples in medians.items():
        report.add_spread(f"{name}, {chunks:,} chunks: p50", Spread.of(samples), "ms")


def _samplers(stack: Stack, collection: FilledCollection) -> dict[str, Ask]:
    """Return docwell's ways and the limits by name; each takes questions and returns the seconds of each."""
    embedder = OnnxEmbedder(MODEL_DIR, THREADS, session_opener("onnxruntime"), for_questions=True)
    layout = Layout(PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint, SHARDS)
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.chroma_token))
    # The function's cache of passages; no question comes twice.
    index = ChromaIndex(server, layout, int(QuerySettings.model_fields["kept_passages"].default))
    client = stack.http(_TIMEOUT_S)

    def seconds_of(question: str) -> float:
        body = {"question": question, "collection": collection.name, "top_k": TOP_K}
        answer = client.post("/v1/search", json=body).raise_for_status().json()
        return float(answer["timings_ms"]["total"]) / 1000

    def alone(question: str) -> object:
        return index.search({collection.name: None}, embedder.embed_queries([question])[0].tolist(), TOP_K)

    return {
        "docwell with grants, live generations and ranking": lambda items: [*map(seconds_of, items)],
        "docwell, embedder and index alone": partial(_timed, alone),
        "limit: the embedder alone": partial(_timed, lambda question: embedder.embed_queries([question])),
    }


def _timed(work: Callable[[Any], object], items: Sequence[Any]) -> list[float]:
    seconds = []
    for item in items:
        started = time.perf_counter()
        work(item)
        seconds.append(time.perf_counter() - started)
    return seconds
