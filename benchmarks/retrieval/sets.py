"""The evaluation sets, the ways to retrieve, and the measures of what a question finds.

Recall, precision, precision-omega and IoU are those of Chroma's report on chunking (2024): shares of characters.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from docwell.models import Passage
from docwell.query.retrieval.ranking import Weights
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, whose document is `key`. `pages` are (key, 1-based page); `spans` are characters of the text.

    A set has pages or spans.
    """

    text: str
    key: str
    pages: frozenset[tuple[str, int]] = frozenset()
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions, and the files of their documents by key; all keys are in the collection `name`."""

    name: str
    title: str
    files: dict[str, Path]
    asked: tuple[Asked, ...]

    def sample(self, count: int | None) -> Self:
        """Return about `count` of the questions, spread evenly, over all documents."""
        if count is None or count >= len(self.asked):
            return self
        step = len(self.asked) / count
        return replace(self, asked=tuple(self.asked[int(i * step)] for i in range(count)))


def chunking(folder: Path) -> EvaluationSet:
    """Load Chroma's chunking evaluation: five long texts, with references exact to the character."""
    files = {f"chunking/{path.name}": path for path in sorted((folder / "chunking" / "corpora").glob("*.md"))}
    with (folder / "chunking" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def spans(row: dict[str, str]) -> tuple[tuple[int, int], ...]:
        return tuple((one["start_index"], one["end_index"]) for one in json.loads(row["references"]))

    asked = tuple(Asked(row["question"], f"chunking/{row['corpus_id']}.md", spans=spans(row)) for row in rows)
    return EvaluationSet("chunking", "chunking (Chroma)", files, asked)


def financebench(folder: Path) -> EvaluationSet:
    """Load questions on company filings, with the pages of the evidence."""

    def pages(row: dict[str, Any]) -> frozenset[tuple[str, int]]:
        return frozenset(
            (f"financebench/{one['doc']}.pdf", one[field])
            for one in row["evidence"]
            for field in ("page1", "best_page1")
        )

    rows = _questions(folder, "financebench/questions_dev.json")
    asked = tuple(Asked(row["question"], f"financebench/{row['doc']}.pdf", pages(row)) for row in rows)
    return EvaluationSet("financebench", "FinanceBench", _pdfs(folder, "financebench"), asked)


def xquad(folder: Path) -> EvaluationSet:
    """Load English questions on English articles, among translations of some articles into eight languages."""
    rows = [(f"xquad/{row['doc']}", row) for row in _questions(folder, "xquad/questions_en_dev.json")]
    asked = tuple(Asked(row["question"], key, frozenset({(key, row["page"])})) for key, row in rows)
    return EvaluationSet("xquad", "XQuAD", _pdfs(folder, "xquad"), asked)


SETS = {"chunking": chunking, "financebench": financebench, "xquad": xquad}


def _questions(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / name).read_text(encoding="utf-8"))
    return rows


def _pdfs(folder: Path, name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in sorted((folder / name / "pdf").glob("*.pdf"))}


@dataclass(frozen=True, slots=True)
class Way:
    """One configuration of retrieval. Without `question`, passages are ranked by their vectors alone."""

    name: str
    weights: Weights = field(default_factory=Weights)
    question: bool = True

    def search(
        self, retrieval: Retrieval, scope: Scope, vector: Sequence[float], top_k: int, question: str
    ) -> list[Passage]:
        configured = replace(retrieval, weights=self.weights)
        return configured.search(scope, vector, top_k, question if self.question else "")


WAYS = {
    way.name: way
    for way in (
        Way("nearest", question=False),
        Way("ranked"),
        Way("without-units", Weights(unit=0.0)),
        Way("without-words", Weights(words=0.0)),
        Way("without-name", Weights(name=0.0)),
    )
}


HITS = (1, 3, 5, 10)

Span = tuple[float, float]


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return the same places in spans that do not touch, in order.

    >>> merged([(5, 9), (0, 3), (2, 4)])
    [(0, 4), (5, 9)]
    """
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def length(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)


def overlap(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Return the number of characters in both, each counted once."""
    both = [(max(a, x), min(b, y)) for a, b in one for x, y in other if max(a, x) < min(b, y)]
    return length(merged(both))


def of_characters(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return recall, precision and IoU (0 to 100); a character retrieved twice counts twice as retrieved."""
    references = merged(asked.spans)
    own = [(one.chunk.start, one.chunk.end) for one in passages if one.document == asked.key]
    found, wanted = overlap(own, references), length(references)
    retrieved = sum(one.chunk.end - one.chunk.start for one in passages)
    return {
        "recall": 100 * found / wanted,
        "precision": 100 * found / retrieved if retrieved else 0.0,
        "IoU": 100 * found / (retrieved + wanted - found),
    }


def precision_omega(asked: Asked, chunks: Sequence[Span]) -> float:
    """Return the precision (0 to 100) of exactly the chunks that touch a reference: the chunker's limit."""
    references = merged(asked.spans)
    touched = [span for span in chunks if overlap([span], references)]
    return 100 * overlap(touched, references) / length(touched) if touched else 0.0


def of_pages(asked: Asked, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether one of the first 1, 3, 5, 10 passages is on a page that answers: 0 or 100 each."""
    rank = rank_of_page(asked, passages)
    return {f"page hit@{k}": 100.0 * (rank <= k) for k in HITS}


def rank_of_page(asked: Asked, passages: Sequence[Passage]) -> int:
    """Return the rank, from 1, of the first passage on a page that answers; a larger number where none is."""
    for place, passage in enumerate(passages, 1):
        if (passage.document, passage.chunk.page) in asked.pages:
            return place
    return len(passages) + 1 + max(HITS)
