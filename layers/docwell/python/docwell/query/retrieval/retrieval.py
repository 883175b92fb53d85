"""Find the passages for a question: search, rank, drop copies and hits that are not live, join neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

from docwell.errors import BadInput
from docwell.identity import Principal
from docwell.models import Passage
from docwell.ports import Catalogue, VectorIndex
from docwell.query.retrieval import gates
from docwell.query.retrieval.expansion import Wording, fuse
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

TOO_FEW_MATCH = "too few of too many documents match the filter: narrow it by a collection, a prefix or documents"


class Found(NamedTuple):
    """The passages for a question, best first, and the `fit` that the gate decides by, None without a passage.

    `documents` are those of all ranked candidates, best first; some may not be live.
    """

    passages: tuple[Passage, ...] = ()
    fit: float | None = None
    documents: tuple[str, ...] = ()


class _Nearest(NamedTuple):
    """The nearest allowed chunks. They `end` where the index does, or where docwell looks no deeper: `cut`."""

    hits: list[Passage]
    end: bool
    cut: bool


@dataclass(frozen=True)
class Retrieval:
    """Finds live passages by meaning and by words.

    A search brings the nearest chunks, which are ranked again. Chunks that follow each other on a page become one
    passage. `deepest` is the most hits that a search of the index returns.
    """

    catalogue: Catalogue
    index: VectorIndex
    weights: Weights = field(default_factory=Weights)
    deepest: int = DEEPEST

    def scope(
        self,
        principal: Principal,
        collections: Sequence[str],
        document: str | None,
        wanted: Filter = ANY,
        *,
        proves: bool = True,
    ) -> Scope:
        """Return where to search, as `find_scope` does."""
        return find_scope(self.catalogue, principal, collections, document, wanted, proves=proves)

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

        Rank by cosine without a question. Search for other `wordings` too. The fit is of question and scope alone.

        Raises:
            NotFound: the scope's collection does not exist.
            BadInput: too many documents to look through, and fewer than `top_k` passages match and are allowed.
        """
        if scope.is_empty:
            return Found()
        known: dict[str, str | None] = {}
        judged: list[Passage] = []
        fit, most = None, top_k + spare
        wanted = (CANDIDATES if question else most) + _SPARE_HITS
        while True:
            nearest = self._nearest(scope, vector, wanted, known)
            ranked = self._ranked(nearest.hits, vector, question)
            reworded = [(one, self._nearest(scope, one.vector, wanted, known)) for one in wordings]
            others = [self._ranked(near.hits, one.vector, one.text) for one, near in reworded]
            live = self._live(scope, fuse([ranked, *others]) if others else ranked, most, known)
            found = merge(live, most) if question else list(islice(live, most))
            crowded = live.dropped + live.copies
            # The first depth that is deep enough decides, however many passages are to be shown.
            if question and len(judged) < gates.JUDGED:
                own = self._live(scope, ranked, gates.JUDGED, known)
                judged = merge(own, gates.JUDGED)
                fit = gates.fit(question, judged, gates.background(ranked)) if judged else None
                crowded += own.dropped + own.copies
            enough = len(found) >= most and (len(judged) >= gates.JUDGED or not question)
            # Copies, and hits that are not live, can crowd out others, so search deeper.
            if enough or nearest.end or not (crowded or wanted < most):
                break
            wanted = min(wanted * _DEEPER, self.deepest)
        if nearest.cut and scope.is_narrowed and live.kept + live.copies < top_k:
            raise BadInput(TOO_FEW_MATCH)
        if not found:
            scope.prove(self.catalogue)
        documents = tuple(dict.fromkeys(one.document for one in ranked))
        return Found(tuple(found), fit, documents)

    def _ranked(self, hits: Sequence[Passage], vector: Sequence[float], text: str) -> Sequence[Passage]:
        return [one.passage for one in rank(text, vector, hits, self.weights)] if text else hits

    def _nearest(
        self, scope: Scope, vector: Sequence[float], wanted: int, known: dict[str, str | None]
    ) -> _Nearest:
        """Return the `wanted` nearest chunks, without those that the asker may not read.

        A forbidden chunk must decide neither the rank of another, nor how many are ranked, nor a refusal.
        """
        depth = wanted
        while True:
            hits = self.index.search(scope.places, vector, depth)
            may_read = self._live(scope, hits, depth, known).has if scope.is_narrowed else scope.covers
            allowed = list(filter(may_read, hits))
            all_of_them, deepest = len(hits) < depth, depth >= self.deepest
            if len(allowed) >= wanted or all_of_them or deepest:
                end = (all_of_them or deepest) and len(allowed) <= wanted
                return _Nearest(allowed[:wanted], end, end and not all_of_them)
            depth = min(depth * _DEEPER, self.deepest)

    def _live(self, scope: Scope, ranked: Sequence[Passage], most: int, known: dict[str, str | None]) -> _Live:
        return _Live(ranked, lambda keys: scope.live(self.catalogue, keys), most, known)


class _Live(Iterator[Passage]):
    """Iterates over the passages whose generation is live, and counts those kept and dropped.

    Of passages with the same text only the first is kept: five copies would fill all five places.
    It asks the ledger once for each document that is not `known`, so that one answer has one generation of it:
    first for `2 * top_k` documents, then for twice as many each time.
    """

    def __init__(
        self,
        ranked: Sequence[Passage],
        generations: Callable[[Sequence[str]], Mapping[str, str]],
        top_k: int,
        known: dict[str, str | None],
    ) -> None:
        self._left = iter(ranked)
        firsts = {one.chunk.text: one.document for one in reversed(ranked)}
        # Copies come last: if the first of them is live, the others' documents do not matter.
        self._unknown = iter(dict.fromkeys(chain(reversed(firsts.values()), (one.document for one in ranked))))
        self._generations = generations
        self._known = known
        self._documents = 2 * top_k
        self._texts: set[str] = set()
        self.kept = self.copies = self.dropped = 0

    def has(self, one: Passage) -> bool:
        """Return whether a passage of the ranking is live and allowed."""
        if one.document not in self._known:
            others = (key for key in self._unknown if key not in self._known and key != one.document)
            keys = [one.document, *islice(others, self._documents - 1)]
            self._documents *= 2
            self._known |= {**dict.fromkeys(keys), **self._generations(keys)}
        return self._known[one.document] == one.generation

    def __next__(self) -> Passage:
        for one in self._left:
            if one.chunk.text in self._texts:  # live or not, it is not shown
                self.copies += 1
            elif not self.has(one):
                self.dropped += 1
            else:
                self._texts.add(one.chunk.text)
                self.kept += 1
                return one
        raise StopIteration
