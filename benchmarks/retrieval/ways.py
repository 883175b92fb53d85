"""Ways to retrieve that are compared: what docwell does, and the same without one part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from docwell.models import Passage
from docwell.query.retrieval.ranking import Weights
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope


@dataclass(frozen=True, slots=True)
class Way:
    """One configuration of retrieval. Without `question` passages come by their vectors alone."""

    name: str
    weights: Weights = field(default_factory=Weights)
    question: bool = True

    def search(
        self, retrieval: Retrieval, scope: Scope, vector: Sequence[float], top_k: int, question: str
    ) -> list[Passage]:
        """The passages that this way gives."""
        configured = replace(retrieval, weights=self.weights)
        return configured.search(scope, vector, top_k, question if self.question else "")


NEAREST = Way("nearest", question=False)
RANKED = Way("ranked")
WAYS = {
    way.name: way
    for way in (
        NEAREST,
        RANKED,
        Way("without-units", Weights(unit=0.0)),
        Way("without-words", Weights(words=0.0)),
        Way("without-name", Weights(name=0.0)),
    )
}
