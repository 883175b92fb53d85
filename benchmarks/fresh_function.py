"""A function in a fresh process, and the event source of its answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from benchmarks.speed.worker_memory import WorkerMemory
from infra.local.lambda_runtime import Environment, FunctionSpec, Stream

_STREAM_S = 300.0


class Fresh(NamedTuple):
    """Seconds from the start of the process to ready and to the first answer, peak bytes, and the answers."""

    ready: float
    first: float
    peak: int
    answers: Sequence[dict[str, Any]]


def run_fresh(spec: FunctionSpec, events: Sequence[Mapping[str, Any]], *, memory: bool = False) -> Fresh:
    """Start a process, send it the events one after another, and end it. Raises `FunctionError`.

    `memory` looks for the peak, which takes some processor time.
    """
    answers, first, watch = list[dict[str, Any]](), 0.0, WorkerMemory(spec.handler)
    with watch if memory else nullcontext():
        started = time.perf_counter()
        environment = Environment(spec)
        try:
            environment.wait_ready()
            ready = time.perf_counter() - started
            for event in events:
                answers.append(_whole(environment.begin(json.dumps(event).encode())))
                first = first or time.perf_counter() - started
        finally:
            environment.kill()
    return Fresh(ready, first, watch.peak.together, answers)


def _whole(answer: bytes | Stream) -> dict[str, Any]:
    if not isinstance(answer, Stream):
        whole: dict[str, Any] = json.loads(answer)
        return whole
    free = threading.Event()
    answer.start(lambda _: free.set())
    metadata = answer.metadata()
    body = b"".join(answer).decode()
    free.wait(_STREAM_S)
    return {**metadata, "body": body}
