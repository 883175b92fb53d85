"""Find the passages for a question: search, rank, drop copies and hits that are not live, join neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from docwell.errors import BadInput
from docwell.identity import Principal
from docwell.models import Passage, Units
from docwell.ports import Catalogue, VectorIndex
from docwell.query.retrieval.expansion import Wording, fuse
from docwell.query.retrieval.filters import ANY, Filter
from docwell.query.retrieval.gates import background
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

TOO_FEW_MATCH = "too few of too many documents match the filter: narrow it by a collection, a prefix or documents"


class Found(NamedTuple):
    """The passages for a question, best first, and the `background` that the gate compares them with."""

    passages: tuple[Passage, ...] = ()
    background: float = 0.0


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
        return find_scope(self.catalogue, principal, collections, document, wanted)

    def search(
        self,
        scope: Scope,
        vector: Sequence[float],
        top_k: int,
        question: str = "",
        spare: int = 0,
        wordings: Sequence[Wording] = (),
    ) -> Found:
        """Return the `top_k` best live passages and up to `spare` more, best first.

        Without a question, rank by cosine alone. Other `wordings` of it are searched for too.

        Raises:
            BadInput: too many documents to look through, and fewer than `top_k` passages match and are allowed.
        """
        if scope.is_empty:
            return Found()
        most = top_k + spare
        wanted = (max(most, CANDIDATES) if question else most) + _SPARE_HITS
        while True:
            hits = self.index.search(scope.places, vector, wanted)
            ranked = [one.passage for one in rank(question, vector, hits, self.weights)] if question else hits
            fused = fuse([ranked, *(self._ranked(scope, one, wanted) for one in wordings)]) if wordings else ranked
            live = _Live(fused, lambda keys: scope.live(self.catalogue, keys), most)
            found = merge(live, most) if question else list(islice(live, most))
            # Copies, and hits that are not live, can crowd out others, so search deeper.
            if len(found) >= most or not live.dropped + live.copies or len(hits) < wanted:
                break
            if wanted >= DEEPEST:
                if scope.is_narrowed and live.kept + live.copies < top_k:
                    raise BadInput(TOO_FEW_MATCH)
                break
            wanted = min(wanted * _DEEPER, DEEPEST)
        # Other hits may be forbidden, and must not decide what this asker is refused.
        counted = [one for one in ranked if live.has(one)] if scope.is_narrowed else ranked
        # Drop the unit vectors; only ranking needs them.
        return Found(tuple(replace(one, units=Units()) for one in found), background(counted))

    def _ranked(self, scope: Scope, wording: Wording, wanted: int) -> list[Passage]:
        hits = self.index.search(scope.places, wording.vector, wanted)
        return [one.passage for one in rank(wording.text, wording.vector, hits, self.weights)]


class _Live(Iterator[Passage]):
    """Iterates over the passages whose generation is live, and counts those kept and dropped.

    Of passages with the same text only the first is kept: five copies would fill all five places.
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
        self._texts: set[str] = set()
        self.kept = self.copies = self.dropped = 0

    def has(self, one: Passage) -> bool:
        """Return whether a passage of the ranking is live and allowed."""
        while one.document not in self._known:
            keys = list(islice(self._unknown, self._documents))
            self._documents *= 2
            self._known |= {**dict.fromkeys(keys), **self._generations(keys)}
        return self._known[one.document] == one.generation

    def __next__(self) -> Passage:
        for one in self._left:
            if not self.has(one):
                self.dropped += 1
            elif one.chunk.text in self._texts:
                self.copies += 1
            else:
                self._texts.add(one.chunk.text)
                self.kept += 1
                return one
        raise StopIteration
