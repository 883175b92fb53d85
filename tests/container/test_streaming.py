"""The built layer's wrapper starts docwell's own runtime in Lambda's base image, under the runtime emulator.

The emulator joins a stream before it answers, so what it gives is what API Gateway would read: prelude and body.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from docwell.http import sse
from infra.container import sam
from infra.local.ports import free_port
from tests.container import parts

pytestmark = pytest.mark.container

TOYS = sam.ROOT / "tests" / "integration" / "toy_functions.py"
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER=/opt/docwell-stream"


@contextmanager
def function(*environment: str) -> Iterator[httpx.Client]:
    """A streaming toy function in the layout of a zip function with the layer."""
    port = free_port()
    folders = [f"{sam.artefact('DocwellLayer')}:/opt:ro", f"{TOYS}:/var/task/toy_functions.py:ro"]
    options = [part for folder in folders for part in ("--volume", folder)]
    options += [part for variable in environment for part in ("--env", variable)]
    options += ["--env", "DOCWELL_TOY_LOG=/tmp/notes", "--publish", f"127.0.0.1:{port}:8080"]
    command = ["docker", "run", "--detach", *options, sam.BASE_IMAGE, "toy_functions.streams"]
    name = subprocess.check_output(command, text=True).strip()
    try:
        parts.wait_until_answers(f"http://127.0.0.1:{port}/")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/2015-03-31/functions/function", timeout=30) as client:
            yield client
    finally:
        log = subprocess.run(["docker", "logs", name], check=False, capture_output=True, text=True)
        sys.stdout.write(log.stdout[-3000:] + log.stderr[-3000:])  # pytest shows it when a test fails
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def streaming() -> Iterator[httpx.Client]:
    with function(WRAPPER) as client:
        yield client


def invoke(client: httpx.Client, **event: Any) -> httpx.Response:
    return client.post("/invocations", json=event)


def test_a_streamed_answer_is_prelude_eight_zero_bytes_and_events(streaming: httpx.Client) -> None:
    head, _, body = invoke(streaming, pieces=3, pause=0.1).content.partition(bytes(8))
    assert json.loads(head) == {"statusCode": 200, "headers": {"Content-Type": sse.CONTENT_TYPE}}
    assert [data["text"] for _, data in sse.read(body.decode().splitlines())] == ["0", "1", "2"]


def test_what_the_handler_raises_is_told_and_the_function_goes_on(streaming: httpx.Client) -> None:
    pid = invoke(streaming, plain=True).json()["pid"]
    assert invoke(streaming, raises="x").json()["errorType"] == "ValueError"
    assert invoke(streaming, plain=True).json() == {"pid": pid, "can_stream": "1"}
