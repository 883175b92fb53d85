"""The vectors of the router's examples, which `make model` keeps beside the model.

Embedding 200 of these 320 short texts took two fifths of a cold start of the query function.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docwell.adapters.embedding.model_manifest import FileEntry

if TYPE_CHECKING:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder

# The vectors are in 16 bits, which is as exact as the model's weights.
EXAMPLES_FILE = "examples.npy"
# The name of the texts' digest in the manifest's facts.
EXAMPLES = "examples"


def digest_of(texts: Sequence[str]) -> str:
    """Return 16 hex digits that name these texts in this order."""
    return sha256("\0".join(texts).encode()).hexdigest()[:16]


def kept_vectors(folder: Path, embedder: OnnxEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the query vectors of texts: the folder's, if they are of these texts and of this embedder's model.

    The folder's model may have changed since this one was loaded.
    """
    path, manifest = folder / EXAMPLES_FILE, embedder.manifest
    is_of_texts = manifest.made_from.get(EXAMPLES) == digest_of(texts)
    if is_of_texts and path.is_file() and FileEntry.of(path) == manifest.stored.get(EXAMPLES_FILE):
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    return embedder.embed_queries(texts)
