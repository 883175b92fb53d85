"""What a question may see, and the passages that it finds there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.merging import merge
from docwell.models import Passage, Units, collection_of
from docwell.ports import Catalogue, VectorIndex
from docwell.ranking import Weights, focus, rank

# A generation that is being replaced has hits that are dropped, so more are asked for than are needed.
_SPARE_HITS = 10
CANDIDATES = 100
_SEARCHES_AT_ONCE = 8

# Said alike of what does not exist and of what is somebody else's.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
NO_DOCUMENT = "no document has this key"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: collections that exist and that the caller may read, or one document of one of them."""

    collections: tuple[str, ...]
    document: str | None = None


@dataclass(frozen=True)
class Retrieval:
    """Live passages by meaning and by words.

    The `candidates` nearest ones are ranked again: more find little more and cost time. Those that stand beside
    each other on a page are given as one (`docwell.merging`). `focused` cuts each down to its part that answers
    instead: shorter prompts, and less around the answer.
    """

    catalogue: Catalogue
    index: VectorIndex
    candidates: int = CANDIDATES
    weights: Weights = field(default_factory=Weights)
    focused: bool = False

    def scope(self, principal: Principal, collections: Sequence[str], document: str | None) -> Scope:
        """What of the collections (none: all) and the document the principal may see.

        Raises:
            NotFound: one of them does not exist, or is not this principal's.
        """
        if document is not None:
            home = collection_of(document)
            readable = principal.may_read(home) and (not collections or home in collections)
            if not readable or self.catalogue.get(document) is None:
                raise NotFound(NO_DOCUMENT)
            return Scope((home,), document)
        visible = [name for name in self.index.collections() if principal.may_read(name)]
        if not set(collections) <= set(visible):
            raise NotFound(NO_COLLECTION)
        return Scope(tuple(collections or visible))

    def search(self, scope: Scope, vector: Sequence[float], top_k: int, question: str = "") -> list[Passage]:
        """The `top_k` best live passages, best first (`docwell.ranking`); nearest first without a question."""
        candidates = self._live(scope, vector, max(top_k, self.candidates if question else top_k))
        if question:
            ranked = rank(question, vector, candidates, self.weights)
            if self.focused:
                candidates = focus(question, ranked, top_k, self.weights)
            else:
                candidates = merge([one.passage for one in ranked], top_k)
        # What they were ranked by has served.
        return [replace(one, units=Units()) for one in candidates[:top_k]]

    def _live(self, scope: Scope, vector: Sequence[float], count: int) -> list[Passage]:
        """The `count` nearest live passages, nearest first."""
        wanted = count + _SPARE_HITS
        while True:
            hits = self._hits(scope, vector, wanted)
            live = self.catalogue.live([hit.document for hit in hits])
            kept = [hit for hit in hits if live.get(hit.document) == hit.generation]
            # Hits that are not live can crowd out those that are: then look deeper, as deep as there is.
            if len(kept) >= count or len(kept) == len(hits) or len(hits) < wanted:
                return kept[:count]
            wanted *= 4

    def _hits(self, scope: Scope, vector: Sequence[float], k: int) -> list[Passage]:
        if len(scope.collections) == 1:
            return self.index.search(scope.collections[0], vector, k, scope.document)
        with ThreadPoolExecutor(_SEARCHES_AT_ONCE) as pool:
            found = pool.map(lambda name: self.index.search(name, vector, k, None), scope.collections)
            hits = [hit for some in found for hit in some]
        return sorted(hits, key=lambda hit: -hit.score)[:k]
