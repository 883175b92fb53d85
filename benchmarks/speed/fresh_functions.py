"""Functions in fresh processes, on the same backends: docwell's with what is deployed, and the peer's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from venv import EnvBuilder

from benchmarks import peers
from benchmarks.speed.model_server import MODEL, model_server
from infra.container import packages
from infra.local.aws import CREATED, notification
from infra.local.console import StackConsole
from infra.local.lambda_runtime import Environment, FunctionSpec, Stream
from infra.local.names import LEDGER_TABLE, LOCAL_API_KEY_ID
from infra.local.poller import lambda_event
from infra.local.stack import Stack, StackOptions, function_variables, plan
from infra.local.supervisor import Supervisor

_STREAMING = "docwell.http.streaming_runtime"
_RUNTIME_OF_LAMBDA = ("awslambdaric", "runtime_client*", "simplejson", "snapshot_restore_py")
_COLLECTION = "peer"
# `import time: self [us] | cumulative | imported package`
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$")
# `__main__` was run, not imported; and some modules import others only to see whether they are there.
_IMPORT_ALL = """
import contextlib, importlib, json, sys
for name in json.load(sys.stdin):
    with contextlib.suppress(Exception):
        importlib.import_module(name)
"""
_INIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Started:
    """One fresh process, in seconds from its start: when it was ready for its first event, and when that was done.

    `modules` are the names of all that were imported, where they were asked for.
    """

    ready: float
    done: float
    answer: Any
    modules: Sequence[str] = ()


def start(spec: FunctionSpec, event: Mapping[str, Any], *, modules: bool = False) -> Started:
    """Run one event through a fresh process, and end it. Raises `FunctionError`."""
    lines: list[str] = []
    variables = {**spec.environment, **({"PYTHONPROFILEIMPORTTIME": "1"} if modules else {})}
    spec = replace(spec, environment=variables, init_timeout_s=_INIT_S, on_line=lines.append)
    body = json.dumps(event).encode()
    began = time.perf_counter()
    environment = Environment(spec)
    try:
        environment.wait_ready()
        ready = time.perf_counter() - began
        answer = _whole(environment.begin(body))
        done = time.perf_counter() - began
    finally:
        environment.kill()
    return Started(ready, done, answer, [match[2] for match in map(_IMPORT.search, lines) if match])


def _whole(answer: bytes | Stream) -> Any:
    if not isinstance(answer, Stream):
        return json.loads(answer)
    answer.start(lambda _: None)
    return {**answer.metadata(), "body": b"".join(answer).decode()}


def import_seconds(spec: FunctionSpec, modules: Sequence[str]) -> dict[str, float]:
    """What the modules of each top-level package take, imported one after another in a fresh process.

    In the function a thread that loads the model imports too, and each waits for the other. Raises
    `CalledProcessError`.
    """
    done = subprocess.run(
        [spec.python, "-X", "importtime", "-c", _IMPORT_ALL],
        input=json.dumps(modules),
        env=spec.variables("127.0.0.1:1"),
        capture_output=True,
        text=True,
        check=True,
    )
    seconds: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        if match := _IMPORT.search(line):
            seconds[match[2].split(".")[0]] += int(match[1]) / 1e6
    return seconds


@dataclass(frozen=True)
class Backends:
    """S3, SQS and DynamoDB by moto, a real Chroma, and a model host that answers at once."""

    stack: Stack
    folder: Path

    def query(self) -> FunctionSpec:
        """Docwell's query function, run as the template's wrapper runs it."""
        handler, python, path = _deployed(self.folder, "query")
        variables = function_variables(self.stack, "query") | path
        return FunctionSpec(handler, variables, memory_mb=1769, runtime=_STREAMING, python=python)

    def ingest(self) -> FunctionSpec:
        """Docwell's ingest function, run by Lambda's own runtime."""
        handler, python, path = _deployed(self.folder, "ingest")
        variables = function_variables(self.stack, "ingest") | path
        return FunctionSpec(handler, variables, timeout_s=120, memory_mb=3008, python=python)

    def peer(self, name: str) -> FunctionSpec:
        """A handler of `benchmarks.peers`. Raises `PeerError`."""
        host, port = self.stack.chroma.removeprefix("http://").split(":")
        variables = {
            **{name: value for name, value in function_variables(self.stack, name).items() if "AWS" in name},
            **peers.variables(),
            "CHROMA_HOST": host,
            "CHROMA_PORT": port,
            "COLLECTION": _COLLECTION,
            "EMBEDDING_MODEL": str(peers.model()),
            "OLLAMA_HOST": self.stack.ollama,
            "LANGUAGE_MODEL": self.stack.model,
            "PYTHONPATH": str(peers.FOLDER),
        }
        return FunctionSpec(f"{name}.handler", variables, timeout_s=120, python=str(peers.python()))

    def uploaded(self, key: str, content: bytes) -> dict[str, Any]:
        """The event that the upload of a document gives to an ingest function."""
        self.stack.client("s3").put_object(Bucket=self.stack.bucket, Key=key, Body=content)
        message: Any = {
            "MessageId": key,
            "ReceiptHandle": key,
            "Body": notification(CREATED, key),
            "MD5OfBody": "",
            "Attributes": {"ApproximateReceiveCount": "1"},
        }
        return lambda_event([message], "arn:aws:sqs:us-east-1:123456789012:docwell-ingest")

    def is_live(self, key: str) -> bool:
        """Whether the ledger says that the document can be found."""
        answer = self.stack.client("dynamodb").query(
            TableName=LEDGER_TABLE,
            KeyConditionExpression="document = :key",
            ExpressionAttributeValues={":key": {"S": key}},
        )
        return any(item.get("status") == {"S": "INDEXED"} for item in answer["Items"])


def asked(question: str) -> dict[str, Any]:
    """The event of API Gateway for a question with the stack's own key."""
    return {
        "resource": "/{proxy+}",
        "path": "/v1/query",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": "v1/query"},
        "requestContext": {"requestId": "cold", "identity": {"apiKeyId": LOCAL_API_KEY_ID}},
        "body": json.dumps({"question": question}),
        "isBase64Encoded": False,
    }


