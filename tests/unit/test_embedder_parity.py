from __future__ import annotations

import json
from pathlib import Path

import pytest

from docwell.adapters.onnx_embedder import OnnxEmbedder
from layers.embedder.parity.compare import GOAL, compare

EMBEDDER = Path(__file__).resolve().parents[2] / "layers" / "embedder"
MODEL = EMBEDDER / "model"


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    if not (MODEL / "manifest.json").is_file():
        pytest.skip("the embedding model is not built: run `make model`")
    loaded = OnnxEmbedder(MODEL)
    if loaded.manifest.name != "sentence-transformers/all-MiniLM-L6-v2":
        pytest.skip(f"the golden vectors are not those of {loaded.manifest.name}")
    return loaded


def test_every_text_has_the_vector_that_sentence_transformers_gives_it(embedder: OnnxEmbedder) -> None:
    parity = compare(embedder)
    assert len(parity.cosines) == 200
    assert {name: cosine for name, cosine in parity.cosines.items() if cosine < GOAL} == {}


def test_the_texts_range_from_one_word_piece_to_more_than_the_model_reads(embedder: OnnxEmbedder) -> None:
    entries = json.loads((EMBEDDER / "parity" / "texts.json").read_text(encoding="utf-8"))
    lengths = [len(spans) for spans in embedder.offsets([entry["text"] for entry in entries])]
    assert sum(length == 1 for length in lengths) >= 3
    assert sum(length > embedder.max_tokens for length in lengths) >= 20
    assert len({entry["text"] for entry in entries}) == 200
