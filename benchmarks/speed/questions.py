"""The time of a question over HTTP without the model's own, and of finding its passages.

The model server answers at once with a sentence of the first passage, so every question takes the whole path:
identity, quota, embedding, search, ranking, prompt, model, checks and receipt.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from statistics import median

import numpy as np

from benchmarks.doors import Reply
from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.stack import BATCH, CHUNK_TOKENS, AskedStack, Texts, asked_stack, fill, is_answered
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import QuerySettings
from docwell.wiring.stores import server_auth
from infra.local.stack import MODEL_DIR, Stack
from infra.measuring import Spread, in_turns, ratios
from infra.progress import CONSOLE, bar
from infra.report import Report

JUDGED = 10_000  # chunks in the collection that the goals are about
_CROWD = 16  # with this many clients, the processor must be busy
_LEAST_QUESTIONS, _WARM_UP, _TOP_K, _THREADS = 10, 10, 5, 2


def query(report: Report, options: Options) -> None:
    """Measure whole questions over collections of some sizes. Raises `BenchError` where the PDFs lack text.

    Questions are repeated, and the function caches the candidates that it has read.
    """
    texts = Texts.read(options.folders("xquad"), options.form(1_000, 100))
    sizes = options.form((1_000, JUDGED, 100_000), (1_000,))
    with asked_stack() as stack:
        with bar("filling", sum(-(-size // BATCH) for size in sizes)) as step:
            collections = {size: fill(stack.stack, texts, size, step) for size in sizes}
        questions = list(texts.questions[: options.form(None, 30)])
        for name in collections.values():
            questions = stack.answerable(questions, name, _LEAST_QUESTIONS)
        asking = _Asking(stack, questions)
        _add_sizes(report, options, asking, collections)
        judged = JUDGED if JUDGED in collections else min(sizes)
        _add_crowds(report, options, asking, collections[judged], judged)
        report.add("questions without an answer", asking.unanswered, f"of {asking.count:,}", "== 0")


class _Asking:
    """Asks the questions in turns, so that each is asked equally often, and counts those without an answer."""

    def __init__(self, stack: AskedStack, questions: Sequence[str]) -> None:
        self.stack = stack
        self.count, self.unanswered = 0, 0
        self._turns = cycle(questions)

    def following(self, count: int) -> list[str]:
        return list(islice(self._turns, count))

    def check(self, answers: Sequence[Reply]) -> None:
        self.count += len(answers)
        for answer in answers:
            if not is_answered(answer):
                self.unanswered += 1
                CONSOLE.print(f"unanswered after {answer.seconds:.2f} s: {answer.status} {answer.body}")

    def median_ms(self, collection: str, size: int, samples: list[float]) -> float:
        """Ask one round and return its median in milliseconds; add every time to `samples`."""
        answers, milliseconds = self.stack.without_model(self.following(size), collection)
        self.check(answers)
        samples += milliseconds
        return median(milliseconds)


def _add_sizes(report: Report, options: Options, asking: _Asking, collections: dict[int, str]) -> None:
    rounds, size_of_round = options.form((7, 60), (2, 15))
    samples: dict[int, list[float]] = {size: [] for size in collections}
    samplers = {
        f"{size}": partial(asking.median_ms, name, size_of_round, samples[size])
        for size, name in collections.items()
    }
    with bar("one client", rounds * len(samplers)) as step:
        medians = in_turns(samplers, rounds, step)
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


def _add_crowds(report: Report, options: Options, asking: _Asking, collection: str, size: int) -> None:
    clients = options.form((4, 16, 64), (16,))
    asking.stack.at_once(asking.following(max(clients)), collection, max(clients))  # warm every environment
    with bar("crowds", len(clients)) as step:
        for number in clients:
            questions = asking.following(options.form(400, 40))
            answers, seconds, busy = asking.stack.at_once(questions, collection, number)
            asking.check(answers)
            milliseconds = [answer.seconds * 1000 for answer in answers]
            name = f"warm, {size:,} chunks, {number} clients at once"
            for share in (50, 95, 99):
                report.add(f"{name}: p{share}", float(np.quantile(milliseconds, share / 100)), "ms")
            report.add(f"{name}: questions", len(answers) / seconds, "1/s")
            goal = options.goal(">= 80") if number >= _CROWD else None
            report.add(f"{name}: processor in use", busy * 100, "%", goal)
            step()


def find(report: Report, options: Options) -> None:
    """Measure a question embedded and its nearest five chunks found. Raises `BenchError`.

    docwell is measured by the function's clock; its limits are embedder and index alone, and the embedder alone.
    All get the same questions in a round, and no question repeats.
    """
    rounds, largest, chunks = options.form((4, 60, 10_000), (2, 10, 1_000))
    texts = Texts.read(options.folders("xquad"), options.form(1_000, 100))
    questions = list(dict.fromkeys(texts.questions))
    size = min(largest, (len(questions) - _WARM_UP) // rounds)
    if size < _LEAST_QUESTIONS:
        raise BenchError(f"the PDFs give {len(questions)} questions: take more PDFs")
    with asked_stack() as bench:
        with bar("filling", -(-chunks // BATCH)) as step:
            collection = fill(bench.stack, texts, chunks, step)
        samplers = _finders(bench.stack, collection)
        medians: dict[str, list[float]] = {name: [] for name in samplers}
        with bar("rounds", rounds * len(samplers)) as step:
            for turn in range(-1, rounds):  # the first round warms up
                first = _WARM_UP + turn * size
                turn_questions = questions[first : first + size] if turn >= 0 else questions[:_WARM_UP]
                for name in sorted(samplers, reverse=turn % 2 == 1):
                    milliseconds = median(samplers[name](question) for question in turn_questions) * 1000
                    if turn >= 0:
                        medians[name].append(milliseconds)
                        step()
    report.add("questions of a round", size, "questions")
    for name, samples in medians.items():
        report.add_spread(f"{name}, {chunks:,} chunks: p50", Spread.of(samples), "ms")


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

    def alone(question: str) -> object:
        return index.search({collection: None}, embedder.embed_queries([question])[0].tolist(), _TOP_K)

    return {
        "docwell with grants, live generations and ranking": docwell,
        "docwell, embedder and index alone": partial(seconds_of, alone),
        "limit: the embedder alone": partial(seconds_of, lambda question: embedder.embed_queries([question])),
    }


def seconds_of(work: Callable[[str], object], text: str) -> float:
    started = time.perf_counter()
    work(text)
    return time.perf_counter() - started
