"""A cold start: from the start of a process to its first answer, and to its first live document.

Each sample is a fresh process under the local runtime, with the deployed packages and no others. In the short
form, and where this Python is not Lambda's 3.13, it uses the packages of the development environment. All files
are in the machine's cache.
"""

import json
import os
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from venv import EnvBuilder

from benchmarks.chaos import PAGES, QUESTION
from benchmarks.doors import local_servers
from benchmarks.faults.world import CREATED, notification, sqs_event
from benchmarks.model_host import MODEL, model_server
from benchmarks.pdfs import pdf
from benchmarks.speed.stack import BenchError, Options
from infra.container import packages
from infra.local.names import LEDGER_TABLE, LOCAL_PRINCIPAL
from infra.local.stack import Stack, StackOptions, function_variables
from infra.measuring import Spread, in_turns
from infra.progress import bar
from infra.report import ROOT, Report
from runtime.functions import Environment, FunctionSpec, Stream

_LAMBDA_PYTHON = (3, 13)
_QUESTION_EVENT = ROOT / "tests" / "events" / "query.json"
_STREAM_S = 300.0
_STREAMING = "docwell.http.streaming_runtime"
_RUNTIME_OF_LAMBDA = ("awslambdaric", "runtime_client*", "simplejson", "snapshot_restore_py")
# Ingest first: query needs a document.
_GOALS = {"ingest": ("first document live", "<= 0.8"), "query": ("first answer", "<= 0.5")}


@dataclass
class _Function:
    """A function that is started again and again. `begin` makes the next event; `holds` checks the result."""

    spec: FunctionSpec
    begin: Callable[[], tuple[str, dict[str, Any]]]
    holds: Callable[[str, str], bool]
    ready: list[float] = field(default_factory=list)

    def start(self) -> float:
        """Return the seconds from the start of a fresh process to its answer.

        Raises `FunctionError`, and `BenchError` for an answer that is wrong.
        """
        key, event = self.begin()
        started = time.perf_counter()
        environment = Environment(self.spec)
        try:
            environment.wait_ready()
            self.ready.append(time.perf_counter() - started)
            answer = _complete(environment.begin(json.dumps(event).encode()))
            seconds = time.perf_counter() - started
        finally:
            environment.kill()
        if not self.holds(key, answer):
            raise BenchError(f"a fresh process did not do its work: {answer}")
        return seconds


def _complete(answer: bytes | Stream) -> str:
    """Return the answer; of a stream its body, once the environment is free."""
    if not isinstance(answer, Stream):
        return answer.decode()
    free = threading.Event()
    answer.start(lambda _: free.set())
    answer.metadata()
    body = b"".join(answer).decode()
    free.wait(_STREAM_S)
    return body


def measure(report: Report, options: Options) -> None:
    """Add rows for query and ingest. Raises `BenchError` where a function does not start."""
    deployed = not options.short and sys.version_info[:2] == _LAMBDA_PYTHON
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docwell-cold-")))
        model = stack.enter_context(model_server())
        places, _ = stack.enter_context(local_servers(StackOptions(folder / "data", MODEL, port=0), model))
        functions = _functions(places, _deploy(folder) if deployed else None)
        for name in _GOALS:  # a first run is not counted
            functions[name].start()
            functions[name].ready.clear()
        rounds = options.form(7, 2)
        with bar("fresh processes", rounds * len(functions)) as step:
            samples = in_turns({name: function.start for name, function in functions.items()}, rounds, step)
    report.add("docwell runs what is deployed", deployed, "1: yes")
    for name, (end, goal) in _GOALS.items():
        times = Spread.of(samples[name])
        report.add_spread(f"docwell: {name}, process start to {end}", times, "s", options.goal(goal))
        report.add_spread(f"docwell: {name}, of which until ready", Spread.of(functions[name].ready), "s")


def _functions(stack: Stack, deployed: Path | None) -> dict[str, _Function]:
    content, numbers = pdf(PAGES), count()
    s3, dynamodb = stack.client("s3"), stack.client("dynamodb")

    def upload() -> tuple[str, dict[str, Any]]:
        key = f"cold/{next(numbers)}.pdf"
        s3.put_object(Bucket=stack.bucket, Key=key, Body=content)
        return key, sqs_event("message", notification(CREATED, stack.bucket, key))

    def is_live(key: str, _: str) -> bool:
        rows = dynamodb.scan(TableName=LEDGER_TABLE)["Items"]
        return any(row["document"] == {"S": key} and row.get("status") == {"S": "INDEXED"} for row in rows)

    def question() -> tuple[str, dict[str, Any]]:
        event: dict[str, Any] = json.loads(_QUESTION_EVENT.read_text(encoding="utf-8"))
        event["requestContext"]["authorizer"] = {"principalId": LOCAL_PRINCIPAL}  # the local stack's own key
        return "", event | {"body": json.dumps({"question": QUESTION})}

    query = _spec(stack, "query", deployed, runtime=_STREAMING, memory_mb=1769)
    ingest = _spec(stack, "ingest", deployed, timeout_s=120, memory_mb=3008)
    return {
        "query": _Function(query, question, lambda _, answer: '"answered"' in answer),
        "ingest": _Function(ingest, upload, is_live),
    }


def _spec(stack: Stack, name: str, deployed: Path | None, **settings_of: Any) -> FunctionSpec:
    # Lambda always sets this variable; without it the X-Ray SDK spends 0.1 s on a client for servers.
    variables = function_variables(stack, name) | {"LAMBDA_TASK_ROOT": str(deployed)}
    settings = {"init_timeout_s": 120.0, "on_line": lambda _: None, **settings_of}
    if deployed is None:
        return FunctionSpec(f"functions.{name}.handler.handler", variables, **settings)
    layers = [deployed / "QueryFunction", deployed / "DocwellLayer/python", deployed / "EmbedderLayer/python"]
    path = layers if name == "query" else [deployed / "image", deployed / "runtime"]
    # Write no bytecode: Lambda's folders are read-only, so modules without bytecode are compiled at each start.
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    handler = "handler.handler" if name == "query" else "start.handler"
    return FunctionSpec(handler, variables, python=str(deployed / "python/bin/python"), **settings)


def _deploy(folder: Path) -> Path:
    """Build the files of the zips and the image, and link Lambda's runtime beside them. Raises `StepError`."""
    for part in packages.QUERY:
        packages.build_zip(part, folder / part)
    packages.build_image_folder(folder / "image")
    # Create a Python without this machine's other packages.
    EnvBuilder(symlinks=True).create(folder / "python")
    (folder / "runtime").mkdir()
    site = Path(sysconfig.get_path("platlib"))
    for path in (path for pattern in _RUNTIME_OF_LAMBDA for path in site.glob(pattern)):
        (folder / "runtime" / path.name).symlink_to(path)
    return folder
