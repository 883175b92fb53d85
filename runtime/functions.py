"""Functions without Lambda: execution environments that run one request at a time, and pools of them.

Each environment is a child process with a client of `runtime.runtime_api`, docwell's streaming runtime. The errors
of a call::

    FunctionError
    ├── FunctionRaised      the handler raised, or its answer is malformed or over Lambda's limit
    ├── FunctionTimedOut    no complete answer in time; the environment was killed
    ├── FunctionCrashed     the process ended before the answer was complete
    │   ├── FunctionInitFailed   … while it imported the module
    │   └── FunctionStopped      … because its pool was closed
    └── FunctionBusy        every environment is busy and the queue is full
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.emf import metric_line, print_line
from runtime.log import log
from runtime.names import ACCOUNT, REGION, ROOT
from runtime.process import Child
from runtime.runtime_api import (
    ClientGone,
    Exited,
    Failure,
    Happening,
    Invocation,
    Ready,
    Result,
    RuntimeApi,
    StreamBegan,
    StreamEnded,
    StreamPiece,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# A caller waits this long for an environment that has just answered. The environment is free within milliseconds,
# but starting another takes a second.
_ENDING_S = 0.05
# It runs any handler, and it can stream.
HANDLER_RUNTIME = "docwell.http.streaming_runtime"
PREFIXES = ("DOCWELL_", "AWS_", "POWERTOOLS_")
# The bytes between prelude and body in API Gateway's protocol.
DELIMITER = bytes(8)
# API Gateway's limit.
MAX_PRELUDE_BYTES = 16 * 1024
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
MAX_STREAM_BYTES = 200 * 1024 * 1024
# The time in which a function must stop after its client has left.
STOP_S = 10.0


class FunctionError(Exception):
    """Root of the tree."""


class FunctionRaised(FunctionError):
    """The handler raised `type`."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_


class FunctionTimedOut(FunctionError):
    """The function gave no complete answer in time."""


class FunctionCrashed(FunctionError):
    """The process ended before the answer was complete. The message has its last line of output."""


class FunctionInitFailed(FunctionCrashed):
    """The import of the handler's module failed."""


class FunctionStopped(FunctionCrashed):
    """The pool of the function was closed. The call says nothing about its event."""


class FunctionBusy(FunctionError):
    """Every environment is busy and the queue is full. Try again in `retry_after` seconds."""

    retry_after = 5


def function_environment() -> dict[str, str]:
    """Return the variables of this process that its functions get."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}


@dataclass(frozen=True)
class FunctionSpec:
    """The template's settings of a function. `handler` is `package.module.function`."""

    handler: str
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    # Lambda allows 10 s. A small shared machine reads its modules from a cold disk.
    init_timeout_s: float = 60.0
    # None: as much as the process may use. The embedder's threads and the cost of an answer depend on it.
    memory_mb: int | None = 1024
    python: str = sys.executable
    on_line: Callable[[str], None] = print_line

    @property
    def name(self) -> str:
        """The function's name: docwell-query for `functions.query.handler.handler`."""
        folder = self.handler.split(".")[-3:-2]
        return f"docwell-{folder[0]}" if folder else self.handler.partition(".")[0]

    @property
    def arn(self) -> str:
        """The function's ARN."""
        region = self.environment.get("AWS_REGION", REGION)
        return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{self.name}"

    def variables(self, address: str) -> dict[str, str]:
        """Return the environment of one process: Lambda's variables and the function's, none of the user's."""
        shell = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **shell,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            **({} if self.memory_mb is None else {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb)}),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{uuid.uuid4().hex}",
            **self.environment,
            "AWS_LAMBDA_RUNTIME_API": address,
            "_HANDLER": self.handler,
        }


