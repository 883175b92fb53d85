"""The vectors of the router's examples, which `make model` keeps beside the model.

Embedding these 200 short texts took two fifths of a cold start of the query function.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder

# In 16 bits: as exact as the model's weights.
EXAMPLES_FILE = "examples.npy"
# The digest of the texts, among the facts of a manifest.
EXAMPLES = "examples"


def digest_of(texts: Sequence[str]) -> str:
    """Return 16 hex digits that name these texts in this order."""
    return sha256("\0".join(texts).encode()).hexdigest()[:16]


def write_vectors(embedder: OnnxEmbedder, folder: Path, texts: Sequence[str]) -> None:
    """Write the vectors of texts beside a model."""
    np.save(folder / EXAMPLES_FILE, embedder.embed_queries(texts).astype(np.float16))


def kept_vectors(embedder: OnnxEmbedder, folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the vectors of texts, (n, dimension) float32: the folder's, if they are of these texts.

    The embedder has verified the file with its model.
    """
    manifest = embedder.manifest
    if EXAMPLES_FILE in manifest.stored and manifest.made_from.get(EXAMPLES) == digest_of(texts):
        return np.asarray(np.load(folder / EXAMPLES_FILE, allow_pickle=False), dtype=np.float32)
    return embedder.embed_queries(texts)
