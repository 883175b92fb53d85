"""Join passages that follow each other on a page. Pure.

A table or an argument is longer than a chunk. Its parts say little alone and would compete for the few places.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from docwell.models import Passage, Units

# Two chunks, in tokens of the embedding model. Three find the page for one more question in a hundred, and the
# language model reads a fifth more.
MERGED_TOKENS = 400
# White space between two neighbouring chunks. A chunk between them would be longer.
_GAP_CHARACTERS = 8


def merge(ranked: Iterable[Passage], top_k: int) -> list[Passage]:
    """Return the first `top_k` passages, best first, each joined with its neighbours on the page.

    Stop reading `ranked` at the first passage that is one too many: later ones join none. A joined passage has the
    text, units and offsets of both, the better one's id and version, and the higher score.
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
    """Return both as one, or None if they are no neighbours or are too long together."""
    same_generation = (better.document, better.generation) == (other.document, other.generation)
    if not same_generation or better.chunk.page != other.chunk.page:
        return None
    tokens = better.chunk.tokens + other.chunk.tokens
    first, second = sorted((better.chunk, other.chunk), key=lambda chunk: chunk.start)
    gap = second.start - first.end
    if not 0 <= gap <= _GAP_CHARACTERS or tokens > MERGED_TOKENS:
        return None
    # The page's own white space is not known; quotes are compared without it.
    text = first.text + "\n" * gap + second.text
    shift = len(first.text) + gap
    units = first.citation_units + tuple((start + shift, unit) for start, unit in second.citation_units)
    chunk = replace(first, text=text, end=second.end, tokens=tokens, citation_units=units)
    ordered = (better, other) if first is better.chunk else (other, better)
    return replace(better, chunk=chunk, score=max(better.score, other.score), units=_joined_units(*ordered, shift))


def _joined_units(first: Passage, second: Passage, shift: int) -> Units:
    """Return the units of both, where the second begins `shift` characters after the first."""
    spans = tuple((start + shift, end + shift) for start, end in second.units.spans)
    return Units(first.units.spans + spans, first.units.vectors + second.units.vectors)
