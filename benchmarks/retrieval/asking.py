"""Asks the questions of the sets in any number of ways, and times them."""

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any

from cachetools import LRUCache

from benchmarks.retrieval.index import CachedEmbedder, catalogue
from benchmarks.retrieval.measures import (
    evidence_held,
    of_characters,
    of_ranks,
    rank_of_answer,
)
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, Asked, EvaluationSet
from docwell.adapters.chroma import ChromaIndex
from docwell.identity import Principal
from docwell.models import Passage, collection_of
from docwell.ports import Places
from docwell.query.retrieval.ranking import Weights
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.progress import bar

TOP_K = 10
FIRST = 5  # the passages of an answer, and of the chunking set's measures
EVIDENCE = f"evidence in {FIRST}"
_EVERYBODY = Principal("key:benchmark", collections=None)
_TIMED = 200  # questions
# The searches of one question: a few depths in each scope.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Way:
    """One configuration of retrieval. Without `question`, passages are ranked by their vectors alone."""

    weights: Weights = field(default_factory=Weights)
    question: bool = True


DEFAULT = "ranked"
# A part of the ranking, and the way without it: a weight of 0 switches a part off.
PARTS = {part.name: f"without-{part.name}" for part in fields(Weights)}
WAYS = {
    DEFAULT: Way(),
    "nearest": Way(question=False),
    **{without: Way(replace(Weights(), **{part: 0.0})) for part, without in PARTS.items()},
}

# One value for each question, by way and scope, then by measure.
Scores = dict[tuple[str, str], dict[str, list[float]]]


class Asker:
    """Asks the questions of sets in one index.

    `generations` and `chunks` (their number) are of the documents, by key. `mixed` names the collections that are
    searched together.
    """

    def __init__(
        self,
        index: ChromaIndex,
        embedder: CachedEmbedder,
        generations: Mapping[str, str],
        chunks: Mapping[str, int],
        mixed: Collection[str],
    ) -> None:
        self.mixed = tuple(mixed) if len(mixed) > 1 else ()
        self.chunks = chunks
        self._index, self._embedder = index, embedder
        self._catalogue = catalogue(generations)

    def ask(self, material: EvaluationSet, others: Collection[str] = ()) -> tuple[Scores, list[dict[str, Any]]]:
        """Return the scores of docwell's way and of `others`, and the questions missed in the set's collection.

        The others get ranks only, in the scopes that judge.
        """
        retrieval = Retrieval(self._catalogue, _Remembering(self._index))
        scores: Scores = {}
        misses: list[dict[str, Any]] = []
        with bar(f"{material.title}: asking", len(material.asked)) as step:
            for asked, vector in self._with_vectors(material.asked):
                for name in self.scopes(material):
                    for way in (DEFAULT, *(others if name in material.judged else ())):
                        search = self._search(retrieval, way, asked, vector, name)
                        values = of_ranks(asked, search(TOP_K))
                        if way == DEFAULT:
                            first = search(FIRST)
                            values |= _of_content(asked, first)
                            if name == POOLED and rank_of_answer(asked, first) is None:
                                misses.append(_miss(asked, first))
                        for measure, value in values.items():
                            scores.setdefault((way, name), {}).setdefault(measure, []).append(value)
                step()
        return scores, misses

    def scopes(self, material: EvaluationSet) -> list[str]:
        """Return the scopes in which a set's questions are asked here; none is mixed where one set is."""
        return [name for name in material.scopes if name != MIXED or self.mixed]

    def times(self, asked: Sequence[Asked], scope: str) -> tuple[float, float]:
        """Return the p50 of retrieval of five passages, and its part beyond a search for the nearest five, in ms.

        The two take turns. The index keeps as many passages in memory as the query function does.
        """
        retrieval = Retrieval(self._catalogue, self._index)
        every = max(1, len(asked) // _TIMED)
        samples = dict[str, list[float]]((way, []) for way in (DEFAULT, "nearest"))
        turns = cycle((tuple(samples), tuple(samples)[::-1]))
        for (one, vector), turn in zip(self._with_vectors(asked[::every]), turns, strict=False):
            for way in turn:
                search = self._search(retrieval, way, one, vector, scope)
                started = perf_counter()
                search(FIRST)
                samples[way].append(1000 * (perf_counter() - started))
        whole, nearest = (median(times) for times in samples.values())
        return whole, whole - nearest

    def _with_vectors(self, asked: Sequence[Asked]) -> Iterator[tuple[Asked, list[float]]]:
        vectors = self._embedder.embed_queries([one.text for one in asked])
        return zip(asked, vectors.tolist(), strict=True)

    def _search(
        self, retrieval: Retrieval, way: str, asked: Asked, vector: Sequence[float], scope: str
    ) -> Callable[[int], Sequence[Passage]]:
        """Return a search for the first k passages."""
        own = collection_of(asked.key)
        places: dict[str, Places] = {
            POOLED: {own: asked.among or None},
            DOCUMENT: {own: (asked.key,)},
            MIXED: dict.fromkeys(self.mixed),
        }
        where = Scope(_EVERYBODY, places[scope])
        configured = replace(retrieval, weights=WAYS[way].weights)
        question = asked.text if WAYS[way].question else ""
        return lambda top_k: configured.search(where, vector, top_k, question).passages


def _of_content(asked: Asked, first: Sequence[Passage]) -> dict[str, float]:
    values = {EVIDENCE: evidence_held(asked, first)} if asked.evidence else {}
    return values | of_characters(asked, first) if asked.spans else values


def _miss(asked: Asked, found: Sequence[Passage]) -> dict[str, Any]:
    passages = [f"{one.document}#{one.chunk.page} {one.chunk.text}" for one in found]
    return {"question": asked.text, "document": asked.key, "found": passages}


class _Remembering:
    """An index that repeats a search from memory, so that many ways rank the same candidates."""

    def __init__(self, index: ChromaIndex) -> None:
        self._index = index
        self._found: LRUCache[tuple[str, bytes, int], list[Passage]] = LRUCache(_REMEMBERED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        key = (repr(places), array("d", vector).tobytes(), k)
        if key not in self._found:
            self._found[key] = self._index.search(places, vector, k)
        return self._found[key]
