from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from docwell.adapters.embedding.model_manifest import QUESTIONS_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, SessionOpener
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from layers.embedder.parity.compare import GOAL, GOAL_QUESTIONS, GOAL_SINGLE, compare

EMBEDDER = Path(__file__).resolve().parents[3] / "layers" / "embedder"
MODEL = EMBEDDER / "model"


def loaded(open_session: SessionOpener, *, for_questions: bool = False) -> OnnxEmbedder:
    if not (MODEL / "manifest.json").is_file():
        pytest.skip("the embedding model is not built: run `make model`")
    embedder = OnnxEmbedder(MODEL, 0, open_session, for_questions=for_questions)
    if embedder.manifest.name != "sentence-transformers/all-MiniLM-L6-v2":
        pytest.skip(f"the golden vectors are not those of {embedder.manifest.name}")
    return embedder


def test_every_text_has_the_vector_that_sentence_transformers_gives_it() -> None:
    assert_parity(OnnxruntimeSession, GOAL_SINGLE)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "goal"), [("f32", GOAL_SINGLE), ("bf16", GOAL)])
def test_openvino_gives_every_text_the_same_vector_in_each_precision(precision: str, goal: float) -> None:
    adapter = pytest.importorskip(
        "docwell.adapters.embedding.openvino_session", reason="OpenVINO is not installed"
    )
    if precision == "bf16" and adapter.native_precision() != "bf16":
        pytest.skip("this processor has no bfloat16")
    assert_parity(partial(adapter.OpenvinoSession, precision=precision), goal)


@pytest.mark.slow
def test_the_query_functions_model_differs_by_a_thousandth_at_most() -> None:
    assert QUESTIONS_FILE in loaded(OnnxruntimeSession).manifest.stored
    assert_parity(OnnxruntimeSession, GOAL_QUESTIONS, for_questions=True)


def assert_parity(open_session: SessionOpener, goal: float, *, for_questions: bool = False) -> None:
    parity = compare(loaded(open_session, for_questions=for_questions))
    assert len(parity.cosines) == 200
    assert {name: cosine for name, cosine in parity.cosines.items() if cosine < goal} == {}
