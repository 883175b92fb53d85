"""multilingual-e5-small as `make model` builds it, against the engine of the package that has its weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from docwell.adapters.embedding.model_manifest import ModelCalibration
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, SessionOpener
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.errors import DocwellError
from layers.embedder import build_model
from layers.embedder.download.fetch import fetch
from tests.integration.test_routing import (
    MOST_MISSED,
    MOST_TAKEN_FOR_LISTS,
    MOST_WRONG,
    QUESTIONS,
    REWORDED,
    WITH_EXAMPLES,
    errors,
    share,
)
from tests.unit.adapters.embedding import tiny_model

# The model is converted first, which takes most of the time.
pytestmark = [pytest.mark.integration, pytest.mark.slow]

NAME = "multilingual-e5-small"
PARITY = Path(build_model.__file__).with_name("parity")
# That engine rounds each activation to 8 bits, and its own vectors differ from full precision by more than this.
CLOSE = 0.9995


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        fetch(NAME)
    except DocwellError as error:
        pytest.skip(f"no model file: {error}")
    return tiny_model.build(NAME, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The texts, with the package's tokens and vectors of each as a passage."""
    texts = {entry["id"]: entry["text"] for entry in json.loads((PARITY / "texts.json").read_text("utf-8"))}
    with np.load(PARITY / "multilingual_e5.npz") as file:
        ends = np.cumsum(file["lengths"])[:-1]
        tokens = [part.tolist() for part in np.split(file["tokens"], ends)]
        return {
            "texts": [texts[name] for name in file["text_ids"]],
            "tokens": tokens,
            "vectors": file["vectors"].astype(np.float32),
        }


@pytest.fixture(params=["onnxruntime", "openvino f32", "openvino bf16"])
def runtime(request: pytest.FixtureRequest) -> SessionOpener:
    name, _, precision = request.param.partition(" ")
    if name == "onnxruntime":
        return OnnxruntimeSession
    adapter = pytest.importorskip("docwell.adapters.embedding.openvino_session")
    if precision == "bf16" and adapter.native_precision() != "bf16":
        pytest.skip("this processor has no bfloat16")
    return partial(adapter.OpenvinoSession, precision=precision)


def test_every_text_has_the_tokens_of_the_package(folder: Path, golden: dict[str, Any]) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = [tokenizer.encode(f"passage: {text}", add_special_tokens=False).ids for text in golden["texts"]]
    assert len(tokens) >= 15
    assert tokens == golden["tokens"]


def test_every_text_has_the_vector_of_the_package(
    folder: Path, golden: dict[str, Any], runtime: SessionOpener
) -> None:
    vectors = OnnxEmbedder(folder, 0, runtime).embed_passages(golden["texts"])
    cosines = np.sum(vectors * golden["vectors"], axis=1)
    assert cosines.min() > CLOSE


def test_the_router_knows_questions_about_a_document_in_nine_languages(folder: Path) -> None:
    embedder = OnnxEmbedder(folder, 1, OnnxruntimeSession, for_questions=True)
    figures = errors(embedder, QUESTIONS, ModelCalibration.read(folder).language)
    assert share(figures, "overviews", figures) <= MOST_MISSED
    assert share(figures, "ordinary", figures) <= 2 * MOST_WRONG
    assert share(figures, "lists", WITH_EXAMPLES) <= MOST_MISSED
    reworded = errors(embedder, REWORDED, ModelCalibration.read(folder).language)
    assert share(reworded, "ordinary", WITH_EXAMPLES) <= MOST_TAKEN_FOR_LISTS
