"""Passages that follow each other on a page become one, so that each place is given once. Pure.

A table or an argument is longer than a chunk: its parts compete for the few places that there are, and each
alone says less than they do together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from docwell.models import Passage

# A passage grows to this many tokens of the embedding model: two chunks. Three find a page more for one question
# of a hundred, and make the language model read a fifth more.
MERGED_TOKENS = 400
# White space between two chunks of a page that follow each other. A chunk between them would be longer.
_GAP_CHARACTERS = 8


def merge(ranked: Iterable[Passage], top_k: int) -> list[Passage]:
    """The first `top_k` passages, best first, each with those that follow it or that it follows on its page.

    A passage comes to a better one as long as no passage more than `top_k` is begun before it. Text and offsets
    are then those of both, up to the white space between; id and version are the better one's, and the score is
    the nearest one's. No more of `ranked` are taken than that needs.
    """
    kept: list[Passage] = []
    for passage in ranked:
        for place, better in enumerate(kept):
            joined = _joined(better, passage)
            if joined is not None:
                kept[place] = joined
                break
        else:
            if len(kept) == top_k:
                break
            kept.append(passage)
    return kept


def _joined(better: Passage, other: Passage) -> Passage | None:
    """Both as one, or nothing where they do not follow each other or are too long together."""
    tokens = better.chunk.tokens + other.chunk.tokens
    same_page = (better.document, better.generation, better.chunk.page_start) == (
        other.document,
        other.generation,
        other.chunk.page_start,
    )
    if not same_page or tokens > MERGED_TOKENS:
        return None
    first, second = sorted((better.chunk, other.chunk), key=lambda chunk: chunk.start)
    gap = second.start - first.end
    if not 0 <= gap <= _GAP_CHARACTERS:
        return None
    # What white space stands there is not known; quotes are compared without it.
    text = first.text + "\n" * gap + second.text
    chunk = replace(first, text=text, end=second.end, tokens=tokens)
    return replace(better, chunk=chunk, score=max(better.score, other.score))
