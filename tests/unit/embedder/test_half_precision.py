"""The weights of a model in 16 bits: what is stored, and that the graph computes as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from layers.embedder.half_precision import halve

ROWS, WIDTH = 200, 64


def write(path: Path, table: NDArray[np.float32], matrix: NDArray[np.float32]) -> None:
    """Write a graph that multiplies the selected rows of a table with a matrix, and adds a small bias."""
    weights = {"table": table, "matrix": matrix, "bias": np.linspace(-1, 1, WIDTH, dtype=np.float32)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, str(path))


def run(path: Path) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.arange(ROWS, dtype=np.int64)})[0]


def stored(path: Path) -> dict[str, int]:
    return {one.name: one.data_type for one in onnx.load(path).graph.initializer}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(7)
    write(
        tmp_path / "model.onnx",
        random.normal(size=(ROWS, WIDTH)).astype(np.float32),
        random.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    )
    return tmp_path / "model.onnx"


def test_a_halved_model_is_half_as_large_and_computes_the_same_in_single_precision(path: Path) -> None:
    before, size = run(path), path.stat().st_size
    assert halve(path)
    after = run(path)
    assert stored(path) == {
        "table.half": TensorProto.FLOAT16,
        "matrix.half": TensorProto.FLOAT16,
        "bias": TensorProto.FLOAT,
    }
    assert path.stat().st_size < 0.55 * size
    assert after.dtype == np.float32
    cosines = np.sum(before * after, axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert cosines.min() > 0.999999
    assert not np.array_equal(before, after)


def test_a_weight_that_is_too_large_for_16_bits_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    table = np.full((ROWS, WIDTH), 70_000, dtype=np.float32)
    write(path, table, np.eye(WIDTH, dtype=np.float32))
    halve(path)
    assert stored(path)["table"] == TensorProto.FLOAT
    assert np.isfinite(run(path)).all()
