"""The parts that the query function makes at its start."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from docwell.deadline import run
from docwell.wiring import pipelines
from docwell.wiring import query as wiring
from docwell.wiring.pipelines import Pipeline
from tests.unit.cases import rows

pytestmark = pytest.mark.usefixtures("cold_wiring")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of loaded models, under settings without a reachable server."""
    for name, value in rows(__file__, "unreachable_settings"):
        monkeypatch.setenv(name, value)
    folders: list[Path] = []
    monkeypatch.setattr(pipelines, "embedder_loading", lambda _settings, folder: folders.append(folder))
    monkeypatch.setattr(pipelines, "embedder_of", lambda _settings, _folder: None)
    return folders


def test_a_start_connects_to_no_server(loaded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: connections.append(address))
    wiring.prepare_query()
    assert loaded == [Path("/the/model")]
    assert connections == []


@pytest.fixture
def folder(loaded: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The model folder of the only pipeline, without a manifest to read."""
    monkeypatch.setattr(pipelines, "pipelines", lambda _settings: {"p": Pipeline(tmp_path, 200, 8)})
    return tmp_path


def test_the_thresholds_and_the_language_are_the_models(folder: Path) -> None:
    measured = {"foreign": [0.72, 0.86], "gate": {"min_fit": 0.3, "min_fit_abroad": 0.1}, "language": "en"}
    (folder / "calibration.json").write_text(json.dumps(measured))
    query = run(wiring.query())
    assert (query.foreign, query.min_fit, query.min_fit_abroad) == ((0.72, 0.86), 0.3, 0.1)
    assert query.language == "en"


def test_wrong_settings_do_not_keep_the_function_from_starting_and_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DOCWELL_DEADLINE_S", "soon")
    wiring.prepare_query()
    assert wiring.query_settings.cache_info().currsize == 0
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.getMessage() == "not ready"
    assert "DOCWELL_DEADLINE_S" in str(vars(line)["detail"])
