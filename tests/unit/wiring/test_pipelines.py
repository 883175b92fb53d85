"""The pipelines that the settings name, and the fingerprint of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import current_thread
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.adapters.embedding import onnx_embedder
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.config import ReconcileSettings
from docwell.errors import ModelDamaged
from docwell.ingest.ingest import Ingest
from docwell.pipeline import Roles
from docwell.wiring import ingest as ingest_wiring
from docwell.wiring import pipelines as wiring
from docwell.wiring import small_functions as reconcile_wiring
from docwell.wiring.pipelines import pipelines
from tests.fresh_wiring import clear_caches


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ModelManifest, "read", lambda _: SimpleNamespace(fingerprint="model"))
    yield
    pipelines.cache_clear()


def settings(**more: Any) -> ReconcileSettings:
    return ReconcileSettings(bucket="b", chroma_url="http://chroma", model_dir=".", queue_url="q", **more)


def test_another_number_of_shards_is_another_pipeline_built_beside_the_first() -> None:
    first, following = pipelines(settings(shards=2, next_shards=4)).items()
    assert (first[1].shards, following[1].shards) == (2, 4)
    assert first[0] != following[0]
    assert following[1] == first[1]._replace(shards=4)
    assert list(pipelines(settings())) == [following[0]]


def test_reconcile_sees_the_pipelines_in_the_ledger_that_no_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    two_pipelines = settings(next_shards=2, ledger_table="ledger")
    monkeypatch.setattr(reconcile_wiring, "reconcile_settings", lambda: two_pipelines)
    first, second = pipelines(two_pipelines)
    ledgers = {first: Mock(others={second, "older"}), second: Mock(others={first, "oldest"})}
    monkeypatch.setattr(reconcile_wiring, "_ledger", ledgers.__getitem__)
    monkeypatch.setattr(wiring, "state_store", Mock())
    assert reconcile_wiring.reindex().others() == {"older", "oldest"}


FOLDER, NEXT = Path("/the/model"), Path("/the/next")
SETTINGS = Mock(embed_threads=1, embed_runtime="onnxruntime")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Path, str]]]:
    """The folder and the thread of each load; the first load of `NEXT` fails."""
    loads_seen: list[tuple[Path, str]] = []

    def load(folder: Path, _threads: int, _open: object, *, for_questions: bool) -> Path:
        assert not for_questions
        loads_seen.append((folder, current_thread().name))
        if folder == NEXT and [path for path, _ in loads_seen].count(NEXT) == 1:
            raise ModelDamaged(folder, "cut short")
        return folder

    monkeypatch.setattr(onnx_embedder, "OnnxEmbedder", load)
    clear_caches()
    yield loads_seen
    clear_caches()


def test_a_model_is_loaded_once_beside_other_work(loads: list[tuple[Path, str]]) -> None:
    wiring.embedder_loading(SETTINGS, FOLDER)
    assert {str(wiring.embedder_of(SETTINGS, FOLDER)) for _ in range(3)} == {str(FOLDER)}
    assert [folder for folder, _ in loads] == [FOLDER]
    assert current_thread().name not in {thread for _, thread in loads}


def test_a_model_that_failed_is_loaded_again_and_no_other(loads: list[tuple[Path, str]]) -> None:
    wiring.embedder_of(SETTINGS, FOLDER)
    with pytest.raises(ModelDamaged, match="cut short"):
        wiring.embedder_of(SETTINGS, NEXT)
    assert wiring.embedder_of(SETTINGS, NEXT) == NEXT  # type: ignore[comparison-overlap]
    wiring.embedder_of(SETTINGS, FOLDER)
    assert [folder for folder, _ in loads] == [FOLDER, NEXT, NEXT]


# --- outcomes ---


@pytest.mark.parametrize(
    ("roles", "noted"),
    [
        (Roles("f1"), {"f1": True}),
        (Roles("f1", "f2"), {"f1": True, "f2": False}),
        (Roles("f2", None, {"f1": 1.0}), {"f2": True}),
    ],
)
def test_only_the_active_pipeline_notes_outcomes_even_after_a_switch_under_a_warm_function(
    monkeypatch: pytest.MonkeyPatch, roles: Roles, noted: dict[str, bool]
) -> None:
    ledgers: dict[str, bool] = {}

    def ledger_of(_: object, fingerprint: str, lease_s: float, *, notes_outcomes: bool) -> Mock:
        ledgers[fingerprint] = notes_outcomes
        return Mock(fingerprint=fingerprint)

    built = tuple(Ingest("b", Mock(), Mock(), Mock(), Mock(), Mock(), name) for name in ("f1", "f2"))
    monkeypatch.setattr(ingest_wiring, "_ingest", lambda: built)
    monkeypatch.setattr(ingest_wiring, "ingest_settings", lambda: SimpleNamespace(lease_s=90.0))
    monkeypatch.setattr(wiring, "pipelines", lambda _: {"f1": None, "f2": None})
    monkeypatch.setattr(wiring, "roles_of", lambda _: roles)
    monkeypatch.setattr(wiring, "ledger_of", ledger_of)
    use_cases = ingest_wiring.ingest()
    assert ledgers == noted
    bound: dict[str, Any] = {use_case.fingerprint: use_case.ledger for use_case in use_cases}
    assert {name: ledger.fingerprint for name, ledger in bound.items()} == {name: name for name in noted}
