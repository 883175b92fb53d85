"""Choose the mode of a question by the examples that it is near. Pure, but for the embedder.

Cosines differ from model to model, so they are only compared with each other, or measured by their spread among
the examples. A question about a document as a whole is nearer to another such question than to an ordinary one and
to any passage: in meaning, and in words, which also help in languages that the embedder does not know. A question
for a list is near whatever is about its subject, so it is compared without its subject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.models import Passage
from docwell.ports import Embedder
from docwell.query.subject import Subjects, examples
from docwell.text.lexicon import beginnings, rarity

# The weight of common words, in spreads of the cosines. Of 1, 2 and 3 it errs least (docs/modes.md).
_WORDS = 2.0

# Most questions are further than this from the examples of lists, and are not embedded again without a subject.
_FAR = 0.8


class Router:
    """Embeds the examples at the first question that needs them."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.subjects = Subjects(embedder)

    def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
        """Return the mode of a question with this unit vector and these nearest passages."""
        cosines = {mode: rows @ np.asarray(vector) for mode, rows in self._vectors.items()}
        nearest = {mode: float(np.max(row)) for mode, row in cosines.items()}
        nearest[Mode.PASSAGES] = max(nearest[Mode.PASSAGES], *(one.score for one in passages))
        if self._is_list(question, nearest.pop(Mode.LIST), nearest, passages):
            return Mode.LIST
        del cosines[Mode.LIST]
        spread = float(np.std(np.concatenate(list(cosines.values())))) or 1.0
        asked = frozenset(beginnings(question))
        weights = {word: rarity(self._counts[word], sum(map(len, self._words.values()))) for word in asked}
        total = sum(weights.values()) or 1.0

        def nearness(cosine: float, words: frozenset[str]) -> float:
            return cosine / spread + _WORDS * sum(weights[word] for word in asked & words) / total

        near = {mode: max(map(nearness, row, self._words[mode])) for mode, row in cosines.items()}
        own = [nearness(one.score, frozenset(beginnings(one.chunk.text))) for one in passages]
        near[Mode.PASSAGES] = max(near[Mode.PASSAGES], *own)
        return max([Mode.PASSAGES, *near], key=near.__getitem__)  # in doubt, passages

    def _is_list(
        self, question: str, as_list: float, near: Mapping[Mode, float], passages: Sequence[Passage]
    ) -> bool:
        """Return whether the question, as it is and without its subject, is like the examples of lists."""
        # An overview is of one document.
        of_one = len({one.document for one in passages}) == 1
        rival = max(near.values()) if of_one else near[Mode.PASSAGES]
        if as_list < _FAR * rival:
            return False
        subject, (least, margin) = self.subjects.find(question), self.subjects.typical
        return subject is not None and subject.near >= least and subject.margin + as_list - rival >= margin

    @cached_property
    def _vectors(self) -> dict[Mode, NDArray[np.float32]]:
        return {mode: self._embedder.embed_queries(questions) for mode, questions in examples().items()}

    @cached_property
    def _words(self) -> dict[Mode, list[frozenset[str]]]:
        return {
            mode: [frozenset(beginnings(one)) for one in questions]
            for mode, questions in examples().items()
            if mode is not Mode.LIST
        }

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for rows in self._words.values() for one in rows for word in one)
