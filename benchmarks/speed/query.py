"""The time of a question besides the model's own, over HTTP on the local stack.

The model answers at once with a sentence of the first passage, so every question takes the whole path: identity,
quota, embedding, search, ranking, prompt, model, checks and receipt. Rows of one client exclude the seconds that
the model server held the question, except where they say otherwise. Rows that begin with "own" are of
`benchmarks.speed.own_time`: without the stand-ins of AWS and its gateway.

Questions are repeated, and the function caches the candidates that it has read.
"""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks.speed import own_time
from benchmarks.speed.asking import Asked, AskedStack, answerable, asked_stack
from benchmarks.speed.filled_index import BATCH, FilledCollection, Texts
from benchmarks.speed.options import Options
from infra.measuring import Spread, in_turns, quantile, ratios
from infra.progress import CONSOLE, bar
from infra.report import Report

JUDGED = 10_000  # chunks: the size that the goals are about
_CROWD = 16  # from so many clients on, the processor must be busy
_LEAST_QUESTIONS = 10


def measure(report: Report, options: Options) -> None:
    """Fill the collections, then ask. Raises `BenchError` where the PDFs have too little text."""
    texts = Texts.read(options.folders("xquad"), 100 if options.short else 1_000)
    sizes = (1_000,) if options.short else (1_000, JUDGED, 100_000)
    with asked_stack() as asked:
        with bar("filling", sum(-(-size // BATCH) for size in sizes)) as step:
            filled = {size: FilledCollection(asked.stack, texts, size, step) for size in sizes}
        Questions(report, options, asked, filled, texts.questions).measure()


class Questions:
    """The questions to collections that are filled."""

    def __init__(
        self,
        report: Report,
        options: Options,
        asked: AskedStack,
        filled: Mapping[int, FilledCollection],
        questions: Sequence[str],
    ) -> None:
        self._report = report
        self._options = options
        self._asked = asked
        self._filled = filled
        self._judged = filled[JUDGED if JUDGED in filled else min(filled)]
        self._warm = f"warm, {self._judged.size:,} chunks"
        self._round_size = 15 if options.short else 60
        self._possible = questions
        self._questions: list[str] = []
        self._turn = 0
        self._errors = 0
        self._count = 0

    def measure(self) -> None:
        self._warm_up()
        self._by_size()
        self._crowds()
        own_time.measure(self._report, self._options, self._asked, self._judged, self._questions)
        self._report.add("questions without an answer", self._errors, f"of {self._count:,}", "== 0")

    def _warm_up(self) -> None:
        """Ask every question once of each collection, and keep those that reach the model."""
        kept = list(self._possible[: 30 if self._options.short else None])
        for one in self._filled.values():
            kept = answerable(self._asked, kept, one.name, _LEAST_QUESTIONS)
        self._questions = kept

    def _next(self, count: int) -> list[str]:
        """Return the next questions, so that each is asked as often as any other."""
        start, self._turn = self._turn, self._turn + count
        return [self._questions[number % len(self._questions)] for number in range(start, start + count)]

    def _counted(self, asked: Sequence[Asked]) -> None:
        self._count += len(asked)
        unanswered = [one for one in asked if not one.answered]
        self._errors += len(unanswered)
        for one in unanswered:
            CONSOLE.print(f"unanswered after {one.seconds:.2f} s: {one.reason}")

    def _round(self, collection: str, into: list[float]) -> float:
        """Ask one round and return its median in milliseconds; add every time to `into`."""
        asked, milliseconds = self._asked.without_model(self._next(self._round_size), collection)
        self._counted(asked)
        into += milliseconds
        return statistics.median(milliseconds)

    def _by_size(self) -> None:
        rounds = 2 if self._options.short else 7
        every: dict[int, list[float]] = {size: [] for size in self._filled}
        ways = {f"{size}": partial(self._round, one.name, every[size]) for size, one in self._filled.items()}
        with bar("one client", rounds * len(ways)) as step:
            medians = in_turns(ways, rounds, step)
        for size, milliseconds in every.items():
            name = f"warm, {size:,} chunks, 1 client"
            goals = [self._options.goal(goal) for goal in ("<= 20", "<= 40")] if size == self._judged.size else []
            p50, p95 = goals or (None, None)
            self._report.add_spread(f"{name}: p50", Spread.of(medians[f"{size}"]), "ms", p50)
            self._report.add(f"{name}: p95", quantile(milliseconds, 0.95), "ms", p95)
            self._report.add(f"{name}: p99", quantile(milliseconds, 0.99), "ms")
        low, high = min(every), max(every)
        if low != high:
            growth = ratios(medians[f"{high}"], medians[f"{low}"])
            self._report.add_spread(f"p50, {high:,} chunks over {low:,}", growth, "x", self._options.goal("<= 2"))

    def _crowds(self) -> None:
        clients = (1, 16) if self._options.short else (1, 4, 16, 64)
        count = 40 if self._options.short else 400
        self._asked.at_once(self._next(max(clients)), self._judged.name, max(clients))  # warm every environment
        with bar("crowds", len(clients)) as step:
            for number in clients:
                asked, seconds, busy = self._asked.at_once(self._next(count), self._judged.name, number)
                self._counted(asked)
                crowd = f"{number} clients at once" if number > 1 else "1 client, with the model server's time"
                name = f"{self._warm}, {crowd}"
                for share in (50, 95, 99):
                    milliseconds = [one.seconds * 1000 for one in asked]
                    self._report.add(f"{name}: p{share}", quantile(milliseconds, share / 100), "ms")
                self._report.add(f"{name}: questions", len(asked) / seconds, "1/s")
                goal = self._options.goal(">= 80") if number >= _CROWD else None
                self._report.add(f"{name}: processor in use", busy * 100, "%", goal)
                step()
