"""The proxy that fails on purpose."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from benchmarks.proxy import Fault, Proxy, answer, listen


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of a server that answers with its path."""

    def echo(request: BaseHTTPRequestHandler) -> None:
        answer(request, 200, json.dumps(request.path).encode(), {"Content-Type": "application/json"})

    server = listen(0, echo)
    with contextlib.closing(Proxy(server.server_port, stall_s=0.2)) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()


def get(proxy: Proxy) -> httpx.Response:
    return httpx.get(f"{proxy.url}/path", trust_env=False, timeout=5)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.LATE, Fault.TRICKLE])
def test_a_request_comes_through(proxy: Proxy, fault: Fault) -> None:
    proxy.behave(fault)
    assert get(proxy).json() == "/path"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.UNAVAILABLE, 503), (Fault.BROKEN, 500), (Fault.ERROR_AFTER, 500), (Fault.THROTTLED, 400)],
)
def test_a_fault_answers_with_its_status(proxy: Proxy, fault: Fault, status: int) -> None:
    proxy.behave(fault)
    assert get(proxy).status_code == status
    assert proxy.drawn[fault] == 1


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANG, Fault.RESET_REQUEST, Fault.RESET_ANSWER])
def test_a_connection_breaks_and_works_again_after_the_fault(proxy: Proxy, fault: Fault) -> None:
    proxy.behave(fault)
    with pytest.raises(httpx.TransportError):
        get(proxy)
    proxy.behave()
    assert get(proxy).json() == "/path"
