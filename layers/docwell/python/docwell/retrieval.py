"""What a question may see, and the passages that it finds there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from docwell.errors import BadInput, NotFound
from docwell.filters import ANY, Filter
from docwell.identity import Principal
from docwell.merging import merge
from docwell.models import Passage, Units, collection_of
from docwell.ports import Catalogue, LiveDocument, LiveDocuments, VectorIndex
from docwell.ranking import Weights, focus, rank
from docwell.selection import select

# A generation that is being replaced has hits that are dropped, so more are asked for than are needed.
_SPARE_HITS = 10
CANDIDATES = 100
_SEARCHES_AT_ONCE = 8
# Where a filter could only be applied to hits, so many are looked at (of about 4 KB each) and no more.
DEEPEST = 2000

# Said alike of what does not exist and of what is somebody else's.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
NO_DOCUMENT = "no document has this key"
TOO_FEW_FIT = "the filter leaves too few of too many documents: narrow it by a collection, a prefix or documents"


class FilteredCatalogue(Catalogue, LiveDocuments, Protocol):
    """The ledger as questions need it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: collections that exist and that the caller may read, or one document of one of them.

    Every hit must fit the `filter`. `documents` has by collection those that did; None where they are not known.
    """

    collections: tuple[str, ...]
    document: str | None = None
    filter: Filter = ANY
    documents: Mapping[str, tuple[str, ...]] | None = None

    def within(self, collection: str) -> tuple[str, ...] | None:
        """The documents of a collection to search in; None: all of them."""
        if self.document is not None:
            return (self.document,)
        return self.documents[collection] if self.documents is not None else None


@dataclass(frozen=True)
class Retrieval:
    """Live passages by meaning and by words.

    The `candidates` nearest ones are ranked again: more find little more and cost time. Those that stand beside
    each other on a page are given as one (`docwell.merging`). `focused` cuts each down to its part that answers
    instead: shorter prompts, and less around the answer.
    """

    catalogue: FilteredCatalogue
    index: VectorIndex
    candidates: int = CANDIDATES
    weights: Weights = field(default_factory=Weights)
    focused: bool = False

    def scope(
        self, principal: Principal, collections: Sequence[str], document: str | None, wanted: Filter = ANY
    ) -> Scope:
        """What of the collections (none: all) and the document the principal may see, and the filter wants.

        Raises:
            NotFound: one of them does not exist, or is not this principal's; so with the filter's documents.
        """
        named = wanted.documents if document is None else (document,)
        if named:
            homes = {collection_of(key) for key in named}
            if not all(principal.may_read(home) and (not collections or home in collections) for home in homes):
                raise NotFound(NO_DOCUMENT)
            live = self.catalogue.described(named) if wanted else {}
            if any(key not in live and self.catalogue.get(key) is None for key in named):
                raise NotFound(NO_DOCUMENT)
            return _among(live, wanted) if wanted else Scope(tuple(homes), document)
        visible = [name for name in self.index.collections() if principal.may_read(name)]
        if not set(collections) <= set(visible):
            raise NotFound(NO_COLLECTION)
        scope = Scope(tuple(collections or visible), filter=wanted)
        found = select(self.catalogue, scope.collections, wanted) if wanted else None
        return scope if found is None else replace(scope, collections=tuple(found), documents=found)

    def search(self, scope: Scope, vector: Sequence[float], top_k: int, question: str = "") -> list[Passage]:
        """The `top_k` best live passages, best first (`docwell.ranking`); nearest first without a question.

        Raises `BadInput` for a filter that leaves less than that of more documents than can be looked through.
        """
        candidates = self._live(scope, vector, max(top_k, self.candidates if question else top_k), top_k)
        if question:
            ranked = rank(question, vector, candidates, self.weights)
            if self.focused:
                candidates = focus(question, ranked, top_k, self.weights)
            else:
                candidates = merge([one.passage for one in ranked], top_k)
        # What they were ranked by has served.
        return [replace(one, units=Units()) for one in candidates[:top_k]]

    def _live(self, scope: Scope, vector: Sequence[float], count: int, least: int) -> list[Passage]:
        """The `count` nearest live passages, nearest first; `least` of them must not be lost to a filter."""
        wanted = count + _SPARE_HITS
        while True:
            hits = self._hits(scope, vector, wanted)
            live = self._live_generations(scope, [hit.document for hit in hits])
            kept = [hit for hit in hits if live.get(hit.document) == hit.generation]
            # Hits that are not live can crowd out those that are: then look deeper, as deep as there is.
            if len(kept) >= count or len(kept) == len(hits) or len(hits) < wanted:
                return kept[:count]
            wanted *= 4
            if scope.filter and scope.documents is None and wanted > DEEPEST:
                if len(kept) < least:
                    raise BadInput(TOO_FEW_FIT)
                return kept

    def _live_generations(self, scope: Scope, keys: Sequence[str]) -> Mapping[str, str]:
        """The live generation of each of the documents that has one and fits the filter, read consistently."""
        if not scope.filter:
            return self.catalogue.live(keys)
        live = self.catalogue.described(keys)
        return {key: one.generation for key, one in live.items() if scope.filter.fits(key, one.attributes)}

    def _hits(self, scope: Scope, vector: Sequence[float], k: int) -> list[Passage]:
        if len(scope.collections) == 1:
            return self.index.search(scope.collections[0], vector, k, scope.within(scope.collections[0]))
        with ThreadPoolExecutor(_SEARCHES_AT_ONCE) as pool:
            found = pool.map(
                lambda name: self.index.search(name, vector, k, scope.within(name)), scope.collections
            )
            hits = [hit for some in found for hit in some]
        return sorted(hits, key=lambda hit: -hit.score)[:k]


def _among(live: Mapping[str, LiveDocument], wanted: Filter) -> Scope:
    """Those of the documents that fit."""
    found: dict[str, tuple[str, ...]] = {}
    for key, one in live.items():
        if wanted.fits(key, one.attributes):
            found[collection_of(key)] = (*found.get(collection_of(key), ()), key)
    return Scope(tuple(found), filter=wanted, documents=found)
