"""`make bench-gates`: what is refused before the model is asked, rightly and wrongly.

Each question on the English articles is asked twice of what docwell finds in them, over an exact index: with its
article, where it can be answered, and without, where it cannot. No model answers: a minute, not an hour.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.retrieval.index import Bucket, CachedEmbedder, ExactIndex, indexed
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.ingest.indexing import IngestLimits
from docwell.models import Passage
from docwell.query.query import QueryLimits
from docwell.query.retrieval.gates import CERTAIN_RELEVANCE, question_names_missing, relevance
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.report import EVALUATION, ROOT, Report

_COLLECTION = "articles"
_TOP_K = 5

Gate = Callable[[str, Sequence[Passage]], bool]
Found = list[tuple[str, Sequence[Passage]]]


def main() -> int:
    """Measure; gives the exit status."""
    folder = EVALUATION / "xquad"
    if not folder.is_dir():
        print(f"no evaluation material in {folder}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    questions = json.loads((folder / "questions_en_dev.json").read_text(encoding="utf-8"))
    report = Report("bench-gates")
    embedder = CachedEmbedder(OnnxEmbedder(ROOT / "layers" / "embedder" / "model"))
    files = {f"{_COLLECTION}/{name}": folder / "pdf" / name for name in sorted({one["doc"] for one in questions})}
    index = ExactIndex()
    bucket, _ = indexed(files, index, embedder, IngestLimits().chunk_tokens)
    vectors = embedder.embed_queries([one["question"] for one in questions]).tolist()

    def found(without: Callable[[str], str | None]) -> Found:
        rows = zip(questions, vectors, strict=True)
        return [
            (one["question"], _search(bucket, index, one["question"], vector, without(one["doc"])))
            for one, vector in rows
        ]

    present, absent = found(lambda _: None), found(lambda name: name)
    limits = QueryLimits()
    gates: dict[str, Gate] = {
        "similarity": lambda _, found: max(one.score for one in found) < limits.min_score,
        "relevance": lambda question, found: relevance(question, found) < limits.min_relevance,
        "names": lambda question, found: bool(
            question_names_missing(question, found, certain=relevance(question, found) >= CERTAIN_RELEVANCE)
        ),
    }
    for name, gate in gates.items():
        report.add(f"{name}: answerable questions refused", _share(present, gate), "%")
        report.add(f"{name}: unanswerable questions refused", _share(absent, gate), "%")

    def any_gate(question: str, found: Sequence[Passage]) -> bool:
        return any(gate(question, found) for gate in gates.values())

    report.add("all: answerable questions refused", _share(present, any_gate), "%", "<= 10")
    report.add("all: unanswerable questions refused", _share(absent, any_gate), "%", ">= 90")
    return report.finish()


def _search(
    bucket: Bucket, index: ExactIndex, question: str, vector: Sequence[float], without: str | None
) -> list[Passage]:
    """What a question finds while one of the documents is not live."""
    live = {key: one for key, one in bucket.generations.items() if key != f"{_COLLECTION}/{without}"}
    retrieval = Retrieval(replace(bucket, generations=live), index)
    return retrieval.search(Scope((_COLLECTION,)), vector, _TOP_K, question)


def _share(cases: Sequence[tuple[str, Sequence[Passage]]], gate: Gate) -> float:
    return 100 * sum(gate(question, found) for question, found in cases) / len(cases)


if __name__ == "__main__":
    sys.exit(main())
