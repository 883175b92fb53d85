"""Measures of a list of passages for a question. Pure functions.

Recall, precision, precision-omega and IoU are those of Chroma's report on chunking (2024): shares of characters.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.retrieval.sets import Asked
from docwell.models import Passage

HITS = (1, 3, 5, 10)

Span = tuple[int, int]


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return the same characters in spans that do not touch, in order.

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
    return sum(end - start for start, end in spans)


def overlap(one: Sequence[Span], other: Sequence[Span]) -> int:
    """Return the number of characters in both, each counted once."""
    both = [(max(a, x), min(b, y)) for a, b in one for x, y in other if max(a, x) < min(b, y)]
    return characters(merged(both))


def of_characters(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return recall, precision and IoU (0 to 100); a character retrieved twice counts twice as retrieved."""
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
    """Return the precision (0 to 100) of exactly the chunks that touch a reference: the chunker's limit."""
    references = merged(asked.spans)
    touched = [span for span in chunks if overlap([span], references)]
    return 100 * overlap(touched, references) / characters(touched) if touched else 0.0


def of_pages(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether one of the first 1, 3, 5, 10 passages is on a page that answers: 0 or 100 each."""
    rank = rank_of_page(asked, passages)
    scores = {f"page hit@{k}": 100.0 * (rank <= k) for k in HITS}
    if asked.answer is not None:
        wanted = normal(asked.answer)
        scores["answer text in 5"] = 100.0 * any(wanted in normal(one.chunk.text) for one in passages[:5])
    return scores


def rank_of_page(asked: Asked, passages: Sequence[Passage]) -> int:
    """Return the rank, from 1, of the first passage on a page that answers; a larger number where none is."""
    for place, passage in enumerate(passages, 1):
        pages = range(passage.chunk.page_start, passage.chunk.page_end + 1)
        if any((passage.document, page) in asked.pages for page in pages):
            return place
    return len(passages) + 1 + max(HITS)


def normal(text: str) -> str:
    """Return the letters and digits of a text in lower case, to compare answers.

    >>> normal("24-yard Line")
    '24yardline'
    """
    return "".join(character for character in text.casefold() if character.isalnum())
