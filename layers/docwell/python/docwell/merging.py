"""Passages that stand beside each other on a page become one, so that each place is given once. Pure.

A table or an argument is longer than a chunk: its parts compete for the few places that there are, and each
alone says less than they do together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from docwell.models import Passage

# A passage grows to this many tokens of the embedding model: five of them fill a context of 4,096.
MERGED_TOKENS = 600
# White space between two chunks of a page that follow each other. A chunk is longer than this.
_GAP_CHARACTERS = 8
# One passage that is not as good may lie between two that are.
_BETWEEN = 1


def merge(ranked: Sequence[Passage], top_k: int) -> list[Passage]:
    """The first `top_k` passages, the best first, each with those beside it that come before one passage more.

    Passages of a page are joined when they follow each other, or when one that was found too lies between. The
    text is then the page's up to white space; id and version are the best one's, the score is the nearest one's.
    """
    pages: dict[tuple[str, str, int], list[Passage]] = {}
    for passage in ranked:
        pages.setdefault(_page(passage), []).append(passage)
    for found in pages.values():
        found.sort(key=lambda passage: passage.chunk.start)
    groups: list[_Group] = []
    taken: set[str] = set()
    for passage in ranked:
        if passage.id in taken:
            continue
        on_page = pages[_page(passage)]
        group = next((one for one in groups if one.take(passage, on_page)), None)
        if group is None:
            if len(groups) == top_k:
                break
            group = _Group(passage)
            groups.append(group)
        taken.update(one.id for one in group.passages)
    return [group.joined() for group in groups]


def _page(passage: Passage) -> tuple[str, str, int]:
    return passage.document, passage.generation, passage.chunk.page_start


class _Group:
    """Passages of one page that follow each other, in its order; `best` came first."""

    def __init__(self, best: Passage) -> None:
        self.best = best
        self.passages = [best]

    def take(self, passage: Passage, on_page: Sequence[Passage]) -> bool:
        """Add a passage with what lies between, where it belongs here; `on_page` are all of its page, in order."""
        if _page(passage) != _page(self.best):
            return False
        places = {one.id: place for place, one in enumerate(on_page)}
        first, last, place = places[self.passages[0].id], places[self.passages[-1].id], places[passage.id]
        low, high = min(first, place), max(last, place)
        if high - low - (last - first) > 1 + _BETWEEN:
            return False
        grown = list(on_page[low : high + 1])
        if sum(one.chunk.tokens for one in grown) > MERGED_TOKENS:
            return False
        if any(not 0 <= after.chunk.start - one.chunk.end <= _GAP_CHARACTERS for one, after in pairwise(grown)):
            return False
        self.passages = grown
        return True

    def joined(self) -> Passage:
        """The passages as one. What white space stood between them is not known: a line's end is put there."""
        if len(self.passages) == 1:
            return self.best
        text = self.passages[0].chunk.text
        for one, after in pairwise(self.passages):
            text += "\n" * (after.chunk.start - one.chunk.end) + after.chunk.text
        first, last = self.passages[0].chunk, self.passages[-1].chunk
        tokens = sum(one.chunk.tokens for one in self.passages)
        chunk = replace(first, text=text, end=last.end, tokens=tokens)
        return replace(self.best, chunk=chunk, score=max(one.score for one in self.passages))
