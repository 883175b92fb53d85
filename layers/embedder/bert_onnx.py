"""Build a BERT sentence model as ONNX from its weights with numpy and onnx, without torch.

The graph has plain fp32 operators of opset 20. onnxruntime fuses them when it loads the graph, so fusing here
gains nothing. A table of 4-bit weights stays packed, and the graph unpacks the rows that it reads; matrices are
stored in 16 bits. Equal weights give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from docwell.errors import BadInput
from layers.embedder.sentence_config import SentenceConfig

_OPSET = 20  # the first opset with Gelu
_IR_VERSION = 9  # the version of this opset; older onnxruntime releases reject newer ones
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# The settings that `build` supports; other models are exported by torch.
_REQUIRED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute", None),
}


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix in the layout Q4_0: a weight is `scale * (nibble - 8)`.

    `nibbles` is (rows, blocks, 16) uint8: byte j has weight j of its block in the low half, and weight j + 16 in
    the high half. `scales` is (rows, blocks) float16.
    """

    nibbles: NDArray[np.uint8]
    scales: NDArray[np.float16]

    def floats(self) -> NDArray[np.float32]:
        """Return the matrix, (rows, blocks * 32)."""
        both = np.concatenate([self.nibbles & 15, self.nibbles >> 4], axis=-1).astype(np.float32) - 8
        return (both * self.scales[..., np.newaxis].astype(np.float32)).reshape(len(both), -1)


Weight = NDArray[Any] | Blocks


def is_supported(config: SentenceConfig) -> bool:
    """Return whether `build` supports this model."""
    return is_plain_bert(config.transformer) and set(config.modules) <= {"Transformer", "Pooling", "Normalize"}


def is_plain_bert(transformer: Mapping[str, Any]) -> bool:
    """Return whether a model's config.json describes layers that this module builds."""
    return all(transformer.get(key) in values for key, values in _REQUIRED.items())


def build(weights: Mapping[str, Weight], config: SentenceConfig, target: Path) -> None:
    """Write the graph: (batch, sequence) int64 inputs -> sentence_embedding (batch, dimension) float32.

    Raises `BadInput` for a model that is not a plain BERT.
    """
    if not is_supported(config):
        raise BadInput(f"not a plain BERT: {config.transformer.get('model_type')}, {', '.join(config.modules)}")
    graph = _Graph(weights)
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    hidden = _encoder(graph, config.transformer, mask)
    pooled = _mean(graph, hidden, mask) if config.pooling == "mean" else _first(graph, hidden)
    if config.normalize:
        pooled = _unit_length(graph, pooled)
    graph.node("Identity", [pooled], "sentence_embedding")
    onnx.save(graph.model(int(config.transformer["hidden_size"])), str(target))


def read_safetensors(path: Path) -> dict[str, Weight]:
    """Return the weights of a file by the names that `build` takes."""
    return _named(load_file(path))


def build_cross_encoder(weights_path: Path, transformer: Mapping[str, Any], target: Path) -> None:
    """Write the graph of a BERT for pairs of texts: the same inputs -> (batch, 1) float32, a score for each pair.

    The output has the name that the runtimes read. Raises `BadInput` for weights without pooler or classifier, and
    for several scores.
    """
    weights = load_file(weights_path)
    if len(scores := weights.get("classifier.bias", [0])) != 1:
        raise BadInput(f"the model gives {len(scores)} scores for a pair, not one")
    graph = _Graph(_named(weights))
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    first = _first(graph, _encoder(graph, transformer, mask))
    pooled = graph.node("Tanh", [graph.dense(first, "pooler.dense", "pooler")], "pooled")
    graph.node("Identity", [graph.dense(pooled, "classifier", "score")], "sentence_embedding")
    onnx.save(graph.model(1), str(target))


def _named(weights: Mapping[str, NDArray[Any]]) -> dict[str, Weight]:
    return {name.removeprefix("bert."): value for name, value in weights.items()}


