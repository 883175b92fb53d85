"""Write the page on the gain of each part of the ranking, and of the router, on sets used for no choice."""

import json
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.retrieval.asking import DEFAULT, NEAREST, PARTS, Scores
from benchmarks.retrieval.sets import EvaluationSet
from docwell.adapters.embedding.model_manifest import ModelCalibration
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.answers import Mode
from docwell.identity import Principal
from docwell.models import Chunk, Passage
from docwell.query.ask import Searched
from docwell.query.document_names import written
from docwell.query.modes import Router
from docwell.query.retrieval.scope import Scope
from docwell.text.naming import file_words
from infra.local.stack import MODEL_DIR
from infra.measuring import interval_of_difference
from infra.report import ROOT, Report, machine

TABLE = ROOT / "docs" / "generated" / "ranking.md"
_MEASURE, _TOP_K = "hit@5", 5
# The signals of `docwell.query.retrieval.ranking.Weights`, named for readers.
_TITLES = {"unit": "the nearest unit", "words": "the words", "document": "the words of the file name"}
_HEAD = """# What each part of the ranking is worth

`make eval-retrieval ARGS="{arguments}"`, on
{machine}.
Points that {measure} loses without a part, with the 95 % interval, on a sample of sets that no part was chosen on.
"All of them" ranks by the vectors of chunks alone, and joins no neighbours. The last rows are the questions of
each mode that the router gets right, beside one passage for each document that has its file name alone.

| row | value | unit |
| --- | ---: | --- |
"""


def add_parts(report: Report, material: EvaluationSet, scores: Scores) -> None:
    """Add the measure with all parts, and its loss without each of them: the mean over the judged scopes."""

    def values(variant: str) -> list[float]:
        scopes = [scope for scope in material.judged if (variant, scope) in scores]  # one set alone is not mixed
        mean = np.mean([scores[variant, scope][_MEASURE] for scope in scopes], axis=0)
        return [float(value) for value in mean]

    ranked = values(DEFAULT)
    report.add(f"{material.title}, {len(material.questions)} questions: {_MEASURE}", fmean(ranked), "%")
    variants = {f"without {_TITLES[part]}": variant for part, variant in PARTS.items()} | {
        "without all of them": NEAREST
    }
    for title, variant in variants.items():
        loss, low, high = interval_of_difference(ranked, values(variant))
        report.add(f"{material.title}, {title}: loss [{low:+.1f}, {high:+.1f}]", loss, "points")


def write_table(report: Report) -> None:
    """Write the rows as a page of the docs."""
    rows = "".join(f"| {row.metric} | {row.value:.2f} | {row.unit} |\n" for row in report.rows)
    head = _HEAD.format(arguments=" ".join(sys.argv[1:]), machine=machine(), measure=_MEASURE)
    TABLE.write_text(head + rows, encoding="utf-8")


def add_routes(report: Report, folder: Path) -> None:
    """Add the share of the questions of each mode that the router gets right: the routes for development."""
    embedder = OnnxEmbedder(MODEL_DIR, 0, session_opener("onnxruntime"), for_questions=True)
    router = Router(embedder, language=ModelCalibration.read(MODEL_DIR).language)
    right, count = Counter[str](), Counter[str]()
    for line in (folder / "claims" / "routes_own_dev.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        searched = _searched(embedder, row["question"], row["documents"])
        names = written(searched.text, searched.documents)
        name = names[0] if len({name.key for name in names}) == 1 else None
        mode = router.mode(searched, name) or Mode.PASSAGES
        count[row["route"]] += 1
        right[row["route"]] += mode.value == row["route"]
    for route, questions in [*count.items(), ("all", count.total())]:
        hits = right.total() if route == "all" else right[route]
        report.add(f"routes: {route}, {hits} of {questions} right", 100 * hits / questions, "%")


def _searched(embedder: OnnxEmbedder, question: str, documents: list[str]) -> Searched:
    """Return the question after a search that brings the file name of each document as its passage."""
    (vector,) = embedder.embed_queries([question])
    texts = [file_words(document) for document in documents]
    scores = (embedder.embed_passages(texts) @ vector).tolist()
    passages = [
        Passage(document, document, "", "", Chunk(text, 1, 0, len(text), 0), score)
        for document, text, score in zip(documents, texts, scores, strict=True)
    ]
    nearest = tuple(sorted(passages, key=lambda passage: -passage.score)[:_TOP_K])
    scope = Scope(Principal("key:benchmark", collections=None))
    return Searched(Mode.AUTO, question, scope, vector.tolist(), nearest, tuple(documents), _TOP_K)
