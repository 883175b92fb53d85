"""Find the passage that holds most of a text's words, weighted by rarity. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from docwell.models import Passage
from docwell.text.lexicon import windows, words

# A figure shows better than a word where a sentence comes from.
_FIGURE_WEIGHT = 2.0
# The question's words help to choose among passages and quotes that hold the same words of the answer.
_QUESTION_WEIGHT = 0.3
# Of two pieces that are equally good, prefer the one with fewer words.
_LENGTH_PENALTY = 0.01


class Evidence:
    """The words of some passages, weighted by inverse document frequency among them.

    `split` returns the words of a text as they are compared, and `known` has the words of each passage.
    """

    def __init__(
        self, passages: Sequence[Passage], question: str, split: Callable[[str], frozenset[str]] = words
    ) -> None:
        self.passages = passages
        self.known = [split(passage.chunk.text) for passage in passages]
        self._split = split
        self._question = split(question)

    def weight(self, wanted: frozenset[str]) -> float:
        """Return the sum of the words' weights."""
        return sum(
            math.log(1 + len(self.known) / (1 + sum(word in known for known in self.known)))
            * (_FIGURE_WEIGHT if word.isdecimal() else 1.0)
            for word in wanted
        )

    def support(self, said: frozenset[str], index: int) -> float:
        """Return the share (0 to 1), by weight, of the words that a passage holds."""
        return self.share(said, self.known[index])

    def share(self, said: frozenset[str], known: frozenset[str]) -> float:
        """Return the share (0 to 1), by weight, of the words that are among the known ones."""
        return self.weight(said & known) / (self.weight(said) or 1.0)

    def best(self, said: frozenset[str]) -> int:
        """Return the passage that holds most of the words; of equals, the one that is nearer to the question."""

        def merit(index: int) -> float:
            return self.support(said, index) + _QUESTION_WEIGHT * self.support(self._question, index)

        return max(range(len(self.known)), key=merit)

    def window(self, said: frozenset[str], index: int) -> tuple[int, int]:
        """Return (start, end) of the sentence or two of a passage that show best where the words come from."""
        text = self.passages[index].chunk.text
        asked = self._question - said

        def merit(window: tuple[int, int]) -> float:
            have = self._split(text[slice(*window)])
            shown = self.weight(said & have) + _QUESTION_WEIGHT * self.weight(asked & have)
            return shown - _LENGTH_PENALTY * len(have)

        return max(windows(text), key=merit)
