"""Store the large weights of an ONNX file in 16 bits. The graph widens them to float32, so it computes as before.

The file halves, and onnxruntime loads it in three quarters of the time. Vectors keep a cosine of 0.9999 or more
(tests/unit/embedder/test_parity.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Smaller constants are biases and norms: together less than 1% of the file.
_LEAST_WEIGHTS = 4096


def halve(path: Path) -> bool:
    """Rewrite a file, and return whether that changed it. Equal files give equal bytes."""
    model = onnx.load(path)
    graph = model.graph
    halves = {one.name: half for one in graph.initializer if (half := _half(one)) is not None}
    if not halves:
        return False
    tables = {name for name in halves if _is_table(graph, name)}
    for one in graph.initializer:
        if one.name in halves:
            one.CopyFrom(numpy_helper.from_array(halves[one.name], f"{one.name}.half"))
    nodes = [
        helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.single", to=TensorProto.FLOAT)
        for name in halves
        if name not in tables
    ]
    for node in graph.node:
        nodes.append(node)
        if node.op_type == "Gather" and node.input[0] in tables:  # widen only the rows that are read
            rows = node.output[0]
            node.input[0], node.output[0] = f"{node.input[0]}.half", f"{rows}.half"
            nodes.append(
                helper.make_node("Cast", [f"{rows}.half"], [rows], name=f"{rows}.single", to=TensorProto.FLOAT)
            )
    changed = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(changed)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return True


def _half(tensor: onnx.TensorProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]] | None:
    """Return a large float32 tensor in 16 bits; None for other tensors, or if a weight is too large."""
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST_WEIGHTS:
        return None
    single = numpy_helper.to_array(tensor)
    if np.abs(single).max() > np.finfo(np.float16).max:
        return None
    return single.astype(np.float16)


def _is_table(graph: onnx.GraphProto, name: str) -> bool:
    """Return whether nodes only select rows of this weight."""
    places = [
        (node.op_type, place) for node in graph.node for place, used in enumerate(node.input) if used == name
    ]
    return set(places) == {("Gather", 0)}
