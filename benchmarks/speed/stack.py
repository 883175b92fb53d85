"""A local stack beside a model server that answers at once: questions to it, and uploads until they are live."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.doors import Doors, Reply, local_stack
from benchmarks.faults.compare import PipelinePlace
from benchmarks.model_host import MODEL, model_server
from benchmarks.speed.options import BenchError
from docwell.config import EmbedderSettings
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack

CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
# More clients than the gateway of a small machine queues.
MOST_CLIENTS = 64
_TIMEOUT_S = 60.0
# The local ledger takes 1 ms to read a key, so look seldom while many documents wait. At most 50 a second become
# live, so the last one is not seen late.
_PAUSE_S, _PAUSE_OF_ONE_S, _LONGEST_PAUSE_S = 0.05, 0.02, 2.0
_KEYS_OF_ONE_READ = 100  # of BatchGetItem


def is_answered(answer: Reply) -> bool:
    """Return whether a question took the whole path, through the model."""
    return answer.status == 200 and (answer.body["status"], answer.body["mode"]) == ("answered", "passages")


@dataclass(frozen=True, slots=True)
class AskedStack:
    """A running stack, a client of its API, and the URL of its model server."""

    stack: Stack
    doors: Doors
    model: str

    def model_seconds(self) -> list[float]:
        """Return the seconds that the model server held each chat since the last call."""
        seconds: list[float] = httpx.get(f"{self.model}/-/held", trust_env=False).json()
        return seconds

    def ask(self, questions: Sequence[str], collection: str) -> list[Reply]:
        return [self.doors.ask({"question": question, "collection": collection}) for question in questions]

    def without_model(self, questions: Sequence[str], collection: str) -> tuple[list[Reply], list[float]]:
        """Ask in a row; also return the milliseconds of each question without the model server's time."""
        self.model_seconds()
        answers = self.ask(questions, collection)
        model_seconds = self.model_seconds()
        if len(model_seconds) != len(
            answers
        ):  # some questions never reached the model, so no time can be assigned
            return answers, [answer.seconds * 1000 for answer in answers]
        return answers, [
            (answer.seconds - model) * 1000 for answer, model in zip(answers, model_seconds, strict=True)
        ]

    def at_once(self, questions: Sequence[str], collection: str, clients: int) -> tuple[list[Reply], float, float]:
        """Let clients share the questions; return the answers, the seconds, and the processor's busy share."""
        answers: list[Reply] = []
        turn = count()
        start = threading.Barrier(clients + 1)

        def work() -> None:
            with Doors(self.stack, _TIMEOUT_S) as doors:
                start.wait()
                while (number := next(turn)) < len(questions):
                    answers.append(doors.ask({"question": questions[number], "collection": collection}))

        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        psutil.cpu_percent()
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return answers, time.perf_counter() - began, psutil.cpu_percent() / 100

    def answerable(self, questions: Sequence[str], collection: str, fewest: int = 1) -> list[str]:
        """Return the questions that reach the model. Raises `BenchError` for fewer than `fewest`."""
        answers = self.ask(questions, collection)
        good = [question for question, answer in zip(questions, answers, strict=True) if is_answered(answer)]
        if len(good) < fewest:
            raise BenchError(
                f"only {len(good)} of {len(questions)} questions made from the PDFs are answered, and {fewest} are"
                " needed: take more PDFs, or PDFs with more text"
            )
        return good


@contextmanager
def asked_stack(**options: Any) -> Iterator[AskedStack]:
    """Run a stack whose model answers at once during the block; `options` are those of the stack."""
    options = {"ingest_workers": 1, "reconcile_every_s": 0, "query_waiting": MOST_CLIENTS, **options}
    with model_server() as model, local_stack(MODEL, model, **options) as stack, Doors(stack, _TIMEOUT_S) as doors:
        yield AskedStack(stack, doors, model)


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
    s3, pipeline = stack.client("s3"), PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint
    started = time.monotonic()
    waiting: dict[str, str] = {}
    for key, body in bodies.items():
        content = body.read_bytes() if isinstance(body, Path) else body
        waiting[key] = s3.put_object(Bucket=stack.bucket, Key=key, Body=content)["VersionId"]
    rows: dict[str, Mapping[str, Any]] = {}
    while waiting:
        settled = _settled(stack.client("dynamodb"), pipeline, waiting)
        rows |= settled
        for key in settled:
            del waiting[key]
        if waiting and len(settled) < _KEYS_OF_ONE_READ:
            time.sleep(min(max(_PAUSE_S, _PAUSE_OF_ONE_S * len(waiting)), _LONGEST_PAUSE_S))
        if time.monotonic() > started + timeout_s:
            raise TimeoutError(f"{len(waiting)} documents have no final status after {timeout_s:.0f} s")
    return Indexed(time.monotonic() - started, rows)


def _settled(dynamodb: Any, pipeline: str, waiting: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Return the rows of the first hundred keys that have a final status for their version."""
    keys = [{"document": {"S": key}, "pipeline": {"S": pipeline}} for key in list(waiting)[:_KEYS_OF_ONE_READ]]
    answer = dynamodb.batch_get_item(RequestItems={LEDGER_TABLE: {"Keys": keys, "ConsistentRead": True}})
    items = answer["Responses"].get(LEDGER_TABLE, ())
    rows = [{name: next(iter(value.values())) for name, value in item.items()} for item in items]
    return {
        row["document"]: row
        for row in rows
        if row.get("status", "PENDING") != "PENDING" and row.get("version") == waiting[row["document"]]
    }
