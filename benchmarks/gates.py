"""`make bench-gates`: what is refused before the model is asked, rightly and wrongly.

Each question on the English articles is asked twice of their passages by exact search: with its article, where it
can be answered, and without, where it cannot. No model answers, so this takes a minute, not an hour.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.reading import default_reader
from benchmarks.report import EVALUATION, ROOT, Report
from docwell.adapters.onnx_embedder import OnnxEmbedder
from docwell.chunking import chunk_pages
from docwell.models import Chunk, Passage
from docwell.query import QueryLimits
from docwell.support import CERTAIN_RELEVANCE, question_names_missing, relevance

_CHUNK_TOKENS = 200
_TOP_K = 5

Gate = Callable[[str, Sequence[Passage]], bool]


@dataclass(frozen=True)
class Passages:
    """Every passage of the articles, with its vector."""

    chunks: list[tuple[str, Chunk]]
    vectors: Any
    embedder: OnnxEmbedder

    @classmethod
    def read(cls, folder: Path, documents: Sequence[str]) -> Passages:
        """Read, cut and embed the documents as ingest does."""
        embedder = OnnxEmbedder(ROOT / "layers" / "embedder" / "model")
        reader = default_reader()
        chunks: list[tuple[str, Chunk]] = []
        for name in track(documents, "reading"):
            path = folder / "pdf" / name
            pages = reader.pages(path, 1, reader.inspect(path).page_count)
            chunks += [(name, chunk) for chunk in chunk_pages(pages, embedder, _CHUNK_TOKENS)]
        vectors = embedder.embed_passages([chunk.text for _, chunk in chunks])
        return cls(chunks, vectors, embedder)

    def nearest(self, vector: Any, without: str | None = None) -> list[Passage]:  # noqa: ANN401 - a numpy row
        """The nearest passages, those of one document left out."""
        scores = self.vectors @ vector
        order = (int(index) for index in np.argsort(-scores) if self.chunks[int(index)][0] != without)
        return [
            Passage(str(index), name, "generation", "version", chunk, float(scores[index]))
            for index, _ in zip(order, range(_TOP_K), strict=False)
            for name, chunk in (self.chunks[index],)
        ]


def main() -> int:
    """Measure; gives the exit status."""
    folder = EVALUATION / "xquad"
    if not folder.is_dir():
        print(f"no evaluation material in {folder}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    questions = json.loads((folder / "questions_en_dev.json").read_text(encoding="utf-8"))
    report = Report("bench-gates")
    passages = Passages.read(folder, sorted({one["doc"] for one in questions}))
    vectors = passages.embedder.embed_queries([one["question"] for one in questions])
    present = [(one["question"], passages.nearest(vector)) for one, vector in zip(questions, vectors, strict=True)]
    absent = [
        (one["question"], passages.nearest(vector, without=one["doc"]))
        for one, vector in zip(questions, vectors, strict=True)
    ]
    limits = QueryLimits()
    gates: dict[str, Gate] = {
        "similarity": lambda _, found: found[0].score < limits.min_score,
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


def _share(cases: Sequence[tuple[str, Sequence[Passage]]], gate: Gate) -> float:
    return 100 * sum(gate(question, found) for question, found in cases) / len(cases)


if __name__ == "__main__":
    sys.exit(main())
