"""The parts that the query function makes at its start."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.answers import Mode
from docwell.config import QueryLimits, SettingsError
from docwell.deadline import run
from docwell.errors import Corrupt
from docwell.identity import Principal
from docwell.models import Chunk, Passage
from docwell.query.ask import Searched
from docwell.query.modes import example_texts
from docwell.query.retrieval.ranking import Gate
from docwell.query.retrieval.scope import Scope
from docwell.wiring import pipelines
from docwell.wiring import query as wiring
from docwell.wiring.pipelines import Pipeline
from layers.embedder import build_model
from tests.fresh_wiring import clear_caches
from tests.unit.adapters.embedding import tiny_model

MADE_AT_START = (wiring.query_settings, wiring.principals, wiring.receipt_book, wiring.model, wiring.prompts)


@pytest.fixture(autouse=True)
def _nothing_made_yet() -> Iterator[None]:
    clear_caches()
    yield
    clear_caches()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of loaded models, under settings without a reachable server."""
    variables = {
        "DOCWELL_BUCKET": "documents",
        "DOCWELL_CHROMA_URL": "http://127.0.0.1:9",
        "DOCWELL_OLLAMA_URL": "http://127.0.0.1:9",
        "DOCWELL_MODEL_DIR": "/the/model",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folders: list[Path] = []
    monkeypatch.setattr(wiring, "embedder_loading", lambda _settings, folder: folders.append(folder))
    monkeypatch.setattr(wiring, "embedder_of", lambda _settings, _folder: None)
    return folders


def test_the_first_question_finds_model_and_clients_made(loaded: list[Path]) -> None:
    wiring.prepare_query()
    assert loaded == [Path("/the/model")]
    assert [made.cache_info().currsize for made in MADE_AT_START] == [1] * len(MADE_AT_START)


def test_nobody_is_asked_while_it_is_prepared(loaded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    wiring.prepare_query()
    assert loaded
    assert asked == []


@pytest.fixture
def one_pipeline(loaded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of `loaded`, without a manifest to read."""
    for module in (wiring, pipelines):
        monkeypatch.setattr(
            module, "pipelines", lambda settings: {"p": Pipeline(settings.model_dir, 200, "off", 8)}
        )


@pytest.mark.usefixtures("one_pipeline")
def test_the_reranker_is_off_by_default() -> None:
    query = run(wiring.query())
    assert query.reranker is None


@pytest.mark.usefixtures("one_pipeline")
def test_the_cross_encoder_is_beside_the_embedding_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCWELL_RERANKER", "cross-encoder")
    monkeypatch.setenv("DOCWELL_MODEL_DIR", str(tmp_path))
    with pytest.raises(Corrupt, match=str(tmp_path / "reranker")):
        run(wiring.query())


@pytest.mark.usefixtures("loaded")
def test_the_first_choice_of_a_mode_takes_the_vectors_of_the_examples_from_the_models_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    command = ["build_model.py", "--model", str(tiny_model.write(tmp_path / "source")), "--out", str(built)]
    monkeypatch.setattr("sys.argv", command)
    assert build_model.main() == 0
    monkeypatch.setenv("DOCWELL_MODEL_DIR", str(built))
    monkeypatch.setattr(wiring, "embedder_of", pipelines.embedder_of)
    router = run(wiring.query()).modes.router
    (vector,) = router.embedder.embed_queries(["the pump"]).tolist()
    passage = Passage("a", "a/a.pdf", "g", "v", Chunk("The pump is on.", 1, 0, 15, 4), 0.9)
    scope = Scope(Principal("key:a", collections=None))
    searched = Searched(Mode.AUTO, "Is the pump on?", scope, vector, (passage,), ("a/a.pdf",), 5)
    embedded: list[list[str]] = []
    embed = OnnxEmbedder.embed_queries

    def counted(self: OnnxEmbedder, texts: Sequence[str]) -> Any:
        embedded.append([*texts])
        return embed(self, texts)

    monkeypatch.setattr(OnnxEmbedder, "embed_queries", counted)
    router.mode(searched)
    assert not {*example_texts()} & {*chain(*embedded)}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("name", "value"), [("DOCWELL_RERANKER", "on")])
def test_a_stage_that_does_not_exist_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        wiring.query_settings()


@pytest.mark.usefixtures("one_pipeline")
def test_the_settings_are_the_limits_of_the_use_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCWELL_MIN_SUPPORT", "0.45")
    monkeypatch.setenv("DOCWELL_NUM_CTX", "8192")
    limits = run(wiring.query()).limits
    assert (limits.min_support, limits.num_ctx, limits.num_predict) == (0.45, 8192, QueryLimits().num_predict)


@pytest.mark.usefixtures("loaded")
def test_the_thresholds_and_the_language_are_the_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured = {"foreign": [0.72, 0.86], "gate": {"min_fit": 0.3}, "language": "en"}
    (tmp_path / "calibration.json").write_text(json.dumps(measured))
    monkeypatch.setattr(wiring, "pipelines", lambda _settings: {"p": Pipeline(tmp_path, 200, "off", 8)})
    monkeypatch.setattr(pipelines, "pipelines", lambda _settings: {"p": Pipeline(tmp_path, 200, "off", 8)})
    query = run(wiring.query())
    assert (query.foreign, query.gate) == ((0.72, 0.86), Gate(0.3))
    assert query.language == "en"


def test_wrong_settings_do_not_keep_the_function_from_starting_and_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DOCWELL_DEADLINE_S", "soon")
    wiring.prepare_query()
    assert wiring.query_settings.cache_info().currsize == 0
    assert "DOCWELL_DEADLINE_S" in not_ready(caplog)


def not_ready(caplog: pytest.LogCaptureFixture) -> str:
    """Return the detail of the one log line of a start that failed."""
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.getMessage() == "not ready"
    return str(vars(line)["detail"])


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("damaged", ["calibration.json", "reranker/manifest.json"])
def test_a_damaged_model_file_is_named_once_in_the_log_of_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: str
) -> None:
    (tmp_path / "reranker").mkdir()
    (tmp_path / damaged).write_text("{")
    monkeypatch.setenv("DOCWELL_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("DOCWELL_RERANKER", "cross-encoder")
    for module in (wiring, pipelines):
        monkeypatch.setattr(module, "pipelines", lambda _settings: {"p": Pipeline(tmp_path, 200, "off", 8)})
    wiring.prepare_query()
    assert str(tmp_path / damaged) in not_ready(caplog)


@pytest.mark.usefixtures("one_pipeline")
def test_a_start_that_succeeds_logs_no_error(caplog: pytest.LogCaptureFixture) -> None:
    wiring.prepare_query()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
