"""Units: the parts of a chunk that are compared with a question on their own, beside the chunk as a whole.

One vector of 200 tokens blurs the one sentence that answers. Vectors of about `UNIT_TOKENS` do not, but a record
for each would make the index five times as large. So they travel in their chunk's own record, a byte for each
number, and are looked at only for the chunks that a search brings: all rules of generations hold for them as they
are, and the index is not searched twice.
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
    """(start, end) in characters of each unit of a chunk's text, in order; none where it is one unit itself."""
    pieces = [(piece.start, piece.end) for piece in chunk_pages([Page(1, text)], tokenizer, UNIT_TOKENS)]
    return pieces if len(pieces) > 1 else []


def pack(spans: Sequence[tuple[int, int]], vectors: NDArray[np.float32]) -> Units:
    """Units of these spans with their (n, dimension) vectors, each number in one byte.

    Each vector is stretched until its largest number is 127; as only its direction counts, nothing is kept of
    how much. Cosines change by less than 0.01.
    """
    if not spans:
        return Units()
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Units(tuple(spans), np.rint(vectors / largest * _LARGEST).astype(np.int8).tobytes())
