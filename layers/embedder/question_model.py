"""Write the query function's form of a model: with 8-bit matrices, which onnxruntime multiplies faster.

Sixteen neighbouring weights share a scale, and onnxruntime rounds the other factor to 8 bits too. The matrices of
the attention's values keep 16 bits: they are a twelfth of the work, and rounding them changes vectors most. Ingest
embeds passages in full precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# The weights of a column that share a scale. With 32 the lowest cosine to full precision is 0.9987, not 0.9991.
_BLOCK = 16
_LARGEST = 127
_ZERO_POINT = 128
_DIMENSIONS = 2
# The name of the product with the values' matrix in `bert_onnx`; models that torch exports have other names.
_VALUES = "value.product"
# Round the other factor to 8 bits: https://onnxruntime.ai/docs/reference/operators/contribopdoc/MatMulNBits.html
_IN_8_BITS = 4


def quantize(source: Path, target: Path) -> bool:
    """Write this form of a model that `half_precision` has halved. Equal files give equal bytes.

    Return False, and write nothing, if no matrix can be quantized.
    """
    model = onnx.load(source)
    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    widened = {node.output[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights}
    shapes: dict[str, tuple[int, int]] = {}
    for node in graph.node:
        if node.op_type != "MatMul" or node.name.endswith(_VALUES):
            continue
        name = node.input[1]
        stored = weights.get(widened[name].input[0] if name in widened else name)
        if stored is None or len(stored.dims) != _DIMENSIONS or stored.dims[0] % _BLOCK:
            continue
        if name not in shapes:
            matrix = numpy_helper.to_array(stored).astype(np.float32)
            quantized, scales = _quantized(matrix)
            graph.initializer.append(numpy_helper.from_array(quantized, f"{name}.quantized"))
            graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
            shapes[name] = matrix.shape
        inputs = [node.input[0], f"{name}.quantized", f"{name}.scales"]
        node.CopyFrom(_product(inputs, node, shapes[name]))
    if not shapes:
        return False
    _remove_unused(graph)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return True


def _product(inputs: Sequence[str], product: onnx.NodeProto, shape: tuple[int, int]) -> onnx.NodeProto:
    """Return the product with a quantized matrix in place of a product."""
    return helper.make_node(
        "MatMulNBits",
        inputs,
        product.output,
        name=product.name,
        domain="com.microsoft",
        K=shape[0],
        N=shape[1],
        bits=8,
        block_size=_BLOCK,
        accuracy_level=_IN_8_BITS,
    )


def _quantized(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a (K, N) matrix as (N, K / 16, 16) uint8, with 128 for 0, and its (N, K / 16) float32 scales."""
    blocks = matrix.T.reshape(matrix.shape[1], -1, _BLOCK)
    scales = np.asarray(np.abs(blocks).max(axis=-1) / _LARGEST, dtype=np.float32)
    quantized = np.rint(blocks / np.where(scales, scales, 1)[..., np.newaxis]) + _ZERO_POINT
    return quantized.astype(np.uint8), scales


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove weights that no product reads any more, and the nodes that widened them."""
    read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for node in [one for one in graph.node if one.op_type == "Cast" and one.output[0] not in read]:
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(one)
