"""A stack whose model answers at once or at a set pace, and clients that ask it, as cheap as clients can be."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.speed.model_server import MODEL, model_server
from infra.local.stack import Stack
from infra.local.supervisor import running_stack

_TIMEOUT_S = 60.0
_END_S = 10.0
# More clients than a small machine's gateway lets stand in line.
MOST_CLIENTS = 64
_RUNTIME = "docwell.http.streaming_runtime"
# What is in the command of each.
_PARTS = {
    "the function": _RUNTIME,
    "the gateway's stand-in": "infra.local.gateway",
    "AWS's stand-in": "infra.local.aws ",
    "Chroma": "chroma run ",
    "the model's stand-in": "benchmarks.speed.model_server",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: seconds from the request to the last byte, and what came. `status` 0: no whole answer."""

    seconds: float
    status: int
    body: Any

    @property
    def answered(self) -> bool:
        """Whether the question went the whole way, through the model."""
        return self.status == http.client.OK and self.body.get("status") == "answered"

    @property
    def reason(self) -> str:
        """Why it was not: the status of the answer, or of HTTP with the kind of problem."""
        said = self.body or {}
        return str(said.get("status") if self.status == http.client.OK else f"{self.status} {said.get('type')}")


@dataclass(frozen=True, slots=True)
class Load:
    """What several clients at once saw. `busy` is the share of the machine's processor that was used."""

    asked: Sequence[Asked]
    seconds: float
    busy: float

    @property
    def errors(self) -> int:
        """Questions that were not answered."""
        return sum(not one.answered for one in self.asked)


class Client:
    """One client with one connection, which it keeps; a context manager through `closing`."""

    def __init__(self, stack: Stack) -> None:
        where = urlsplit(stack.gateway)
        self._headers = {"x-api-key": stack.api_key, "content-type": "application/json"}
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)

    def connect(self) -> None:
        """Connect now, so that what is timed has a connection. Raises `OSError`."""
        self._connection.connect()

    def ask(self, question: str, collection: str) -> Asked:
        """Ask, and wait for the whole answer. Raises nothing."""
        started = time.perf_counter()
        status, body = 0, None
        try:
            response = self.open(question, collection)
            content = response.read()
            status, body = response.status, json.loads(content)
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
        return Asked(time.perf_counter() - started, status, body)

    def open(self, question: str, collection: str, **more: object) -> http.client.HTTPResponse:
        """The answer as it begins. Raises `OSError`, `HTTPException`."""
        body = json.dumps({"question": question, "collection": collection, **more})
        self._connection.request("POST", "/v1/query", body, self._headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class AskedStack:
    """A stack to ask, and its model server."""

    stack: Stack
    model: str

    def tell_model(self, what: str) -> Any:
        """Ask the model server for `held` or `last`, or tell it to `reword` or to `quote`."""
        return httpx.get(f"{self.model}/-/{what}", trust_env=False).json()

    def in_a_row(self, questions: Sequence[str], collection: str) -> list[Asked]:
        """The questions, one after another."""
        with closing(Client(self.stack)) as client:
            return [client.ask(question, collection) for question in questions]

    def without_model(self, questions: Sequence[str], collection: str) -> tuple[list[Asked], list[float]]:
        """The same, and the milliseconds of each without those that the model server held it."""
        self.tell_model("held")
        asked = self.in_a_row(questions, collection)
        held = self.tell_model("held")
        if len(held) != len(asked):  # some did not get to the model: they are errors, and no time is theirs
            return asked, [one.seconds * 1000 for one in asked]
        return asked, [(one.seconds - seconds) * 1000 for one, seconds in zip(asked, held, strict=True)]

    def at_once(self, questions: Sequence[str], collection: str, clients: int) -> Load:
        """The questions by so many clients, each of which takes the next one."""
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
        seconds = time.perf_counter() - began
        return Load(asked, seconds, psutil.cpu_percent() / 100)

    def environments(self) -> list[psutil.Process]:
        """The processes of the query function."""
        children = psutil.Process().children(recursive=True)
        return [process for process in children if _RUNTIME in _command(process)]

    def processor_seconds(self) -> dict[str, float]:
        """What each part of the stack has used of the processor since it began."""
        found = dict.fromkeys(_PARTS, 0.0)
        for process in psutil.Process().children(recursive=True):
            command = " ".join(_command(process))
            part = next((name for name, mark in _PARTS.items() if mark in command), None)
            if part is not None:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    found[part] += times.user + times.system
        return found

    def end_environments(self) -> None:
        """So that the next question meets a fresh one."""
        for process in self.environments():
            with suppress(psutil.NoSuchProcess):  # the one that started it has taken it along
                process.kill()
                process.wait(_END_S)


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command


@contextmanager
def asked_stack(first_s: float = 0.0, pace_s: float = 0.0, tokens: int = 0) -> Iterator[AskedStack]:
    """A stack of its own in a folder of its own, for the time of the block."""
    with ExitStack() as stack:
        model = stack.enter_context(model_server(first_s, pace_s, tokens))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docwell-bench-")))
        # The stack takes the server for the user's own Ollama, and starts none.
        stack.enter_context(patch.dict(os.environ, {"OLLAMA_HOST": model}))
        parts = stack.enter_context(
            running_stack(folder, MODEL, ingest_workers=1, reconcile_every_s=0, query_waiting=MOST_CLIENTS)
        )
        yield AskedStack(parts, model)
