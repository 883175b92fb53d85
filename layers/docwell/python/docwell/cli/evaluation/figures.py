"""The figures of a run, and of two runs of the same questions in pairs. Pure."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from docwell.cli.evaluation.run import SEARCHED, Run
from docwell.cli.evaluation.verdicts import GOOD, Verdict
from docwell.cli.remote import Json

_RANKS = (1, 3, SEARCHED)
# The columns that make two rows the same question.
_QUESTION = ("question", "document", "page", "expected", "unanswerable", "collection", "language")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. With `of`, `value` counts cases among these."""

    name: str
    value: float
    unit: str = ""
    of: int | None = None

    @property
    def share(self) -> float:
        """The percentage of the cases, or the value of another figure."""
        return self.value if self.of is None else 100 * self.value / self.of

    def __str__(self) -> str:
        if self.of is None:
            return f"{self.value:,.6g} {self.unit}".strip()
        return f"{self.value:,.0f} of {self.of:,} ({self.share:.0f} %)"


def figures_of(rows: Sequence[Json]) -> list[Figure]:
    """Return the figures that the rows have cases for."""
    found = [*_retrieval(rows, "document"), *_retrieval(rows, "page")]
    judged = [row for row in rows if "status" in row]
    answerable = [row for row in judged if not row["unanswerable"]]
    unanswerable = [row for row in judged if row["unanswerable"]]
    for verdict, cases in (
        (Verdict.RIGHT, answerable),
        (Verdict.WRONG, judged),
        (Verdict.WRONG_MARKED, judged),
        (Verdict.WRONGLY_REFUSED, answerable),
        (Verdict.RIGHTLY_REFUSED, unanswerable),
    ):
        if cases:
            found.append(Figure(f"answers: {verdict}", _count(cases, verdict), of=len(cases)))
    if cited := [row for row in answerable if row["page"] and row["verdict"] == Verdict.RIGHT]:
        found.append(
            Figure("right answers that cite the page", sum(row["cites_page"] for row in cited), of=len(cited))
        )
    if rows:
        found.append(Figure("questions that failed", sum(bool(row["error"]) for row in rows), of=len(rows)))
    return [*found, *_expense(judged)]


def good_share(rows: Sequence[Json]) -> float:
    """Return the percentage of the judged questions, failed ones included, that are right or rightly refused."""
    judged = [row for row in rows if "verdict" in row]
    return 100 * sum(row["verdict"] in GOOD for row in judged) / len(judged) if judged else 0.0


@dataclass(frozen=True, slots=True)
class Paired:
    """The questions that got better, worse, or stayed the same, from the first run to the second."""

    name: str
    better: int
    worse: int
    same: int

    @property
    def chance(self) -> float:
        """Return how often chance gives such a difference or a larger one: the two-sided sign test, 0 to 1."""
        changed = self.better + self.worse
        tail = sum(math.comb(changed, hits) for hits in range(min(self.better, self.worse) + 1))
        return min(1.0, 2 * tail / (1 << changed))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs in pairs.

    `counts` has what the questions measure, `changed` the rows whose verdict differs, and `unpaired` counts the
    other questions.
    """

    counts: tuple[Paired, ...]
    changed: tuple[tuple[Json, Json], ...]
    unpaired: int
    expense: tuple[tuple[str, str, str], ...]

    @property
    def is_worse(self) -> bool:
        """Whether more answers are worse than better; of retrieval alone, more pages."""
        return bool(self.counts) and self.counts[0].worse > self.counts[0].better


def compare(first: Run, second: Run) -> Comparison:
    """Pair the questions of two runs. A question that failed in one of them counts as unpaired."""
    before, after = ({_key(row): row for row in run.rows if not row["error"]} for run in (first, second))
    pairs = [(row, after[key]) for key, row in before.items() if key in after]
    everything = {_key(row) for run in (first, second) for row in run.rows}
    judged = [(one, other) for one, other in pairs if "verdict" in one]
    searched = [(one, other) for one, other in pairs if "document_rank" in one]
    paged = [(one, other) for one, other in searched if one["page"]]
    answers = [(one["verdict"] in GOOD, other["verdict"] in GOOD) for one, other in judged]
    counts = [
        _paired("answers: right or rightly refused", answers),
        _paired("rank of the page", [(_nearness(a["page_rank"]), _nearness(b["page_rank"])) for a, b in paged]),
        _paired(
            "rank of the document",
            [(_nearness(a["document_rank"]), _nearness(b["document_rank"])) for a, b in searched],
        ),
    ]
    changed = tuple((one, other) for one, other in judged if one["verdict"] != other["verdict"])
    then, now = ({one.name: str(one) for one in _expense([pair[side] for pair in judged])} for side in (0, 1))
    expense = tuple((name, then.get(name, "-"), now.get(name, "-")) for name in {**then, **now})
    counted = tuple(one for one in counts if one.better + one.worse + one.same)
    return Comparison(counted, changed, len(everything) - len(pairs), expense)


def _retrieval(rows: Sequence[Json], what: str) -> list[Figure]:
    cases = [row for row in rows if "document_rank" in row and row[what]]
    ranks = [row[f"{what}_rank"] for row in cases]
    if not cases:
        return []
    return [
        Figure(f"hit@{most}: {what}", sum(rank is not None and rank <= most for rank in ranks), of=len(ranks))
        for most in _RANKS
    ]


def _expense(judged: Sequence[Json]) -> list[Figure]:
    """Return tokens, seconds and cost of the answers, nothing without any."""
    if not judged:
        return []
    seconds = [row["seconds"] for row in judged]
    found = [
        Figure("prompt tokens", sum(row["prompt_tokens"] for row in judged)),
        Figure("completion tokens", sum(row["completion_tokens"] for row in judged)),
        Figure("seconds for an answer, median", round(statistics.median(seconds), 2), "s"),
        Figure("seconds for an answer, longest", round(max(seconds), 2), "s"),
    ]
    costs: Counter[str] = Counter()
    for row in judged:
        costs[row["currency"] or ""] += row["cost"] or 0
    return found + [Figure(f"cost, {currency}", round(amount, 6)) for currency, amount in costs.items() if amount]


def _count(rows: Sequence[Json], verdict: Verdict) -> int:
    return sum(row["verdict"] == verdict for row in rows)


def _key(row: Json) -> tuple[object, ...]:
    return tuple(row[name] for name in _QUESTION)


def _nearness(rank: int | None) -> int:
    return -(SEARCHED + 1 if rank is None else rank)


def _paired(name: str, pairs: Sequence[tuple[int, int]]) -> Paired:
    better = sum(after > before for before, after in pairs)
    worse = sum(after < before for before, after in pairs)
    return Paired(name, better, worse, len(pairs) - better - worse)
