"""The ways to retrieve that are compared: the one table of the ranking's parts and of candidate configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product

from docwell.models import Passage
from docwell.query.retrieval.ranking import Weights
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope


@dataclass(frozen=True, slots=True)
class Way:
    """One configuration of retrieval. Without `question`, passages are ranked by their vectors alone."""

    weights: Weights = field(default_factory=Weights)
    question: bool = True

    def search(
        self, retrieval: Retrieval, scope: Scope, vector: Sequence[float], top_k: int, question: str
    ) -> Sequence[Passage]:
        configured = replace(retrieval, weights=self.weights)
        return configured.search(scope, vector, top_k, question if self.question else "").passages


# Few and round, so that little can be fitted to the questions.
_GRID: Mapping[str, tuple[float, ...]] = {"unit": (0.3, 0.5, 0.7, 1.0), "words": (0.25, 0.5, 1.0)}


def _grid() -> dict[str, Way]:
    """Return each combination of the grid's weights, except the default, by its name."""
    chosen = (dict(zip(_GRID, values, strict=True)) for values in product(*_GRID.values()))
    named = {
        ",".join(f"{name}={value:g}" for name, value in one.items()): replace(Weights(), **one) for one in chosen
    }
    return {name: Way(weights) for name, weights in named.items() if weights != Weights()}


DEFAULT = "ranked"
# A part of the ranking, and the way without it: a weight of 0 switches a part off.
PARTS = {part.name: f"without-{part.name}" for part in fields(Weights)}
WAYS = {
    DEFAULT: Way(),
    "nearest": Way(question=False),
    **{without: Way(replace(Weights(), **{part: 0.0})) for part, without in PARTS.items()},
    **_grid(),
}