class Environment:
    """One execution environment. Not thread-safe: one invocation at a time."""

    def __init__(self, spec: FunctionSpec) -> None:
        """Start the process. It takes its first event when its imports are done. Raises `FunctionInitFailed`."""
        self._spec = spec
        self._ready = False
        try:
            self._api = RuntimeApi()
            self._child = self._started()
        except OSError as error:  # the machine lacks memory, processes or files
            raise FunctionInitFailed(f"{spec.name} cannot start: {error}") from error

    def _started(self) -> Child:
        spec = self._spec
        try:
            return Child(
                [spec.python, "-m", HANDLER_RUNTIME, spec.handler],
                spec.variables(self._api.address),
                spec.on_line,
                lambda status: self._api.happenings.put(Exited(status)),
            )
        except OSError:
            self._api.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._child.running

    def wait_ready(self) -> None:
        """Wait for the imports. Raises `FunctionInitFailed`, `FunctionTimedOut`."""
        if self._ready:
            return
        happening = self._next(time.monotonic() + self._spec.init_timeout_s, "took too long to import")
        match happening:
            case Ready():
                self._ready = True
            case Failure():
                raise FunctionInitFailed(f"{self._spec.handler}: {happening.type}: {happening.message}")
            case _:
                raise FunctionInitFailed(f"{self._spec.handler} ended at its start: {self._child.last_line}")

    def invoke(self, event: bytes) -> bytes:
        """Return the function's answer as JSON. Raises as `begin` does, and for a streamed answer."""
        answer = self.begin(event)
        if isinstance(answer, Stream):
            raise FunctionError(f"{self._spec.name} streams its answer, but the caller takes no stream")
        return answer

    def begin(self, event: bytes) -> bytes | Stream:
        """Return the function's answer as JSON, or as a stream that reports when this environment is free again.

        Raises `FunctionError`. Kill the environment then, except after `FunctionRaised`.
        """
        self.wait_ready()
        timeout = self._spec.timeout_s
        invocation = Invocation(str(uuid.uuid4()), event, int((time.time() + timeout) * 1000), self._spec.arn)
        deadline = time.monotonic() + timeout
        self._api.give(invocation)
        answer = self._answer(invocation.id, deadline)
        match answer:
            case StreamBegan():
                return Stream(self._api, invocation.id, deadline, self._spec.name)
            case Failure():
                raise FunctionRaised(answer.type, answer.message)
        return answer.body

    def kill(self) -> None:
        """Kill the process and its descendants."""
        self._child.kill()
        self._api.close()

    def _answer(self, id_: str, deadline: float) -> Result | Failure | StreamBegan:
        """Return the answer to one invocation once the function asks for the next one, or begins to stream."""
        answer: Result | Failure | None = None
        while True:
            happening = self._next(deadline, "ran for too long")
            match happening:
                case StreamBegan() if happening.id == id_:
                    return happening
                case Result() | Failure() if happening.id == id_:
                    answer = happening
                case Ready() | Exited() if answer is not None:
                    return answer
                case Exited():
                    raise FunctionCrashed(
                        f"{self._spec.name} ended with status {happening.status}: {self._child.last_line}"
                    )

    def _next(self, deadline: float, reason: str) -> Happening:
        try:
            return self._api.happenings.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise FunctionTimedOut(f"{self._spec.name} {reason} and was killed") from None


class Stream:
    """A streamed answer. Read `metadata`, then the pieces; close it when the client leaves.

    A thread reads the answer until the environment asks for its next invocation, so a slow client does not block
    the environment. The thread calls `ending` before the client sees the end of the answer, and finally `released`
    with whether the environment is reusable.
    """

    def __init__(self, api: RuntimeApi, id_: str, deadline: float, name: str) -> None:
        """`deadline` is on the monotonic clock; `name` is the function's name."""
        self._api = api
        self._id = id_
        self._deadline = deadline
        self._name = name
        self._pieces: queue.SimpleQueue[bytes | FunctionError | None] = queue.SimpleQueue()
        self._rest = b""
        self._closed = False
        self._bytes = 0

    def start(self, released: Callable[[bool], None], ending: Callable[[], None] = lambda: None) -> None:
        """Start to read pieces."""
        threading.Thread(target=self._take, args=(released, ending), daemon=True).start()

    def metadata(self) -> dict[str, Any]:
        """Return status and headers, as in a REST proxy answer. Call it once, first. Raises `FunctionError`."""
        head = bytearray()
        while DELIMITER not in head and len(head) <= MAX_PRELUDE_BYTES:
            piece = self.next()
            if piece is None:
                break
            head += piece
        text, delimiter, self._rest = bytes(head).partition(DELIMITER)
        try:
            metadata = json.loads(text) if delimiter else None
        except ValueError:
            metadata = None
        if not isinstance(metadata, dict):
            self.close()
            raise FunctionRaised(
                "Runtime.MalformedPrelude", "the stream has no status and headers before its body"
            )
        return metadata

    def next(self) -> bytes | None:
        """Return the next piece of the body, or None at its end. Blocks. Raises `FunctionError`."""
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        piece_or_error = self._pieces.get()
        if isinstance(piece_or_error, FunctionError):
            raise piece_or_error
        return piece_or_error

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self.next()) is not None:
            yield piece

    def close(self) -> None:
        """Break the function's connection. The function has `STOP_S` seconds to stop."""
        self._api.hang_up(self._id)

    def _take(self, released: Callable[[bool], None], ending: Callable[[], None]) -> None:
        last: FunctionError | None = None
        ended = False
        while True:
            happening = self._happening()
            if getattr(happening, "id", self._id) != self._id:
                continue  # a late event of the previous invocation
            match happening:
                case StreamPiece() if not self._closed:
                    self._pass_on(happening.content)
                case StreamEnded():
                    ended = True
                    ending()
                    self._pieces.put(last)
                case Failure() if not (self._closed or ended):
                    last = FunctionRaised(happening.type, happening.message)
                case ClientGone() if not self._closed:
                    self._closed = True
                    self._deadline = min(self._deadline, time.monotonic() + STOP_S)
                case Ready() | Exited() | None:
                    break
        usable = isinstance(happening, Ready)
        released(usable)
        if not usable:
            last = self._lost(happening)
        if not ended:
            self._pieces.put(last)

    def _pass_on(self, content: bytes) -> None:
        self._bytes += len(content)
        if self._bytes <= MAX_STREAM_BYTES:
            self._pieces.put(content)
        else:
            self._pieces.put(FunctionRaised("Function.ResponseSizeTooLarge", "the stream is over 200 MB"))
            self.close()

    def _happening(self) -> Happening | None:
        try:
            return self._api.happenings.get(timeout=max(self._deadline - time.monotonic(), 0))
        except queue.Empty:
            return None

    def _lost(self, happening: Happening | None) -> FunctionError:
        if isinstance(happening, Exited):
            return FunctionCrashed(
                f"{self._name} ended with status {happening.status} in the middle of its answer"
            )
        return FunctionTimedOut(f"{self._name} ran for too long and was killed")


