"""The doors of a running stack: the bucket, and the API over HTTP; and servers that can be killed."""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar
from unittest.mock import patch
from urllib.parse import quote

import httpx
import psutil

from docwell.http import sse
from infra.local.console import StackConsole
from infra.local.names import HOST, LEDGER_TABLE
from infra.local.ports import answers, free_port
from infra.local.stack import Part, Stack, StackOptions, base_environment, plan
from infra.local.supervisor import Supervisor, running_stack
from runtime.process import Child

T = TypeVar("T")
SSE = sse.CONTENT_TYPE
Event = tuple[str, Any]  # the name of a server-sent event, and its JSON or None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one question as a client sees it.

    `status` is 0 when the connection broke; `body` is JSON or None. `seconds` end with the last byte. A stream has
    `events`; `broken` says how the connection ended where it did not end as HTTP requires.
    """

    status: int
    content_type: str
    body: Any
    seconds: float
    events: tuple[Event, ...] = ()
    broken: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first_token_s: float | None = None


class Doors:
    """Bucket and API of one stack, with its API key; a context manager. `timeout_s` limits one answer."""

    def __init__(self, stack: Stack, timeout_s: float) -> None:
        self._stack = stack
        self._timeout_s = timeout_s
        self._s3 = stack.client("s3")
        self._client = stack.http(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put(self, key: str, body: bytes | Path) -> str:
        content = body.read_bytes() if isinstance(body, Path) else body
        answer = self._s3.put_object(Bucket=self._stack.bucket, Key=key, Body=content)
        return str(answer["VersionId"])

    def document(self, key: str) -> dict[str, Any] | None:
        """Return the API's record of a document, or None on 404. Raises `httpx.HTTPError`."""
        response = self._client.get(f"/v1/documents/{quote(key, safe='')}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        record: dict[str, Any] = response.raise_for_status().json()
        return record

    def settled(self, key: str, version: str, timeout_s: float) -> dict[str, Any]:
        """Wait for a final status of that version and return the record. Raises `TimeoutError`."""

        def look() -> dict[str, Any] | None:
            with suppress(httpx.HTTPError):  # the gateway may be starting or busy
                record = self.document(key)
                if record and record["status"] != "PENDING" and record["version"] == version:
                    return record
            return None

        if record := until(look, timeout_s, 0.2):
            return record
        raise TimeoutError(f"{key} has no final status after {timeout_s:.0f} s: {self.document(key)}")

    def indexed(self, key: str, version: str, timeout_s: float) -> dict[str, Any]:
        """Wait for the document to be live. Raises `TimeoutError`; `RuntimeError` for another status."""
        record = self.settled(key, version, timeout_s)
        if record["status"] != "INDEXED":
            raise RuntimeError(f"{key} is {record['status']}: {record['reason']}")
        return record

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """Ask one question. It raises nothing: the reply has the error, if any."""
        started = time.monotonic()
        content = bytearray()
        status, headers, broken, first_token_s = 0, httpx.Headers(), None, None
        try:
            with self._client.stream("POST", "/v1/query", json=dict(body)) as response:
                status, headers = response.status_code, response.headers
                for piece in response.iter_bytes():
                    content += piece
                    if first_token_s is None and b"event: token" in content:
                        first_token_s = time.monotonic() - started
                    if time.monotonic() - started > self._timeout_s:
                        broken = "no end within the client's patience"
                        break
        except httpx.HTTPError as error:
            broken = type(error).__name__
        seconds = time.monotonic() - started
        kind = headers.get("content-type", "").partition(";")[0].strip()
        text = content.decode("utf-8", "replace")
        document, events = None, list[Event]()
        with suppress(ValueError):  # a broken connection ends a stream within an event
            if kind == SSE:
                events.extend(sse.read(text.splitlines()))
            else:
                document = json.loads(text)
        return Reply(status, kind, document, seconds, tuple(events), broken, dict(headers), first_token_s)


@contextmanager
def local_stack(model: str, ollama: str | None = None, **options: Any) -> Iterator[Stack]:
    """Run a stack in a new folder during the block, with the server at `ollama` as its Ollama."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docwell-bench-")))
        # Not by the model's speed: figures of two runs must be comparable.
        chosen = {"DOCWELL_PASSAGE_TOKENS": "350"} if ollama is None else {"OLLAMA_HOST": ollama}
        stack.enter_context(patch.dict(os.environ, {"DOCWELL_FIRST_TOKEN_S": "0", **chosen}))
        yield stack.enter_context(running_stack(folder / ".docwell", model, **options))  # the CLI finds this name


@contextmanager
def local_servers(options: StackOptions, ollama: str) -> Iterator[tuple[Stack, list[Part]]]:
    """Run only the AWS server and Chroma of a stack during the block; yields the stack and all its parts."""
    options.data.mkdir(parents=True, exist_ok=True)
    stack, parts = plan(options, ollama, Path)
    servers = [part for part in parts if part.name in {"aws", "chroma"}]
    supervisor = Supervisor(servers, StackConsole(options.data.parent / "logs", silent=True))
    supervisor.start()
    try:
        yield stack, parts
    finally:
        supervisor.stop()


def ledger_rows(dynamodb: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of the ledger, without the types of their values."""
    for page in dynamodb.get_paginator("scan").paginate(TableName=LEDGER_TABLE, ConsistentRead=True):
        for item in page["Items"]:
            yield {name: next(iter(value.values())) for name, value in item.items()}


def workers_of(parent: psutil.Process, handler: str) -> list[psutil.Process]:
    """Return the processes below `parent` that run `python -m RUNTIME HANDLER`; launchers have longer commands."""
    workers = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            command = process.cmdline()
            if len(command) == 4 and command[1] == "-m" and command[3] == handler:
                workers.append(process)
    return workers


def until(look: Callable[[], T], timeout_s: float, pause_s: float = 0.05) -> T:
    """Repeat `look` until its result is true, or the time is up. Return the last result."""
    deadline = time.monotonic() + timeout_s
    while not (result := look()) and time.monotonic() < deadline:
        time.sleep(pause_s)
    return result


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its status. SIGTERM and Ctrl-C both clean up and exit with 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)


