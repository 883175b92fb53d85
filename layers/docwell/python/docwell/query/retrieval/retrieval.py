"""Find the passages for a question: search, rank, drop copies and hits that are not live, join neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from docwell.errors import BadInput
from docwell.models import Passage
from docwell.ports import Catalogue, VectorIndex
from docwell.query.document_names import named
from docwell.query.retrieval.ranking import JUDGED, fit_of, merge, rank, with_named
from docwell.query.retrieval.scope import Scope

# More candidates find few more answers and cost time.
CANDIDATES = 100
# Ask for more hits than needed, because hits of a replaced generation are dropped.
_SPARE_HITS = 10
# The most hits of one search, at about 4 KB each, however many are not live or do not match the filter.
DEEPEST = 2000
_DEEPER = 4

TOO_FEW_MATCH = "too few of too many documents match the filter: narrow it by a collection, a prefix or documents"


class RankedHits(NamedTuple):
    """The passages for a question, best first, and the `fit` that the gate decides by, None without a passage.

    `documents` are those of all ranked candidates, best first; some may not be live.
    """

    passages: tuple[Passage, ...] = ()
    fit: float | None = None
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Retrieval:
    """Finds live passages by meaning and by words.

    A search finds the nearest chunks, and `rank` orders them again. Neighbouring chunks of a page become one
    passage. `deepest` is the most hits that a search of the index returns.
    """

    catalogue: Catalogue
    index: VectorIndex
    deepest: int = DEEPEST

    def search(
        self, scope: Scope, vector: Sequence[float], top_k: int, question: str = "", spare: int = 0
    ) -> RankedHits:
        """Return the `top_k` best live passages and up to `spare` more, best first.

        Rank by cosine without a question. The fit is of question and scope alone.

        Raises:
            BadInput: too many documents to look through, and fewer than `top_k` passages match and are allowed.
        """
        if scope.places == {}:
            return RankedHits()
        generations: dict[str, str | None] = {}
        judged: list[Passage] = []
        most = top_k + spare
        depth = (CANDIDATES if question else most) + _SPARE_HITS
        while True:
            hits, is_end, is_cut = self._nearest(scope, vector, depth, generations)
            ranked = [passage for passage, _ in rank(question, vector, hits)] if question else hits
            live = _Live(scope, self.catalogue, ranked, most, generations)
            first = list(islice(live, JUDGED if question else most))
            passages = merge(chain(first, live), most) if question else first
            # Judge the first search with JUDGED chunks, so that the gate does not depend on `top_k`.
            judged = judged if len(judged) >= JUDGED else first
            enough = len(passages) >= most and (len(judged) >= JUDGED or not question)
            # Copies, and hits that are not live, can crowd out others, so search deeper.
            if enough or is_end or not (live.dropped or live.copies or depth < most):
                break
            depth = min(depth * _DEEPER, self.deepest)
        if is_cut and scope.is_narrowed and live.shown + live.copies < top_k:
            raise BadInput(TOO_FEW_MATCH)
        documents = tuple(dict.fromkeys(passage.document for passage in ranked))
        if question and (names := named(question, documents)):
            of_names = (passage for passage in ranked if passage.document in names)
            passages = with_named(names, passages, filter(live.has, of_names))
        return RankedHits(tuple(passages), fit_of(question, judged) if question else None, documents)

    def _nearest(
        self, scope: Scope, vector: Sequence[float], count: int, generations: dict[str, str | None]
    ) -> tuple[list[Passage], bool, bool]:
        """Return the `count` nearest chunks that the asker may read.

        Also return whether the search ends there, and whether it ends because of docwell's limit of depth.

        A forbidden chunk must not affect the rank of others, the number of ranked chunks, or a refusal.
        """
        depth = count
        while True:
            hits = self.index.search(scope.places, vector, depth)
            may_read = (
                _Live(scope, self.catalogue, hits, depth, generations).has if scope.is_narrowed else scope.covers
            )
            allowed = list(filter(may_read, hits))
            is_whole, is_deepest = len(hits) < depth, depth >= self.deepest
            if len(allowed) >= count or is_whole or is_deepest:
                end = (is_whole or is_deepest) and len(allowed) <= count
                return allowed[:count], end, end and not is_whole
            depth = min(depth * _DEEPER, self.deepest)


class _Live(Iterator[Passage]):
    """Iterates over the passages whose generation is live, and counts those shown and dropped.

    Of passages with the same text only the first is shown: five copies would fill all five places. It asks the
    ledger once for each document that is not in `generations`, so that an answer uses one generation of a
    document: first for `2 * top_k` documents, then for twice as many each time.
    """

    def __init__(
        self,
        scope: Scope,
        catalogue: Catalogue,
        ranked: Sequence[Passage],
        top_k: int,
        generations: dict[str, str | None],
    ) -> None:
        self._left = iter(ranked)
        firsts = {passage.chunk.text: passage.document for passage in reversed(ranked)}
        # Read the documents of copies last: if the first copy is live, they do not matter.
        self._unread = iter(
            dict.fromkeys(chain(reversed(firsts.values()), (passage.document for passage in ranked)))
        )
        self._scope, self._catalogue = scope, catalogue
        self._generations = generations
        self._documents = 2 * top_k
        self._texts: set[str] = set()
        self.shown = self.copies = self.dropped = 0

    def has(self, passage: Passage) -> bool:
        """Return whether a passage of the ranking is live and allowed."""
        if passage.document not in self._generations:
            unread = (key for key in self._unread if key not in self._generations and key != passage.document)
            keys = [passage.document, *islice(unread, self._documents - 1)]
            self._documents *= 2
            self._generations |= {**dict.fromkeys(keys), **self._scope.live(self._catalogue, keys)}
        return self._generations[passage.document] == passage.generation

    def __next__(self) -> Passage:
        for passage in self._left:
            if passage.chunk.text in self._texts:  # a copy is never shown
                self.copies += 1
            elif not self.has(passage):
                self.dropped += 1
            else:
                self._texts.add(passage.chunk.text)
                self.shown += 1
                return passage
        raise StopIteration
