"""`make up`: the parts start and end together, come back after a crash, and serve their user alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local import supervisor as supervisor_module
from infra.local.console import StackConsole
from infra.local.keys import private_folder
from infra.local.stack import Part, Stack, StackOptions, base_environment, plan
from infra.local.supervisor import AlreadyRunning, StackFailed, Supervisor, supervised
from runtime.guard import READY_PATH

from .local_parts import toy_stack
from .waiting import until

pytestmark = pytest.mark.integration


# --- a whole stack, with toys as its functions ---


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, psutil.Process]]:
    with toy_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture
def stack(running: tuple[Stack, psutil.Process]) -> Stack:
    return running[0]


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_functions_need_the_keys_of_the_stack(stack: Stack) -> None:
    session: Any = boto3.Session("other", "other", region_name="us-east-1")
    once = Config(retries={"total_max_attempts": 1})
    client = session.client("lambda", endpoint_url=stack.gateway, config=once)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.invoke(FunctionName=stack.reconcile_function)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        stack.client("lambda").invoke(FunctionName="no-such-function")


def test_only_the_user_can_read_the_files_of_the_stack(stack: Stack) -> None:
    stack.client("s3").put_object(Bucket=stack.bucket, Key="a.pdf", Body=b"x")
    data = Path(stack.data)
    assert data.stat().st_mode & 0o777 == 0o700
    assert [path for path in data.rglob("*") if path.stat().st_mode & 0o077] == []
    assert (data / "aws" / "objects").is_dir()
    assert (data / "logs" / "aws.log").is_file()


def test_an_upload_reaches_ingest_a_dead_part_comes_back_and_sigterm_stops_all(
    running: tuple[Stack, psutil.Process],
) -> None:
    stack, supervisor = running
    stack.client("s3").put_object(Bucket=stack.bucket, Key="a b/é.pdf", Body=b"x")
    log = Path(stack.data) / "toy.log"
    until(lambda: log.exists() and "a b/é.pdf" in unquote_plus(log.read_text()))
    for url in (stack.chroma, stack.gateway):
        commands = {part: part.cmdline() for part in supervisor.children(recursive=True)}
        port = url.rsplit(":", 1)[1]
        (victim,) = [process for process, command in commands.items() if command[1] == "-m" and port in command]
        victim.kill()
        victim.wait(5)
    until(lambda: answers(f"{stack.chroma}{READY_PATH}"))
    until(lambda: answers(f"{stack.gateway}/v1/health"))
    family = supervisor.children(recursive=True)
    supervisor.terminate()
    until(lambda: not alive(supervisor), 20)  # the parts end without a kill
    assert not [process for process in family if alive(process)]


@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / ("x" * 100)).mkdir()  # too long for the address of a Unix socket
    monkeypatch.setenv("TMPDIR", str(folder))
    with toy_stack(tmp_path) as (stack, supervisor):
        httpx.get(f"{stack.gateway}/v1/health")  # start a function too
        family = supervisor.children(recursive=True)
        assert len(family) >= 10  # four parts and a function, each with its launcher
        supervisor.kill()
        until(lambda: not [process for process in family if alive(process)])


# --- single parts ---


def supervisor_of(tmp_path: Path, script: str, name: str = "toy", **part: Any) -> Supervisor:
    command = [sys.executable, "-c", script]
    toy = Part(name, command, base_environment({"DOCWELL_OCR": "off"}), ready_line="ready", **part)
    return Supervisor([toy], StackConsole(tmp_path / "logs"))


def test_a_part_that_cannot_start_is_named_with_its_last_lines_and_advice(tmp_path: Path) -> None:
    broken = supervisor_of(tmp_path, "print('port is taken'); raise SystemExit(2)", advice="choose another port")
    with pytest.raises(StackFailed, match=r"(?s)'toy' ended while .*port is taken.*choose another port"):
        broken.start()
    assert "port is taken" in (tmp_path / "logs" / "toy.log").read_text()
    slow = supervisor_of(tmp_path, "import time; time.sleep(600)", ready_timeout_s=0.5)
    with pytest.raises(StackFailed, match="was not ready"):
        slow.start()
    assert [
        process
        for process in psutil.Process().children(recursive=True)
        if "sleep(600)" in str(process.as_dict(["cmdline"]))
    ] == []


def test_a_part_that_dies_again_and_again_stops_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.01)
    counter = tmp_path / "starts"
    script = f"open({str(counter)!r}, 'a').write('x'); print('ready', flush=True); import time; time.sleep(0.3)"
    failing = supervisor_of(tmp_path, script)
    failing.start()
    with pytest.raises(StackFailed, match="ended 6 times within a minute"):
        failing.watch()
    failing.stop()
    assert counter.read_text() == "x" * 6


@pytest.mark.parametrize("status", [0, 1])
def test_ocr_is_installed_beside_the_stack_and_ingest_starts_again_when_no_document_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\nexit {status}\n")
    make.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); "
    script += "print('ready', os.environ.get('DOCWELL_OCR'), flush=True); time.sleep(600)"
    invoked, waiting = list[str](), [0, 2]
    functions = SimpleNamespace(invoke=lambda **call: invoked.append(call["Payload"]))
    stack: Any = SimpleNamespace(waiting=waiting.pop, client=lambda _: functions, reconcile_function="reconcile")
    parts = supervisor_of(tmp_path, script, "ingest")
    parts.start()
    Thread(target=parts.watch, daemon=True).start()
    for _ in range(2):  # the second starts no other installation
        parts.install_ocr(stack)
    until(lambda: bool(invoked) if status == 0 else "no OCR" in (tmp_path / "logs" / "ocr.log").read_text())
    ready = (tmp_path / "logs" / "ingest.log").read_text().splitlines()
    assert ready == (["ready off"] if status else ["ready off", "ready rapidocr"])
    assert (waiting, len(invoked)) == (([0, 2], 0) if status else ([], 1))
    parts.stop()
    assert "restarts after status" not in "".join(capfd.readouterr())


def test_a_second_stack_on_the_same_data_is_refused(tmp_path: Path) -> None:
    options = StackOptions(tmp_path, ingest_handler="toy_functions.ingest")
    console = StackConsole(tmp_path / "logs", silent=True)
    with (
        supervisor_module.locked(tmp_path),
        pytest.raises(AlreadyRunning, match="a stack is running on"),
        supervised(options, console),
    ):
        pytest.fail("it started")


@pytest.mark.parametrize("end", ["\u2028", "\x0b", "\x85", "\r", "\x1b[2J\r\n", "\x9b2J\u2028"])
def test_a_line_of_a_part_cannot_forge_another_in_its_log_and_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    console = StackConsole(tmp_path / "logs")
    console.begin("ingest")
    forged = f"a.pdf{end}aws      the disk is full"
    console.line("ingest", f"WARNING {forged}")
    console.line("ingest", json.dumps({"level": "ERROR", "message": forged}))
    for text in (capsys.readouterr().out, console.log_path("ingest").read_text()):
        assert len(text.splitlines()) == 2
        assert "\x1b" not in text
        assert "\x9b" not in text


def test_each_start_has_new_keys_and_a_folder_with_other_content_keeps_its_mode(tmp_path: Path) -> None:
    first, second = (plan(StackOptions(tmp_path), None, Path)[0] for _ in range(2))
    assert all(getattr(first, name) != getattr(second, name) for name in ("api_key", "secret_key", "token"))
    (tmp_path / "of others").touch()
    tmp_path.chmod(0o755)
    assert private_folder(tmp_path).stat().st_mode & 0o777 == 0o755
