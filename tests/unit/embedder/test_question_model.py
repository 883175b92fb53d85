"""The form of a model for questions: its 8-bit parts, the precision of its vectors, and its use."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from docwell.adapters.embedding.model_manifest import MODEL_FILE, QUESTIONS_FILE, ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.errors import ModelDamaged
from layers.embedder import build_model
from layers.embedder.half_precision import halve
from layers.embedder.question_model import quantize
from tests.unit.adapters.embedding import tiny_model

ROWS, WIDTH = 100, 64
TEXTS = ["the pump", "restart the valve", "lease"]


def write(path: Path, name: str = "product", width: int = WIDTH) -> NDArray[np.float32]:
    """Write a graph that multiplies rows with a matrix, in 16 bits; return its result for ones."""
    matrix = np.random.default_rng(7).normal(size=(width, WIDTH)).astype(np.float32)
    matrix[:, 0] = 0  # a column without a largest weight
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "matrix"], ["out"], name=name)],
        "small",
        [helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    assert halve(path)
    return run(path, width)


def run(path: Path, width: int = WIDTH) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(8).normal(size=(ROWS, width)).astype(np.float32)
    return np.asarray(session.run(None, {"rows": rows})[0])


def test_a_matrix_is_stored_in_8_bits_and_gives_nearly_the_same(tmp_path: Path) -> None:
    before = write(tmp_path / MODEL_FILE)
    assert quantize(tmp_path / MODEL_FILE, tmp_path / QUESTIONS_FILE)
    graph = onnx.load(tmp_path / QUESTIONS_FILE).graph
    assert [node.op_type for node in graph.node] == ["MatMulNBits"]
    assert {weight.name for weight in graph.initializer} == {"matrix.quantized", "matrix.scales"}
    after = run(tmp_path / QUESTIONS_FILE)
    cosines = np.sum(before * after, axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert np.min(cosines) > 0.9995
    assert not after[:, 0].any()


def built(root: Path, least_cosine: float) -> Path:
    source, out = tiny_model.write(root / "source"), root / "built"
    with (
        patch("sys.argv", ["build_model.py", "--model", str(source), "--out", str(out)]),
        patch.object(build_model, "_QUESTION_PARITY", least_cosine),
    ):
        assert build_model.main() == 0
    return out


def test_each_function_needs_only_its_own_form_of_the_model(tmp_path: Path) -> None:
    folder = built(tmp_path, 0.0)
    for name, removed, for_questions in ((MODEL_FILE, QUESTIONS_FILE, False), (QUESTIONS_FILE, MODEL_FILE, True)):
        copy = Path(shutil.copytree(folder, tmp_path / name))
        (copy / removed).unlink()
        vectors = OnnxEmbedder(copy, 1, OnnxruntimeSession, for_questions=for_questions).embed_queries(TEXTS)
        whole = OnnxEmbedder(folder, 1, OnnxruntimeSession).embed_queries(TEXTS)
        assert np.min(np.sum(vectors * whole, axis=1)) > 0.9
        assert np.array_equal(vectors, whole) is not for_questions
        with pytest.raises(ModelDamaged, match=removed):
            OnnxEmbedder(copy, 1, OnnxruntimeSession, for_questions=not for_questions)


def test_a_model_that_8_bits_would_change_too_much_has_no_form_for_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = built(tmp_path, 0.0)
    model = ModelManifest.read(folder)
    assert QUESTIONS_FILE in model.stored
    # A model of another quantizer gets its form again, and is not built again itself.
    made_from = {**model.made_from, "questions": "other"}
    replace(model, made_from=made_from).write(folder)
    built_at = (folder / MODEL_FILE).stat().st_mtime_ns
    built(tmp_path, 1.1)
    assert (folder / MODEL_FILE).stat().st_mtime_ns == built_at
    assert "must be 1.1" in capsys.readouterr().out
    assert QUESTIONS_FILE not in ModelManifest.read(folder).stored
    assert not (folder / QUESTIONS_FILE).exists()
    embedders = (OnnxEmbedder(folder, 1, OnnxruntimeSession, for_questions=form) for form in (False, True))
    first, second = (embedder.embed_queries(TEXTS) for embedder in embedders)
    assert np.array_equal(first, second)
