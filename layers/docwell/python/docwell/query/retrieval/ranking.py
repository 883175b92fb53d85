"""Which of the passages that a search brings come first: by meaning of the whole, of its best part, and by words.

Pure. The weights were chosen on the development questions of `make eval-retrieval` (docs/retrieval.md), the same
that its figures are of.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import intern

import numpy as np
from numpy.typing import NDArray

from docwell.models import Passage
from docwell.query.retrieval.units import cosines
from docwell.text.naming import file_words

# A word counts by its first letters, so that "requires" finds "requirement" in any language that has endings.
_STEM = 6
_WORD = re.compile(r"\w+")
_BEGINNING = re.compile(rf"\b\w{{1,{_STEM}}}")
# Scripts that do not put spaces between words: there a pair of characters is what a word is elsewhere.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
# "FY2022" has the words "FY" and "2022" where documents' names are told apart.
_APART = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.
_K1 = 1.2
_B = 0.75
# The words of as many texts are remembered as the passages that a function keeps (`docwell.config`): 2 KB each.
_TEXTS_KEPT = 8192
# Units of this many passages for each that is wanted are looked at to cut passages down.
_FOCUS_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each sign of a good passage counts beside the cosine of its own vector.

    `unit`: the share of the cosine that is its best part's. `words`: what a passage gains that has all the
    words of the question that are rare among the candidates. `name`: how often a word of the question that
    stands in the document's file name or in the section's path counts as standing in the passage.
    `document`: what a passage gains whose document's file name has all words of the question that tell the
    candidates' documents apart. `page`: what the best passage of each page gains, so that the first few are of
    more pages. `whole`: how much the passage's score counts beside a unit's own, where a passage is cut down
    (`focus`).
    """

    unit: float = 0.7
    words: float = 0.5
    name: float = 1.0
    document: float = 0.05
    page: float = 0.05
    whole: float = 3.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate, its score now that of its nearest part, and what it was ranked by.

    `units` has the cosine of each of its units, in order.
    """

    passage: Passage
    score: float
    units: tuple[float, ...] = ()

    @classmethod
    def by_cosine(cls, passage: Passage) -> Ranked:
        """As it was found."""
        return cls(passage, passage.score)


@lru_cache(_TEXTS_KEPT)
def words(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared.

    >>> words("Requirements, required: 日本語")
    ('requir', 'requir', '日本', '本語')
    """
    folded = text.casefold()
    if folded.isascii() or not _UNSPACED.search(folded):
        return tuple(map(intern, _BEGINNING.findall(folded)))
    found: list[str] = []
    for word in _WORD.findall(folded):
        if _UNSPACED.search(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            found.append(word[:_STEM])
    return tuple(map(intern, found))


def rank(
    question: str, vector: Sequence[float], candidates: Sequence[Passage], weights: Weights | None = None
) -> list[Ranked]:
    """The candidates, best first.

    Args:
        question: as it was embedded; an empty one is ranked by vectors alone.
        vector: the question's, of unit length.
        candidates: what a search brought; how rare a word is, is told by them.
        weights: what counts how much.
    """
    if not candidates:
        return []
    known = weights or Weights()
    asked = np.asarray(vector, dtype=np.float32)
    texts = [words(one.chunk.text) for one in candidates]
    names = [_name(one.document, one.chunk.heading) for one in candidates]
    lexical = _coverage(frozenset(words(question)), texts, names, known.name)
    # Words that even the best candidate lacks ("explain", "calculate") are about the asking: then all count less.
    lexical *= known.words * float(np.max(lexical))
    named = _named(question, {one.document for one in candidates})
    parts = cosines([one.units for one in candidates], asked)
    ranked = []
    for passage, near, gained in zip(candidates, parts, lexical, strict=True):
        # A table's parts are figures that say little alone: no passage is further than it is as a whole.
        best = max(float(np.max(near, initial=-1.0)), passage.score)
        score = (1 - known.unit) * passage.score + known.unit * best + float(gained)
        score += known.document * named[passage.document]
        ranked.append(Ranked(replace(passage, score=best), score, tuple(near.tolist())))
    ranked.sort(key=lambda one: -one.score)
    _lead(ranked, known.page)
    return sorted(ranked, key=lambda one: -one.score)


def _lead(ranked: list[Ranked], gain: float) -> None:
    """Raise the first passage of each page."""
    led: set[tuple[str, str, int]] = set()
    for place, one in enumerate(ranked):
        page = (one.passage.document, one.passage.generation, one.passage.chunk.page_start)
        if page not in led:
            led.add(page)
            ranked[place] = replace(one, score=one.score + gain)


def _named(question: str, documents: Collection[str]) -> dict[str, float]:
    """How far a question names each document, 0 to 1: the share, by rarity, of its words that are in file names.

    A word that all the file names have tells none apart.
    """
    asked = frozenset(words(_APART.sub(" ", question)))
    has = {document: asked & _file_name(document) for document in documents}
    often = Counter(word for own in has.values() for word in own)
    rarity = {word: math.log((len(has) + 1) / count) for word, count in often.items() if count < len(has)}
    total = sum(rarity.values()) or 1.0
    return {document: sum(rarity.get(word, 0.0) for word in own) / total for document, own in has.items()}


@lru_cache(maxsize=4096)
def _file_name(document: str) -> frozenset[str]:
    return frozenset(words(_APART.sub(" ", file_words(document))))


@lru_cache(maxsize=4096)
def _name(document: str, heading: str) -> frozenset[str]:
    """The words of what a document and a section are called."""
    return frozenset(words(f"{file_words(document)} {heading}"))


def _coverage(
    question: frozenset[str], texts: Sequence[Sequence[str]], names: Sequence[frozenset[str]], name_weight: float
) -> NDArray[np.float64]:
    """(n,) BM25 of each text over the most that a text could have: 0 to about 1.

    A word of more than half of the texts counts nothing: it tells none of them apart.
    """
    counts = [Counter(filter(question.__contains__, text)) for text in texts]
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    saturation = _K1 * (1 - _B + _B * lengths / max(float(np.mean(lengths)), 1.0))
    total, most = np.zeros(len(texts)), 0.0
    for word in question:
        often = np.array([count[word] for count in counts], dtype=np.float64)
        often += name_weight * np.array([word in name for name in names])
        having = int((often > 0).sum())
        rarity = max(0.0, math.log((len(texts) - having + 0.5) / (having + 0.5)))
        total += rarity * often * (_K1 + 1) / (often + saturation)
        most += rarity
    return total / most if most else total


def focus(question: str, ranked: Sequence[Ranked], top_k: int, weights: Weights | None = None) -> list[Passage]:
    """The best `top_k` passages, each cut down to the part that has the best units, best first.

    Units are taken one by one, the best first, by their own cosine and words and by their passage's score; until
    a passage more than `top_k` would be begun. What lies between the first and the last unit taken of a passage is
    kept too, so that it reads on.
    """
    known = weights or Weights()
    among = ranked[: top_k * _FOCUS_CANDIDATES]
    spans = [
        (one, span) for one in among for span in one.passage.units.spans or ((0, len(one.passage.chunk.text)),)
    ]
    texts = [words(one.passage.chunk.text[start:end]) for one, (start, end) in spans]
    lexical = _coverage(frozenset(words(question)), texts, [frozenset()] * len(texts), 0.0) if texts else ()
    near = [cosine for one in among for cosine in one.units or (one.passage.score,)]
    scores = [
        cosine + known.words * float(share) + known.whole * one.score
        for (one, _), cosine, share in zip(spans, near, lexical, strict=True)
    ]
    kept: dict[str, tuple[Passage, int, int]] = {}
    for place in sorted(range(len(spans)), key=lambda place: -scores[place]):
        one, (start, end) = spans[place]
        if one.passage.id not in kept and len(kept) == top_k:
            break
        _, first, last = kept.get(one.passage.id, (one.passage, start, end))
        kept[one.passage.id] = (one.passage, min(first, start), max(last, end))
    return [_cut(passage, start, end) for passage, start, end in kept.values()]


def _cut(passage: Passage, start: int, end: int) -> Passage:
    """The passage with a part of its text; `tokens` is about as much less."""
    chunk = passage.chunk
    share = (end - start) / max(1, len(chunk.text))
    part = replace(
        chunk,
        text=chunk.text[start:end],
        start=chunk.start + start,
        end=chunk.start + end,
        tokens=max(1, round(chunk.tokens * share)),
    )
    return replace(passage, chunk=part)
