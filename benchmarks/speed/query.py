"""`make bench-query`: what a question takes besides the model's own time, through the local stack's HTTP door.

The model answers at once, with a sentence of the first passage, so that every question goes the whole way: who
asks and what is used up, the embedding, the search, what of it is live, the prompt, the model, the check of what
it said, and the receipt. With one client, what the model server held a question is taken off, unless a row
says that its time is in it.

A search brings 110 candidates with the vectors of their parts, so that they can be ranked again. The function
keeps what it has read of them: one row is of questions that are asked for the first time, the others of questions
that were asked before. The processor time of each part of the stack stands among the figures. docwell's function
embeds with the one thread that its memory brings, the retrievers beside it with two.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from benchmarks import peers
from benchmarks.speed.asking import Asked, AskedStack, asked_stack
from benchmarks.speed.filled_index import BATCH, FilledCollection, Texts, folders
from benchmarks.speed.options import Options, TooFewPdfsError
from infra.measuring import Spread, in_turns, quantile, ratios
from infra.report import Report

SIZES = (1_000, 10_000, 100_000)
JUDGED = 10_000  # the size that the goals speak of
SHORT_SIZES = (1_000,)
CLIENTS = (1, 4, 16, 64)
SHORT_CLIENTS = (1, 16)
_CROWD = 16  # as many clients as must keep the processor busy
_REAL_CHUNKS, _SHORT_REAL_CHUNKS = 1_000, 100
_ROUNDS, _SHORT_ROUNDS = 7, 2
_PER_ROUND, _SHORT_PER_ROUND = 60, 15
_PER_CLIENT_RUN, _SHORT_PER_CLIENT_RUN = 400, 40
_COLD, _SHORT_COLD = 5, 1
_PEER_ROUNDS, _PEER_QUESTIONS, _TOP_K = 3, 100, 5
_LEAST_QUESTIONS, _SHORT_QUESTIONS = 10, 30
_FRAMEWORKS = {"langchain": "LangChain", "llamaindex": "LlamaIndex"}


def measure(report: Report, options: Options) -> None:
    """Fill three collections, ask them in turns, then crowds, then beside the retrievers of others."""
    where, called = folders(options.pdfs)
    options.console.print(f"texts: {called}")
    texts = Texts.read(where, _SHORT_REAL_CHUNKS if options.short else _REAL_CHUNKS)
    with asked_stack() as asked:
        filled = _filled(asked, texts, options)
        _Questions(report, options, asked, filled, texts.questions).measure()


def _filled(asked: AskedStack, texts: Texts, options: Options) -> dict[int, FilledCollection]:
    sizes = SHORT_SIZES if options.short else SIZES
    found = {size: FilledCollection(asked.stack, texts, size) for size in sizes}
    with options.progress("filling", sum(-(-size // BATCH) for size in sizes)) as tick:
        for one in found.values():
            one.fill(tick)
    return found


class _Questions:
    """The measuring itself, over collections that are filled."""

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
        self._possible = questions
        self._questions: list[str] = []
        self._turn = 0
        self._errors = 0
        self._count = 0

    def measure(self) -> None:
        """Everything, row by row."""
        self._first_time()
        self._warm_up()
        self._by_size()
        self._reworded()
        self._cold()
        self._crowds()
        if self._options.peers:
            self._beside_others()
        self._report.add("questions without an answer", self._errors, f"of {self._count:,}", "== 0")

    def _first_time(self) -> None:
        """A function that is warm, and has read no chunk of the collection yet."""
        start, count = _LEAST_QUESTIONS, _SHORT_PER_ROUND if self._options.short else _PER_ROUND
        if len(self._possible) <= start:  # too few to measure anything, as the warm-up says
            return
        self._asked.in_a_row(self._possible[:start], self._filled[min(self._filled)].name)
        asked = self._asked.in_a_row(self._possible[start : start + count], self._judged.name)
        name = (
            f"warm, {self._judged.size:,} chunks, 1 client, asked for the first time, with the model server's time"
        )
        self._report.add_spread(name, Spread.of([one.seconds * 1000 for one in asked]), "ms")

    def _warm_up(self) -> None:
        """Every question once of each collection: those that are refused before the model are not asked again."""
        kept = list(self._possible[: _SHORT_QUESTIONS if self._options.short else None])
        with self._options.progress("warming up", len(self._filled)) as tick:
            for one in self._filled.values():
                kept = [
                    question
                    for question, answer in zip(kept, self._asked.in_a_row(kept, one.name), strict=True)
                    if answer.answered
                ]
                tick()
        if len(kept) < _LEAST_QUESTIONS:
            raise TooFewPdfsError(
                f"only {len(kept)} of {len(self._possible)} questions made from the PDFs are answered,"
                f" and {_LEAST_QUESTIONS} are needed: take more PDFs, or PDFs with more text"
            )
        self._questions = kept

    def _next(self, count: int) -> list[str]:
        """The next questions: each is asked as often as any other."""
        start, self._turn = self._turn, self._turn + count
        return [self._questions[number % len(self._questions)] for number in range(start, start + count)]

    def _counted(self, asked: Sequence[Asked], *, may_refuse: bool = False) -> None:
        self._count += len(asked)
        unanswered = [one for one in asked if not (one.answered or (may_refuse and one.reason == "refused"))]
        self._errors += len(unanswered)
        for one in unanswered:
            self._options.console.print(f"unanswered after {one.seconds:.2f} s: {one.reason}")

    def _round(self, collection: str, into: list[float], *, may_refuse: bool = False) -> float:
        """The median of one round, in ms."""
        count = _SHORT_PER_ROUND if self._options.short else _PER_ROUND
        asked, milliseconds = self._asked.without_model(self._next(count), collection)
        self._counted(asked, may_refuse=may_refuse)
        into += milliseconds
        return statistics.median(milliseconds)

    def _by_size(self) -> None:
        rounds = _SHORT_ROUNDS if self._options.short else _ROUNDS
        every: dict[int, list[float]] = {size: [] for size in self._filled}
        ways = {f"{size}": partial(self._round, one.name, every[size]) for size, one in self._filled.items()}
        with self._options.progress("one client", rounds * len(ways)) as tick:
            medians = in_turns(ways, rounds, tick)
        self._report_sizes(every, medians)
        self._processor_time()

    def _report_sizes(self, every: Mapping[int, list[float]], medians: Mapping[str, list[float]]) -> None:
        for size, milliseconds in every.items():
            name = f"warm, {size:,} chunks, 1 client"
            goals = size == self._judged.size
            p50, p95 = (self._options.goal(goal) if goals else None for goal in ("<= 20", "<= 40"))
            self._report.add_spread(f"{name}: p50", Spread.of(medians[f"{size}"]), "ms", p50)
            self._report.add(f"{name}: p95", quantile(milliseconds, 0.95), "ms", p95)
            self._report.add(f"{name}: p99", quantile(milliseconds, 0.99), "ms")
        low, high = min(every), max(every)
        if low != high:
            growth = ratios(medians[f"{high}"], medians[f"{low}"])
            self._report.add_spread(f"p50, {high:,} chunks over {low:,}", growth, "x", self._options.goal("<= 2"))

    def _processor_time(self) -> None:
        """Whose time it is: the stand-ins' is none in the cloud, where there is a network in its place."""
        before, milliseconds = self._asked.processor_seconds(), list[float]()
        self._round(self._judged.name, milliseconds)
        for part, seconds in self._asked.processor_seconds().items():
            used = (seconds - before[part]) * 1000 / len(milliseconds)
            self._report.add(f"processor time of a question, {part}", used, "ms")

    def _reworded(self) -> None:
        """Of an answer in other words than the passage's, each sentence is embedded too; some find no support."""
        self._asked.tell_model("reword")
        milliseconds: list[float] = []
        median = self._round(self._judged.name, milliseconds, may_refuse=True)
        self._asked.tell_model("quote")
        name = f"warm, {self._judged.size:,} chunks, 1 client, answers in other words"
        self._report.add(f"{name}: p50", median, "ms")
        self._report.add(f"{name}: p95", quantile(milliseconds, 0.95), "ms")

    def _cold(self) -> None:
        times = []
        for question in self._next(_SHORT_COLD if self._options.short else _COLD):
            self._asked.end_environments()
            asked = self._asked.in_a_row([question], self._judged.name)
            self._counted(asked)
            times.append(asked[0].seconds * 1000)
        name = f"cold, {self._judged.size:,} chunks: a fresh process to its first answer"
        self._report.add_spread(name, Spread.of(times), "ms")

    def _crowds(self) -> None:
        clients = SHORT_CLIENTS if self._options.short else CLIENTS
        count = _SHORT_PER_CLIENT_RUN if self._options.short else _PER_CLIENT_RUN
        self._asked.at_once(self._next(max(clients)), self._judged.name, max(clients))  # every environment is warm
        with self._options.progress("crowds", len(clients)) as tick:
            for number in clients:
                load = self._asked.at_once(self._next(count), self._judged.name, number)
                self._counted(load.asked)
                # Not the time without the model's, which is what one client's other rows are of.
                crowd = f"{number} clients at once" if number > 1 else "1 client, with the model server's time"
                name = f"warm, {self._judged.size:,} chunks, {crowd}"
                seconds = [one.seconds * 1000 for one in load.asked]
                for share in (50, 95, 99):
                    self._report.add(f"{name}: p{share}", quantile(seconds, share / 100), "ms")
                self._report.add(f"{name}: questions", len(load.asked) / load.seconds, "1/s")
                goal = self._options.goal(">= 80") if number >= _CROWD else None
                self._report.add(f"{name}: processor in use", load.busy * 100, "%", goal)
                tick()

    def _beside_others(self) -> None:
        """Embedding a question and finding its passages: docwell's two stages, and what retrievers do."""
        whole: list[float] = []
        ways = {"docwell": partial(self._own_stages, whole)}
        ways |= {name: partial(self._others, framework) for framework, name in _FRAMEWORKS.items()}
        with self._options.progress("beside others", _PEER_ROUNDS * len(ways)) as tick:
            medians = in_turns(ways, _PEER_ROUNDS, tick)
        what = f"embed and find, {self._judged.size:,} chunks: p50"
        for name, samples in medians.items():
            self._report.add_spread(f"{name}: {what}", Spread.of(samples), "ms")
        # Who asks and what is used up, prompt, the model's door, the check of the answer, link, receipt, HTTP.
        self._report.add_spread("docwell: the same questions the whole way: p50", Spread.of(whole), "ms")

    def _own_stages(self, whole: list[float]) -> float:
        asked, milliseconds = self._asked.without_model(self._next(_PEER_QUESTIONS), self._judged.name)
        self._counted(asked)
        whole.append(statistics.median(milliseconds))
        timings = [one.body["timings_ms"] for one in asked if one.answered]
        return statistics.median(float(one["embed"] + one["retrieve"]) for one in timings)

    def _others(self, framework: str) -> float:
        chroma = urlsplit(self._asked.stack.chroma)
        answer = peers.run(
            "query",
            framework=framework,
            chroma_host=chroma.hostname,
            chroma_port=chroma.port,
            collection=self._judged.chroma_name,
            model=str(peers.model()),
            threads=2,
            questions=self._next(_PEER_QUESTIONS),
            k=_TOP_K,
            warm_up=10,
        )
        return statistics.median(float(seconds) for seconds in answer["seconds"]) * 1000
