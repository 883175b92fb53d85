"""Limits of connections, before any work of the application."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime import http_server
from runtime.guard import Guarded
from runtime.http_server import HttpServer, network_of


async def read(request: Request) -> Response:
    await asyncio.sleep(0.5)  # longer than a client may pause
    return Response(str(len(await request.body())))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    monkeypatch.setattr(http_server, "HEAD_S", 0.3)
    monkeypatch.setattr(http_server, "PAUSE_S", 0.3)
    monkeypatch.setattr(http_server, "MAX_BY_ADDRESS", 3)
    server = HttpServer(Guarded(Starlette(routes=[Route("/read", read, methods=["POST"])]), ""), "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def answer(client: socket.socket) -> bytes:
    """Return what the server sends until it ends the connection."""
    received = b""
    try:
        while piece := client.recv(4096):
            received += piece
    except ConnectionError:
        pass
    return received


def opened(port: int, text: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(text)
    return client


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD = b"POST /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", b""),
        (REQUEST, b""),
        (REQUEST + b"Connection: close\r\n\r\n", b"HTTP/1.1 404"),
        (REQUEST + b"X: " + b"x" * 100_000, b"HTTP/1.1 400"),
        (REQUEST + b"Connection: upgrade, close\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 404"),
        (UPLOAD + b"x" * 500_000, b""),
        (UPLOAD + b"x" * 1_000_000, b"HTTP/1.1 200"),
        (UPLOAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), b"HTTP/1.1 100"),
    ],
    ids=["no head", "half head", "head", "large head", "websocket", "half body", "read late", "asked for late"],
)
def test_a_connection_ends_in_time_with_a_plain_status_and_no_error(
    server: HttpServer, text: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(server.port, text) as client:
        assert answer(client)[: len(status) or None] == status
    server.stop()
    assert "Traceback" not in caplog.text


def test_an_address_has_a_limited_number_of_connections(server: HttpServer) -> None:
    clients = [opened(server.port) for _ in range(3)]
    time.sleep(0.1)
    with opened(server.port, REQUEST + b"Connection: close\r\n\r\n") as another:
        assert answer(another) == b""
    for client in clients:
        client.close()
    time.sleep(0.1)
    with opened(server.port, REQUEST + b"Connection: close\r\n\r\n") as another:
        assert answer(another).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_the_addresses_of_a_network_count_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
