"""The measures of what a question finds. Pure.

Recall, precision and IoU are those of Chroma's report on chunking (2024): shares of characters.
"""

from collections.abc import Sequence

from benchmarks.retrieval.sets import Asked
from docwell.models import Passage
from docwell.text.lexicon import content_words

HITS = (1, 3, 5, 10)

Span = tuple[float, float]


def of_ranks(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether one of the first 1, 3, 5, 10 passages answers, 0 or 100 each."""
    rank = rank_of_answer(asked, passages)
    return {f"hit@{k}": 0.0 if rank is None or rank > k else 100.0 for k in HITS}


def rank_of_answer(asked: Asked, passages: Sequence[Passage]) -> int | None:
    """Return the rank, from 1, of the first passage that answers; None where none does."""
    return next((rank for rank, passage in enumerate(passages, 1) if answers(asked, passage)), None)


def answers(asked: Asked, passage: Passage) -> bool:
    """Return whether a passage is on a page that answers, or touches a reference."""
    if asked.pages:
        return (passage.document, passage.chunk.page) in asked.pages
    own = passage.document == asked.key
    return own and (not asked.spans or overlap([(passage.chunk.start, passage.chunk.end)], asked.spans) > 0)


def evidence_held(asked: Asked, passages: Sequence[Passage]) -> float:
    """Return the share (0 to 100) of the evidence's words that passages on a page that answers hold.

    Words elsewhere do not count: every filing has the words of every balance sheet. Each word counts once, by its
    stem, and function words not at all.
    """
    wanted = content_words(asked.evidence)
    held = frozenset[str]().union(*(content_words(one.chunk.text) for one in passages if answers(asked, one)))
    return 100 * len(wanted & held) / len(wanted)


def of_characters(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return recall, precision and IoU (0 to 100); a character retrieved twice counts twice as retrieved."""
    references = merged(asked.spans)
    own = [(one.chunk.start, one.chunk.end) for one in passages if one.document == asked.key]
    found, wanted = overlap(own, references), length(references)
    retrieved = sum(one.chunk.end - one.chunk.start for one in passages)
    return {
        "recall": 100 * found / wanted,
        "precision": 100 * found / retrieved if retrieved else 0.0,
        "IoU": 100 * found / (retrieved + wanted - found),
    }


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return the same places in spans that do not touch, in order.

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


def length(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)


def overlap(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Return the number of characters in both, each counted once."""
    both = [(max(a, x), min(b, y)) for a, b in one for x, y in other if max(a, x) < min(b, y)]
    return length(merged(both))
