"""Order the candidates of a search, join neighbours, and refuse a question far from all of them. Pure.

A part of the order stays only if it helps on sets of questions that it was not chosen on (`make eval-retrieval`).
The model decides whether a passage on the right topic answers the question, and may refuse too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from docwell.models import Passage, Units
from docwell.text.lexicon import beginnings, content_words, fold_each
from docwell.text.naming import file_beginnings, file_words
from docwell.text.words import numbers, pattern

# The gate judges this many best chunks for any `top_k`: the threshold was chosen for this number.
JUDGED = 5
# The weight of the question's words. Chosen on XQuAD, MMLongBench and FinanceBench.
_WORDS_OF_FIT = 0.5


def fit_of(question: str, passages: Iterable[Passage]) -> float | None:
    """Return the highest sum of a passage's cosine and the question's words; None without passages.

    The words count up to 0.5, as the share of the question's words that the passage has.
    """
    question_words = content_words(question)
    shares = (
        (passage.score, len(question_words & content_words(passage.chunk.text)) / max(len(question_words), 1))
        for passage in passages
    )
    return max((score + _WORDS_OF_FIT * share for score, share in shares), default=None)


# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.
_K1 = 1.2
_B = 0.75
_DIGITS = 9
# The number of passages that a function keeps (`docwell.config`), at 1 KB each.
_TEXTS_KEPT = 8192

# Two chunks, in tokens of the embedding model. With three, one more question in a hundred finds its page, but the
# language model reads a fifth more.
MERGED_TOKENS = 400
# The most white space between two neighbouring chunks; a chunk between them would be longer.
_GAP_CHARACTERS = 8
# The number of passages that a reranker reads.
RERANKED = 20


# The share of the cosine that comes from a passage's best unit; the gain of a passage with all rare words of the
# question; the gain of one whose file name has all words that tell the candidates' documents apart.
UNIT_WEIGHT, WORDS_WEIGHT, NAME_WEIGHT = 0.3, 0.5, 0.1
# Figures and words in a file's name, and the least figure that is a year.
_NAME_PART = re.compile(r"\d+|[^\W\d_]+")
_FIRST_YEAR, _YEAR = 1900, re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_NEWEST = re.compile(pattern("newest"))


def rank(question: str, vector: Sequence[float], candidates: Sequence[Passage]) -> list[tuple[Passage, float]]:
    """Return the candidates, each with the score it is ranked by, best first. A passage's own score is a cosine.

    `vector` has unit length. The rarity of a word is counted among the candidates.
    """
    if not candidates:
        return []
    question_words = frozenset(beginnings(question))
    lexical = _coverage(question_words, [_numbers(candidate.chunk.text) for candidate in candidates])
    # Scale lexical scores by the best candidate's coverage: no page has words such as "explain" or "calculate".
    lexical *= WORDS_WEIGHT * float(np.max(lexical))
    documents = {candidate.document for candidate in candidates}
    wants_newest = _NEWEST.search(fold_each(question)) is not None
    named = _named(question_words, documents, newest(documents) if wants_newest else frozenset())
    whole = np.array([candidate.score for candidate in candidates])
    # The units of a table are figures that mean little alone, so compare the whole chunk too.
    units = [candidate.units for candidate in candidates]
    best = np.maximum(nearest(units, np.asarray(vector, dtype=np.float32)), whole)
    scores = (1 - UNIT_WEIGHT) * whole + UNIT_WEIGHT * best + lexical
    scores += NAME_WEIGHT * np.array([named[candidate.document] for candidate in candidates])
    ranked = zip(map(Passage.scored, candidates, best.tolist()), scores.tolist(), strict=True)
    # Copies of a document have equal scores: take all passages from the same copy.
    return sorted(ranked, key=lambda row: (-row[1], row[0].document))


def nearest(units: Sequence[Units], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) float32: the highest cosine of each chunk's units to a unit vector, or -1 without units."""
    counts = np.array([len(unit.spans) for unit in units])
    highest = np.full(len(units), -1, dtype=np.float32)
    if counts.any():
        packed = np.frombuffer(b"".join(unit.vectors for unit in units), dtype=np.int8)
        rows = packed.reshape(-1, len(vector)).astype(np.float32)
        near = rows @ vector / np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1.0)
        first = np.cumsum(counts) - counts
        highest[counts > 0] = np.maximum.reduceat(near, first[counts > 0])
    return highest


def newest(documents: Collection[str]) -> frozenset[str]:
    """Return the newest version of each document that has several.

    Versions have names that differ in figures or months alone, or folders in years: ACME_2022.pdf, 2023/ACME.pdf.
    """
    months = numbers("month") | numbers("month_in_date")
    versions: dict[tuple[str, ...], list[tuple[list[int], str]]] = {}
    for document in documents:
        folder = document.rpartition("/")[0]
        words = _NAME_PART.findall(fold_each(f"{' '.join(_YEAR.findall(folder))} {file_words(document)}"))
        parts = [int(word) if word.isdecimal() else months.get(word, 0) for word in words]
        kind = (_YEAR.sub("", folder), *(word for word, part in zip(words, parts, strict=True) if not part))
        figures = list(filter(None, parts))
        # "30-05-2023" and "Q1 2023" end with the year.
        dated = figures[::-1] if figures and figures[-1] >= _FIRST_YEAR else figures
        versions.setdefault(kind, []).append((dated, document))
    return frozenset(max(dated)[1] for dated in versions.values() if len(dated) > 1)


