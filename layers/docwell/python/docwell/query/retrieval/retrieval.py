"""What a question may see, and the passages that it finds there."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Protocol

from docwell.errors import BadInput, NotFound
from docwell.identity import Principal
from docwell.models import Passage, Status, Units, collection_of
from docwell.ports import Catalogue, LiveDocument, LiveDocuments, VectorIndex
from docwell.query.retrieval.filters import ANY, Filter
from docwell.query.retrieval.merging import merge
from docwell.query.retrieval.ranking import Ranked, Weights, focus, rank
from docwell.query.retrieval.scope import select

# A generation that is being replaced has hits that are dropped, so more are asked for than are needed.
_SPARE_HITS = 10
CANDIDATES = 100
_SEARCHES_AT_ONCE = 8
# So many hits are looked at (of about 4 KB each) and no more, however many are not live or do not fit a filter.
DEEPEST = 2000

# Said alike of what does not exist and of what is somebody else's.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
NO_DOCUMENT = "no document has this key"
TOO_FEW_FIT = "the filter leaves too few of too many documents: narrow it by a collection, a prefix or documents"


class FilteredCatalogue(Catalogue, LiveDocuments, Protocol):
    """The ledger as questions need it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: collections that exist and that the caller may read, or some documents of them.

    Every hit must fit the `filter`. `documents` has by collection those that did; None where they are not known.
    """

    collections: tuple[str, ...]
    filter: Filter = ANY
    documents: Mapping[str, tuple[str, ...]] | None = None

    def within(self, collection: str) -> tuple[str, ...] | None:
        """The documents of a collection to search in; None: all of them."""
        return self.documents[collection] if self.documents is not None else None


@dataclass(frozen=True)
class Retrieval:
    """Live passages by meaning and by words.

    The `candidates` nearest ones are ranked again: more find little more and cost time. Those that stand beside
    each other on a page are given as one (`docwell.query.retrieval.merging`). `focused` cuts each down to its
    part that answers
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
            if any(key not in live and not self._is_there(key) for key in named):
                raise NotFound(NO_DOCUMENT)
            return (
                _among(live, wanted)
                if wanted
                else Scope(tuple(homes), documents=dict.fromkeys(homes, tuple(named)))
            )
        visible = [name for name in self.index.collections() if principal.may_read(name)]
        if not set(collections) <= set(visible):
            raise NotFound(NO_COLLECTION)
        scope = Scope(tuple(collections or visible), filter=wanted)
        found = select(self.catalogue, scope.collections, wanted) if wanted else None
        return scope if found is None else replace(scope, collections=tuple(found), documents=found)

    def search(self, scope: Scope, vector: Sequence[float], top_k: int, question: str = "") -> list[Passage]:
        """Return the `top_k` best live passages, best first; nearest first without a question.

        Raises `BadInput` for a filter that leaves less than that of more documents than can be looked through.
        """
        wanted = max(top_k, self.candidates if question else top_k) + _SPARE_HITS
        while True:
            hits = self._hits(scope, vector, wanted)
            ranked = rank(question, vector, hits, self.weights) if question else list(map(Ranked.by_cosine, hits))
            live = _Live(ranked, lambda keys: self._live_generations(scope, keys), top_k)
            found = self._best(question, live, top_k)
            # Hits that are not live can crowd out those that are: then look deeper, as deep as there is.
            if len(found) >= top_k or not live.dropped or len(hits) < wanted:
                break
            if wanted >= DEEPEST:
                if scope.filter and scope.documents is None and live.kept < top_k:
                    raise BadInput(TOO_FEW_FIT)
                break
            wanted = min(wanted * 4, DEEPEST)
        # What they were ranked by has served.
        return [replace(one, units=Units()) for one in found]

    def _is_there(self, key: str) -> bool:
        # The row of a deleted document stays; its key names as little as one that never was.
        record = self.catalogue.get(key)
        return record is not None and record.status is not Status.DELETED

    def _best(self, question: str, live: Iterator[Ranked], top_k: int) -> list[Passage]:
        if not question:
            return [one.passage for one in islice(live, top_k)]
        if self.focused:
            return focus(question, list(live), top_k, self.weights)
        return merge((one.passage for one in live), top_k)

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
            return heapq.nlargest(k, chain.from_iterable(found), key=lambda hit: hit.score)


class _Live(Iterator[Ranked]):
    """Those of the ranked whose generation is the live one. The ledger is asked for as many as are taken.

    Asked once for each document, so that one answer has one generation of it: of the first `2 * top_k` documents,
    and then of twice as many each time. `kept` and `dropped` count what was looked at.
    """

    def __init__(
        self, ranked: Sequence[Ranked], generations: Callable[[Sequence[str]], Mapping[str, str]], top_k: int
    ) -> None:
        self._left = deque(ranked)
        self._generations = generations
        self._known: dict[str, str | None] = {}
        self._documents = 2 * top_k
        self.kept = self.dropped = 0

    def __next__(self) -> Ranked:
        while self._left:
            one = self._left.popleft()
            document, generation = one.passage.document, one.passage.generation
            if document not in self._known:
                self._ask(document)
            if self._known[document] == generation:
                self.kept += 1
                return one
            self.dropped += 1
        raise StopIteration

    def _ask(self, document: str) -> None:
        coming = (one.passage.document for one in self._left)
        unknown = dict.fromkeys(key for key in chain((document,), coming) if key not in self._known)
        keys = list(islice(unknown, self._documents))
        live = self._generations(keys)
        self._known |= {key: live.get(key) for key in keys}
        self._documents *= 2


def _among(live: Mapping[str, LiveDocument], wanted: Filter) -> Scope:
    """Those of the documents that fit."""
    found: dict[str, tuple[str, ...]] = {}
    for key, one in live.items():
        if wanted.fits(key, one.attributes):
            found[collection_of(key)] = (*found.get(collection_of(key), ()), key)
    return Scope(tuple(found), filter=wanted, documents=found)
