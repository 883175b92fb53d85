"""The pipelines that the settings name, and the fingerprint of each."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.config import ReconcileSettings
from docwell.pipeline import CHUNKER_VERSION, EMBEDDED_VERSION, TEXT_VERSION
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
