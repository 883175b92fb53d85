"""Refuse a question before asking the model if the index has nothing near it. Pure.

A fixed cosine means less in a larger index: the more chunks, the nearer the nearest one to any question. So the
nearest passage is compared with the other candidates. Whether a passage on the right topic answers is left to the
model, which may refuse too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docwell.errors import Corrupt
from docwell.models import Passage
from docwell.text.lexicon import content_words

# The nearest candidates that `background` counts, fewer than one search returns.
_CANDIDATES = 110
# How much the other candidates and the question's words count. Chosen on XQuAD, MMLongBench and FinanceBench: each
# of them needs almost the threshold that the others choose.
_BACKGROUND_WEIGHT = 0.75
_WORDS_WEIGHT = 0.5
# A cosine of -1 or 1, less or plus the weights, rounded up.
_MOST_FIT = 2.0


@dataclass(frozen=True, slots=True)
class Gate:
    """The least `fit` of a question that reaches the model. It belongs to the embedding model.

    None lets every question with a passage through: for a model that `make calibrate` has not seen.
    """

    min_fit: float | None = None

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Gate:
        """Return the gate of a model's calibration. Raises `Corrupt` for an unknown or impossible number."""
        if unknown := numbers.keys() - {"min_fit"}:
            raise Corrupt(f"the calibration's gate has unknown numbers: {', '.join(sorted(unknown))}")
        min_fit = numbers.get("min_fit")
        # No fit is outside; NaN is not inside either.
        if min_fit is not None and not -_MOST_FIT <= min_fit <= _MOST_FIT:
            raise Corrupt(f"the calibration's min_fit is {min_fit}, not from -{_MOST_FIT} to {_MOST_FIT}")
        return cls(min_fit)

    def refuses(self, question: str, passages: Sequence[Passage], background: float) -> bool:
        """Return whether the passages cannot answer, so that the model is not tempted to invent."""
        if not passages or self.min_fit is None:
            return not passages
        return fit(question, passages, background) < self.min_fit


OPEN = Gate()


def fit(question: str, passages: Sequence[Passage], background: float) -> float:
    """Return how far the best passage stands out: its cosine and the question's words in it, less the background.

    The words count up to 0.5, as the share of the question's words that the passage has.
    """
    asked = content_words(question)
    best = max(
        passage.score + _WORDS_WEIGHT * len(asked & content_words(passage.chunk.text)) / max(len(asked), 1)
        for passage in passages
    )
    return best - _BACKGROUND_WEIGHT * background


def background(candidates: Sequence[Passage]) -> float:
    """Return the mean cosine of the nearest 110 candidates, where each that is absent counts 0.

    A scope of a few chunks so has almost no background, and its question is judged by the cosine itself. Copies
    count once: many copies of the right passage would be the background that it has to stand out from.
    """
    scores = {candidate.chunk.text: candidate.score for candidate in candidates}.values()
    return sum(sorted(scores, reverse=True)[:_CANDIDATES]) / _CANDIDATES
