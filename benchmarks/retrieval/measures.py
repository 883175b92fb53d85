"""What a list of passages is worth for a question, and how sure a difference is. Pure.

Recall, precision, precision-omega and IoU are those of Chroma's report on chunking (2024): shares of characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.sets import Asked
from docwell.models import Passage

HITS = (1, 3, 5, 10)
# A sample of samples: the interval moves by less than half a point from one seed to the next.
_RESAMPLED = 2000
_CONFIDENCE = 95.0

Span = tuple[int, int]


def merged(spans: Sequence[Span]) -> list[Span]:
    """The same characters in spans that do not touch, in order.

    >>> merged([(5, 9), (0, 3), (2, 4)])
    [(0, 4), (5, 9)]
    """
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def characters(spans: Sequence[Span]) -> int:
    """How many characters the spans have, each span counted by itself."""
    return sum(end - start for start, end in spans)


def overlap(one: Sequence[Span], other: Sequence[Span]) -> int:
    """How many characters are in both, counted once."""
    both = [(max(a, x), min(b, y)) for a, b in one for x, y in other if max(a, x) < min(b, y)]
    return characters(merged(both))


def of_characters(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Recall, precision and IoU (0 to 100) of the passages; what comes twice counts twice below the line."""
    references = merged(asked.spans)
    own = [(one.chunk.start, one.chunk.end) for one in passages if one.document == asked.key]
    found, wanted = overlap(own, references), characters(references)
    retrieved = sum(one.chunk.end - one.chunk.start for one in passages)
    return {
        "recall": 100 * found / wanted,
        "precision": 100 * found / retrieved if retrieved else 0.0,
        "IoU": 100 * found / (retrieved + wanted - found),
    }


def precision_omega(asked: Asked, chunks: Sequence[Span]) -> float:
    """Precision (0 to 100) if exactly the chunks that touch a reference came: the chunker's own limit."""
    references = merged(asked.spans)
    touched = [span for span in chunks if overlap([span], references)]
    return 100 * overlap(touched, references) / characters(touched) if touched else 0.0


def of_pages(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Whether one of the first 1, 3, 5, 10 passages is on a page that answers: 0 or 100 each."""
    rank = rank_of_page(asked, passages)
    scores = {f"page hit@{k}": 100.0 * (rank <= k) for k in HITS}
    if asked.answer is not None:
        wanted = normal(asked.answer)
        scores["answer text in 5"] = 100.0 * any(wanted in normal(one.chunk.text) for one in passages[:5])
    return scores


def rank_of_page(asked: Asked, passages: Sequence[Passage]) -> int:
    """The place of the first passage on a page that answers, from 1; beyond all that are looked at if none is."""
    for place, passage in enumerate(passages, 1):
        if (passage.document, passage.chunk.page_start) in asked.pages:
            return place
    return len(passages) + 1 + max(HITS)


def normal(text: str) -> str:
    """The text as answers are compared: letters and digits alone, in small letters.

    >>> normal("24-yard Line")
    '24yardline'
    """
    return "".join(character for character in text.casefold() if character.isalnum())


def interval(values: Sequence[float], seed: int = 7) -> tuple[float, float]:
    """The 95% bootstrap interval of the mean of one value per question."""
    return _percentiles(np.asarray(values, dtype=np.float64), seed)


def paired(after: Sequence[float], before: Sequence[float], seed: int = 7) -> tuple[float, float, float]:
    """The mean difference of the same questions' values, and its 95% bootstrap interval."""
    difference = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return float(difference.mean()), *_percentiles(difference, seed)


def _percentiles(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLED, len(values)))
    outside = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [outside, 100 - outside])
    return float(low), float(high)
