"""Order the candidates of a search by the cosine of the whole, of its best part, and by words. Pure.

A part stays only if it helps on sets of questions that it was not chosen on (`make eval-retrieval`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from docwell.models import Passage, Units
from docwell.text.lexicon import beginnings
from docwell.text.naming import file_beginnings

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.
_K1 = 1.2
_B = 0.75
_DIGITS = 9
# As many as the passages that a function keeps (`docwell.config`), at 1 KB.
_TEXTS_KEPT = 8192


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each signal, beside the cosine of the passage's own vector.

    Attributes:
        unit: the share of the cosine that comes from the passage's best unit.
        words: the gain of a passage that has all rare words of the question.
        document: the gain of a passage whose file name has all words that tell the candidates' documents apart.
    """

    unit: float = 0.3
    words: float = 0.5
    document: float = 0.1


class Ranked(NamedTuple):
    """A candidate and the score it is ranked by. The passage's own score is the cosine of its nearest part."""

    passage: Passage
    score: float


def rank(
    question: str, vector: Sequence[float], candidates: Sequence[Passage], weights: Weights | None = None
) -> list[Ranked]:
    """Return the candidates, best first. The rarity of a word is counted among them.

    `vector` has unit length. With an empty question the vectors alone decide.
    """
    if not candidates:
        return []
    weights = weights or Weights()
    asked = frozenset(beginnings(question))
    lexical = _coverage(asked, [_numbers(one.chunk.text) for one in candidates])
    # Scale lexical scores by the best candidate's coverage: no page has words such as "explain" or "calculate".
    lexical *= weights.words * float(np.max(lexical))
    named = _named(asked, {one.document for one in candidates})
    own = np.array([one.score for one in candidates])
    # The units of a table are figures that say little alone, so the whole counts as a part too.
    best = np.maximum(nearest([one.units for one in candidates], np.asarray(vector, dtype=np.float32)), own)
    scores = (1 - weights.unit) * own + weights.unit * best + lexical
    scores += weights.document * np.array([named[one.document] for one in candidates])
    ranked = map(Ranked, map(Passage.scored, candidates, best.tolist()), scores.tolist())
    # Copies of a document have equal scores: let all their passages be of the same one.
    return sorted(ranked, key=lambda one: (-one.score, one.passage.document))


def nearest(units: Sequence[Units], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) float32: the highest cosine of each chunk's units to a vector of unit length, or -1 without."""
    counts = np.array([len(one.spans) for one in units])
    highest = np.full(len(units), -1, dtype=np.float32)
    if counts.any():
        near = cosines(b"".join(one.vectors for one in units), vector)
        first = np.cumsum(counts) - counts
        highest[counts > 0] = np.maximum.reduceat(near, first[counts > 0])
    return highest


def cosines(packed: bytes, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) float32: the cosine of each vector of `Units`, row by row, to a vector of unit length."""
    rows = np.frombuffer(packed, dtype=np.int8).reshape(-1, len(vector)).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(rows @ vector / np.maximum(lengths, 1.0), dtype=np.float32)


def _named(asked: AbstractSet[str], documents: Collection[str]) -> dict[str, float]:
    """Return how far the question names each document: the share, by rarity, of its words in file names (0 to 1).

    A word that is in all file names counts nothing.
    """
    has = {document: asked & file_beginnings(document) for document in documents}
    counts = Counter(word for own in has.values() for word in own)
    rarity = {word: math.log((len(has) + 1) / count) for word, count in counts.items() if count < len(has)}
    total = math.fsum(rarity.values()) or 1.0
    return {document: math.fsum(rarity.get(word, 0.0) for word in own) / total for document, own in has.items()}


@lru_cache(_TEXTS_KEPT)
def _numbers(text: str) -> NDArray[np.int64]:
    """Return the words of a text in order, as numbers that are equal for equal words."""
    return np.fromiter(map(hash, beginnings(text)), dtype=np.int64)


def _coverage(asked: AbstractSet[str], texts: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return (n,) BM25 of each text, in `_numbers`, over the highest possible: 0 to about 1.

    A word that is in over half of the texts counts nothing.
    """
    lengths = np.array([len(text) for text in texts])
    saturation = _K1 * (1 - _B + _B * lengths / max(float(np.mean(lengths)), 1.0))
    joined, places = np.concatenate(texts), np.repeat(np.arange(len(texts)), lengths)
    numbers = np.sort(np.fromiter(map(hash, asked), dtype=np.int64))
    found = np.flatnonzero(np.isin(joined, numbers))
    cells = places[found] * len(numbers) + np.searchsorted(numbers, joined[found])
    often = np.bincount(cells, minlength=len(texts) * len(numbers)).reshape(len(texts), -1)
    having = np.count_nonzero(often, axis=0)
    rarity = np.maximum(np.log((len(texts) - having + 0.5) / (having + 0.5)), 0.0)
    weights = rarity * often * (_K1 + 1) / (often + saturation[:, np.newaxis])
    # A product of matrices would round the rows of copies differently.
    total, most = np.sum(weights, axis=1), float(np.sum(rarity))
    # The columns follow Python's hashes, which differ from process to process, and so do the last digits.
    return np.round(total / most if most else total, _DIGITS)
