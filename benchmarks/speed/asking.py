"""A stack whose model answers at once or at a set pace, and clients that ask it."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.doors import local_stack
from benchmarks.model_host import MODEL, model_server
from benchmarks.speed.options import BenchError
from benchmarks.speed.worker_memory import workers_of
from infra.local.stack import Stack, StackOptions

_TIMEOUT_S = 60.0
# More clients than the gateway of a small machine queues.
MOST_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: seconds from the request to the last byte, and the answer. `status` 0: no whole answer."""

    seconds: float
    status: int
    body: Any

    @property
    def answered(self) -> bool:
        """Whether the question took the whole path, through the model."""
        return self.reason == "answered" and self.body["mode"] == "passages"

    @property
    def reason(self) -> str:
        """The status of the answer, or that of HTTP with the type of the problem."""
        said = self.body or {}
        return str(said.get("status") if self.status == http.client.OK else f"{self.status} {said.get('type')}")


class Client:
    """One client that keeps one connection, and costs little processor time; use it with `closing`."""

    def __init__(self, stack: Stack) -> None:
        where = urlsplit(stack.gateway)
        self._headers = {"x-api-key": stack.api_key, "content-type": "application/json"}
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
        self.close = self._connection.close

    def ask(self, question: str, collection: str) -> Asked:
        """Ask, and wait for the whole answer. Raises nothing."""
        started = time.perf_counter()
        status, body = 0, None
        try:
            request = json.dumps({"question": question, "collection": collection})
            self._connection.request("POST", "/v1/query", request, self._headers)
            response = self._connection.getresponse()
            content = response.read()
            status, body = response.status, json.loads(content)
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
        return Asked(time.perf_counter() - started, status, body)


@dataclass(frozen=True, slots=True)
class AskedStack:
    """A running stack, and the URL of its model server."""

    stack: Stack
    model: str

    def tell_model(self, what: str) -> Any:
        return httpx.get(f"{self.model}/-/{what}", trust_env=False).json()

    def in_a_row(self, questions: Sequence[str], collection: str) -> list[Asked]:
        with closing(Client(self.stack)) as client:
            return [client.ask(question, collection) for question in questions]

    def without_model(self, questions: Sequence[str], collection: str) -> tuple[list[Asked], list[float]]:
        """Ask in a row; also return the milliseconds of each question without the model server's time."""
        self.tell_model("held")
        asked = self.in_a_row(questions, collection)
        held = self.tell_model("held")
        if len(held) != len(asked):  # some questions never reached the model, so no time can be assigned
            return asked, [one.seconds * 1000 for one in asked]
        return asked, [(one.seconds - seconds) * 1000 for one, seconds in zip(asked, held, strict=True)]

    def at_once(self, questions: Sequence[str], collection: str, clients: int) -> tuple[list[Asked], float, float]:
        """Let clients share the questions; return the answers, the seconds, and the processor's busy share."""
        asked: list[Asked] = []
        turn = count()
        start = threading.Barrier(clients + 1)

        def work() -> None:
            with closing(Client(self.stack)) as client:
                start.wait()
                while (number := next(turn)) < len(questions):
                    asked.append(client.ask(questions[number], collection))

        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        psutil.cpu_percent()
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return asked, time.perf_counter() - began, psutil.cpu_percent() / 100

    def environments(self) -> list[psutil.Process]:
        return workers_of(psutil.Process(), StackOptions.query_handler)


def answerable(asked: AskedStack, questions: Sequence[str], collection: str, fewest: int = 1) -> list[str]:
    """Return the questions that reach the model. Raises `BenchError` for fewer than `fewest`."""
    answers = asked.in_a_row(questions, collection)
    kept = [question for question, answer in zip(questions, answers, strict=True) if answer.answered]
    if len(kept) < fewest:
        raise BenchError(
            f"only {len(kept)} of {len(questions)} questions made from the PDFs are answered, and {fewest} are"
            " needed: take more PDFs, or PDFs with more text"
        )
    return kept


@contextmanager
def asked_stack(first_s: float = 0.0, pace_s: float = 0.0, tokens: int = 0) -> Iterator[AskedStack]:
    options = {"ingest_workers": 1, "reconcile_every_s": 0, "query_waiting": MOST_CLIENTS}
    with model_server(first_s, pace_s, tokens) as model, local_stack(MODEL, model, **options) as stack:
        yield AskedStack(stack, model)
