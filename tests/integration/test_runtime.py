"""The commands of `runtime` as processes, with toy functions and the AWS stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.ports import free_port
from infra.local.stack import base_environment
from runtime.functions import FunctionPool, FunctionSpec
from runtime.names import ROOT
from runtime.poller import Poller, PollerSettings

from .local_parts import KEYS, Aws
from .waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def aws(aws_server: Aws) -> Aws:
    return aws_server


@pytest.fixture
def queue_url(aws: Aws) -> str:
    return str(aws.sqs.create_queue(QueueName=f"queue-{time.time_ns()}")["QueueUrl"])


class Command:
    """A running command, its health port and its output."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], out: Path) -> None:
        self.health = f"http://127.0.0.1:{environment['DOCWELL_HEALTH_PORT']}"
        self._out = out
        with out.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime", *arguments], env=environment, stdout=file, stderr=file
            )

    def output(self) -> str:
        return self._out.read_text()

    def ready(self) -> int:
        """Return the status of /readyz; 0 if the port is closed."""
        try:
            return httpx.get(f"{self.health}/readyz", timeout=5).status_code
        except httpx.HTTPError:
            return 0

    def ended(self, within_s: float) -> int:
        """Return the exit status."""
        return self.process.wait(within_s)


def settings(aws: Aws, queue_url: str, tmp_path: Path, **more: str) -> dict[str, str]:
    variables = {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "DOCWELL_BUCKET": "docwell-documents",
        "DOCWELL_CHROMA_URL": "http://127.0.0.1:9",
        "DOCWELL_OLLAMA_URL": "http://127.0.0.1:9",
        "DOCWELL_MODEL_DIR": "/",
        "DOCWELL_QUEUE_URL": aws.queue_url,
        "DOCWELL_INGEST_QUEUE_URL": queue_url,
        "DOCWELL_DEAD_LETTER_QUEUE_URL": aws.dead_letter_url,
        "DOCWELL_PARKED_QUEUE_URL": f"{aws.endpoint}/123456789012/docwell-parked",
        "DOCWELL_TOY_LOG": str(tmp_path / "log"),
        "DOCWELL_HOST": "127.0.0.1",
        "DOCWELL_HEALTH_PORT": str(free_port()),
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws.endpoint,
    }
    return base_environment({**variables, **KEYS, **more})


@contextmanager
def running(arguments: Sequence[str], environment: dict[str, str], tmp_path: Path) -> Iterator[Command]:
    command = Command(arguments, environment, tmp_path / "out")
    try:
        until(lambda: command.ready() == 200 or command.process.poll() is not None)
        assert command.process.poll() is None, command.output()
        yield command
    finally:
        command.process.kill()
        command.process.wait()


def ingest(environment: dict[str, str], tmp_path: Path) -> Any:
    return running(["ingest", "--handler", "toy_functions.ingest"], environment, tmp_path)


def bodies(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return [json.loads(line)["body"] for line in log.read_text().splitlines()] if log.exists() else []


def counts(aws: Aws, queue_url: str) -> tuple[int, ...]:
    """Return the numbers of visible, hidden and delayed messages."""
    names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    attributes = aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return tuple(int(attributes[name]) for name in names)


def test_a_worker_handles_messages_and_exports_what_it_did(aws: Aws, queue_url: str, tmp_path: Path) -> None:
    with ingest(settings(aws, queue_url, tmp_path), tmp_path) as worker:
        aws.sqs.send_message(QueueUrl=queue_url, MessageBody="one")
        until(lambda: counts(aws, queue_url) == (0, 0, 0) and bodies(tmp_path) == ["one"])
        assert httpx.get(f"{worker.health}/healthz").status_code == 200
        metrics = httpx.get(f"{worker.health}/metrics").text
        assert 'docwell_function_invocations_total{function="toy_functions"} 1.0' in metrics
        assert 'docwell_pages_ingested_total{service="ingest"} 0.0' in metrics
        # On a loopback address a web page may send requests too.
        rebound = httpx.get(f"{worker.health}/metrics", headers={"Host": "evil.example"})
        assert rebound.status_code == 403


def test_sigterm_lets_a_message_end_within_the_grace_period_and_takes_no_other(
    aws: Aws, queue_url: str, tmp_path: Path
) -> None:
    with ingest(settings(aws, queue_url, tmp_path, DOCWELL_GRACE_S="20"), tmp_path) as worker:
        aws.sqs.send_message(QueueUrl=queue_url, MessageBody="slow")
        until(lambda: bodies(tmp_path) == ["slow"])
        aws.sqs.send_message(QueueUrl=queue_url, MessageBody="later")
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: worker.ready() == 503)
        assert worker.ended(60) == 0, worker.output()
    assert bodies(tmp_path) == ["slow"]
    assert counts(aws, queue_url) == (1, 0, 0)


