"""Compare an embedder with the golden vectors, for the unit test and for `check.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from docwell.errors import Corrupt

if TYPE_CHECKING:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder

_HERE = Path(__file__).resolve().parent
# The least cosine of a text to sentence-transformers: with the model for questions, in bfloat16, and in single
# precision.
GOAL_QUESTIONS = 0.999
GOAL = 0.9999
GOAL_SINGLE = 0.999999


@dataclass(frozen=True, slots=True)
class Parity:
    """The distance to sentence-transformers: cosines by text id, and the largest difference of one component."""

    cosines: dict[str, float]
    difference: float
    seconds: float
    reference: str


def compare(embedder: OnnxEmbedder) -> Parity:
    """Embed the 200 texts. Raises `Corrupt` when the golden vectors belong to other texts."""
    content = (_HERE / "texts.json").read_bytes()
    entries = json.loads(content)
    with np.load(_HERE / "golden.npz") as golden:
        if str(golden["texts_sha256"]) != sha256(content).hexdigest():
            raise Corrupt("texts.json has changed since golden.npz was made: run make_golden.py")
        expected = golden["vectors"]
        reference = str(golden["made_with"])
    started = perf_counter()
    # Embed queries, which are cut at the model's limit, as sentence-transformers cuts every text.
    vectors = embedder.embed_queries([entry["text"] for entry in entries])
    seconds = perf_counter() - started
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = np.sum(vectors * expected, axis=1) / lengths
    return Parity(
        cosines={entry["id"]: float(value) for entry, value in zip(entries, cosines, strict=True)},
        difference=float(np.max(np.abs(vectors - expected))),
        seconds=seconds,
        reference=reference,
    )
