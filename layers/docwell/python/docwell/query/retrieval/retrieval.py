"""Find the passages for a question: search, rank, drop hits that are not live, join neighbours."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from docwell.errors import BadInput
from docwell.identity import Principal
from docwell.models import Passage, Units
from docwell.ports import Catalogue, VectorIndex
from docwell.query.retrieval.filters import ANY, Filter
from docwell.query.retrieval.merging import merge
from docwell.query.retrieval.ranking import Weights, rank
from docwell.query.retrieval.scope import Scope, find_scope

# More candidates find little more and cost time.
CANDIDATES = 100
# A generation that is being replaced has hits that are dropped, so ask for more hits than needed.
_SPARE_HITS = 10
# The most hits of one search, at about 4 KB each, however many are not live or do not match the filter.
DEEPEST = 2000
_DEEPER = 4
_SEARCHES_AT_ONCE = 8

TOO_FEW_MATCH = "the filter leaves too few of too many documents: narrow it by a collection, a prefix or documents"


@dataclass(frozen=True)
class Retrieval:
    """Finds live passages by meaning and by words.

    A search brings the nearest chunks, which are ranked again. Chunks that follow each other on a page become one
    passage.
    """

    catalogue: Catalogue
    index: VectorIndex
    weights: Weights = field(default_factory=Weights)

    def scope(
        self, principal: Principal, collections: Sequence[str], document: str | None, wanted: Filter = ANY
    ) -> Scope:
        """Return where to search, as `find_scope` does."""
        return find_scope(self.catalogue, self.index, principal, collections, document, wanted)

    def search(self, scope: Scope, vector: Sequence[float], top_k: int, question: str = "") -> list[Passage]:
        """Return the `top_k` best live passages, best first. Without a question, rank by cosine alone.

        Raises:
            BadInput: too many documents to look through, and fewer than `top_k` passages match the filter.
        """
        wanted = (max(top_k, CANDIDATES) if question else top_k) + _SPARE_HITS
        while True:
            hits = self._hits(scope, vector, wanted)
            ranked = [one.passage for one in rank(question, vector, hits, self.weights)] if question else hits
            live = _Live(ranked, lambda keys: self._generations(scope, keys), top_k)
            found = merge(live, top_k) if question else list(islice(live, top_k))
            # Hits that are not live can crowd out live ones, so search deeper.
            if len(found) >= top_k or not live.dropped or len(hits) < wanted:
                break
            if wanted >= DEEPEST:
                if scope.filter and scope.documents is None and live.kept < top_k:
                    raise BadInput(TOO_FEW_MATCH)
                break
            wanted = min(wanted * _DEEPER, DEEPEST)
        # Drop the unit vectors; only ranking needs them.
        return [replace(one, units=Units()) for one in found]

    def _generations(self, scope: Scope, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the live generation of each document that has one and matches the filter, read consistently."""
        if not scope.filter:
            return self.catalogue.live(keys)
        live = self.catalogue.described(keys)
        return {key: one.generation for key, one in live.items() if scope.filter.matches(key, one.attributes)}

    def _hits(self, scope: Scope, vector: Sequence[float], k: int) -> list[Passage]:
        def search(collection: str) -> list[Passage]:
            return self.index.search(collection, vector, k, scope.within(collection))

        if len(scope.collections) == 1:
            return search(scope.collections[0])
        with ThreadPoolExecutor(_SEARCHES_AT_ONCE) as pool:
            found = chain.from_iterable(pool.map(search, scope.collections))
            return heapq.nlargest(k, found, key=lambda hit: hit.score)


class _Live(Iterator[Passage]):
    """Iterates over the passages whose generation is live, and counts those kept and dropped.

    It asks the ledger once for each document, so that one answer has one generation of it: first for `2 * top_k`
    documents, then for twice as many each time.
    """

    def __init__(
        self, ranked: Sequence[Passage], generations: Callable[[Sequence[str]], Mapping[str, str]], top_k: int
    ) -> None:
        self._left = iter(ranked)
        self._unknown = iter(dict.fromkeys(one.document for one in ranked))
        self._generations = generations
        self._known: dict[str, str | None] = {}
        self._documents = 2 * top_k
        self.kept = self.dropped = 0

    def __next__(self) -> Passage:
        for one in self._left:
            if one.document not in self._known:
                keys = list(islice(self._unknown, self._documents))
                self._documents *= 2
                self._known |= {**dict.fromkeys(keys), **self._generations(keys)}
            if self._known[one.document] == one.generation:
                self.kept += 1
                return one
            self.dropped += 1
        raise StopIteration
