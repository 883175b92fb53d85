"""The parts of ingest that change a chunk's vector, and the vectors without each of them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from docwell.ingest.indexing import InContext, embedded_texts
from docwell.models import Chunk
from docwell.ports import Embedder

# Returns (n, dimension) float32 for the n chunks of one range, in order.
Vectors = Callable[[Sequence[Chunk], Embedder], NDArray[np.float32]]


def without_neighbours(chunks: Sequence[Chunk], embedder: Embedder) -> NDArray[np.float32]:
    """Return vectors that do not move towards their neighbours'."""
    return embedder.embed_passages(embedded_texts(chunks, embedder, embedder.max_tokens))


def without_headings(chunks: Sequence[Chunk], embedder: Embedder) -> NDArray[np.float32]:
    """Return vectors of chunks without the path of their section and the first lines of their page."""
    vectors = embedder.embed_passages([chunk.text for chunk in chunks])
    context = InContext(vectors.shape[1])
    return np.concatenate([context.add(vectors), context.last()])


VECTORS_WITHOUT: Mapping[str, Vectors] = {"neighbours": without_neighbours, "headings": without_headings}
# Each part, and the name of the scores without it.
INGEST_PARTS = {part: f"without-{part}" for part in VECTORS_WITHOUT}