_READY_S = 60.0


class Server:
    """A command that serves when `ready_url` answers 200, with `body` where there is one."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], ready_url: str, body: str | None = None
    ) -> None:
        self.lines: list[str] = []  # its output
        self._command, self._environment = command, environment
        self._ready_url, self._body = ready_url, body
        self._child: Child | None = None
        self._statuses: list[int] = []

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self._child = Child(self._command, self._environment, self.lines.append, self._statuses.append)
            # The port of a killed server can stay in use for a moment: the command then exits, so start it again.
            while self._child.running and time.monotonic() < deadline:
                if answers(self._ready_url, body=self._body):
                    return
                time.sleep(0.05)
        raise RuntimeError(f"{self._command[0]} did not start: {self._child and self._child.last_line}")

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until its end. Raises `RuntimeError` for another status than 0."""
        started = time.monotonic()
        if self._child is not None:
            self._child.stop(_READY_S)
        if self._statuses[-1:] != [0]:
            raise RuntimeError(f"a stopped server ended with {self._statuses[-1:]}: {self.lines[-8:]}")
        return time.monotonic() - started

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def chroma_server(folder: Path) -> tuple[Server, int]:
    """Return `chroma run` on a folder, and its port."""
    port, program = free_port(), Path(sys.executable).with_name("chroma")
    command = [str(program), "run", "--path", str(folder), "--host", HOST, "--port", str(port)]
    environment = base_environment({"ANONYMIZED_TELEMETRY": "False"})
    return Server(command, environment, f"http://{HOST}:{port}/api/v2/heartbeat"), port
