"""docwell's own time of a question: one query function and Chroma, beside an AWS and a model that answer at once.

The function runs as in Lambda, without a gateway, and reaches Chroma without the stack's proxy. The rows of the
machine's limit are the same embedding and the same search alone.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle, islice
from statistics import median

import numpy as np
import psutil

from benchmarks.faults.compare import SHARDS
from benchmarks.functions import question_event
from benchmarks.instant_aws import instant_aws
from benchmarks.speed.asking import AskedStack
from benchmarks.speed.filled_index import FilledCollection
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.worker_memory import workers_of
from docwell.adapters.chroma import ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.query.retrieval.retrieval import CANDIDATES
from infra.local.stack import MODEL_DIR, StackOptions
from infra.measuring import Spread, in_turns, quantile
from infra.progress import bar
from infra.report import Report
from runtime.functions import Environment, FunctionSpec, Stream

_HANDLER = StackOptions.query_handler
_WAIT_S = 60.0
# The hits of one search, as docwell searches.
_HITS = CANDIDATES + 10


def measure(
    report: Report, options: Options, asked: AskedStack, filled: FilledCollection, questions: Sequence[str]
) -> None:
    """Add the rows. Raises `BenchError` where a question has no answer."""
    chroma = chroma_of(asked)
    rounds, size = (2, 10) if options.short else (7, 60)
    every: list[float] = []
    turns = cycle(questions)
    with _own_function(asked, chroma.url) as function, bar("own time", 3 * rounds) as step:

        def ask() -> float:
            asked.tell_model("held")
            seconds = [function.ask(question, filled.name) for question in islice(turns, size)]
            held: list[float] = asked.tell_model("held")
            times = [(one - model) * 1000 for one, model in zip(seconds, held, strict=True)]
            every.extend(times)
            return median(times)

        for question in questions:
            function.ask(question, filled.name)
        before = function.busy_s(), chroma.busy_s()
        medians = in_turns({"docwell": ask}, rounds, step)["docwell"]
        used = [(part.busy_s() - then) / len(every) for part, then in zip((function, chroma), before, strict=True)]
        alone = _Alone(chroma.url, filled, questions)
        limits = in_turns({name: partial(way, size) for name, way in alone.ways.items()}, rounds, step)
    name = f"own, {filled.size:,} chunks, 1 client"
    report.add_spread(f"{name}: p50", Spread.of(medians), "ms", options.goal("<= 20"))
    report.add(f"{name}: p95", quantile(every, 0.95), "ms", options.goal("<= 35"))
    for part, seconds in zip(("the function", "Chroma"), used, strict=True):
        report.add(f"{name}: processor time, {part}", seconds * 1000, "ms")
    report.add(f"{name}: processor time, both", sum(used) * 1000, "ms", options.goal("<= 20"))
    for part, samples in limits.items():
        report.add_spread(f"{name}, the machine's limit: {part}", Spread.of(samples), "ms")


class _Process:
    """A process and the seconds of processor time that it has used."""

    def __init__(self, process: psutil.Process, url: str = "") -> None:
        self._process, self.url = process, url

    def busy_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


class _Function(_Process):
    """One execution environment of the query function."""

    def __init__(self, environment: Environment, process: psutil.Process) -> None:
        super().__init__(process)
        self._environment = environment

    def ask(self, question: str, collection: str) -> float:
        """Return the seconds until the last byte. Raises `BenchError` without an answer."""
        event = question_event(question)
        event["body"] = json.dumps({"question": question, "collection": collection})
        sent, started = json.dumps(event).encode(), time.perf_counter()
        answer = self._environment.begin(sent)
        if not isinstance(answer, Stream):
            raise BenchError("the query function does not stream")
        free = threading.Event()
        answer.start(lambda _: free.set())
        answer.metadata()
        body = b"".join(answer)
        seconds = time.perf_counter() - started
        free.wait(_WAIT_S)
        if json.loads(body).get("status") != "answered":
            raise BenchError(f"no answer: {body[:200]!r}")
        return seconds


class _Alone:
    """The embedding of a question and the search for it, and nothing else."""

    def __init__(self, chroma: str, filled: FilledCollection, questions: Sequence[str]) -> None:
        self._embedder = OnnxEmbedder(MODEL_DIR, 1, session_opener("onnxruntime"), for_questions=True)
        self._server, self._questions = ChromaServer(chroma), questions
        self._name = Layout(filled.pipeline, SHARDS).name(filled.name)
        self._vectors = self._embedder.embed_queries(questions)
        self.ways = {"embedding alone, p50": self._embeds, "Chroma's search alone, p50": self._searches}

    def _embeds(self, count: int) -> float:
        return _p50(lambda place: self._embedder.embed_queries([self._questions[place]]), count, self._questions)

    def _searches(self, count: int) -> float:
        def search(place: int) -> object:
            vector = np.asarray([self._vectors[place]])
            return self._server.call(
                self._name,
                lambda one: one.query(query_embeddings=vector, n_results=_HITS, include=["distances"]),
            )

        return _p50(search, count, self._questions)


def _p50(call: Callable[[int], object], count: int, questions: Sequence[str]) -> float:
    times = []
    for number in range(count):
        started = time.perf_counter()
        call(number % len(questions))
        times.append((time.perf_counter() - started) * 1000)
    return median(times)


def chroma_of(asked: AskedStack) -> _Process:
    """Return Chroma itself, which the stack's proxy hides. Raises `BenchError`."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            command = process.cmdline()
            if "run" in command[1:3] and "--host" in command:  # [interpreter] chroma run
                host, port = (command[command.index(name) + 1] for name in ("--host", "--port"))
                return _Process(process, f"http://{host}:{port}")
    raise BenchError(f"no process of Chroma behind {asked.stack.chroma}")


@contextmanager
def _own_function(asked: AskedStack, chroma: str) -> Iterator[_Function]:
    """Start a query function as the stack starts it, beside an AWS that answers at once."""
    others = asked.environments()
    python, _, runtime, _ = others[0].cmdline()
    with instant_aws(asked.stack.aws_endpoint) as aws:
        variables = others[0].environ() | {"AWS_ENDPOINT_URL": aws, "DOCWELL_CHROMA_URL": chroma}
        spec = FunctionSpec(_HANDLER, variables, _WAIT_S, runtime=runtime, python=python, on_line=lambda _: None)
        environment = Environment(spec)
        try:
            environment.wait_ready()
            (process,) = set(workers_of(psutil.Process(), _HANDLER)) - set(others)
            yield _Function(environment, process)
        finally:
            environment.kill()
