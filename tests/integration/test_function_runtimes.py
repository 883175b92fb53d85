"""Functions of the local stack and of `runtime/`: pools of environments under docwell's streaming runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from docwell.http import sse
from docwell.http.streaming_runtime import Runtime
from runtime.functions import (
    HANDLER_RUNTIME,
    FunctionBusy,
    FunctionCrashed,
    FunctionInitFailed,
    FunctionPool,
    FunctionRaised,
    FunctionSpec,
    FunctionTimedOut,
    Stream,
)
from runtime.runtime_api import Invocation, Ready, RuntimeApi, StreamBegan, StreamEnded, StreamPiece

from .waiting import until

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent


class Toys:
    """Pools of toy functions, with the lines and notes of the toys."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self._log, self._pools = folder / "notes", list[FunctionPool]()

    def pool(
        self,
        toy: str,
        timeout_s: float = 10.0,
        path: Path = HERE,
        **limits: Any,
    ) -> FunctionPool:
        handler = toy if "." in toy else f"toy_functions.{toy}"
        environment = {"PYTHONPATH": str(path), "DOCWELL_TOY_LOG": str(self._log)}
        spec = FunctionSpec(handler, environment, timeout_s, on_line=self.lines.append)
        self._pools.append(FunctionPool(spec, **({"concurrency": 1, "wait_s": 5} | limits)))
        return self._pools[-1]

    def notes(self) -> list[str]:
        text = self._log.read_text() if self._log.exists() else ""
        return [line.partition(" ")[2] for line in text.splitlines()]

    def close(self) -> None:
        for pool in self._pools:
            pool.close()


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    toys = Toys(tmp_path)
    yield toys
    toys.close()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_function_gets_its_event_and_a_context_as_in_lambda(toys: Toys) -> None:
    pool = toys.pool("echo", timeout_s=7)
    answer, again = pool.invoke({"question": "é 日本"}), pool.invoke({})
    assert answer["event"] == {"question": "é 日本"}
    assert 2000 < answer["left_ms"] <= 7000
    assert answer["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:toy_functions"
    assert len(answer["request_id"]) == 36
    assert again["pid"] == answer["pid"]


@pytest.mark.parametrize("name", ["missing", "no_such_module.handler"])
def test_a_handler_that_cannot_be_imported_is_an_error_of_the_start(toys: Toys, name: str) -> None:
    with pytest.raises(FunctionInitFailed, match=r"missing|no_such_module"):
        toys.pool(name).invoke({})


def test_an_exception_of_the_handler_is_passed_on_without_its_text_in_the_log(toys: Toys) -> None:
    with pytest.raises(FunctionRaised, match="ValueError: this is wrong"):
        toys.pool("raises").invoke({})
    pool = toys.pool("streams")
    pid = pool.invoke({"plain": True})["pid"]
    with pytest.raises(FunctionRaised, match="ValueError: wrong: What is it"):
        pool.invoke({"raises": "What is it"})
    assert pool.invoke({"plain": True})["pid"] == pid
    until(lambda: "[ERROR] ValueError" in "\n".join(toys.lines))
    assert "What is it" not in "\n".join(toys.lines)


def test_a_crash_is_an_error_with_the_last_line_and_the_next_call_has_another_environment(toys: Toys) -> None:
    pool = toys.pool("dies")
    for _ in range(2):
        with pytest.raises(FunctionCrashed, match="status 3: the last thing that it says"):
            pool.invoke({})


def test_at_its_timeout_a_function_is_killed_with_its_children(toys: Toys, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(FunctionTimedOut):
        toys.pool("sleeps", timeout_s=1).invoke({"pids": str(pids)})
    function, grandchild = map(int, pids.read_text().split())
    until(lambda: gone(function) and gone(grandchild))


def test_an_environment_that_dies_idle_is_replaced(toys: Toys) -> None:
    pool = toys.pool("echo")
    first = pool.invoke({})["pid"]
    watcher = psutil.Process(first).ppid()
    psutil.Process(first).kill()
    until(lambda: gone(watcher))
    assert pool.invoke({})["pid"] != first


def test_concurrent_calls_have_separate_environments(toys: Toys) -> None:
    pool = toys.pool("sleeps", concurrency=2)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(pool.invoke, [{"seconds": 0.7}] * 2))
    assert len({answer["pid"] for answer in answers}) == 2


@pytest.mark.parametrize("limits", [{"max_waiting": 0, "wait_s": 600}, {"max_waiting": 5, "wait_s": 0.2}])
def test_a_caller_that_cannot_wait_is_refused(toys: Toys, tmp_path: Path, limits: dict[str, Any]) -> None:
    pool, pids = toys.pool("sleeps", **limits), tmp_path / "pids"
    busy = threading.Thread(target=pool.invoke, args=({"seconds": 1.5, "pids": str(pids)},))
    busy.start()
    until(pids.exists)
    with pytest.raises(FunctionBusy):
        pool.invoke({})
    assert busy.is_alive()
    busy.join()


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def streams(toys: Toys) -> FunctionPool:
    return toys.pool("streams")


def begin(pool: FunctionPool, **event: Any) -> Stream:
    stream = pool.invoke(event)
    assert isinstance(stream, Stream)
    stream.metadata()
    return stream


def tokens(stream: Stream) -> list[dict[str, Any]]:
    return [data for _, data in sse.read(b"".join(stream).decode().splitlines())]


def test_a_stream_of_many_megabytes_arrives_whole(streams: FunctionPool) -> None:
    body = b"".join(begin(streams, megabytes=20))
    assert len(body) == 20 * 1024 * 1024
    assert body[5 * 1024 * 1024 - 1 :][:2] == b"ef"
    assert "pid" in streams.invoke({"plain": True})


def test_a_stream_that_fails_half_way_breaks_off_and_the_log_has_its_error(
    toys: Toys, streams: FunctionPool
) -> None:
    failing = begin(streams, pieces=2, fails=True)
    assert failing.next() is not None
    assert failing.next() is not None
    with pytest.raises(FunctionRaised, match=r"Runtime\.TruncatedResponse"):
        failing.next()
    until(lambda: "[ERROR] ValueError" in "\n".join(toys.lines))
    with pytest.raises(FunctionCrashed, match="status 4"):
        tokens(begin(streams, pieces=1, dies=True))
    assert "pid" in streams.invoke({"plain": True})


def test_an_answer_does_not_wait_for_its_follow_up_work_but_the_next_call_does(
    toys: Toys, streams: FunctionPool
) -> None:
    assert len(tokens(begin(streams, pieces=1, lingers=0.5))) == 1
    assert "afterwards" not in toys.notes()
    streams.invoke({"plain": True})
    assert "afterwards" in toys.notes()


def test_the_follow_up_work_is_done_for_a_client_that_left(toys: Toys, streams: FunctionPool) -> None:
    stream = begin(streams, pieces=100, pause=0.2)
    stream.next()  # a body that has not begun has nothing to close
    stream.close()
    until(lambda: {"closed", "afterwards"} <= set(toys.notes()))


def test_an_environment_takes_no_other_call_until_its_stream_ends(streams: FunctionPool) -> None:
    stream = streams.invoke({"pieces": 3, "pause": 0.6})
    started = time.monotonic()
    streams.invoke({"plain": True})
    assert time.monotonic() - started > 0.4
    stream.metadata()
    assert len(tokens(stream)) == 3  # it waited unread, and nothing is lost


@pytest.mark.parametrize("fails", [False, True])
def test_a_handlers_module_is_prepared_before_the_first_event(toys: Toys, tmp_path: Path, fails: bool) -> None:
    prepare = "raise ValueError('no model')" if fails else "made.append('the model')"
    (tmp_path / f"prepared_{fails}.py").write_text(
        f"made = []\ndef prepare():\n    {prepare}\ndef handler(event, context):\n    return made\n"
    )
    pool = toys.pool(f"prepared_{fails}.handler", path=tmp_path)
    if fails:
        with pytest.raises(FunctionInitFailed, match="ValueError: no model"):
            pool.invoke({})
    else:
        assert [pool.invoke({}), pool.invoke({})] == [["the model"], ["the model"]]


class Process:
    """The streaming runtime in a process, and its Runtime API."""

    def __init__(self, api: RuntimeApi, handler: str, *folders: Path, **environment: str) -> None:
        self.api = api
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, [*folders, HERE]))}
        variables |= {"AWS_LAMBDA_RUNTIME_API": api.address, "_HANDLER": handler, "DOCWELL_TOY_LOG": os.devnull}
        self.child = subprocess.Popen(
            [sys.executable, "-m", HANDLER_RUNTIME], env=variables | environment, stdout=subprocess.PIPE, text=True
        )

    def next(self) -> Any:
        return self.api.happenings.get(timeout=10)


def test_a_stream_begins_with_its_prelude_and_sigterm_ends_the_runtime(api: RuntimeApi) -> None:
    process = Process(api, "toy_functions.streams")
    assert process.next() == Ready()
    event = json.dumps({"pieces": 0}).encode()
    api.give(Invocation("some-id", event, int((time.time() + 5) * 1000), "arn"))
    head = json.dumps({"statusCode": 200, "headers": {"Content-Type": sse.CONTENT_TYPE}}).encode() + bytes(8)
    happenings = [process.next() for _ in range(4)]
    assert happenings == [
        StreamBegan("some-id"),
        StreamPiece("some-id", head),
        StreamEnded("some-id"),
        Ready(),
    ]
    process.child.send_signal(signal.SIGTERM)
    process.child.communicate(timeout=5)
    assert process.child.returncode == 0


def test_the_runtime_waits_for_a_restore_and_opens_a_closed_connection_again() -> None:
    paths = []

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True  # without the field Connection: close

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        runtime = Runtime(f"127.0.0.1:{server.server_port}")
        for _ in range(2):
            runtime.restored()
            time.sleep(0.1)
        server.shutdown()
    assert paths == ["/2018-06-01/runtime/restore/next"] * 2
