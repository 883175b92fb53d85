"""What a document and its sections are called: part of what is embedded, never of a quote."""

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

# A path says where the chunk is; one that is longer than this would say more than the chunk itself.
HEADING_TOKENS = 40
# Tried from 0.1 to 1: more draws chunks to a document or a page whatever they say.
NAME_WEIGHT = 0.3
NEIGHBOUR_WEIGHT = 1.0
_TINY = 1e-12
_SEPARATORS = re.compile(r"[\W_]+")
# A title with no word in it is a number that some program gave.
_REAL_WORD = re.compile(r"[^\W\d_]{3}")


def file_words(key: str) -> str:
    """The words of a key's last part, without its ending.

    >>> file_words("filings/ACME_2022-10K.pdf")
    'ACME 2022 10K'
    """
    name = key.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return _SEPARATORS.sub(" ", stem if dot and ending.casefold() == "pdf" else name).strip()


def document_name(key: str, title: str | None) -> str:
    """The title and the words of the file's name; the name alone where the title is none or says the same.

    >>> document_name("a/report_7.pdf", "Flood defences"), document_name("a/report_7.pdf", "0000-17")
    ('Flood defences (report 7)', 'report 7')
    """
    name = file_words(key)
    title = " ".join((title or "").split())
    if not _REAL_WORD.search(title) or file_words(title).casefold() == name.casefold():
        return name
    return f"{title} ({name})" if name else title


def embedded_texts(chunks: Sequence[Chunk], tokenizer: Tokenizer, max_tokens: int) -> list[str]:
    """What is embedded of each chunk: the path of its section, a line break, its text: `max_tokens` at most.

    A path that does not fit beside the text is cut; of a chunk that fills the model none is left.
    """
    texts: list[str] = []
    for heading, group in groupby(chunks, key=lambda chunk: chunk.heading):
        ends = [end for _, end in tokenizer.offsets([heading])[0]]
        for chunk in group:
            room = min(len(ends), HEADING_TOKENS, max_tokens - chunk.tokens)
            texts.append(f"{heading[: ends[room - 1]]}\n{chunk.text}" if room > 0 else chunk.text)
    return texts


class InContext:
    """Moves the vectors of a document's chunks towards their neighbours and the document's `name`, in their order.

    The name is not embedded with the text: that made the chunks of a document alike, and the right one harder to
    tell from the others, while the vector of the name alone takes the question to the document. A chunk beside one
    that is near to the question is more often right than not. However the chunks come in batches, the vectors are
    the same.
    """

    def __init__(self, name: NDArray[np.float32]) -> None:
        self._name = name
        # The last chunk, which waits for the one that follows it, behind the one before it.
        self._held = np.empty((0, len(name)), dtype=np.float32)

    def add(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, dimension) float32 of unit length: of the chunks whose neighbours are known, all but the last."""
        known = np.concatenate([self._held, vectors])
        # The very first chunk has none before it, and stands for that itself.
        before = known if len(self._held) > 1 else np.concatenate([known[:1], known])
        self._held = before[-2:]
        return self._moved(before)

    def last(self) -> NDArray[np.float32]:
        """(1, dimension): of the last chunk, which has none behind it; (0, dimension) where there was no chunk."""
        return self._moved(np.concatenate([self._held, self._held[-1:]]))

    def _moved(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Those that have one on either side."""
        around = (vectors[:-2] + vectors[1:-1] + vectors[2:]) / 3
        leaning = vectors[1:-1] + NEIGHBOUR_WEIGHT * around + NAME_WEIGHT * self._name
        unit: NDArray[np.float32] = leaning / np.maximum(np.linalg.norm(leaning, axis=1, keepdims=True), _TINY)
        return unit.astype(np.float32)
