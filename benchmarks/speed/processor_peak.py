"""How many operations a second the processor does in products of matrices at most, and how many a model needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

# Large enough that nothing but products counts, small enough for a cache; and several in a row, so that the
# conversion of the first one's input to bfloat16 does not count either.
_SIDE = 1024
_PRODUCTS = 8
_REPEATS = 15


def peak_flops(precision: str, threads: int) -> float:
    """Floating point operations a second, the best of some runs: `bf16` or `f32`, by OpenVINO."""
    import openvino
    from openvino import opset13 as ops

    matrix = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), dtype=np.float32) / _SIDE**0.5
    start = ops.parameter([_SIDE, _SIDE], np.float32)
    product, weights = start, ops.constant(matrix)
    for _ in range(_PRODUCTS):
        product = ops.matmul(product, weights, transpose_a=False, transpose_b=True)
    model = openvino.Model([product], [start], "products")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        request.infer([matrix], share_inputs=True)
        seconds.append(time.perf_counter() - started)
    return 2.0 * _SIDE**3 * _PRODUCTS / min(seconds)


def work_of(path: Path, lengths: Sequence[int]) -> float:
    """Floating point operations of the products of matrices in an encoder's ONNX file, for texts of these lengths.

    A product with weights of (n, m) has 2 n m for each token. One of two activations, of which each layer has two
    (scores and context), has 2 x length x width for each token. Padding is no work.
    """
    graph = onnx.load(path).graph
    weights = {each.name: tuple(each.dims) for each in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul"]
    shapes = [weights[node.input[1]] for node in products if node.input[1] in weights]
    width = min(min(shape) for shape in shapes)
    for_a_token = sum(2 * rows * columns for rows, columns in shapes)
    between_tokens = 2 * width * (len(products) - len(shapes))
    return float(sum(length * for_a_token + length**2 * between_tokens for length in lengths))
