"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. The
index is a new Chroma server. Vectors are cached under `build/retrieval-cache` for the next run. `--against WAY`
compares two ways to retrieve on the same questions.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

from benchmarks.retrieval.index import CachedEmbedder, catalogue, indexed, new_index
from benchmarks.retrieval.sets import (
    SETS,
    WAYS,
    Asked,
    EvaluationSet,
    Way,
    of_characters,
    of_pages,
    precision_omega,
    rank_of_page,
)
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import IngestLimits
from docwell.identity import Principal
from docwell.models import Passage
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.local.stack import MODEL_DIR
from infra.measuring import interval_of_difference, interval_of_mean
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, REPORTS, Report

_EVERYBODY = Principal("key:benchmark", collections=None)
MISSES = REPORTS / "retrieval" / "misses.jsonl"
TOP_K = 10
FIRST = 5  # the passages of an answer, and of the chunking set's measures
GOALS = {
    ("chunking", "recall"): ">= 84",
    ("chunking", "IoU"): ">= 7.5",
    **{("financebench", f"page hit@{k}"): f">= {goal}" for k, goal in ((1, 45), (5, 75), (10, 85))},
    ("financebench", "page hit@1, in the document"): ">= 55",
    ("financebench", "page hit@5, in the document"): ">= 85",
    ("financebench", "page hit@10, in the document"): ">= 92",
    ("xquad", "page hit@1"): ">= 95",
    ("xquad", "page hit@5"): ">= 99.5",
}
# The time that ranking adds to a question at p50, on a Chroma server.
ADDED_GOAL = "<= 15"

Scores = dict[str, list[float]]


def main() -> int:
    options = _arguments()
    if not all((EVALUATION / name).is_dir() for name in options.sets):
        CONSOLE.print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", style="red")
        return 2
    report, misses = Report("retrieval"), list[dict[str, Any]]()
    embedder = CachedEmbedder(OnnxEmbedder(options.model))
    whole = options.n is None
    with new_index(embedder.fingerprint) as index:
        for name in options.sets:
            material = SETS[name](EVALUATION).sample(options.n)
            run = _Run(material, options.chunk_tokens, index, embedder)
            before = run.measure(WAYS[options.against]) if options.against else None
            scores = run.measure(WAYS[options.way])
            _report(report, material, scores, before, whole=whole)
            report.add(f"{material.title}: chunks in the index", run.chunks, "chunks")
            goal = ADDED_GOAL if whole else None
            report.add(f"{material.title}: retrieval of one question, p50", run.retrieve_ms, "ms")
            report.add(f"{material.title}: of it beyond a search for the nearest five", run.added_ms, "ms", goal)
            misses += run.misses
    status = report.finish()
    MISSES.parent.mkdir(parents=True, exist_ok=True)
    MISSES.write_text("".join(json.dumps(miss, ensure_ascii=False) + "\n" for miss in misses), encoding="utf-8")
    CONSOLE.print(f"{len(misses)} questions are missed: {MISSES}")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--way", choices=tuple(WAYS), default="ranked")
    parser.add_argument("--against", choices=tuple(WAYS), help="a second way, compared question by question")
    parser.add_argument("--chunk-tokens", type=int, default=IngestLimits().chunk_tokens)
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    return parser.parse_args()


class _Run:
    """One set, indexed once and asked in any number of ways."""

    def __init__(
        self, material: EvaluationSet, chunk_tokens: int, index: ChromaIndex, embedder: CachedEmbedder
    ) -> None:
        self.material = material
        CONSOLE.print(f"{material.title}: reading {len(material.files)} documents…")
        generations, self.chunks = indexed(material.files, index, embedder, chunk_tokens)
        self._retrieval = Retrieval(catalogue(generations), index)
        self._vectors = embedder.embed_queries([asked.text for asked in material.asked])
        self._spans: dict[str, list[tuple[int, int]]] = {}
        for one in index.search({material.name: None}, self._vectors[0].tolist(), self.chunks):
            self._spans.setdefault(one.document, []).append((one.chunk.start, one.chunk.end))
        self.misses: list[dict[str, Any]] = []
        self.retrieve_ms = self.added_ms = 0.0

    def measure(self, way: Way) -> Scores:
        scores: Scores = {}
        times: list[float] = []
        nearest: list[float] = []
        self.misses = []
        with bar(f"{self.material.title}, {way.name}", len(self.material.asked)) as step:
            for asked, vector in zip(self.material.asked, self._vectors.tolist(), strict=True):
                started = perf_counter()
                pooled = self._search(way, asked, vector, None)
                times.append(1000 * (perf_counter() - started))
                started = perf_counter()
                self._retrieval.search(Scope(_EVERYBODY, {self.material.name: None}), vector, FIRST)
                nearest.append(1000 * (perf_counter() - started))
                for name, value in self._values(way, asked, vector, pooled).items():
                    scores.setdefault(name, []).append(value)
                step()
        self.retrieve_ms = median(times)
        self.added_ms = self.retrieve_ms - median(nearest)
        return scores

    def _search(self, way: Way, asked: Asked, vector: Sequence[float], document: str | None) -> list[Passage]:
        name = self.material.name
        scope = Scope(_EVERYBODY, {name: None if document is None else (document,)})
        return way.search(self._retrieval, scope, vector, FIRST if asked.spans else TOP_K, asked.text)

    def _values(
        self, way: Way, asked: Asked, vector: Sequence[float], pooled: Sequence[Passage]
    ) -> dict[str, float]:
        if asked.spans:
            values = of_characters(asked, pooled)
            values["precision-omega"] = precision_omega(asked, self._spans[asked.key])
            missed = values["recall"] == 0
        else:
            values = of_pages(asked, pooled)
            within = of_pages(asked, self._search(way, asked, vector, asked.key))
            values |= {f"{name}, in the document": value for name, value in within.items()}
            missed = rank_of_page(asked, pooled) > FIRST
        if missed:
            found = [f"{one.document}#{one.chunk.page} {one.chunk.text}" for one in pooled[:FIRST]]
            self.misses.append({"question": asked.text, "document": asked.key, "found": found})
        return values


def _report(
    report: Report, material: EvaluationSet, scores: Scores, before: Scores | None, *, whole: bool
) -> None:
    """Add one row for each measure, with its interval in the name; only whole sets have goals."""
    for name, values in scores.items():
        low, high = interval_of_mean(values)
        goal = GOALS.get((material.name, name)) if whole else None
        report.add(f"{material.title}: {name} [{low:.1f}, {high:.1f}]", fmean(values), "%", goal)
        if before is not None:
            difference, low, high = interval_of_difference(values, before[name])
            report.add(f"{material.title}: {name}, difference [{low:+.1f}, {high:+.1f}]", difference, "points")


if __name__ == "__main__":
    sys.exit(main())
