"""Servers that the integration tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.doors import chroma_server
from docwell.adapters.documents import process
from docwell.adapters.documents.child import READERS

from .local_parts import Aws, aws_stand_in

CHILD, fork_server = process.CHILD, process.fork_server


@pytest.fixture(autouse=True)
def _caplog_sees_docwell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `caplog` see docwell's log lines, which `docwell.observability` keeps from the root logger."""
    monkeypatch.setattr(logging.getLogger("docwell"), "propagate", True)


class ForkServers:
    """The fork server of the real child, which tests share, and those of a test's other programs."""

    def __init__(self) -> None:
        self._others: dict[tuple[Path, str], process.ForkServer] = {}

    def __call__(self, program: Path, module: str) -> process.ForkServer:
        if program == CHILD:
            return fork_server(program, module)
        return self._others.setdefault((program, module), process.ForkServer(program, module))

    def close(self) -> None:
        for module in {module for module, _ in READERS.values()}:
            fork_server(CHILD, module).close()
        self.close_others()

    def close_others(self) -> None:
        for server in self._others.values():
            server.close()


@pytest.fixture(autouse=True)
def fork_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServers]:
    """The fork servers that children of this test come from. After the test, `process.CHILD` is the real child."""
    servers = ForkServers()
    monkeypatch.setattr(process, "CHILD", CHILD)
    monkeypatch.setattr(process, "fork_server", servers)
    yield servers
    servers.close_others()


@pytest.fixture(scope="session")
def chroma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Chroma server."""
    return tmp_path_factory.mktemp("chroma")


@pytest.fixture(scope="session")
def chroma_url(chroma_folder: Path) -> Iterator[str]:
    """A real Chroma server with an empty folder."""
    server, port = chroma_server(chroma_folder)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.kill()


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The local AWS server."""
    with aws_stand_in(tmp_path_factory.mktemp("aws")) as server:
        yield server