class FunctionPool:
    """Environments of one function. It starts up to `concurrency` on demand and keeps them warm."""

    def __init__(
        self,
        spec: FunctionSpec,
        concurrency: int = 2,
        max_waiting: int = 16,
        wait_s: float = 30.0,
        *,
        publishes: bool = False,
    ) -> None:
        """`max_waiting` callers may wait, each for `wait_s` seconds at most.

        With `publishes`, the pool prints Lambda's metrics.
        """
        self._spec = spec
        self._concurrency = concurrency
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._publishes = publishes
        self._condition = threading.Condition()
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()
        self._ending: set[Environment] = set()
        self._waiting = 0
        self._closed = False

    @property
    def capacity(self) -> int:
        """The most callers at once, waiting ones included."""
        return self._concurrency + self._max_waiting

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Return the function's answer. Read a `Stream` to its end, or close it.

        Blocks. Safe for threads. Raises `FunctionError`.
        """
        payload = json.dumps(event).encode()
        try:
            environment = self._take()
        except FunctionBusy:
            self._publish(Throttles=1)
            raise
        started = time.monotonic()
        self._publish(ConcurrentExecutions=len(self._busy))

        def end(*, usable: bool, failed: bool) -> None:
            self._give_back(environment, usable=usable)
            duration = (time.monotonic() - started) * 1000
            busy = len(self._busy)
            self._publish(Invocations=1, Errors=int(failed), Duration=duration, ConcurrentExecutions=busy)

        try:
            answer = environment.begin(payload)
        except BaseException as error:
            end(usable=isinstance(error, FunctionRaised), failed=True)
            if self._closed and isinstance(error, FunctionCrashed):
                raise FunctionStopped(f"{self._spec.name} was stopped") from error
            raise
        if isinstance(answer, Stream):
            answer.start(
                lambda usable: end(usable=usable, failed=not usable), lambda: self._ending.add(environment)
            )
            return answer
        end(usable=True, failed=False)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise FunctionRaised("Runtime.MarshalError", f"the answer is not JSON: {error}") from None

    def _publish(self, **values: float) -> None:
        if self._publishes:
            self._spec.on_line(metric_line("AWS/Lambda", {"FunctionName": self._spec.name}, values))

    def warm(self) -> bool:
        """Start one environment before the first call. Return whether it is ready; print an error."""
        environment, usable = None, False
        try:
            environment = self._take()
            environment.wait_ready()
            usable = True
        except FunctionStopped:
            pass
        except FunctionError as error:
            if not self._closed:  # else `close` has killed it
                log("ERROR", str(error))
        finally:
            if environment is not None:
                self._give_back(environment, usable=usable)
        return usable

    def close(self) -> None:
        """Kill every environment. Running and later calls fail with `FunctionStopped`."""
        with self._condition:
            self._closed = True
            environments = [*self._idle, *self._busy]
            self._idle.clear()
            self._condition.notify_all()
        for environment in environments:
            environment.kill()

    def _take(self) -> Environment:
        with self._condition:
            deadline = time.monotonic() + self._wait_s
            soon = time.monotonic() + _ENDING_S
            while True:
                if self._closed:
                    raise FunctionStopped(f"{self._spec.name} is stopping")
                self._drop_dead()
                if self._idle:
                    environment = self._idle.pop()  # the most recently used one has warm caches
                    self._busy.add(environment)
                    return environment
                if self._ending and time.monotonic() < soon:
                    self._condition.wait(soon - time.monotonic())
                    continue
                if len(self._busy) < self._concurrency:
                    environment = Environment(self._spec)
                    self._busy.add(environment)
                    return environment
                self._wait_in_line(deadline)

    def _wait_in_line(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if self._waiting >= self._max_waiting or left <= 0:
            raise FunctionBusy("every environment of the function is busy and the queue is full")
        self._waiting += 1
        try:
            self._condition.wait(left)
        finally:
            self._waiting -= 1

    def _drop_dead(self) -> None:
        for environment in [idle for idle in self._idle if not idle.running]:
            self._idle.remove(environment)
            environment.kill()

    def _give_back(self, environment: Environment, *, usable: bool) -> None:
        if not usable:
            environment.kill()
        with self._condition:
            self._busy.discard(environment)
            self._ending.discard(environment)
            if usable and not self._closed:
                self._idle.append(environment)
            self._condition.notify()
