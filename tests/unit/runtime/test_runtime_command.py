"""The command line and the settings of `runtime`."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from docwell.config import IngestSettings
from runtime import __main__ as command
from runtime import functions
from runtime import settings as module
from runtime.functions import FunctionInitFailed, FunctionPool, FunctionSpec
from runtime.http_server import HttpServer
from runtime.ingest import queues
from runtime.service import function_spec, guarded
from runtime.settings import WorkerSettings, processors
from tests.unit.cases import rows

NEEDED: dict[str, str] = dict(rows(__file__, "needed_settings"))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("DOCWELL_", "AWS_")):
            monkeypatch.delenv(name)
    # The command sets these.
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "none")
        monkeypatch.delenv(name)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["runtime", *arguments])
    # A thread that another test left, and that fails now, must not end the process of pytest.
    monkeypatch.setattr(command, "end_with_any_thread", threading.excepthook)
    return command.main()


@pytest.mark.parametrize("name", ["ingest", "query", "reconcile"])
def test_a_missing_setting_is_named_and_nothing_starts(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in NEEDED.items():
        if variable not in ("DOCWELL_CHROMA_URL", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(variable, value)
    assert run(monkeypatch, name) == 2
    assert capsys.readouterr().err.splitlines() == [
        "wrong setting: AWS_REGION: Field required",
        "wrong setting: DOCWELL_CHROMA_URL: Field required",
    ]


def test_sigterm_ends_a_command_that_is_still_importing(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import signal\n"
        "from runtime import __main__ as command\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"  # as for process 1
        "command.import_module = lambda _: signal.raise_signal(signal.SIGTERM)\n"
        "command.main()\n"
    )
    environment = {**os.environ, **NEEDED, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, program, "ingest"], env=environment, check=False, timeout=60)
    assert done.returncode == 143


def limits(monkeypatch: pytest.MonkeyPatch, **more: str) -> IngestSettings:
    for variable, value in {**NEEDED, **more}.items():
        monkeypatch.setenv(variable, value)
    return IngestSettings.read()


def test_a_worker_reads_its_queue_and_the_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    polled = queues(WorkerSettings(processes=3), limits(monkeypatch))
    workers = {url: poller.workers for url, poller in polled.items()}
    assert workers == {"https://sqs/1/ingest": 3, "https://sqs/1/dead": 1}
    assert polled["https://sqs/1/dead"].max_receives == 1000
    assert (polled["https://sqs/1/ingest"].max_receives, polled["https://sqs/1/ingest"].visibility_s) == (5, 60)


@pytest.mark.parametrize("ocr", ["off", "rapidocr"])
def test_scans_have_a_worker_also_once_ocr_is_off(ocr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = "https://sqs/1/scans"
    settings = limits(monkeypatch, DOCWELL_OCR_QUEUE_URL=scans, DOCWELL_OCR=ocr)
    assert queues(WorkerSettings(), settings)[scans].workers == 1
    assert queues(WorkerSettings(ingest_queue_url=scans, processes=2), settings)[scans].workers == 2


@pytest.mark.parametrize(
    ("limit", "cores", "expected"),
    [("150000 100000", 8, 1.5), ("800000 100000", 2, 2), ("max 100000", 4, 4), ("", 4, 4), (None, 4, 4)],
)
def test_a_containers_limit_bounds_the_processors(
    limit: str | None, cores: int, expected: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "cpu.max"
    if limit is not None:
        path.write_text(limit)
    monkeypatch.setattr(module, "_CPU_LIMIT", path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert processors() == expected


def test_processes_share_the_processors_unless_the_user_sets_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.service.processors", lambda: 4.0)
    assert function_spec("ingest", "a.b", 60, 3).environment["DOCWELL_EMBED_THREADS"] == "1"
    assert function_spec("ingest", "a.b", 60).environment["DOCWELL_EMBED_THREADS"] == "4"
    monkeypatch.setenv("DOCWELL_EMBED_THREADS", "")
    assert function_spec("ingest", "a.b", 60).environment["DOCWELL_EMBED_THREADS"] == "4"
    monkeypatch.setenv("DOCWELL_EMBED_THREADS", "7")
    assert function_spec("ingest", "a.b", 60).environment["DOCWELL_EMBED_THREADS"] == "7"


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 403), ("localhost", 403), ("::1", 403), ("", 404)])
def test_web_pages_are_refused_where_only_this_machine_listens(host: str, status: int) -> None:
    client = TestClient(guarded(Starlette(), host))
    assert client.get("/", headers={"host": "rebound.example"}).status_code == status


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on port {port} of 127.0.0.1"):
            HttpServer(Starlette(), "127.0.0.1", port)


@pytest.mark.parametrize("part", ["Child", "RuntimeApi"])
def test_a_machine_that_can_start_no_process_fails_the_call_and_leaks_nothing(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    pool = FunctionPool(FunctionSpec("a.b.handler"), concurrency=1)
    before = threading.active_count()
    with monkeypatch.context() as patched:
        patched.setattr(functions, part, exhausted)
        for _ in range(3):
            with pytest.raises(FunctionInitFailed, match="Cannot allocate memory"):
                pool.invoke({})
        assert not pool.warm()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
