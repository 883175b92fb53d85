"""The pipelines that the settings name, and the fingerprint of each."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
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
from docwell.pipeline import CHUNKER_VERSION, EMBEDDED_VERSION, TEXT_VERSION
from docwell.wiring import pipelines as wiring
from docwell.wiring.pipelines import pipelines


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ModelManifest, "read", lambda _: SimpleNamespace(fingerprint="model"))
    yield
    pipelines.cache_clear()


def settings(**more: Any) -> ReconcileSettings:
    return ReconcileSettings(bucket="b", chroma_url="http://chroma", model_dir=".", queue_url="q", **more)


def test_an_index_without_shards_has_the_fingerprint_of_releases_before_shards() -> None:
    parts = ("model", "200", str(CHUNKER_VERSION), str(TEXT_VERSION), str(EMBEDDED_VERSION))
    before = sha256("\0".join(parts).encode()).hexdigest()[:32]
    assert list(pipelines(settings(shards=0))) == [before]
    assert before not in pipelines(settings())


def test_another_number_of_shards_is_another_pipeline_built_beside_the_first() -> None:
    first, following = pipelines(settings(shards=0, next_shards=4)).items()
    assert (first[1].shards, following[1].shards) == (0, 4)
    assert first[0] != following[0]
    assert following[1] == first[1]._replace(shards=4)
    assert list(pipelines(settings())) == [following[0]]


def test_zero_is_a_number_of_shards_of_the_next_index_too() -> None:
    assert [one.shards for one in pipelines(settings(next_shards=0)).values()] == [4, 0]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The threads that have loaded a model; the first fails."""
    threads: list[str] = []

    def load(folder: Path, _threads: int, _open: object) -> Path:
        threads.append(current_thread().name)
        if len(threads) == 1:
            raise ModelDamaged(folder, "cut short")
        return folder

    monkeypatch.setattr(onnx_embedder, "OnnxEmbedder", load)
    yield threads
    wiring.embedder_loading.cache_clear()


def test_a_model_is_loaded_in_a_thread_once_and_again_after_an_error(loads: list[str]) -> None:
    folder, any_settings = Path("/the/model"), Mock(embed_threads=1, embed_runtime="onnxruntime")
    wiring.embedder_loading(any_settings, folder)
    with pytest.raises(ModelDamaged, match="cut short"):
        wiring.embedder_of(any_settings, folder)
    assert {str(wiring.embedder_of(any_settings, folder)) for _ in range(3)} == {str(folder)}
    assert len(loads) == 2
    assert current_thread().name not in loads
