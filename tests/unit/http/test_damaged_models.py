"""A damaged file of `make model`: questions get a problem that names it, until a start with the right file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docwell.wiring import pipelines
from docwell.wiring import query as wiring
from docwell.wiring.pipelines import Pipeline
from tests.fresh_wiring import clear_caches
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_fakes import FakeLinks
from tests.unit.query.query_world import QUESTION

# The `world` replaces these factories.
REAL = {name: getattr(wiring, name) for name in ("query", "readiness")}
REAL_PIPELINES = pipelines.pipelines
ASKED = {"question": QUESTION}


def no_reranker(folder: Path) -> str:
    return str(folder / "reranker" / "manifest.json")


def damaged_reranker(folder: Path) -> str:
    (folder / "reranker").mkdir()
    (folder / "reranker" / "manifest.json").write_text("{}")
    return str(folder / "reranker" / "manifest.json")


def cut_calibration(folder: Path) -> str:
    (folder / "calibration.json").write_text('{"gate":')
    return str(folder / "calibration.json")


def impossible_threshold(folder: Path) -> str:
    (folder / "calibration.json").write_text('{"gate": {"min_fit": 22}}')
    return "calibration.json: gate.min_fit"


DAMAGES = [no_reranker, damaged_reranker, cut_calibration, impossible_threshold]


@pytest.fixture(autouse=True)
def _cold() -> Iterator[None]:
    clear_caches()
    yield
    clear_caches()


@pytest.fixture
def folder(world: HttpWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The model folder of a function with real wiring around the ports of the world."""
    settings = wiring.query_settings().model_copy(update={"model_dir": tmp_path, "reranker": "cross-encoder"})
    monkeypatch.setattr(world.model, "writing_at_most", lambda _tokens: world.model, raising=False)
    replaced: dict[str, Any] = {
        "query_settings": lambda: settings,
        "pipelines": lambda _settings: {"p": Pipeline(tmp_path, 200, "off", 8)},
        "embedder_of": lambda _settings, _folder: world.embedder,
        "ledger_of": lambda _settings, _fingerprint: world.ledger,
        "vectors_of": lambda _settings, _fingerprint: world.index,
        "document_links": FakeLinks,
        **REAL,
    }
    for name, factory in replaced.items():
        monkeypatch.setattr(wiring, name, factory)
    monkeypatch.setattr(pipelines, "pipelines", replaced["pipelines"])
    return tmp_path


def make_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a right calibration, and load some reranker in place of the one that is not there."""
    (folder / "calibration.json").write_text('{"gate": {"min_fit": 0.4}}')
    monkeypatch.setattr(wiring, "cross_encoder_of", lambda _settings: None)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_gives_problems_that_name_it_until_a_start_with_the_right_one(
    folder: Path, damage: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = damage(folder)
    if "calibration" in name:
        monkeypatch.setattr(wiring, "cross_encoder_of", lambda _settings: None)
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


def test_a_damaged_manifest_is_a_problem_and_no_failure_of_readiness(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wiring, pipelines):
        monkeypatch.setattr(module, "pipelines", REAL_PIPELINES)
    (folder / "manifest.json").write_text("{}")
    assert call("POST", "/v1/query", ASKED)[0] == 503
    status, body, _ = call("GET", "/v1/ready")
    assert (status, body["status"]) == (200, "degraded")
    assert str(folder / "manifest.json") in body["dependencies"]["models"]
