"""Fixtures: bucket, queue, ledger, Chroma and Ollama, and the two functions in their containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from infra.local import names
from tests.container import parts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "DOCWELL_CONTAINER" in os.environ:
        return
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs built containers: `make container` builds and runs"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[parts.Cloud]:
    address = parts.bridge_address()
    moto = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    moto.start()
    folder = tmp_path_factory.mktemp("chroma")
    try:
        with parts.chroma_server(address, folder) as chroma, parts.ollama_server(address) as ollama:
            aws = "http://{}:{}".format(*moto.get_host_and_port())
            queue = parts.aws_client(aws, "sqs").create_queue(QueueName=names.INGEST_QUEUE)["QueueUrl"]
            result = parts.Cloud(aws, chroma, ollama, queue)
            parts.make_resources(result)
            yield result
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
