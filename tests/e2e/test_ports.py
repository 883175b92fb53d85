"""No port of the stack answers without a credential: another user of the machine and a web page get nothing."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import Doors

NOBODY = 65534
# A request for each server that a part may run, and one that no server knows.
REQUESTS = [
    ("GET", "/"),
    ("GET", "/no-such-path"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("GET", "/2018-06-01/runtime/invocation/next"),
    ("GET", "/api/v2/heartbeat"),
    ("GET", "/api/tags"),
    ("POST", "/api/chat"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/query"),
    ("POST", "/2015-03-31/functions/docwell-reconcile/invocations"),
    ("GET", "/docwell-documents?list-type=2"),
    ("GET", "/api/v1/query?query=up"),
]
FOREIGN = [
    ("Host", "evil.example"),
    ("Host", "127.0.0.1.evil.example"),
    ("Origin", "http://evil.example"),
    ("Origin", "http://localhost:3000"),
    ("Origin", "null"),
]
REFUSED = {401, 403}


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.fixture(scope="module")
def stranger() -> Iterator[Executor]:
    """A process of another user, as root can start one; else of this user, which shows the ports alone."""
    if os.getuid() != 0:
        with ThreadPoolExecutor(1) as same:
            yield same
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), become_nobody) as other:
        yield other


def status(method: str, url: str, headers: dict[str, str]) -> int | None:
    """Return the status of a request, or None where nothing can be reached."""
    try:
        return httpx.request(method, url, headers=headers, timeout=5, trust_env=False).status_code
    except httpx.TransportError:
        return None


def refuses(path: str) -> bool:
    """Return whether the system lets this process not connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except PermissionError:
            return True
    return False


def listening(doors: Doors) -> tuple[set[str], set[str]]:
    """Return the addresses and the paths on which any process of the stack listens."""
    supervisor = psutil.Process(doors.stack.pid)
    addresses, paths = set[str](), set[str]()
    for process in [supervisor, *supervisor.children(recursive=True)]:
        try:
            sockets = [*process.net_connections("tcp"), *process.net_connections("unix")]
        except psutil.NoSuchProcess:
            continue
        addresses |= {f"{item.laddr.ip}:{item.laddr.port}" for item in sockets if item.status == "LISTEN"}
        paths |= {str(item.laddr) for item in sockets if item.family == socket.AF_UNIX and item.laddr}
    return addresses, paths


def answered(
    doors: Doors, ask: Callable[[str, str, dict[str, str]], int | None]
) -> set[tuple[str, str, int | None]]:
    """Return address, path and status of the requests that a port answers without its credential."""
    addresses, _ = listening(doors)
    assert {url.rpartition("/")[2] for url in vars(doors.stack).values() if "http://" in str(url)} <= addresses
    assert all(address.startswith("127.") for address in addresses)
    return {
        (address, path, answer)
        for address in addresses
        for method, path in REQUESTS
        if (answer := ask(method, f"http://{address}{path}", {})) not in {None, *REFUSED}
    }


def test_another_user_gets_nothing_from_any_port(doors: Doors, stranger: Executor) -> None:
    assert doors.ask("Who wrote it?").status_code == 200  # start every part that starts on demand
    gateway = doors.stack.gateway.rpartition("/")[2]
    answers = answered(doors, lambda *request: stranger.submit(status, *request).result())
    assert answers == {(gateway, "/", 200)}  # the console's page, which holds nothing


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reaches_no_socket_of_a_function_or_a_model(doors: Doors, stranger: Executor) -> None:
    _, paths = listening(doors)
    assert {Path(path).name for path in paths} >= {"api", "llama.sock"}
    assert [path for path in paths if not stranger.submit(refuses, path).result()] == []


@pytest.mark.parametrize(("name", "value"), FOREIGN)
def test_every_port_refuses_web_pages(doors: Doors, name: str, value: str) -> None:
    for address in listening(doors)[0]:
        for method in ("GET", "POST", "OPTIONS"):
            answer = status(method, f"http://{address}/", {name: value})
            assert answer in {None, *REFUSED}, (address, method)
