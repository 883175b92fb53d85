"""Passages cut to their best part, for a model host that reads slowly. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from docwell.models import Passage
from docwell.query.retrieval.ranking import cosines
from docwell.text.lexicon import content_words, rarity, statements
from docwell.text.tokens import TokenRatio, bound_of

# The tokens of a passage's number: `[`, two digits, `]`, the end of its line.
NUMBER_TOKENS = 5
# Three longer parts hold the answer more often than five shorter ones, on each of three sets of questions.
_PART_TOKENS = 110
# Cosines of unit vectors in 8 bits are inexact by less.
_ROUNDED = 0.01


def shorten(
    passages: Sequence[Passage], question: str, tokens: int, ratio: TokenRatio, vector: Sequence[float] = ()
) -> list[Passage]:
    """Return the passages, best first, cut to about `tokens` in all by the model's `ratio`.

    Each keeps neighbouring sentences around the one that is nearest to the question: by its words, weighted by
    rarity, and by the cosine of its unit to the question's unit `vector`. If not all passages fit whole, only the
    first ones are kept, as many as can have 110 tokens. The shares of the tokens fall with the rank, as 1/rank
    does; a short passage leaves its rest to the others. A passage without room for one sentence is dropped. A cut
    passage has the offsets of its part.
    """
    kept: list[Passage] = []
    left = tokens
    needed = [ratio.estimate(bound_of(one.chunk.text)).tokens + NUMBER_TOKENS for one in passages]
    if sum(needed) > tokens:
        least = accumulate(min(cost, _PART_TOKENS) for cost in needed)
        passages = passages[: max(sum(cost <= tokens for cost in least), 1)]
        needed = needed[: len(passages)]
    for rank, passage in enumerate(passages, 1):
        of_rank = left / rank / sum(1 / later for later in range(rank, len(passages) + 1))
        share = max(of_rank, left - sum(needed[rank:]))
        part, cost = passage, needed[rank - 1]
        if cost > share:
            merits = _merits(passage, question, vector)
            part, cost = _best_part(passage, merits, share - NUMBER_TOKENS, left - NUMBER_TOKENS, ratio)
            cost += NUMBER_TOKENS
        if cost <= left:
            left -= cost
            kept.append(part)
    return kept


def _merits(passage: Passage, question: str, vector: Sequence[float]) -> list[float]:
    """Return how near each statement of a passage is to the question: in words, up to 1, and in meaning."""
    text, spans = passage.chunk.text, statements(passage.chunk.text)
    words = [content_words(text[start:end]) for start, end in spans]
    counts = Counter(word for statement in words for word in statement)
    weights = {word: rarity(counts[word], len(words)) for word in content_words(question)}
    total = math.fsum(weights.values()) or 1.0
    nearness = _nearness(passage, spans, vector)
    return [
        math.fsum(weights[word] for word in statement & weights.keys()) / total + near
        for statement, near in zip(words, nearness, strict=True)
    ]


def _nearness(passage: Passage, spans: Sequence[tuple[int, int]], vector: Sequence[float]) -> Sequence[float]:
    """Return the cosine of the nearest unit that touches each span.

    A span in a chunk without units has the passage's score. Of two joined chunks this is the higher score: where a
    unit has it, the span has the lowest cosine of all units.
    """
    units = passage.units
    if not (len(vector) and units.spans):
        return [passage.score] * len(spans)
    near_units = cosines(units.vectors, np.asarray(vector, dtype=np.float32)).tolist()
    placed = list(zip(units.spans, near_units, strict=True))
    is_of_unit = passage.score <= max(near for _, near in placed) + _ROUNDED
    unknown = min(near for _, near in placed) if is_of_unit else passage.score
    return [
        max((near for (first, last), near in placed if first < end and start < last), default=unknown)
        for start, end in spans
    ]


def _best_part(
    passage: Passage, merits: Sequence[float], share: float, most: int, ratio: TokenRatio
) -> tuple[Passage, int]:
    """Return the best part and its tokens: as many sentences as fit the `share`, at least one of up to `most`."""
    chunk = passage.chunk
    spans = statements(chunk.text)
    costs = [ratio.estimate(bound_of(chunk.text[start:end])).tokens for start, end in spans]
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
