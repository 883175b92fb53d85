"""Synthetic chunks with vectors that lie as real ones do: by topic, and by document within it.

A document depends on its number alone, so that processes agree on the documents without exchanging them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from docwell.models import Chunk, IndexRecord, Units

_DIMENSION = 384
_TOPICS = 200
_LARGE = 0.4  # the share of the first collection
_UNITS = 5
_WORDS = 20_000
_WORDS_OF_TEXT = 130
# Weights of unit vectors.
_TOPIC, _DOCUMENT, _OWN, _ASKED = 0.7, 0.7, 1.15, 0.8
# The variance along the axis of rank r is proportional to r to this power.
_DECAY = -0.6


class Corpus:
    """Chunks by their number, in documents by theirs."""

    PER_DOCUMENT: Final = 50
    COLLECTIONS: Final = 20

    def __init__(self) -> None:
        self._spread = (np.arange(1, _DIMENSION + 1) ** (_DECAY / 2)).astype(np.float32)
        self._topics = self._noise(np.random.default_rng(3), _TOPICS)
        self._words = [f"w{number:x}{'aeiou'[number % 5]}" for number in range(_WORDS)]

    def place(self, document: int) -> tuple[str, str]:
        """Return a document's collection and key."""
        random = np.random.default_rng((document, 0))
        is_large = document == 0 or random.random() < _LARGE
        collection = f"c{0 if is_large else random.integers(1, self.COLLECTIONS)}"
        return collection, f"{collection}/{document}.pdf"

    def records(self, first: int, stop: int) -> dict[str, list[IndexRecord]]:
        """Return the chunks from `first` to `stop` by their collection."""
        found: dict[str, list[IndexRecord]] = {}
        for document in range(first // self.PER_DOCUMENT, -(-stop // self.PER_DOCUMENT)):
            start = document * self.PER_DOCUMENT
            numbers = range(max(start, first), min(start + self.PER_DOCUMENT, stop))
            random = np.random.default_rng((document, numbers[0] + 1))
            collection, key = self.place(document)
            vectors = self._near(random, document, len(numbers)).tolist()
            found.setdefault(collection, []).extend(
                self._record(random, key, number, vector) for number, vector in zip(numbers, vectors, strict=True)
            )
        return found

    def question(self, random: np.random.Generator, last: int) -> list[float]:
        """Return the vector of a question near a chunk of one of the documents up to `last`."""
        near = self._near(random, int(random.integers(0, last + 1)), 1)
        vector: list[float] = normalized(near + _ASKED * self._noise(random, 1))[0].tolist()
        return vector

    def _near(self, random: np.random.Generator, document: int, count: int) -> NDArray[np.float32]:
        """Return vectors of new chunks of a document."""
        own = np.random.default_rng((document, 1))
        centre = _TOPIC * self._topics[own.integers(0, _TOPICS)] + _DOCUMENT * self._noise(own, 1)
        return normalized(centre + _OWN * self._noise(random, count))

    def _record(self, random: np.random.Generator, key: str, number: int, vector: list[float]) -> IndexRecord:
        text = " ".join([self._words[one] for one in random.integers(0, _WORDS, _WORDS_OF_TEXT).tolist()])
        length = len(text) // _UNITS
        spans = tuple((unit * length, (unit + 1) * length) for unit in range(_UNITS))
        units = Units(spans, random.bytes(_UNITS * _DIMENSION))
        chunk = Chunk(text, 1 + number % self.PER_DOCUMENT, 0, len(text), 160)
        return IndexRecord(f"{number:032x}", key, "g" * 32, "v" * 32, chunk, vector, units)

    def _noise(self, random: np.random.Generator, count: int) -> NDArray[np.float32]:
        return normalized(random.standard_normal((count, _DIMENSION), dtype=np.float32) * self._spread)


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors with length 1."""
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype(np.float32)