class _Graph:
    """The nodes and constants in order; a node has the name of its only output."""

    def __init__(self, weights: Mapping[str, Weight]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, *, transpose: bool = False) -> str:
        """Add a weight of the model. Raises `BadInput` when the model has no such weight."""
        value = self._weight(name)
        if not isinstance(value, Blocks):
            return self.constant(name, value.T if transpose else value)
        # Unpacked in the graph, the matrices would take 700 MB more while a runtime loads it.
        half = value.floats().astype(np.float16)
        stored = self.constant(f"{name}.half", half.T if transpose else half, np.float16)
        return self.node("Cast", [stored], name, to=TensorProto.FLOAT)

    def rows(self, name: str, ids: str, target: str) -> str:
        """Add the rows of a weight that `ids` (batch, sequence) selects: (batch, sequence, width)."""
        value = self._weight(name)
        if not isinstance(value, Blocks):
            return self.node("Gather", [self.constant(name, value), ids], target)
        table = self.constant(f"{name}.packed", value.nibbles, np.uint8)
        factors = self.constant(f"{name}.scales", value.scales[..., np.newaxis], np.float16)
        packed = self.node("Gather", [table, ids], f"{target}.packed")
        packed = self.node("Cast", [packed], f"{target}.bytes", to=TensorProto.FLOAT)
        # Compute in floats: OpenVINO's BitShift of bytes keeps the bits that it should drop.
        halves = self.node("Mul", [packed, self.constant("1/16", 1 / 16)], f"{target}.halves")
        high = self.node("Floor", [halves], f"{target}.high")
        rest = self.node("Mul", [high, self.constant("16", 16.0)], f"{target}.rest")
        low = self.node("Sub", [packed, rest], f"{target}.low")
        nibbles = self.node("Concat", [low, high], f"{target}.nibbles", axis=-1)
        steps = self.node("Sub", [nibbles, self.constant("8", 8.0)], f"{target}.steps")
        scales = self.node("Gather", [factors, ids], f"{target}.scales")
        scales = self.node("Cast", [scales], f"{target}.factors", to=TensorProto.FLOAT)
        blocks = self.node("Mul", [steps, scales], f"{target}.blocks")
        return self.node("Reshape", [blocks, self.constant("row.joined", [0, 0, -1], np.int64)], target)

    def _weight(self, name: str) -> Weight:
        if name not in self._weights:
            raise BadInput(f"the model has no weight {name}")
        return self._weights[name]

    def constant(self, name: str, value: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        if name not in self._constants:
            array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
            # ascontiguousarray turns a scalar into a vector of length 1
            self._constants[name] = numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def dense(self, hidden: str, weight: str, name: str) -> str:
        # torch stores (out, in); MatMul takes (in, out)
        product = self.node("MatMul", [hidden, self.weight(f"{weight}.weight", transpose=True)], f"{name}.product")
        return self.node("Add", [product, self.weight(f"{weight}.bias")], name)

    def norm(self, hidden: str, weight: str, epsilon: float, name: str) -> str:
        inputs = [hidden, self.weight(f"{weight}.weight"), self.weight(f"{weight}.bias")]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=epsilon)

    def model(self, dimension: int) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in _INPUTS
        ]
        output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dimension])
        graph = helper.make_graph(self._nodes, "bert", inputs, [output], list(self._constants.values()))
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="docwell")
        onnx.checker.check_model(model)
        return model


def _encoder(graph: _Graph, config: Mapping[str, Any], mask: str) -> str:
    """Add all layers: (batch, sequence, hidden)."""
    epsilon = float(config["layer_norm_eps"])
    hidden = _embeddings(graph, epsilon)
    # 0 for a token; the lowest float for padding, which softmax turns into an exact 0.
    padding = graph.node("Sub", [graph.constant("one", 1.0), mask], "padding")
    lowest = graph.constant("lowest", np.finfo(np.float32).min)
    bias = graph.node("Mul", [padding, lowest], "bias.2d")
    bias = graph.node("Unsqueeze", [bias, graph.constant("axes.1.2", [1, 2], np.int64)], "bias")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        attended = _attention(graph, hidden, bias, layer, config)
        attended = graph.dense(attended, f"{layer}.attention.output.dense", f"{number}.attended")
        attended = graph.node("Add", [attended, hidden], f"{number}.attended.sum")
        attended = graph.norm(attended, f"{layer}.attention.output.LayerNorm", epsilon, f"{number}.attended.norm")
        inner = graph.dense(attended, f"{layer}.intermediate.dense", f"{number}.inner")
        inner = graph.node("Gelu", [inner], f"{number}.gelu", approximate="none")
        outer = graph.dense(inner, f"{layer}.output.dense", f"{number}.outer")
        outer = graph.node("Add", [outer, attended], f"{number}.outer.sum")
        hidden = graph.norm(outer, f"{layer}.output.LayerNorm", epsilon, f"{number}.hidden")
    return hidden


