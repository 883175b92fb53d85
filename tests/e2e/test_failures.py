"""Stop and kill parts of the running stack: errors are typed, nothing is lost and nothing hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.e2e.conftest import Doors
from tests.e2e.test_documents import chunks_in_chroma, pdf

pytestmark = pytest.mark.e2e


def processes(doors: Doors, *words: str) -> list[psutil.Process]:
    """Return the stack's processes whose command line contains all the words."""
    matches = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in words):
            matches.append(process)
    assert matches, f"no process with {words}"
    return matches


@contextmanager
def stopped(doors: Doors, *words: str) -> Iterator[None]:
    """Suspend the processes during the block, as on a host that hangs."""
    suspended = processes(doors, *words)
    for process in suspended:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in suspended:
            process.send_signal(signal.SIGCONT)


def kill(doors: Doors, *words: str) -> None:
    for process in processes(doors, *words):
        process.kill()


def until_well(doors: Doors, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if doors.http.get("/v1/ready").json()["status"] == "ready":
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise AssertionError("the stack did not recover")


def test_a_chroma_that_hangs_gives_a_typed_error_in_time(doors: Doors) -> None:
    doors.settled("fail/a.pdf", doors.put("fail/a.pdf", pdf("A text about locks.")))
    with stopped(doors, "chroma", "run"):
        started = time.monotonic()
        response = doors.ask("What is said about locks?", collection="fail")
        assert time.monotonic() - started < 30
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:docwell:problem:dependency-unavailable"
    assert "retry-after" in response.headers
    until_well(doors)


def test_an_upload_while_chroma_is_killed_is_indexed_once_it_is_back(doors: Doors) -> None:
    key = "fail/chroma.pdf"
    kill(doors, "chroma", "run")
    document = doors.settled(key, doors.put(key, pdf("A text about keys.")))
    assert document["status"] == "INDEXED"
    assert len(chunks_in_chroma(doors, key)) == 1


@pytest.mark.slow
def test_an_ingest_worker_that_is_killed_at_work_loses_nothing(doors: Doors) -> None:
    key = "fail/worker.pdf"
    version = doors.put(key, pdf(*(f"Page {n} of a text that takes a while. " * 20 for n in range(120))))
    deadline = time.monotonic() + 60
    while not (doors.document(key) or {}).get("pages"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill(doors, "functions.ingest.handler")
    document = doors.settled(key, version, timeout_s=180)
    assert (document["status"], document["pages_done"]) == ("INDEXED", 120)
    assert len(chunks_in_chroma(doors, key)) == document["chunks"]
