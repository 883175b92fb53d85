"""The time of a question besides the model's own, over HTTP on the local stack.

The model answers at once with a sentence of the first passage, so every question takes the whole path: identity,
quota, embedding, search, ranking, prompt, model, checks and receipt. Rows of one client exclude the seconds that
the model server held the question. Questions are repeated, and the function caches the candidates that it has
read.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice

import numpy as np

from benchmarks.doors import Reply
from benchmarks.speed.collection import BATCH, FilledCollection, Texts
from benchmarks.speed.options import Options
from benchmarks.speed.stack import AskedStack, asked_stack, is_answered
from infra.measuring import Spread, in_turns, ratios
from infra.progress import CONSOLE, bar
from infra.report import Report

JUDGED = 10_000  # chunks: the size that the goals are about
_CROWD = 16  # from so many clients on, the processor must be busy
_LEAST_QUESTIONS = 10


def measure(report: Report, options: Options) -> None:
    """Fill the collections, then ask. Raises `BenchError` where the PDFs have too little text."""
    texts = Texts.read(options.folders("xquad"), 100 if options.short else 1_000)
    sizes = (1_000,) if options.short else (1_000, JUDGED, 100_000)
    with asked_stack() as stack:
        with bar("filling", sum(-(-size // BATCH) for size in sizes)) as step:
            collections = {size: FilledCollection(stack.stack, texts, size, step).name for size in sizes}
        questions = list(texts.questions[: 30 if options.short else None])
        for name in collections.values():
            questions = stack.answerable(questions, name, _LEAST_QUESTIONS)
        asking = _Asking(stack, questions)
        _by_size(report, options, asking, collections)
        judged = JUDGED if JUDGED in collections else min(sizes)
        _crowds(report, options, asking, collections[judged], judged)
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
        return statistics.median(milliseconds)


def _by_size(report: Report, options: Options, asking: _Asking, collections: dict[int, str]) -> None:
    rounds, size_of_round = (2, 15) if options.short else (7, 60)
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


def _crowds(report: Report, options: Options, asking: _Asking, collection: str, size: int) -> None:
    clients = (16,) if options.short else (4, 16, 64)
    count = 40 if options.short else 400
    asking.stack.at_once(asking.following(max(clients)), collection, max(clients))  # warm every environment
    with bar("crowds", len(clients)) as step:
        for number in clients:
            answers, seconds, busy = asking.stack.at_once(asking.following(count), collection, number)
            asking.check(answers)
            milliseconds = [answer.seconds * 1000 for answer in answers]
            name = f"warm, {size:,} chunks, {number} clients at once"
            for share in (50, 95, 99):
                report.add(f"{name}: p{share}", float(np.quantile(milliseconds, share / 100)), "ms")
            report.add(f"{name}: questions", len(answers) / seconds, "1/s")
            goal = options.goal(">= 80") if number >= _CROWD else None
            report.add(f"{name}: processor in use", busy * 100, "%", goal)
            step()
