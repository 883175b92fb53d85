"""Choose the mode of a question by the examples that it is near. Pure, but for the embedder.

A question about a document as a whole is nearer to another such question than to an ordinary one and to any
passage: in meaning, and in words, which also help in languages that the embedder does not know. Cosines differ
from model to model, so they are measured by their spread among the examples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.models import Passage
from docwell.ports import Embedder
from docwell.text.lexicon import beginnings, rarity

# The weight of common words, in spreads of the cosines. Of 1, 2 and 3 it errs least (docs/overviews.md).
_WORDS = 2.0


def examples() -> dict[Mode, list[str]]:
    """Return the example questions of each mode, in several languages."""
    text = (files("docwell.query") / "modes.json").read_text(encoding="utf-8")
    return {Mode(mode): questions for mode, questions in json.loads(text).items()}


class Router:
    """Embeds the examples at the first question that needs them."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
        """Return the mode of a question with this unit vector, whose nearest passages are of one document."""
        cosines = {mode: rows @ np.asarray(vector) for mode, rows in self._vectors.items()}
        spread = float(np.std(np.concatenate(list(cosines.values())))) or 1.0
        asked = frozenset(beginnings(question))
        weights = {word: rarity(self._counts[word], sum(map(len, self._words.values()))) for word in asked}
        total = sum(weights.values()) or 1.0

        def nearness(cosine: float, words: frozenset[str]) -> float:
            return cosine / spread + _WORDS * sum(weights[word] for word in asked & words) / total

        near = {mode: max(map(nearness, cosines[mode], self._words[mode])) for mode in cosines}
        own = [nearness(one.score, frozenset(beginnings(one.chunk.text))) for one in passages]
        near[Mode.PASSAGES] = max(near[Mode.PASSAGES], *own)
        return max([Mode.PASSAGES, *near], key=near.__getitem__)  # in doubt, passages

    @cached_property
    def _vectors(self) -> dict[Mode, NDArray[np.float32]]:
        return {mode: self._embedder.embed_queries(questions) for mode, questions in examples().items()}

    @cached_property
    def _words(self) -> dict[Mode, list[frozenset[str]]]:
        return {mode: [frozenset(beginnings(one)) for one in questions] for mode, questions in examples().items()}

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for rows in self._words.values() for one in rows for word in one)
