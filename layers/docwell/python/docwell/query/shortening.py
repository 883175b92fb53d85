"""Passages cut to their best part, for a model host that reads slowly. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from docwell.models import Passage
from docwell.text.lexicon import content_words, rarity, statements
from docwell.text.tokens import TokenRatio, bound_of

# The tokens of a passage's number: `[`, two digits, `]`, the end of its line.
NUMBER_TOKENS = 5


def shorten(passages: Sequence[Passage], question: str, tokens: int, ratio: TokenRatio) -> list[Passage]:
    """Return the passages, best first, cut to about `tokens` in all by the model's `ratio`.

    Each keeps neighbouring sentences around the one with most of the question's words, by rarity. The shares of
    the tokens fall with the rank, as 1/rank does; a short passage leaves its rest to the others. A passage
    without room for one sentence is dropped. A cut passage has the offsets of its part.
    """
    kept: list[Passage] = []
    left = tokens
    needed = [ratio.estimate(bound_of(one.chunk.text)).tokens + NUMBER_TOKENS for one in passages]
    for rank, passage in enumerate(passages, 1):
        of_rank = left / rank / sum(1 / later for later in range(rank, len(passages) + 1))
        share = max(of_rank, left - sum(needed[rank:]))
        part, cost = passage, needed[rank - 1]
        if cost > share:
            part, cost = _best_part(passage, question, share - NUMBER_TOKENS, left - NUMBER_TOKENS, ratio)
            cost += NUMBER_TOKENS
        if cost <= left:
            left -= cost
            kept.append(part)
    return kept


def _best_part(passage: Passage, question: str, share: float, most: int, ratio: TokenRatio) -> tuple[Passage, int]:
    """Return the best part and its tokens: as many sentences as fit the `share`, at least one of up to `most`."""
    chunk = passage.chunk
    spans = statements(chunk.text)
    said = [content_words(chunk.text[start:end]) for start, end in spans]
    costs = [ratio.estimate(bound_of(chunk.text[start:end])).tokens for start, end in spans]
    counts = Counter(word for own in said for word in own)
    asked = content_words(question)
    merits = [sum(rarity(counts[word], len(said)) for word in own & asked) for own in said]
    first = last = max(range(len(spans)), key=lambda place: (costs[place] <= most, merits[place]))
    cost = costs[first]
    # The sentence after comes before the one ahead: a statement is explained after it is made.
    while fitting := [
        place for place in (last + 1, first - 1) if 0 <= place < len(spans) and cost + costs[place] <= share
    ]:
        best = max(fitting, key=merits.__getitem__)
        cost += costs[best]
        first, last = min(first, best), max(last, best)
    start, end = spans[first][0], spans[last][1]
    part = replace(chunk, text=chunk.text[start:end], start=chunk.start + start, end=chunk.start + end)
    return replace(passage, chunk=part), cost
