"""Clients of the gateway that send their request's body slowly, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from runtime import gateway
from runtime.functions import FunctionPool, FunctionSpec

Messages = Callable[[], Awaitable[dict[str, Any]]]


def answered(receive: Messages) -> list[dict[str, Any]]:
    """Return what the gateway sends for a POST whose body comes from `receive`. No function runs."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/query",
        "raw_path": b"/v1/query",
        "query_string": b"",
        "headers": [(b"host", b"docwell.example")],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app: Any = gateway.Gateway(FunctionPool(FunctionSpec("missing.handler"))).app
    asyncio.run(app(scope, receive, send))
    return sent


async def first_byte() -> dict[str, Any]:
    return {"type": "http.request", "body": b"{", "more_body": True}


def test_a_body_that_comes_too_slowly_gets_a_problem_and_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "BODY_S", 0.05)

    async def slow() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return await first_byte()

    start, body = answered(slow)
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["type"] == "urn:docwell:problem:too-slow"


def test_a_client_that_leaves_within_its_body_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    pieces: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def leaves() -> dict[str, Any]:
        return next(pieces)

    assert answered(leaves)[0]["status"] == gateway.CLIENT_GONE
    line, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["level"] == "INFO"
    assert "/v1/query 499 in" in line["message"]
    assert line["message"].endswith(", incomplete")