def _embeddings(graph: _Graph, epsilon: float) -> str:
    """Add the sum of words, positions (from 0) and token types, normalised."""
    axis = graph.constant("axis.0", [0], np.int64)
    shape = graph.node("Shape", ["input_ids"], "shape")
    length = graph.node("Gather", [shape, graph.constant("index.1", [1], np.int64)], "length")
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.node("Slice", [table, graph.constant("start", [0], np.int64), length, axis], "positions")
    words = graph.rows("embeddings.word_embeddings.weight", "input_ids", "words")
    types = graph.rows("embeddings.token_type_embeddings.weight", "token_type_ids", "types")
    summed = graph.node("Add", [graph.node("Add", [words, types], "words.types"), positions], "embedded")
    return graph.norm(summed, "embeddings.LayerNorm", epsilon, "embedded.norm")


def _attention(graph: _Graph, hidden: str, bias: str, layer: str, config: Mapping[str, Any]) -> str:
    """Add softmax(q k / sqrt(width) + bias) v of all heads, concatenated: (batch, sequence, hidden)."""
    size, heads = config["hidden_size"], config["num_attention_heads"]
    width = size // heads
    split = graph.constant("heads", [0, 0, heads, width], np.int64)

    def head(part: str, order: Sequence[int]) -> str:
        projected = graph.dense(hidden, f"{layer}.attention.self.{part}", f"{layer}.{part}")
        split_heads = graph.node("Reshape", [projected, split], f"{layer}.{part}.heads")
        return graph.node("Transpose", [split_heads], f"{layer}.{part}.turned", perm=order)

    scores = graph.node("MatMul", [head("query", [0, 2, 1, 3]), head("key", [0, 2, 3, 1])], f"{layer}.scores")
    scores = graph.node("Mul", [scores, graph.constant("scale", width**-0.5)], f"{layer}.scores.scaled")
    scores = graph.node("Add", [scores, bias], f"{layer}.scores.masked")
    weights = graph.node("Softmax", [scores], f"{layer}.weights", axis=-1)
    context = graph.node("MatMul", [weights, head("value", [0, 2, 1, 3])], f"{layer}.context.heads")
    context = graph.node("Transpose", [context], f"{layer}.context.turned", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [context, graph.constant("joined", [0, 0, size], np.int64)], f"{layer}.context")


def _mean(graph: _Graph, hidden: str, mask: str) -> str:
    """Add the mean over real tokens; a text without tokens divides by 1e-9, as in sentence-transformers."""
    axis = graph.constant("axis.1", [1], np.int64)
    mask = graph.node("Unsqueeze", [mask, graph.constant("axis.2", [2], np.int64)], "mask.3d")
    total = graph.node("ReduceSum", [graph.node("Mul", [hidden, mask], "masked"), axis], "total", keepdims=0)
    count = graph.node("ReduceSum", [mask, axis], "count", keepdims=0)
    count = graph.node("Clip", [count, graph.constant("least.count", 1e-9)], "count.clipped")
    return graph.node("Div", [total, count], "mean")


def _first(graph: _Graph, hidden: str) -> str:
    return graph.node("Gather", [hidden, graph.constant("index.0", 0, np.int64)], "first", axis=1)


def _unit_length(graph: _Graph, pooled: str) -> str:
    last = graph.constant("axis.last", [-1], np.int64)
    length = graph.node("ReduceL2", [pooled, last], "norm", keepdims=1)
    length = graph.node("Clip", [length, graph.constant("least.norm", 1e-12)], "norm.clipped")
    return graph.node("Div", [pooled, length], "unit")