@contextmanager
def backends(*, deployed: bool) -> Iterator[Backends]:
    """Up for the time of the block; `deployed` builds docwell's packages. Raises `StackFailed`, `StepError`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docwell-cold-")))
        model = stack.enter_context(model_server())
        parts_of, parts = plan(StackOptions(folder / "data", MODEL, port=0), model, lambda: folder)
        supervisor = Supervisor(
            [part for part in parts if part.name in {"aws", "chroma"}], StackConsole(folder / "logs", silent=True)
        )
        supervisor.start()
        stack.callback(supervisor.stop)
        if deployed:
            _deploy(folder)
        yield Backends(parts_of, folder)


def _deploy(folder: Path) -> None:
    """What SAM zips and what the image holds, each in a folder, and Lambda's runtime beside them."""
    for part in packages.QUERY:
        packages.build_zip(part, folder / part)
    packages.build_image_folder(folder / "image")
    # A Python that sees no other packages of this machine.
    EnvBuilder(symlinks=True).create(folder / "python")
    beside = folder / "runtime"
    beside.mkdir()
    site = Path(sysconfig.get_path("platlib"))
    for path in (path for pattern in _RUNTIME_OF_LAMBDA for path in site.glob(pattern)):
        (beside / path.name).symlink_to(path)


def _deployed(folder: Path, name: str) -> tuple[str, str, dict[str, str]]:
    """The handler, the Python and the variables of a function."""
    # Lambda sets it always; without it the X-Ray SDK takes the process for a server, and makes a client of 0.1 s.
    variables = {"LAMBDA_TASK_ROOT": str(folder)}
    if not (folder / "runtime").is_dir():
        return f"functions.{name}.handler.handler", sys.executable, variables
    layers = [folder / "QueryFunction", folder / "DocwellLayer" / "python", folder / "EmbedderLayer" / "python"]
    path = layers if name == "query" else [folder / "image", folder / "runtime"]
    # Where Lambda puts a function nobody can write: what has no bytecode is compiled at each start.
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    return "handler.handler", str(folder / "python" / "bin" / "python"), variables
