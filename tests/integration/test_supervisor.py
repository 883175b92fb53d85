from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3
import httpx
import psutil
import pytest

from infra.local import stack as stack_module
from infra.local import supervisor as supervisor_module
from infra.local.console import StackConsole, worth_showing
from infra.local.names import ROOT
from infra.local.ports import free_port
from infra.local.stack import Part, Stack, StackOptions, base_environment
from infra.local.supervisor import AlreadyRunning, StackFailed, Supervisor, supervised
from runtime.guard import READY_PATH
from runtime.process import Child

from .local_parts import toy_stack
from .waiting import until

pytestmark = pytest.mark.integration


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def s3_of(stack: Stack) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=stack.aws_endpoint,
        region_name=stack.region,
        aws_access_key_id=stack.access_key,
        aws_secret_access_key=stack.secret_key,
    )


def test_an_upload_reaches_ingest_a_dead_part_comes_back_and_sigterm_stops_all(tmp_path: Path) -> None:
    with toy_stack(tmp_path) as (stack, supervisor):
        s3_of(stack).put_object(Bucket=stack.bucket, Key="a b/é.pdf", Body=b"x")
        log = tmp_path / "toy.log"
        until(lambda: log.exists() and "a b/é.pdf" in unquote_plus(log.read_text()))
        assert httpx.get(f"{stack.gateway}/v1/health").status_code == 201

        for url in (stack.chroma, stack.gateway):
            port = int(url.rsplit(":", 1)[1])
            (victim,) = [one for one in supervisor.children(recursive=True) if port in ports_of(one)]
            victim.kill()
            victim.wait(5)
        until(lambda: _answers(f"{stack.chroma}{READY_PATH}"))
        until(lambda: _answers(f"{stack.gateway}/v1/health"))

        family = supervisor.children(recursive=True)
        supervisor.terminate()
        until(lambda: not alive(supervisor), 20)  # the parts end by themselves: nothing waits to be killed
        assert not [one for one in family if alive(one)]


def ports_of(process: psutil.Process) -> set[int]:
    try:
        return {one.laddr.port for one in process.net_connections() if one.status == "LISTEN"}
    except psutil.NoSuchProcess:
        return set()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with toy_stack(tmp_path) as (stack, supervisor):
        httpx.get(f"{stack.gateway}/v1/health")  # start a function too
        family = supervisor.children(recursive=True)
        assert len(family) >= 10  # four parts and a function, each with its launcher
        supervisor.kill()
        until(lambda: not [one for one in family if alive(one)])


def test_a_launcher_that_is_killed_takes_its_command_with_it_even_as_that_starts() -> None:
    for _ in range(20):
        kill_a_launcher()


def kill_a_launcher() -> None:
    ended: list[int] = []
    child = Child(["sleep", "600"], base_environment({}), lambda _: None, ended.append)
    launcher = psutil.Process(child.pid)
    while not (commands := launcher.children()):
        pass
    launcher.kill()
    if sys.platform == "linux":
        until(lambda: not alive(commands[0]))
    until(lambda: bool(ended))


@pytest.mark.skipif(sys.platform != "linux", reason="another process has its limits set")
def test_a_launcher_that_can_open_no_file_still_ends_with_its_command() -> None:
    ended: list[int] = []
    child = Child(["sleep", "600"], base_environment({}), lambda _: None, ended.append)
    launcher = psutil.Process(child.pid)
    until(lambda: bool(launcher.children()))
    (command,) = launcher.children()
    launcher.rlimit(psutil.RLIMIT_NOFILE, (3, 3))
    threading.Thread(target=child.kill, daemon=True).start()
    until(lambda: bool(ended))
    assert not alive(command)


def make(tmp_path: Path, script: str, **part: Any) -> Supervisor:
    command = [sys.executable, "-c", script]
    made = Part("toy", command, base_environment({}), ready_line="ready", **part)
    return Supervisor([made], StackConsole(tmp_path / "logs", silent=True))


def test_a_part_that_cannot_start_is_named_with_its_last_lines_and_advice(tmp_path: Path) -> None:
    broken = make(tmp_path, "print('port is taken'); raise SystemExit(2)", advice="choose another port")
    with pytest.raises(StackFailed, match=r"(?s)'toy' ended while .*port is taken.*choose another port"):
        broken.start()
    assert "port is taken" in (tmp_path / "logs" / "toy.log").read_text()


