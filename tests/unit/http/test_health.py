"""Liveness is public and cheap; readiness names what is down, to known callers, in bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from docwell.errors import Unavailable
from docwell.query.readiness import Readiness
from docwell.wiring import pipelines
from docwell.wiring import query as wiring
from docwell.wiring.pipelines import Pipeline
from tests.fresh_wiring import clear_caches
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_fakes import FakeLinks, FakePrincipals
from tests.unit.query.query_world import QUESTION

pytestmark = pytest.mark.usefixtures("cold_wiring")

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


def test_readiness_names_the_dependencies_that_are_down(world: HttpWorld) -> None:
    world.model.fails = Unavailable("ollama", "ollama cannot be reached")
    dependencies = ALL_OK | {"ollama": "ollama cannot be reached"}
    assert call("GET", "/v1/ready")[:2] == (200, {"status": "degraded", "dependencies": dependencies})


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


# --- damaged model files ---


# The `world` replaces these factories.
REAL = {name: getattr(wiring, name) for name in ("query", "readiness")}
ASKED = {"question": QUESTION}


def damaged_reranker(folder: Path) -> str:
    (folder / "reranker").mkdir()
    (folder / "reranker" / "manifest.json").write_text("{}")
    return str(folder / "reranker" / "manifest.json")


def cut_calibration(folder: Path) -> str:
    (folder / "calibration.json").write_text('{"gate":')
    return str(folder / "calibration.json")


@pytest.fixture
def folder(world: HttpWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The model folder of a function with real wiring around the ports of the world."""
    embedder: Any = world.embedder
    embedder.manifest = SimpleNamespace(made_from={})
    settings = wiring.query_settings().model_copy(update={"model_dir": tmp_path, "reranker": "cross-encoder"})
    monkeypatch.setattr(world.model, "writing_at_most", lambda _tokens: world.model, raising=False)
    for name, factory in {"query_settings": lambda: settings, "document_links": FakeLinks, **REAL}.items():
        monkeypatch.setattr(wiring, name, factory)
    replaced: dict[str, Any] = {
        "pipelines": lambda _settings: {"p": Pipeline(tmp_path, 200, 8)},
        "embedder_of": lambda _settings, _folder: embedder,
        "ledger_of": lambda _settings, _fingerprint: world.ledger,
        "vectors_of": lambda _settings, _fingerprint: world.index,
    }
    for name, factory in replaced.items():
        monkeypatch.setattr(pipelines, name, factory)
    return tmp_path


def make_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a right calibration, and load some reranker in place of the one that is not there."""
    (folder / "calibration.json").write_text('{"gate": {"min_fit": 0.4}}')
    monkeypatch.setattr(pipelines, "cross_encoder_of", lambda _settings: None)


@pytest.mark.parametrize("damage", [damaged_reranker, cut_calibration])
def test_a_damaged_file_gives_problems_that_name_it_until_a_start_with_the_right_one(
    folder: Path, damage: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = damage(folder)
    if "calibration" in name:
        monkeypatch.setattr(pipelines, "cross_encoder_of", lambda _settings: None)
    for stream in (False, True):
        status, body, _ = call("POST", "/v1/query", {**ASKED, "stream": stream})
        assert (status, body["type"]) == (503, "urn:docwell:problem:model-damaged")
        assert name in body["detail"]
        assert "`make model`" in body["detail"]
    assert call("GET", "/v1/health")[0] == 200
    status, body, _ = call("GET", "/v1/ready")
    assert (status, body["status"]) == (200, "degraded")
    assert name in body["dependencies"].pop("models")
    assert set(body["dependencies"].values()) == {"ok"}
    make_right(folder, monkeypatch)
    clear_caches()
    assert call("POST", "/v1/query", ASKED)[1]["status"] == "answered"
    assert call("GET", "/v1/ready")[1] == {
        "status": "ready",
        "dependencies": dict.fromkeys(("models", "ledger", "chroma", "ollama"), "ok"),
    }
