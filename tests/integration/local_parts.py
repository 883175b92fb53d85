"""Start parts of the local stack for tests, as processes that end with the test run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

from infra.local.ports import answers, free_port
from infra.local.stack import Stack, base_environment
from runtime.guard import READY_PATH
from runtime.process import Child
from tests.stack_logs import assert_no_traceback

KEYS = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret", "DOCWELL_API_KEY": "api-key-of-this-stack"}


@contextmanager
def aws_stand_in(data: Path, port: int | None = None) -> Iterator[Aws]:
    port = port or free_port()
    command = [sys.executable, "-m", "infra.local.aws", "--port", str(port), "--data", str(data)]
    command += ["--stack", "this"]
    lines: list[str] = []
    child = Child(command, base_environment(KEYS), lines.append, lambda _: None)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120  # allow for a busy machine
        while not answers(f"{endpoint}{READY_PATH}", body="this"):
            assert child.running, lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.05)
        yield Aws(endpoint, child, lines, data)
    finally:
        child.stop(5)


class Aws:
    def __init__(self, endpoint: str, child: Child, lines: list[str], data: Path) -> None:
        self.endpoint = endpoint
        self.child = child
        self.lines = lines
        self.data = data
        self.s3 = self.client("s3")
        self.sqs = self.client("sqs")
        self.dynamodb = self.client("dynamodb")
        self.queue_url = self.sqs.get_queue_url(QueueName="docwell-ingest")["QueueUrl"]
        self.dead_letter_url = self.sqs.get_queue_url(QueueName="docwell-ingest-dlq")["QueueUrl"]

    def client(self, service: Any, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def receive_all(self) -> list[str]:
        """Delete all visible messages and return their bodies."""
        bodies = []
        while result := self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in result:
                bodies.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies


@contextmanager
def toy_stack(data: Path) -> Iterator[tuple[Stack, psutil.Process]]:
    data.mkdir(exist_ok=True)
    script = Path(__file__).with_name("run_toy_stack.py")
    with data.with_suffix(".out").open("w") as out:
        process = subprocess.Popen([sys.executable, str(script), str(data)], stdout=out, stderr=out)
    try:
        while (stack := Stack.read(data)) is None:
            assert process.poll() is None, data.with_suffix(".out").read_text()
            time.sleep(0.05)
        yield stack, psutil.Process(process.pid)
        assert_no_traceback(data / "logs")
    finally:
        process.kill()
        process.wait()
