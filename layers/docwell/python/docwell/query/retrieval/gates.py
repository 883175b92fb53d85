"""Refuse a question before asking the model if the index has nothing near it. Pure.

A fixed cosine means less in a larger index: the more chunks, the nearer the nearest one to any question. So the
nearest passage is compared with the other candidates. Whether a passage on the right topic answers is left to the
model, which may refuse too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from docwell.models import Passage
from docwell.text.lexicon import content_words

# The best passages that decide, whatever `top_k` is: `make calibrate` chooses the threshold for this number.
JUDGED = 5
# The nearest candidates that `background` counts, fewer than one search returns.
_CANDIDATES = 110
# How much the other candidates and the question's words count. Chosen on XQuAD, MMLongBench and FinanceBench: each
# of them needs almost the threshold that the others choose.
_BACKGROUND_WEIGHT = 0.75
_WORDS_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Gate:
    """The least `fit` of a question that reaches the model. It belongs to the embedding model.

    None lets every question with a passage through: for a model that `make calibrate` has not seen.
    """

    min_fit: float | None = None

    def refuses(self, fit: float | None) -> bool:
        """Return whether to refuse, so that the model is not tempted to invent. A fit of None: no passage."""
        return fit is None or (self.min_fit is not None and fit < self.min_fit)


OPEN = Gate()


def fit(question: str, passages: Sequence[Passage], background: float) -> float:
    """Return how far the best of the `JUDGED` passages stands out: its cosine and words, less the background.

    The words count up to 0.5, as the share of the question's words that the passage has.
    """
    question_words = content_words(question)
    best = max(
        passage.score
        + _WORDS_WEIGHT * len(question_words & content_words(passage.chunk.text)) / max(len(question_words), 1)
        for passage in passages
    )
    return best - _BACKGROUND_WEIGHT * background


def background(candidates: Sequence[Passage]) -> float:
    """Return the mean cosine of the nearest 110 candidates, where each that is absent counts 0.

    A scope of a few chunks so has almost no background, and its question is judged by the cosine itself. Copies
    count once: many copies of the right passage would be the background that it has to stand out from.
    """
    scores = {candidate.chunk.text: candidate.score for candidate in candidates}.values()
    return math.fsum(sorted(scores, reverse=True)[:_CANDIDATES]) / _CANDIDATES
