"""The vectors of the router's examples come from the model's folder, if they are of these examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from docwell.adapters.embedding.model_manifest import EXAMPLES_FILE, MODEL_FILE, FileEntry, ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, kept_vectors
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.errors import ModelDamaged
from docwell.query.modes import example_texts
from tests.unit.adapters.embedding import tiny_model

TEXTS = example_texts()


class Counting(OnnxEmbedder):
    """Counts the texts that it embeds."""

    embedded = 0

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded += len(texts)
        return super().embed_queries(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model.build(tiny_model.write(tmp_path / "source"), tmp_path / "built")


def test_a_built_model_has_the_vectors_of_the_examples(folder: Path) -> None:
    embedder = Counting(folder, 1, OnnxruntimeSession)
    found = kept_vectors(folder, embedder, TEXTS)
    assert embedder.embedded == 0
    assert found.dtype == np.float32
    step = 2**-11  # of 16 bits under 1
    np.testing.assert_allclose(found, embedder.embed_queries(TEXTS), atol=step)


@pytest.mark.parametrize("texts", [TEXTS[:-1], [*TEXTS[1:], TEXTS[0]], [*TEXTS[:-1], "Is there tea?"]])
def test_other_texts_are_embedded(folder: Path, texts: list[str]) -> None:
    embedder = Counting(folder, 1, OnnxruntimeSession)
    assert kept_vectors(folder, embedder, texts).shape == (len(texts), embedder.manifest.dimension)
    assert embedder.embedded == len(texts)


def test_damaged_vectors_are_a_damaged_model(folder: Path) -> None:
    path = folder / EXAMPLES_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelDamaged, match=EXAMPLES_FILE):
        OnnxEmbedder(folder, 1, OnnxruntimeSession)


def test_vectors_of_a_newer_model_in_the_folder_are_not_used(folder: Path) -> None:
    embedder = Counting(folder, 1, OnnxruntimeSession)
    np.save(folder / EXAMPLES_FILE, np.zeros((len(TEXTS), 3), dtype=np.float16))
    shapes = [kept_vectors(folder, embedder, TEXTS).shape]
    (folder / EXAMPLES_FILE).unlink()
    shapes += [kept_vectors(one, embedder, TEXTS).shape for one in (folder, folder / "none")]
    assert shapes == [(len(TEXTS), embedder.manifest.dimension)] * 3
    assert embedder.embedded == 3 * len(TEXTS)


def test_a_smaller_form_has_the_same_fingerprint_and_is_verified_as_itself(tmp_path: Path) -> None:
    path = tmp_path / MODEL_FILE
    path.write_bytes(b"full precision")
    full = ModelManifest("m", None, 4, "mean", True, 8, 0, {}, {MODEL_FILE: FileEntry.of(path)}, {})
    path.write_bytes(b"half")
    replace(full, stored={MODEL_FILE: FileEntry.of(path)}).write(tmp_path)
    read = ModelManifest.read(tmp_path)
    read.verify(tmp_path)
    assert read.fingerprint == full.fingerprint
    path.write_bytes(b"full precision")
    with pytest.raises(ModelDamaged):
        read.verify(tmp_path)
