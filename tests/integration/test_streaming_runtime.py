"""docwell's own Lambda runtime against the local Runtime API, with toy handlers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from docwell.http import sse
from docwell.http.streaming_runtime import Runtime
from runtime.functions import (
    FunctionCrashed,
    FunctionInitFailed,
    FunctionPool,
    FunctionRaised,
    FunctionSpec,
    Stream,
)
from runtime.runtime_api import (
    Invocation,
    Ready,
    RuntimeApi,
    StreamBegan,
    StreamEnded,
    StreamPiece,
)
from tests.integration.waiting import until

pytestmark = pytest.mark.integration

RUNTIME = "docwell.http.streaming_runtime"


class Toy:
    """A pool with one environment of a toy, and the toy's notes."""

    def __init__(self, folder: Path, name: str = "streams", timeout_s: float = 10.0) -> None:
        self.log = folder / "notes"
        self.lines: list[str] = []
        environment = {"PYTHONPATH": str(Path(__file__).parent), "DOCWELL_TOY_LOG": str(self.log)}
        spec = FunctionSpec(
            f"toy_functions.{name}", environment, timeout_s, on_line=self.lines.append, runtime=RUNTIME
        )
        self.pool = FunctionPool(spec, concurrency=1, wait_s=5)

    def stream(self, **event: Any) -> Stream:
        answer = self.pool.invoke(event)
        assert isinstance(answer, Stream)
        return answer

    def notes(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        return [line.partition(" ")[2] for line in text.splitlines()]


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    made = Toy(tmp_path)
    yield made
    made.pool.close()


def tokens(stream: Stream) -> list[dict[str, Any]]:
    return [data for _, data in sse.read(b"".join(stream).decode().splitlines())]


def test_pieces_of_many_megabytes_arrive_whole(toy: Toy) -> None:
    stream = toy.stream(megabytes=20)
    stream.metadata()
    body = b"".join(stream)
    assert len(body) == 20 * 1024 * 1024
    assert body[5 * 1024 * 1024 - 1 :][:2] == b"ef"


def test_any_other_result_is_json_and_the_function_knows_that_it_may_stream(toy: Toy) -> None:
    assert toy.pool.invoke({"plain": True})["can_stream"] == "1"


def test_a_function_gets_its_event_and_a_context_as_in_lambda(tmp_path: Path) -> None:
    echo = Toy(tmp_path, "echo", timeout_s=7)
    answer = echo.pool.invoke({"question": "é 日本"})
    echo.pool.close()
    assert answer["event"] == {"question": "é 日本"}
    assert 6000 < answer["left_ms"] <= 7000
    assert answer["arn"].endswith(":function:toy_functions")
    assert len(answer["request_id"]) == 36


def test_what_the_handler_raises_is_told_and_the_environment_stays(toy: Toy) -> None:
    pid = toy.pool.invoke({"plain": True})["pid"]
    with pytest.raises(FunctionRaised, match="ValueError: wrong: What is it"):
        toy.pool.invoke({"raises": "What is it"})
    assert toy.pool.invoke({"plain": True})["pid"] == pid
    until(lambda: "[ERROR] ValueError" in "\n".join(toy.lines))
    log = "\n".join(toy.lines)
    assert "toy_functions.py" in log
    assert "What is it" not in log


def test_a_stream_that_fails_half_way_ends_in_its_error_and_the_environment_stays(toy: Toy) -> None:
    stream = toy.stream(pieces=2, fails=True)
    stream.metadata()
    assert stream.next() is not None
    assert stream.next() is not None
    with pytest.raises(FunctionRaised, match="ValueError: half-way"):
        stream.next()
    assert "pid" in toy.pool.invoke({"plain": True})


def test_calls_one_after_the_other_find_the_environment_free(toy: Toy) -> None:
    pids = set()
    for _ in range(5):
        stream = toy.stream(pieces=1)
        stream.metadata()
        pids |= {data["pid"] for data in tokens(stream)}
    assert len(pids) == 1
    assert toy.notes().count("whole") == 5


def test_nobody_waits_for_what_is_done_after_an_answer_and_the_next_call_finds_it_done(toy: Toy) -> None:
    stream = toy.stream(pieces=1, lingers=0.5)
    stream.metadata()
    assert len(tokens(stream)) == 1
    assert "afterwards" not in toy.notes()
    toy.pool.invoke({"plain": True})
    assert "afterwards" in toy.notes()


def test_a_client_that_left_before_the_first_piece_ends_the_stream_and_what_comes_after_is_done(toy: Toy) -> None:
    toy.stream(pieces=100, pause=0.2).close()
    until(lambda: {"closed", "afterwards"} <= set(toy.notes()))


def test_an_environment_is_at_work_until_its_stream_ends(toy: Toy) -> None:
    stream = toy.stream(pieces=3, pause=0.6)
    started = time.monotonic()
    toy.pool.invoke({"plain": True})
    assert time.monotonic() - started > 0.4
    stream.metadata()
    assert len(tokens(stream)) == 3  # it waited unread, and nothing is lost


def test_a_process_that_dies_in_mid_stream_is_a_crash(toy: Toy) -> None:
    stream = toy.stream(pieces=1, dies=True)
    stream.metadata()
    with pytest.raises(FunctionCrashed, match="status 4"):
        tokens(stream)
    assert "pid" in toy.pool.invoke({"plain": True})


def test_a_stream_without_a_prelude_is_refused(tmp_path: Path) -> None:
    api = RuntimeApi()
    stream = Stream(api, "some-id", time.monotonic() + 5, "toy")
    stream.start(lambda _: None)
    for happening in (StreamPiece("some-id", b"no prelude"), StreamEnded("some-id"), Ready()):
        api.happenings.put(happening)
    with pytest.raises(FunctionRaised, match="MalformedPrelude"):
        stream.metadata()
    api.close()


@pytest.mark.parametrize("name", ["missing", "no_such_module.handler"])
def test_a_handler_that_cannot_be_imported_is_an_init_failure(tmp_path: Path, name: str) -> None:
    toy = Toy(tmp_path, name)
    with pytest.raises(FunctionInitFailed, match=r"missing|no_such_module"):
        toy.pool.invoke({})
    toy.pool.close()


class Process:
    """The runtime in its own process, and its Runtime API."""

    def __init__(self, handler: str, **environment: str) -> None:
        self.api = RuntimeApi()
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", RUNTIME],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": path,
                "AWS_LAMBDA_RUNTIME_API": self.api.address,
                "_HANDLER": handler,
                **environment,
            },
            stdout=subprocess.PIPE,
            text=True,
        )

    def next(self) -> Any:
        return self.api.happenings.get(timeout=10)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.api.close()


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process("toy_functions.streams", DOCWELL_TOY_LOG=os.devnull)
    yield made
    made.end()


