"""The questions that the router sends to the mode that they are for: the half of the routes for development."""

import json
from collections import Counter
from pathlib import Path

from docwell.adapters.embedding.calibration import ModelCalibration
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
from infra.report import Report

_TOP_K = 5


def add_routes(report: Report, folder: Path) -> None:
    """Add the questions of each mode that are routed right, in percent."""
    embedder = OnnxEmbedder(MODEL_DIR, 0, session_opener("onnxruntime"), for_questions=True)
    router = Router(embedder, language=ModelCalibration.read(MODEL_DIR).language)
    right, count = Counter[str](), Counter[str]()
    for line in (folder / "claims" / "routes_own_dev.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        searched = _searched(embedder, row["question"], row["documents"])
        names = written(searched.text, searched.documents)
        name = names[0] if len({name.key for name in names}) == 1 else None
        chosen = router.mode(searched, name) or Mode.PASSAGES
        count[row["route"]] += 1
        right[row["route"]] += chosen.value == row["route"]
    for mode, questions in count.items():
        report.add(f"routes: {mode}, {right[mode]} of {questions} right", 100 * right[mode] / questions, "%")
    report.add(f"routes: all, {right.total()} of {count.total()} right", 100 * right.total() / count.total(), "%")


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
