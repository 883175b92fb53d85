"""Limits of connections, before any work of the application."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from runtime import http_server
from runtime.http_server import HttpServer


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_server, "HEAD_S", 0.3)
    monkeypatch.setattr(http_server, "MAX_BY_ADDRESS", 3)
    server = HttpServer(Starlette(), "127.0.0.1", 0)
    server.start()
    yield server.port
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


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", b""),
        (REQUEST, b""),
        (REQUEST + b"Connection: close\r\n\r\n", b"HTTP/1.1 404"),
        (REQUEST + b"X: " + b"x" * 100_000, b"HTTP/1.1 400"),
        (REQUEST + b"Connection: upgrade, close\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 404"),
    ],
    ids=["no head", "half a head", "whole head", "large head", "websocket"],
)
def test_a_connection_ends_in_time_with_a_plain_status(port: int, text: bytes, status: bytes) -> None:
    with opened(port, text) as client:
        assert answer(client)[: len(status) or None] == status


def test_an_address_has_a_limited_number_of_connections(port: int) -> None:
    clients = [opened(port) for _ in range(3)]
    time.sleep(0.1)
    with opened(port, REQUEST + b"Connection: close\r\n\r\n") as another:
        assert answer(another) == b""
    for client in clients:
        client.close()
    time.sleep(0.1)
    with opened(port, REQUEST + b"Connection: close\r\n\r\n") as another:
        assert answer(another).startswith(b"HTTP/1.1 404")
