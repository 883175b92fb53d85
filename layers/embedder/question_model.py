"""Write the form of a model that embeds questions: with 8-bit matrices, which onnxruntime multiplies faster.

Sixteen neighbouring weights share a scale, and onnxruntime rounds what it multiplies them with to 8 bits too. The
matrices of the attention's values keep 16 bits: these are a twelfth of the work, and rounding them moves vectors
most. Ingest embeds passages in full precision.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# The weights of a column that share a scale. With 32 the lowest cosine to full precision is 0.9987, not 0.9991.
_SHARING = 16
_LARGEST = 127
_ZERO = 128
# How `bert_onnx` names the product with the values' matrix; models that torch exports have other names.
_VALUES = "value.product"
# Round the other factor to 8 bits: https://onnxruntime.ai/docs/reference/operators/contribopdoc/MatMulNBits.html
_IN_8_BITS = 4


def quantize(source: Path, target: Path) -> bool:
    """Write the file for questions of a model that `half_precision` has halved, unless it has no such matrix.

    Return whether it was written. Equal files give equal bytes.
    """
    model = onnx.load(source)
    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    widened = {node.output[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights}
    for node in graph.node:
        if node.op_type != "MatMul" or node.name.endswith(_VALUES):
            continue
        name = node.input[1]
        stored = widened[name].input[0] if name in widened else name
        matrix = numpy_helper.to_array(weights[stored]) if stored in weights else np.empty((0, 0))
        if not matrix.size or matrix.shape[0] % _SHARING:  # a product of activations, or an unusual shape
            continue
        whole, scales = _rounded(matrix.astype(np.float32))
        graph.initializer.append(numpy_helper.from_array(whole, f"{name}.whole"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
        node.CopyFrom(
            helper.make_node(
                "MatMulNBits",
                [node.input[0], f"{name}.whole", f"{name}.scales"],
                node.output,
                name=node.name,
                domain="com.microsoft",
                K=matrix.shape[0],
                N=matrix.shape[1],
                bits=8,
                block_size=_SHARING,
                accuracy_level=_IN_8_BITS,
            )
        )
    if not _remove_unused(graph):
        return False
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return True


def _rounded(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a (K, N) matrix as (N, K / 16, 16) uint8, with 128 for 0, and its (N, K / 16) float32 scales."""
    blocks = matrix.T.reshape(matrix.shape[1], -1, _SHARING)
    scales = np.asarray(np.abs(blocks).max(axis=-1) / _LARGEST, dtype=np.float32)
    whole = np.rint(blocks / np.where(scales, scales, 1)[..., np.newaxis]) + _ZERO
    return whole.astype(np.uint8), scales


def _remove_unused(graph: onnx.GraphProto) -> bool:
    """Remove the weights that no product reads any more, and what widened them. Return whether there were some."""
    read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for node in [one for one in graph.node if one.op_type == "Cast" and one.output[0] not in read]:
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    unused = [one for one in graph.initializer if one.name not in read]
    for one in unused:
        graph.initializer.remove(one)
    return bool(unused)
