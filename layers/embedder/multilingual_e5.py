"""Read multilingual-e5-small, with numpy alone, from the package that has its weights in 4 bits.

The file has a header, the pieces of the SentencePiece vocabulary with their scores, a table of normalised
characters, a directory of tensors, and the tensors: plain float32, or Q4_0, which is blocks of 32 weights with a
16-bit scale.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from docwell.errors import Corrupt
from layers.embedder.bert_onnx import Blocks, Weight
from layers.embedder.sentence_config import SentenceConfig

_MAGIC = b"E5S1\x01\0\0\0"
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
# The model's card: https://huggingface.co/intfloat/multilingual-e5-small
_PROMPTS = {"query": "query: ", "passage": "passage: "}
# The file's names of BERT's parts; each has a weight `.w` and a bias `.b`.
_TABLES = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True)
class Packed:
    """The content of the file: BERT's weights by their usual names, settings, and the tokenizer's pieces."""

    weights: dict[str, Weight]
    config: SentenceConfig
    pieces: Sequence[tuple[str, float]]
    unknown: int

    @classmethod
    def read(cls, path: Path) -> Packed:
        """Read the whole file. Raises `Corrupt` for another format."""
        try:
            return _read(_Cursor(path.read_bytes()))
        except (struct.error, ValueError, KeyError, IndexError) as error:
            raise Corrupt(f"{path}: not a packed model ({error})") from error

    def write_tokenizer(self, target: Path) -> None:
        """Write tokenizer.json: XLM-R's tokenizer, with Unicode's own tables in place of SentencePiece's."""
        special = [index for index, (_, score) in enumerate(self.pieces) if score == 0]
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": index,
                    "content": self.pieces[index][0],
                    "single_word": False,
                    "lstrip": self.pieces[index][0] == "<mask>",
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for index in special
            ],
            # It equals SentencePiece's nmt_nfkc for every character except U+FF5E and U+1F23B.
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Nmt"},
                    {"type": "NFKC"},
                    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
                ],
            },
            "pre_tokenizer": _METASPACE,
            "post_processor": _template(self.pieces),
            "decoder": _METASPACE,
            "model": {
                "type": "Unigram",
                "unk_id": self.unknown,
                "vocab": self.pieces,
                "byte_fallback": False,
            },
        }
        target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


def _template(pieces: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return the template `<s> text </s>`."""
    begin, end = (
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    )
    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    ids = {piece: index for index, (piece, _) in enumerate(pieces[:4])}
    return {
        "type": "TemplateProcessing",
        "single": [begin, first, end],
        "pair": [begin, first, end, end, second, end],
        "special_tokens": {
            token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("<s>", "</s>")
        },
    }


class _Cursor:
    """Reads little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._at = 0

    def values(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self.data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return found

    def array(self, dtype: DTypeLike, count: int) -> NDArray[Any]:
        found = np.frombuffer(self.data, dtype, count, self._at)
        self._at += found.nbytes
        return found


def _read(file: _Cursor) -> Packed:
    if file.values("8s") != (_MAGIC,):
        raise ValueError("wrong first bytes")
    hidden, layers, heads, inner, _, positions, _ = file.values("7i")
    epsilon, _ = file.values("fi")
    count, _, _, padding, unknown = file.values("5i")
    (text_bytes,) = file.values("Q")
    ends = file.array("<u4", count + 1).tolist()
    scores = file.array("<f4", count).tolist()
    text = file.array("u1", text_bytes).tobytes()
    names = [text[start:end].decode() for start, end in pairwise(ends)]
    _, table_bytes = file.values("iI")
    file.array("u1", table_bytes)
    config = SentenceConfig(
        modules=("Transformer", "Pooling", "Normalize"),
        pooling="mean",
        normalize=True,
        max_sequence_length=positions,
        do_lower_case=False,
        pad_token_id=padding,
        prompts=_PROMPTS,
        transformer={
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "layer_norm_eps": epsilon,
        },
    )
    weights = _weights(file, {"fo": inner}, hidden)
    return Packed(weights, config, list(zip(names, scores, strict=True)), unknown)


def _weights(file: _Cursor, widths: dict[str, int], hidden: int) -> dict[str, Weight]:
    weights: dict[str, Weight] = {}
    for _ in range(*file.values("i")):
        (length,) = file.values("H")
        (name,) = file.values(f"{length}s")
        packed, count, start, size = file.values("BIQQ")
        _, _, part = name.decode().rpartition(".")
        width = widths.get(name.decode().split(".")[1], hidden)
        content = memoryview(file.data)[start : start + size]
        if packed:
            blocks = np.frombuffer(content, _BLOCK).reshape(count // width, -1)
            weights[_bert_name(name.decode())] = Blocks(blocks["nibbles"], blocks["scale"])
        else:
            values = np.frombuffer(content, "<f4")
            one_row = part == "b" or "ln." in name.decode()
            weights[_bert_name(name.decode())] = values if one_row else values.reshape(-1, width)
    return weights


def _bert_name(name: str) -> str:
    """Return BERT's name of a tensor: `l3.ao.w` is encoder.layer.3.attention.output.dense.weight."""
    if name in _TABLES:
        return f"embeddings.{_TABLES[name]}.weight"
    place, part, kind = name.split(".")
    suffix = {"w": "weight", "b": "bias"}[kind]
    if place == "emb":
        return f"embeddings.LayerNorm.{suffix}"
    return f"encoder.layer.{int(place[1:])}.{_PARTS[part]}.{suffix}"
