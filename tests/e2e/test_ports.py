"""No port of the stack answers without a credential: another user of the machine and a web page get nothing."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import Doors

UNPRIVILEGED = 65534
# A request for each server that a part may run, and one that no server knows.
GETS = (
    "/ /no-such-path /metrics /readyz /2018-06-01/runtime/invocation/next /api/v2/heartbeat /api/tags /v1/models"
)
POSTS = "/api/chat /v1/chat/completions /v1/query /2015-03-31/functions/docwell-reconcile/invocations"
REQUESTS = [("GET", path) for path in GETS.split()] + [("POST", path) for path in POSTS.split()]
FOREIGN = {
    "Host": ["evil.example", "127.0.0.1.evil.example"],
    "Origin": ["http://evil.example", "http://localhost:3000"],
}
REFUSED = {401, 403}


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(UNPRIVILEGED)
    os.setuid(UNPRIVILEGED)


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


def test_another_user_gets_nothing_from_any_port(doors: Doors, stranger: Executor) -> None:
    assert doors.ask("Who wrote it?").status_code == 200  # start the parts that start on demand
    addresses, _ = listening(doors)
    assert {url.rpartition("/")[2] for url in vars(doors.stack).values() if "http://" in str(url)} <= addresses
    assert all(address.startswith("127.") for address in addresses)
    asked = [(method, address, path) for address in addresses for method, path in REQUESTS]
    answers = {
        (address, path): stranger.submit(status, method, f"http://{address}{path}", {}).result()
        for method, address, path in asked
    }
    console = (doors.stack.gateway.rpartition("/")[2], "/")  # its page holds nothing
    assert {request for request, answer in answers.items() if answer not in {None, *REFUSED}} == {console}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reaches_no_socket_of_a_function_or_a_model(doors: Doors, stranger: Executor) -> None:
    _, paths = listening(doors)
    assert {Path(path).name for path in paths} >= {"api", "llama.sock"}
    assert [path for path in paths if not stranger.submit(refuses, path).result()] == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in FOREIGN for value in FOREIGN[name]])
def test_every_port_refuses_web_pages(doors: Doors, name: str, value: str) -> None:
    for address in listening(doors)[0]:
        for method in ("GET", "POST", "OPTIONS"):
            answer = status(method, f"http://{address}/", {name: value})
            assert answer in {None, *REFUSED}, (address, method)
