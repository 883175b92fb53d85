"""From upload to the first right answer, and questions, beside FastAPI with PostgreSQL and pgvector.

The peer is a service as tutorials build it: it indexes during the upload, and has no queue, tenants, checks or
versions. Both get the same PDFs, questions, embedding model and threads, and a model server that answers at once.
An answer is right where its sources name the uploaded document and the page of the answer. docwell's sources are
those that the answer cites; the peer's are all five passages. Questions are repeated.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.model_host import MODEL
from benchmarks.peers import postgres
from benchmarks.peers.run import FOLDER, PeerError, model, python, variables, versions
from benchmarks.speed.asking import AskedStack, asked_stack
from benchmarks.speed.options import BenchError, Options
from docwell.adapters.embedding.onnx_embedder import threads_for
from infra.local.ports import answers, free_port
from infra.measuring import Spread, in_turns, ratios
from infra.progress import CONSOLE, bar
from infra.report import ROOT, Report

ROUNDS, SHORT_ROUNDS = 7, 2
# Questions of one round, after the documents are live.
_ASKED, _SHORT_ASKED = 40, 8
_WAIT_S = 120.0
_PAUSE_S = 0.02
_PEER = "FastAPI and pgvector"
_EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Road:
    """One system. `upload` takes a key and a file; `ask` a question and a collection, and returns the sources.

    A source is a document and a page. `forget` removes a document.
    """

    upload: Callable[[str, Path], object]
    ask: Callable[[str, str], Sequence[tuple[str, int]]]
    forget: Callable[[str], object] = lambda _: None
    numbers: Iterator[int] = field(default_factory=count)

    def first_answers(self, asked: Sequence[Mapping[str, Any]]) -> float:
        """Upload the document of each question, one after another; return the seconds until all are answered.

        Raises `BenchError` where a right answer does not come.
        """
        total, collection = 0.0, f"road-{next(self.numbers)}"
        for one in asked:
            key = f"{collection}/{Path(one['document']).name}"
            started = time.perf_counter()
            self.upload(key, _EXAMPLES / one["document"])
            while (key, one["page"]) not in (seen := self.ask(one["question"], collection)):
                if time.perf_counter() - started > _WAIT_S:
                    raise BenchError(f"no right answer to {one['question']!r}: {seen}")
                time.sleep(_PAUSE_S)
            total += time.perf_counter() - started
            self.forget(key)
        return total

    def questions(self, asked: Sequence[str], collection: str) -> float:
        """Return the median seconds of a question."""
        seconds = []
        for question in asked:
            started = time.perf_counter()
            if not self.ask(question, collection):
                raise BenchError(f"no answer to {question!r}")
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)


def measure(report: Report, options: Options) -> None:
    """Add the times of docwell and, with pgvector on this machine, those of the peer. Raises `BenchError`."""
    rows = json.loads((_EXAMPLES / "questions.json").read_text(encoding="utf-8"))
    by_document = {row["document"]: row for row in reversed(rows)}
    asked = [row["question"] for row in rows] * (_SHORT_ASKED if options.short else _ASKED)
    asked = asked[: _SHORT_ASKED if options.short else _ASKED]
    rounds = SHORT_ROUNDS if options.short else ROUNDS
    with asked_stack() as stack, _peer(stack.model, options) as peer:
        ways = {"docwell": _docwell(stack)} | ({_PEER: peer} if peer else {})
        for way in ways.values():
            way.first_answers(list(by_document.values()))
            for document in by_document:
                way.upload(f"all/{Path(document).name}", _EXAMPLES / document)
            _until_all_answered(way, rows)
        with bar("rounds", 2 * rounds * len(ways)) as step:
            roads = {name: partial(way.first_answers, list(by_document.values())) for name, way in ways.items()}
            first = in_turns(roads, rounds, step)
            each = {name: partial(way.questions, asked, "all") for name, way in ways.items()}
            questions = in_turns(each, rounds, step)
    if peer:
        report.notes.append(versions())
        for what, samples in (("a question", questions), ("upload to the first right answer", first)):
            report.add_spread(f"{what}: docwell over {_PEER}", ratios(samples["docwell"], samples[_PEER]), "x")
    for name in ways:
        report.add_spread(f"{name}: a question, p50", Spread.of([1000 * one for one in questions[name]]), "ms")
        what = f"{name}: upload to the first right answer, {len(by_document)} PDFs one after another"
        report.add_spread(what, Spread.of(first[name]), "s")


def _until_all_answered(way: Road, rows: Sequence[Mapping[str, Any]]) -> None:
    deadline = time.monotonic() + _WAIT_S
    for row in rows:
        while not way.ask(row["question"], "all"):
            if time.monotonic() > deadline:
                raise BenchError(f"no answer to {row['question']!r}")
            time.sleep(_PAUSE_S)


def _docwell(asked: AskedStack) -> Road:
    stack, client = asked.stack, asked.stack.http(_WAIT_S)
    s3 = stack.client("s3")

    def ask(question: str, collection: str) -> Sequence[tuple[str, int]]:
        response = client.post("/v1/query", json={"question": question, "collection": collection})
        # The collection is unknown until its first document is live.
        found = response.json().get("citations", ()) if response.is_success else ()
        return [(one["document"], one["page"]) for one in found]

    return Road(lambda key, path: s3.put_object(Bucket=stack.bucket, Key=key, Body=path.read_bytes()), ask)


@contextmanager
def _peer(language_model: str, options: Options) -> Iterator[Road | None]:
    """Run the peer during the block; None without peers, or with a reason where pgvector is missing."""
    if not options.peers:
        yield None
        return
    if postgres.programs() is None:
        CONSOLE.print(f"{_PEER}: skipped. {postgres.MISSING}")
        yield None
        return
    with postgres.database() as url, _service(url, language_model) as client:

        def ask(question: str, _: str) -> Sequence[tuple[str, int]]:
            sources = client.post("/questions", json={"question": question}).raise_for_status().json()["sources"]
            return [(one["document"], one["page"]) for one in sources]

        def upload(key: str, path: Path) -> None:
            client.post("/documents", files={"file": (key, path.read_bytes())}).raise_for_status()

        yield Road(upload, ask, lambda key: client.delete(f"/documents/{quote(key, safe='')}").raise_for_status())


@contextmanager
def _service(database: str, language_model: str) -> Iterator[httpx.Client]:
    port, threads = free_port(), str(threads_for(None))
    environment = {
        **variables(),
        "DATABASE_URL": database,
        "EMBEDDING_MODEL": str(model()),
        "OLLAMA_HOST": language_model,
        "LANGUAGE_MODEL": MODEL,
        "OMP_NUM_THREADS": threads,
    }
    where = ["--app-dir", str(FOLDER), "--port", str(port), "--log-level", "warning"]
    url = f"http://127.0.0.1:{port}"
    with Popen(
        [str(python()), "-m", "uvicorn", "fastapi_pgvector:app", *where], env=environment, stdout=DEVNULL
    ) as app:
        try:
            deadline = time.monotonic() + _WAIT_S
            while not answers(f"{url}/docs"):
                if app.poll() is not None or time.monotonic() > deadline:
                    raise PeerError(f"{_PEER} does not start: read its error above")
                time.sleep(0.2)
            with httpx.Client(base_url=url, timeout=_WAIT_S, trust_env=False) as client:
                yield client
        finally:
            app.terminate()
