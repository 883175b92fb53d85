"""Fixtures: bucket, queue, ledger, Chroma and Ollama, and the two functions in their containers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from infra.container import machine_template, sam
from tests.container import parts, stand_ins


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "DOCWELL_CONTAINER" in os.environ:
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs built containers: `make container` builds and runs"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[parts.Cloud]:
    address = stand_ins.bridge_address()
    moto = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    moto.start()
    folder = tmp_path_factory.mktemp("chroma")
    try:
        with stand_ins.chroma_server(address, folder) as chroma, stand_ins.ollama_server(address) as ollama:
            aws = "http://{}:{}".format(*moto.get_host_and_port())
            queue = parts.aws_client(aws, "sqs").create_queue(QueueName=parts.QUEUE)["QueueUrl"]
            found = parts.Cloud(aws, chroma, ollama, queue)
            parts.make_resources(found)
            yield found
    finally:
        moto.stop()


@pytest.fixture(scope="session")
def ingest(cloud: parts.Cloud) -> Iterator[parts.Emulated]:
    with parts.ingest_container(cloud) as running:
        yield running


@pytest.fixture(scope="session")
def query(cloud: parts.Cloud) -> Iterator[parts.Emulated]:
    with parts.query_container(cloud) as running:
        yield running


@pytest.fixture(scope="session")
def api(cloud: parts.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API and the query function as `sam local start-api` runs them, with its layers."""
    port = stand_ins.free_port("127.0.0.1")
    log = tmp_path_factory.mktemp("sam") / "start-api.log"
    options = ["--port", str(port), "--skip-pull-image", "--warm-containers", "LAZY"]
    overrides = machine_template.overrides(cloud.chroma, cloud.ollama)
    command = [
        str(sam.SAM),
        "local",
        "start-api",
        "--template",
        str(parts.local_template(cloud)),
        *options,
        *overrides,
    ]
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=sam.ROOT, env=sam.variables(), stdout=file, stderr=file)
    try:
        stand_ins.wait_until_answers(f"http://127.0.0.1:{port}/")
        time.sleep(0.2)
        assert server.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
            yield client
    finally:
        # SIGTERM lets sam remove its containers, which takes some seconds.
        server.terminate()
        server.wait(30)
        sys.stdout.write(log.read_text()[-6000:])  # pytest shows it when a test fails
