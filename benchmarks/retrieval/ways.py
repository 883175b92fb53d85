"""Ways to retrieve: docwell's, and the same without one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from docwell.models import Passage
from docwell.query.retrieval.ranking import Weights
from docwell.query.retrieval.retrieval import Retrieval, Scope


@dataclass(frozen=True, slots=True)
class Way:
    """One configuration of retrieval. Without `question`, passages are ranked by their vectors alone."""

    name: str
    weights: Weights = field(default_factory=Weights)
    question: bool = True
    focused: bool = False

    def search(
        self, retrieval: Retrieval, scope: Scope, vector: Sequence[float], top_k: int, question: str
    ) -> list[Passage]:
        """Return the passages."""
        configured = replace(retrieval, weights=self.weights, focused=self.focused)
        return configured.search(scope, vector, top_k, question if self.question else "")


WAYS = {
    way.name: way
    for way in (
        Way("nearest", question=False),
        Way("ranked"),
        Way("focused", focused=True),
        Way("without-units", Weights(unit=0.0)),
        Way("without-words", Weights(words=0.0)),
        Way("without-name", Weights(name=0.0)),
    )
}