def test_a_part_that_is_never_ready_stops_the_stack(tmp_path: Path) -> None:
    slow = make(tmp_path, "import time; time.sleep(600)", ready_timeout_s=0.5)
    with pytest.raises(StackFailed, match="was not ready"):
        slow.start()
    assert not psutil.pid_exists(slow.pids()["toy"])


def test_a_part_that_dies_again_and_again_stops_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.01)
    counter = tmp_path / "starts"
    script = f"open({str(counter)!r}, 'a').write('x'); print('ready', flush=True); import time; time.sleep(0.3)"
    failing = make(tmp_path, script)
    failing.start()
    with pytest.raises(StackFailed, match="ended 6 times within a minute"):
        failing.watch()
    failing.stop()
    assert counter.read_text() == "x" * 6


def test_a_second_stack_on_the_same_data_says_that_one_is_running(tmp_path: Path) -> None:
    options = StackOptions(tmp_path, ingest_handler="toy_functions.ingest")
    console = StackConsole(tmp_path / "logs", silent=True)
    with (
        supervisor_module.locked(tmp_path),
        pytest.raises(AlreadyRunning, match="a stack is running on"),
        supervised(options, console),
    ):
        pytest.fail("it started")


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\r", "\x1b[2J\r\n", "\x9b2J\u2028"])
def test_what_a_part_says_stays_one_line_in_its_log_and_on_the_terminal(
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


@pytest.mark.parametrize("log", ["/dev/full", "/dev/null"])
def test_a_full_disk_and_a_closed_terminal_stop_no_part(tmp_path: Path, log: str) -> None:
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from infra.local.console import StackConsole\n"
        "from infra.local.stack import base_environment\n"
        "from runtime.process import Child\n"
        "console = StackConsole(Path(sys.argv[1]), verbose=True)\n"
        "console.log_path('toy').symlink_to(sys.argv[2])\n"
        "said = [sys.executable, '-c', 'for n in range(4000): print(n, chr(120) * 80)']\n"
        "ended = threading.Event()\n"
        "Child(said, base_environment({}), lambda line: console.line('toy', line), lambda _: ended.set())\n"
        "print('read to the end' if ended.wait(30) else 'stopped', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "logs"), log]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=base_environment({}), cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "read to the end" in process.stderr.read()


@pytest.mark.parametrize("key", ["a\nERROR b.pdf", "a\r\nb.pdf", "a\u2028b.pdf", "a\x0b\x85b.pdf"])
def test_the_news_of_a_document_is_one_line_whatever_its_key_holds(key: str) -> None:
    done = {"level": "INFO", "message": "done", "document": key, "range": None, "outcome": "INDEXED"}
    shown = worth_showing(json.dumps({**done, "reason": None, "pages": 3, "chunks": 0}))
    assert shown is not None
    assert shown[0].splitlines() == [shown[0]]
    assert shown[0].endswith("INDEXED  3 pages")


def test_the_answer_of_another_stack_is_not_taken_for_a_parts_own(tmp_path: Path) -> None:
    with toy_stack(tmp_path / "other") as (other, _):
        url = f"{other.gateway}{READY_PATH}"
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        part = Part("toy", command, base_environment({}), url, "this-stack", ready_timeout_s=0.5)
        with pytest.raises(StackFailed, match="was not ready"):
            Supervisor([part], StackConsole(tmp_path / "logs", silent=True)).start()


def test_a_stack_whose_port_another_one_took_meanwhile_chooses_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setattr(supervisor_module, "outside_ollama", lambda _: "http://127.0.0.1:9")
    options = StackOptions(
        tmp_path / "data", port=0, query_handler="toy_functions.proxy", ingest_handler="toy_functions.ingest"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = iter([port])
        monkeypatch.setattr(
            stack_module, "free_port", lambda *arguments: next(ports, None) or free_port(*arguments)
        )
        console = StackConsole(tmp_path / "data" / "logs", silent=True)
        with supervised(options, console) as (stack, _):
            assert httpx.get(f"{stack.gateway}/v1/health").status_code == 201
            assert not stack.gateway.endswith(f":{port}")
            assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "part", ["infra.local.aws", "infra.local.gateway", "infra.local.ollama_server", "runtime.__main__"]
)
def test_a_part_ends_when_one_of_its_threads_fails(part: str) -> None:
    program = (
        "import sys, threading, time, importlib\n"
        f"module = importlib.import_module('{part}')\n"
        "sys.argv = ['part', '--help']\n"
        "try:\n    module.main()\nexcept SystemExit:\n    pass\n"
        "threading.Thread(target=lambda: 1 / 0).start()\n"
        "time.sleep(30)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=base_environment({})
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
