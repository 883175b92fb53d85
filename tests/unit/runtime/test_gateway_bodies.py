"""Clients of the gateway that send their request's body slowly, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from docwell.access.authorizer import Authorizer
from docwell.identity import ApiKey, digest_of
from runtime import gateway
from runtime.functions import FunctionPool, FunctionSpec

KNOWN = "a-value-of-twenty-characters"
SECOND, UNKNOWN = "a-second-value-of-twenty-characters", "another-value-of-twenty-characters"
CHAT, GONE = "/v1/chat/completions", {"type": "http.disconnect"}
Messages = Callable[[], Awaitable[dict[str, Any]]]


KEYS = {digest: ApiKey(digest, f"key:{digest}", digest) for digest in map(digest_of, (KNOWN, SECOND))}


def application() -> Any:
    """Return a gateway that knows two keys and runs no function."""
    return gateway.Gateway(FunctionPool(FunctionSpec("missing.handler"), 1, 1), Authorizer(KEYS.get)).app


def answered(receive: Messages, path: str = "/v1/query", app: Any = None, **headers: str) -> list[dict[str, Any]]:
    """Return what the gateway sends for a POST whose body comes from `receive`."""
    return asyncio.run(exchanged(receive, path, app or application(), **headers))


async def exchanged(receive: Messages, path: str, app: Any, **headers: str) -> list[dict[str, Any]]:
    headers = {"host": "docwell.example", "x_api_key": KNOWN, **headers}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def first_byte() -> dict[str, Any]:
    return {"type": "http.request", "body": b"{", "more_body": True}


@pytest.mark.parametrize(("path", "size", "limit"), [("/v1/query", 9, "BODY_S"), (CHAT, 10**6, "LARGE_BODY_S")])
def test_a_body_that_comes_too_slowly_gets_a_problem_and_the_connection_ends(
    path: str, size: int, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, limit, 0.05)

    async def slow() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return await first_byte()

    start, body = answered(slow, path, content_length=str(size))
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert "send the whole body within 0.05 s" in body["body"].decode()


def test_a_client_that_leaves_within_its_body_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [b"{"]

    async def leaves() -> dict[str, Any]:
        return {"type": "http.request", "body": bodies.pop(), "more_body": True} if bodies else GONE

    assert answered(leaves)[0]["status"] == gateway.CLIENT_GONE
    line, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["level"] == "INFO"
    assert "/v1/query 499 in" in line["message"]
    assert line["message"].endswith(", incomplete")


async def never_asked() -> dict[str, Any]:
    pytest.fail("the body was read")


@pytest.mark.parametrize(
    ("path", "size"), [("/v1/query", 65_001), (CHAT, 10_485_761), ("/v1/responses", 10_485_761)]
)
def test_a_body_that_no_route_takes_is_refused_before_it_is_read(path: str, size: int) -> None:
    start, body = answered(never_asked, path, content_length=str(size))
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert "too-large" in body["body"].decode()
    assert "send at most" in body["body"].decode()


@pytest.mark.parametrize("headers", [{"content_length": "1"}, {"transfer_encoding": "chunked"}])
@pytest.mark.parametrize("key", [{"x_api_key": ""}, {"x_api_key": UNKNOWN}])
def test_the_body_of_a_stranger_is_refused_before_it_is_read(headers: dict[str, str], key: dict[str, str]) -> None:
    start, body = answered(never_asked, CHAT, **headers, **key)
    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert json.loads(body["body"])["error"]["code"] == "invalid_api_key"


def test_a_body_in_chunks_is_read_up_to_the_limit_of_its_route() -> None:
    read = 0

    async def endless() -> dict[str, Any]:
        nonlocal read
        read += 10_000
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    assert answered(endless, transfer_encoding="chunked")[0]["status"] == 413
    assert read == 70_000


def test_no_more_large_bodies_are_read_at_once_than_the_function_takes_and_half_as_many_of_a_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "LARGE_BODY_S", 0.2)
    reading, most = 0, 0

    async def slow() -> dict[str, Any]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            await asyncio.sleep(1)
        finally:
            reading -= 1
        return await first_byte()

    async def five() -> list[list[dict[str, Any]]]:
        app = application()
        keys = [KNOWN] * 3 + [SECOND] * 2
        calls = (exchanged(slow, CHAT, app, content_length="100000", x_api_key=key) for key in keys)
        return await asyncio.gather(*calls)

    assert [start["status"] for start, _ in asyncio.run(five())] == [408, 429, 429, 408, 429]
    assert most == 2