@pytest.mark.slow
def test_after_the_grace_period_the_unfinished_message_is_visible_at_once(
    aws: Aws, queue_url: str, tmp_path: Path
) -> None:
    with ingest(settings(aws, queue_url, tmp_path, DOCWELL_GRACE_S="1"), tmp_path) as worker:
        aws.sqs.send_message(QueueUrl=queue_url, MessageBody="slow")
        until(lambda: bodies(tmp_path) == ["slow"])
        worker.process.send_signal(signal.SIGTERM)
        assert worker.ended(60) == 0, worker.output()
        assert "goes back to its queue" in worker.output()
    assert counts(aws, queue_url) == (1, 0, 0)


def test_a_stop_at_the_last_receive_sends_a_copy_and_fails_nothing(
    aws: Aws, queue_url: str, tmp_path: Path
) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parent), "DOCWELL_TOY_LOG": str(tmp_path / "log")}
    pool = FunctionPool(FunctionSpec("toy_functions.ingest", environment, on_line=lambda _: None))
    poller = Poller(aws.sqs, queue_url, pool, PollerSettings(max_receives=1, lease_s=2))
    aws.sqs.send_message(QueueUrl=queue_url, MessageBody="slow")
    poller.start()
    until(lambda: bodies(tmp_path) == ["slow"])
    poller.stop()
    pool.close()
    assert poller.join(time.monotonic() + 10)
    assert counts(aws, queue_url) == (0, 0, 1)
    until(lambda: counts(aws, queue_url) == (1, 0, 0))
    (copy,) = aws.sqs.receive_message(QueueUrl=queue_url, AttributeNames=["All"])["Messages"]
    assert (copy["Body"], copy["Attributes"]["ApproximateReceiveCount"]) == ("slow", "1")


def test_a_function_that_cannot_start_takes_no_message(aws: Aws, queue_url: str, tmp_path: Path) -> None:
    aws.sqs.send_message(QueueUrl=queue_url, MessageBody="one")
    command = Command(
        ["ingest", "--handler", "missing.handler"], settings(aws, queue_url, tmp_path), tmp_path / "out"
    )
    try:
        until(lambda: "missing" in command.output())
        assert command.ready() == 503
        assert httpx.get(f"{command.health}/healthz").status_code == 200
        assert counts(aws, queue_url) == (1, 0, 0)
        command.process.send_signal(signal.SIGTERM)
        assert command.ended(60) == 0
    finally:
        command.process.kill()


def test_on_sigterm_readiness_turns_false_first_and_answers_in_progress_finish(
    aws: Aws, queue_url: str, tmp_path: Path
) -> None:
    port = free_port()
    environment = settings(aws, queue_url, tmp_path, DOCWELL_PORT=str(port), DOCWELL_GRACE_S="4")
    arguments = ["query", "--handler", "toy_functions.proxy"]
    with running(arguments, environment, tmp_path) as server, ThreadPoolExecutor(2) as threads:
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/v1/health").json()["requestContext"]["authorizer"] is None
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.ready() == 503)
        assert httpx.get(f"{url}/v1/health").status_code == 201
        time.sleep(1.5)
        key = {"x-api-key": KEYS["DOCWELL_API_KEY"]}
        slow = threads.submit(httpx.get, f"{url}/busy", headers=key, timeout=10)
        time.sleep(0.8)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/v1/health")
        assert slow.result().status_code == 201
        assert server.ended(60) == 0, server.output()


@pytest.mark.parametrize(("function", "status"), [("echo", 0), ("raises", 1)])
def test_a_reconcile_run_prints_its_report_and_exits_with_its_result(
    aws: Aws, tmp_path: Path, function: str, status: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "reconcile", "--handler", f"toy_functions.{function}"],
        env=settings(aws, aws.queue_url, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert ("ValueError" if status else '"event": {"action": "reconcile"}') in done.stdout.splitlines()[-1]


def test_a_reconcile_run_waits_for_a_scrape_before_and_after_it(aws: Aws, tmp_path: Path) -> None:
    environment = settings(aws, aws.queue_url, tmp_path, DOCWELL_SCRAPE_S="60")
    with running(["reconcile", "--handler", "toy_functions.echo"], environment, tmp_path) as job:
        before = httpx.get(f"{job.health}/metrics").text
        assert 'docwell_function_invocations_total{function="docwell-reconcile"} 0.0' in before
        until(lambda: '"action": "reconcile"' in job.output())
        after = httpx.get(f"{job.health}/metrics").text
        assert 'docwell_function_invocations_total{function="toy_functions"} 1.0' in after
        assert job.ended(20) == 0
