"""Asks the questions of the sets in several variants of retrieval, and measures hits."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, replace

from benchmarks.retrieval.index import Indexed
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, EvaluationSet, Question
from docwell.identity import Principal
from docwell.models import Passage, collection_of
from docwell.ports import Places
from docwell.query.retrieval.ranking import JUDGED, Weights
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.progress import bar

TOP_K = 10
HITS = (1, 3, 5, 10)
_EVERYBODY = Principal("key:benchmark", collections=None)
DEFAULT, NEAREST = "ranked", "nearest"
# A part of the ranking, and the variant without it: a weight of 0 switches a part off.
PARTS = {part.name: f"without-{part.name}" for part in fields(Weights)}
# The weights of each variant; without any, passages are ranked by their vectors alone.
VARIANTS = {
    DEFAULT: Weights(),
    NEAREST: None,
    **{without: replace(Weights(), **{part: 0.0}) for part, without in PARTS.items()},
}
# A value for each question, by variant and scope, then by measure.
Scores = dict[tuple[str, str], dict[str, list[float]]]


class Asker:
    """Asks the questions of sets in one index. `mixed` names the collections that are searched together."""

    def __init__(self, indexed: Indexed, mixed: Collection[str]) -> None:
        self.mixed = tuple(mixed) if len(mixed) > 1 else ()
        self._indexed = indexed
        self._retrieval = Retrieval(indexed.catalogue, indexed.index)

    def ask(self, material: EvaluationSet, variants: Collection[str] = ()) -> Scores:
        """Return the scores of docwell and of `variants`.

        The `variants` are asked in the scopes that judge, and get ranks only.
        """
        scores: Scores = {}
        for question, vector in self.with_vectors(material):
            for scope in self.scopes(material):
                for variant in (DEFAULT, *(variants if scope in material.judged else ())):
                    values = of_ranks(question, self._search(variant, question, vector, scope))
                    for measure, value in values.items():
                        scores.setdefault((variant, scope), {}).setdefault(measure, []).append(value)
        return scores

    def scopes(self, material: EvaluationSet) -> list[str]:
        """Return the scopes in which a set's questions are asked; one set alone has no mixed collection."""
        return [scope for scope in material.scopes if scope != MIXED or self.mixed]

    def fit(self, question: Question, vector: Sequence[float], places: Places) -> float:
        """Return the figure that the gate compares; -1 without a passage."""
        fit = self._retrieval.search(Scope(_EVERYBODY, places), vector, JUDGED, question.text).fit
        return -1.0 if fit is None else fit

    def with_vectors(self, material: EvaluationSet) -> Iterator[tuple[Question, list[float]]]:
        """Yield the questions with their vectors, and show how many are done."""
        texts = [question.text for question in material.questions]
        vectors = self._indexed.embedder.embed_queries(texts).tolist()
        with bar(f"{material.title}: asking", len(vectors)) as step:
            for question, vector in zip(material.questions, vectors, strict=True):
                yield question, vector
                step()

    def places(self, question: Question, scope: str) -> Places:
        """Return the collections and documents of a scope."""
        collection = collection_of(question.key)
        places: dict[str, Places] = {
            POOLED: {collection: question.among or None},
            DOCUMENT: {collection: (question.key,)},
            MIXED: dict.fromkeys(self.mixed),
        }
        return places[scope]

    def _search(self, variant: str, question: Question, vector: Sequence[float], scope: str) -> Sequence[Passage]:
        where, weights = Scope(_EVERYBODY, self.places(question, scope)), VARIANTS[variant]
        if weights is None:
            return self._retrieval.search(where, vector, TOP_K, "").passages
        return replace(self._retrieval, weights=weights).search(where, vector, TOP_K, question.text).passages


def of_ranks(question: Question, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether one of the first 1, 3, 5, 10 passages answers, 0 or 100 each."""
    rank = rank_of_answer(question, passages)
    return {f"hit@{k}": 0.0 if rank is None or rank > k else 100.0 for k in HITS}


def rank_of_answer(question: Question, passages: Sequence[Passage]) -> int | None:
    """Return the rank, from 1, of the first passage that answers; None if no passage answers."""
    return next((rank for rank, passage in enumerate(passages, 1) if _answers(question, passage)), None)


def _answers(question: Question, passage: Passage) -> bool:
    """Return whether a passage is on a page that answers."""
    if question.pages:
        return (passage.document, passage.chunk.page) in question.pages
    return passage.document == question.key
