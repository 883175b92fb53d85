"""How much of what is said stands in which passage: words weighted by rarity. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from docwell.models import Passage
from docwell.text.lexicon import words

# A figure says more than a word about where a sentence is from.
_FIGURE_WEIGHT = 2.0
# The question's words help to choose among passages and quotes that hold the answer's words alike.
_QUESTION_WEIGHT = 0.3


class Evidence:
    """The passages' words, weighted: a word that stands in few of them says more (inverse document frequency).

    `split` gives the words of a text as they are compared.
    """

    def __init__(
        self, passages: Sequence[Passage], question: str, split: Callable[[str], frozenset[str]] = words
    ) -> None:
        self.passages = passages
        self._split = split
        self._known = [split(passage.chunk.text) for passage in passages]
        self._question = split(question)

    def known(self, index: int) -> frozenset[str]:
        """The words of a passage."""
        return self._known[index]

    def weight(self, wanted: frozenset[str]) -> float:
        """The words' weights added up."""
        return sum(
            math.log(1 + len(self._known) / (1 + sum(word in known for known in self._known)))
            * (_FIGURE_WEIGHT if word.isdecimal() else 1.0)
            for word in wanted
        )

    def support(self, said: frozenset[str], index: int) -> float:
        """The share (0 to 1) of what was said that stands in the passage."""
        return self.share(said, self._known[index])

    def share(self, said: frozenset[str], known: frozenset[str]) -> float:
        """The share (0 to 1), by weight, of what was said that is among known words."""
        return self.weight(said & known) / (self.weight(said) or 1.0)

    def best(self, said: frozenset[str]) -> int:
        """The passage that supports it most; of equals, the one nearer to the question, then the higher rank."""

        def merit(index: int) -> float:
            return self.support(said, index) + _QUESTION_WEIGHT * self.support(self._question, index)

        return max(range(len(self._known)), key=merit)

    def relevance(self, said: frozenset[str], text: str) -> float:
        """How well a piece of a passage shows what was said; of two as good the shorter one wins."""
        have = self._split(text)
        asked = self._question - said
        return self.weight(said & have) + _QUESTION_WEIGHT * self.weight(asked & have) - 0.01 * len(have)