def _named(
    question_words: AbstractSet[str], documents: Collection[str], preferred: AbstractSet[str]
) -> dict[str, float]:
    """Return the share (0 to 1), by rarity, of the question's file-name words that each document's name has.

    To be `preferred` counts as one more word, "", which no name has. A word in all file names has no weight.
    """
    shared = {document: question_words & file_beginnings(document) for document in documents}
    shared |= {document: shared[document] | {""} for document in preferred}
    counts = Counter(word for words in shared.values() for word in words)
    rarity = {word: math.log((len(shared) + 1) / count) for word, count in counts.items() if count < len(shared)}
    total = math.fsum(rarity.values()) or 1.0
    return {
        document: math.fsum(rarity.get(word, 0.0) for word in words) / total for document, words in shared.items()
    }


@lru_cache(_TEXTS_KEPT)
def _numbers(text: str) -> NDArray[np.int64]:
    """Return the words of a text in order, as numbers that are equal for equal words."""
    return np.fromiter(map(hash, beginnings(text)), dtype=np.int64)


def _coverage(question_words: AbstractSet[str], texts: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return (n,) BM25 of each text, in `_numbers`, over the highest possible: 0 to about 1.

    A word in over half of the texts has no weight.
    """
    lengths = np.array([len(text) for text in texts])
    saturation = _K1 * (1 - _B + _B * lengths / max(float(np.mean(lengths)), 1.0))
    joined, places = np.concatenate(texts), np.repeat(np.arange(len(texts)), lengths)
    numbers = np.sort(np.fromiter(map(hash, question_words), dtype=np.int64))
    matches = np.flatnonzero(np.isin(joined, numbers))
    cells = places[matches] * len(numbers) + np.searchsorted(numbers, joined[matches])
    often = np.bincount(cells, minlength=len(texts) * len(numbers)).reshape(len(texts), -1)
    having = np.count_nonzero(often, axis=0)
    rarity = np.maximum(np.log((len(texts) - having + 0.5) / (having + 0.5)), 0.0)
    weights = rarity * often * (_K1 + 1) / (often + saturation[:, np.newaxis])
    # Sum row by row: a matrix product can round equal rows differently.
    total, most = np.sum(weights, axis=1), float(np.sum(rarity))
    # Round: the column order follows Python's hashes, so the last digits differ between processes.
    return np.round(total / most if most else total, _DIGITS)


def merge(ranked: Iterable[Passage], top_k: int) -> list[Passage]:
    """Return the first `top_k` passages, best first, each joined with its neighbours on the page.

    A table or an argument can be longer than a chunk: its parts mean little alone, and compete for the few places.

    Stop reading `ranked` at the first passage over `top_k` that joins none: later ones are dropped too. A joined
    passage has the text, units and offsets of both, the better one's id and version, and the higher score.
    """
    merged: list[Passage] = []
    for passage in ranked:
        for place, better in enumerate(merged):
            if (joined := _merged_passage(better, passage)) is not None:
                merged[place] = joined
                break
        else:
            if len(merged) == top_k:
                break
            merged.append(passage)
    return merged


def with_named(
    names: Mapping[str, frozenset[str]], passages: Sequence[Passage], ranked: Iterable[Passage]
) -> list[Passage]:
    """Return the passages with a place for each name of a question, whose words `names` has by document.

    The best passage in `ranked` of a name without a place takes the last place of a name or document with several,
    else of a document that is not named. With more names than places beside the first, nothing changes.
    """
    places, sides = list(passages), set(names.values())
    groups: list[object] = [names.get(passage.document, passage.document) for passage in places]
    missing = sides.difference(groups)
    if not missing or len(sides) == 1 or len({*groups[:1], *sides}) > len(places):
        return places
    for passage in ranked:
        side = names.get(passage.document)
        if side in missing:
            missing.remove(side)
            crowded = [place for place, group in enumerate(groups) if groups.count(group) > 1]
            unnamed = [place for place, group in enumerate(groups) if group not in sides]
            place = (crowded or unnamed)[-1]
            del places[place], groups[place]
            places.append(passage)
            groups.append(side)
    return places


def _merged_passage(better: Passage, passage: Passage) -> Passage | None:
    """Return both as one, or None if they are not neighbours or are too long together."""
    same_generation = (better.document, better.generation) == (passage.document, passage.generation)
    if not same_generation or better.chunk.page != passage.chunk.page:
        return None
    tokens = better.chunk.tokens + passage.chunk.tokens
    first, second = sorted((better.chunk, passage.chunk), key=lambda chunk: chunk.start)
    gap = second.start - first.end
    if not 0 <= gap <= _GAP_CHARACTERS or tokens > MERGED_TOKENS:
        return None
    # The page's real white space is unknown; quotes are compared without it.
    text = first.text + "\n" * gap + second.text
    shift = len(first.text) + gap
    units = first.citation_units + tuple((start + shift, unit) for start, unit in second.citation_units)
    chunk = replace(first, text=text, end=second.end, tokens=tokens, citation_units=units)
    before, after = (better, passage) if first is better.chunk else (passage, better)
    spans = tuple((start + shift, end + shift) for start, end in after.units.spans)
    joined = Units(before.units.spans + spans, before.units.vectors + after.units.vectors)
    return replace(better, chunk=chunk, score=max(better.score, passage.score), units=joined)


def reordered(passages: Sequence[Passage], scores: Sequence[float]) -> tuple[Passage, ...]:
    """Return the passages by score, best first, then those without a score; ties keep their order."""
    places = sorted(range(len(scores)), key=lambda place: -scores[place])
    return (*(passages[place] for place in places), *passages[len(scores) :])
