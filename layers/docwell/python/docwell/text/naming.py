"""The names of a document and its sections, which are embedded with its chunks but never quoted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docwell.models import Chunk

if TYPE_CHECKING:
    from docwell.ports import Tokenizer

# A longer path would outweigh the chunk itself.
HEADING_TOKENS = 40
# Values from 0.1 to 1 were tried: with more, the name or a neighbour counts more than the chunk's own text.
NAME_WEIGHT = 0.3
NEIGHBOUR_WEIGHT = 1.0
_TINY = 1e-12
_SEPARATORS = re.compile(r"[\W_]+")
# A title without a word is a number that a program generated.
_REAL_WORD = re.compile(r"[^\W\d_]{3}")


def file_words(key: str) -> str:
    """Return the words of a key's file name without .pdf: "ACME 2022 10K" of a/ACME_2022-10K.pdf."""
    name = key.rpartition("/")[2]
    stem = name[: -len(".pdf")] if name.lower().endswith(".pdf") else name
    return _SEPARATORS.sub(" ", stem).strip()


def document_name(key: str, title: str | None) -> str:
    """Return the title and the words of the file's name; the name alone if the title adds nothing."""
    name = file_words(key)
    title = " ".join((title or "").split())
    if not _REAL_WORD.search(title) or file_words(title).casefold() == name.casefold():
        return name
    return f"{title} ({name})" if name else title


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
    """Moves the vectors of a document's chunks, in order, towards their neighbours and the document's `name`.

    The name is not embedded with the text: that made the chunks of a document alike, and the right one harder to
    find. Its separate vector leads a question to the document. Neighbours help because a chunk next to one that
    is near the question is often relevant. The batch size does not change the vectors.
    """

    def __init__(self, name: NDArray[np.float32]) -> None:
        self._name = name
        # The last two chunks so far: the last one waits for its right neighbour's vector.
        self._held = np.empty((0, len(name)), dtype=np.float32)

    def add(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit vectors, (n, dimension) float32, of all chunks so far whose right neighbour is known."""
        known = np.concatenate([self._held, vectors])
        # The first chunk has no left neighbour: use itself instead.
        before = known if len(self._held) > 1 else np.concatenate([known[:1], known])
        self._held = before[-2:]
        return self._moved(before)

    def last(self) -> NDArray[np.float32]:
        """Return (1, dimension): the vector of the last chunk; (0, dimension) if there was no chunk."""
        return self._moved(np.concatenate([self._held, self._held[-1:]]))

    def _moved(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the moved unit vectors of all chunks but the first and the last, which are only neighbours."""
        around = (vectors[:-2] + vectors[1:-1] + vectors[2:]) / 3
        moved = vectors[1:-1] + NEIGHBOUR_WEIGHT * around + NAME_WEIGHT * self._name
        unit: NDArray[np.float32] = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _TINY)
        return unit.astype(np.float32)
