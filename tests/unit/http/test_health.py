"""Liveness is public and cheap; readiness names what is down, to known callers, in bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from docwell.errors import Unavailable
from docwell.query.readiness import Readiness
from docwell.wiring import query as wiring
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_fakes import FakePrincipals

ALL_OK = {"ledger": "ok", "chroma": "ok", "ollama": "ok"}


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """An event for which a call can wait; the test's end sets it."""
    event = threading.Event()
    yield event
    event.set()


def away(*_: object) -> None:
    raise Unavailable("x", "x cannot be reached")


def test_liveness_calls_no_dependency(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("readiness", "principals", "catalogue", "model", "query", "receipt_book"):
        monkeypatch.setattr(wiring, name, away)
    assert call("GET", "/v1/health", key=None)[:2] == (200, {"status": "ok"})


def test_readiness_names_what_is_down(world: HttpWorld) -> None:
    world.model.fails = Unavailable("ollama", "ollama cannot be reached")
    dependencies = ALL_OK | {"ollama": "ollama cannot be reached"}
    assert call("GET", "/v1/ready")[:2] == (200, {"status": "degraded", "dependencies": dependencies})


@pytest.mark.parametrize("key", [None, "unknown"])
def test_readiness_tells_nothing_to_strangers(world: HttpWorld, key: str | None) -> None:
    status, body, _ = call("GET", "/v1/ready", key=key)
    assert status == 401
    assert not {"ledger", "chroma", "ollama"} & set(str(body).split())


def test_readiness_charges_nothing(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePrincipals, "charge", away)
    assert call("GET", "/v1/ready")[:2] == (200, {"status": "ready", "dependencies": ALL_OK})


def test_readiness_is_no_server_error_when_callers_cannot_be_looked_up(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePrincipals, "find", away)
    assert call("GET", "/v1/ready")[:2] == (200, {"status": "degraded", "dependencies": {}})


def test_the_dependencies_share_one_deadline(
    world: HttpWorld, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = wiring.query_settings().model_copy(update={"ready_timeout_s": 0.2})
    monkeypatch.setattr(wiring, "query_settings", lambda: limited)
    started: list[str] = []

    def hang(name: str) -> None:
        started.append(name)
        hanging.wait(60)

    checks = {name: lambda name=name: asyncio.to_thread(hang, name) for name in ALL_OK}
    world.readiness = Readiness(checks, kept_s=5)
    status, body, _ = call("GET", "/v1/ready")
    assert (status, body["status"]) == (200, "degraded")
    assert sorted(started) == sorted(ALL_OK)
    assert "ok" not in body["dependencies"].values()


def test_readiness_is_kept_for_a_while(world: HttpWorld) -> None:
    now, calls = [100.0], []

    async def check() -> None:
        calls.append(now[0])

    world.readiness = Readiness({"ledger": check}, kept_s=5, clock=lambda: now[0])
    for at in (100.0, 104.9, 105.1):
        now[0] = at
        assert call("GET", "/v1/ready")[0] == 200
    assert calls == [100.0, 105.1]
