"""Names and neighbours of chunks: text and vectors that are embedded with a chunk but never quoted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docwell.media_types import MEDIA_TYPES
from docwell.models import Chunk
from docwell.text.lexicon import beginnings

if TYPE_CHECKING:
    from docwell.ports import Tokenizer

# A longer path would outweigh the chunk itself.
HEADING_TOKENS = 40
_TINY = 1e-12
NAMES_KEPT = 4096
# Only those of documents: the end of "v2.1 draft" is no suffix.
_SUFFIXES = rf"(?:{'|'.join(map(re.escape, MEDIA_TYPES))})"
_SUFFIX = re.compile(rf"{_SUFFIXES}\Z", re.IGNORECASE)
_SUFFIX_HERE = re.compile(rf"{_SUFFIXES}(?![a-z0-9])", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")


def file_words(key: str) -> str:
    """Return the words of a key's file name without its suffix: "ACME 2022 10K" of a/ACME_2022-10K.pdf."""
    return _SEPARATORS.sub(" ", _SUFFIX.sub("", key.rpartition("/")[2])).strip()


@lru_cache(NAMES_KEPT)
def file_beginnings(key: str) -> frozenset[str]:
    """Return the words of a key's file name as rankings compare them."""
    return frozenset(beginnings(file_words(key)))


def file_suffix(text: str, at: int = 0) -> str:
    """Return the suffix of a document's file that begins at this place: ".docx" for "minutes.docx" at 7, or ""."""
    match = _SUFFIX_HERE.match(text, at)
    return match[0].lower() if match else ""


def has_suffix(text: str) -> bool:
    """Return whether a text has a suffix of a document's file."""
    return _SUFFIX_HERE.search(text) is not None


def embedded_texts(chunks: Sequence[Chunk], tokenizer: Tokenizer, max_tokens: int) -> list[str]:
    """Return the text to embed for each chunk: its section's path, a line break and its text.

    The path is cut to fit `max_tokens` with the text, and left out where there is no room.
    """
    texts: list[str] = []
    for heading, group in groupby(chunks, key=lambda chunk: chunk.heading):
        ends = [end for _, end in tokenizer.offsets([heading])[0]]
        for chunk in group:
            room = min(len(ends), HEADING_TOKENS, max_tokens - chunk.tokens)
            texts.append(f"{heading[: ends[room - 1]]}\n{chunk.text}" if room > 0 else chunk.text)
    return texts


class InContext:
    """Moves the vectors of a document's chunks, in order, towards their neighbours.

    A chunk next to one that is near the question is often relevant. The batch size does not change the vectors.
    """

    def __init__(self, dimension: int) -> None:
        # The last two chunks so far: the last one waits for its right neighbour's vector.
        self._held = np.empty((0, dimension), dtype=np.float32)

    def add(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit vectors, (n, dimension) float32, of all chunks so far whose right neighbour is known."""
        vectors_so_far = np.concatenate([self._held, vectors])
        # The first chunk has no left neighbour: use itself instead.
        before = vectors_so_far if len(self._held) > 1 else np.concatenate([vectors_so_far[:1], vectors_so_far])
        self._held = before[-2:]
        return _moved(before)

    def last(self) -> NDArray[np.float32]:
        """Return (1, dimension): the vector of the last chunk; (0, dimension) if there was no chunk."""
        return _moved(np.concatenate([self._held, self._held[-1:]]))


def _moved(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the moved unit vectors of all chunks but the first and the last, which are only neighbours."""
    moved = vectors[1:-1] + (vectors[:-2] + vectors[1:-1] + vectors[2:]) / 3
    unit = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _TINY)
    return unit.astype(np.float32)