def test_sigterm_ends_the_runtime_cleanly(process: Process) -> None:
    assert process.next() == Ready()
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(5) == 0


def test_a_stream_is_declared_as_one_and_begins_with_its_prelude(process: Process) -> None:
    process.next()
    event = json.dumps({"pieces": 0}).encode()
    process.api.give(Invocation("some-id", event, int((time.time() + 5) * 1000), "arn"))
    assert process.next() == StreamBegan("some-id")
    head = json.dumps({"statusCode": 200, "headers": {"Content-Type": sse.CONTENT_TYPE}}).encode() + bytes(8)
    assert process.next() == StreamPiece("some-id", head)
    assert process.next() == StreamEnded("some-id")
    assert process.next() == Ready()


def pool_of(handler: str, folder: Path) -> AbstractContextManager[FunctionPool]:
    spec = FunctionSpec(handler, {"PYTHONPATH": str(folder)}, on_line=lambda _: None, runtime=RUNTIME)
    return closing(FunctionPool(spec, concurrency=1, wait_s=5))


def test_what_a_handlers_module_prepares_is_there_before_its_first_event(tmp_path: Path) -> None:
    (tmp_path / "prepared.py").write_text(
        "made = []\ndef prepare():\n    made.append('the model')\ndef handler(event, context):\n    return made\n"
    )
    with pool_of("prepared.handler", tmp_path) as pool:
        assert [pool.invoke({}), pool.invoke({})] == [["the model"], ["the model"]]


def test_what_fails_to_be_prepared_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "unprepared.py").write_text(
        "def prepare():\n    raise ValueError('no model')\ndef handler(event, context):\n    return None\n"
    )
    with (
        pool_of("unprepared.handler", tmp_path) as pool,
        pytest.raises(FunctionInitFailed, match="ValueError: no model"),
    ):
        pool.invoke({})


def test_with_snapstart_the_hooks_run_around_the_snapshot(tmp_path: Path) -> None:
    hooks = tmp_path / "snapshot_restore_py.py"
    hooks.write_text(
        "def note(what, to=None):\n    print(what, to, flush=True)\n"
        "def get_before_snapshot():\n    return [(note, ('second',), {}), (note, ('first',), {'to': 1})]\n"
        "def get_after_restore():\n    return [(note, ('after',), {})]\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    process = Process(
        "toy_functions.echo", PYTHONPATH=path, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
        AWS_LAMBDA_FUNCTION_NAME="toy",
    )  # fmt: skip
    assert process.next() == Ready()
    process.process.terminate()
    said, _ = process.process.communicate(timeout=5)
    assert said.splitlines() == ["first 1", "second None", "after None"]
    process.end()


@pytest.mark.parametrize(("closes", "opened"), [(False, 1), (True, 3)])
def test_calls_share_a_connection_until_the_api_closes_it(closes: bool, opened: int) -> None:
    connections: list[object] = []

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = closes  # without the field Connection: close

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        runtime = Runtime(f"127.0.0.1:{server.server_port}")
        for _ in range(3):
            assert runtime._call("GET", "/invocation/next")[0] == b""
            time.sleep(0.1)
        runtime._connection.close()
        server.shutdown()
    assert len(connections) == opened
