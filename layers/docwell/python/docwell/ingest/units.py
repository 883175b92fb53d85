"""Units: the parts of a chunk that have vectors besides the chunk's own.

One vector for 200 tokens blurs the sentence that answers a question. A record for each unit of about
`UNIT_TOKENS` would make the index five times as large. So a chunk's record holds its units' vectors, one byte for
each number, and the query compares only the units of the chunks that a search returns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docwell.ingest.chunking import chunk_pages
from docwell.models import Page, Units
from docwell.ports import Tokenizer

UNIT_TOKENS = 48
_LARGEST = 127  # of an int8


def split(text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Return (start, end) in characters of each unit of a chunk's text; none where the chunk is one unit."""
    pieces = [(piece.start, piece.end) for piece in chunk_pages([Page(1, text)], tokenizer, UNIT_TOKENS)]
    return pieces if len(pieces) > 1 else []


def pack(spans: Sequence[tuple[int, int]], vectors: NDArray[np.float32]) -> Units:
    """Return units with their (n, dimension) vectors, each number in one byte.

    Each vector is scaled so that its largest number is 127; cosines do not depend on the scale, and change by less
    than 0.01.
    """
    if not spans:
        return Units()
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Units(tuple(spans), np.rint(vectors / largest * _LARGEST).astype(np.int8).tobytes())
