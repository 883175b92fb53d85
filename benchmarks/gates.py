"""``make bench-gates``: how many questions the gates refuse before the model, rightly and wrongly.

docwell searches the English articles twice for each question: with its article, which answers it, and without. No
model answers, so it takes two minutes.
"""

import json
import sys
from collections.abc import Callable, Sequence

from benchmarks.retrieval.index import CachedEmbedder, catalogue, indexed, new_index
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import IngestLimits, QueryLimits
from docwell.identity import Principal
from docwell.models import Passage
from docwell.query.retrieval.gates import CERTAIN_RELEVANCE, question_names_missing, relevance
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.local.stack import MODEL_DIR
from infra.report import EVALUATION, Report

_COLLECTION = "articles"
_TOP_K = 5
_EVERYBODY = Principal("key:benchmark", collections=None)

_Case = tuple[str, Sequence[Passage]]
Gate = Callable[[str, Sequence[Passage]], bool]


def main() -> int:
    folder = EVALUATION / "xquad"
    if not folder.is_dir():
        print(f"no evaluation material in {folder}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    questions = json.loads((folder / "questions_en_dev.json").read_text(encoding="utf-8"))
    report = Report("bench-gates")
    embedder = CachedEmbedder(OnnxEmbedder(MODEL_DIR))
    files = {f"{_COLLECTION}/{name}": folder / "pdf" / name for name in sorted({one["doc"] for one in questions})}
    present: list[_Case] = []
    absent: list[_Case] = []
    with new_index(embedder.fingerprint) as index:
        generations, _ = indexed(files, index, embedder, IngestLimits().chunk_tokens)
        vectors = embedder.embed_queries([one["question"] for one in questions]).tolist()
        for one, vector in zip(questions, vectors, strict=True):
            for cases, without in ((present, ""), (absent, f"{_COLLECTION}/{one['doc']}")):
                live = {key: generation for key, generation in generations.items() if key != without}
                retrieval = Retrieval(catalogue(live), index)
                found = retrieval.search(Scope(_EVERYBODY, {_COLLECTION: None}), vector, _TOP_K, one["question"])
                cases.append((one["question"], found))
    gates = _gates()
    gates["all"] = lambda question, found: any(gate(question, found) for gate in _gates().values())
    for name, gate in gates.items():
        goals = ("<= 10", ">= 90") if name == "all" else (None, None)
        report.add(f"{name}: answerable questions refused", _share(present, gate), "%", goals[0])
        report.add(f"{name}: unanswerable questions refused", _share(absent, gate), "%", goals[1])
    return report.finish()


def _gates() -> dict[str, Gate]:
    limits = QueryLimits()
    return {
        "similarity": lambda _, found: max(one.score for one in found) < limits.min_score,
        "relevance": lambda question, found: relevance(question, found) < limits.min_relevance,
        "names": lambda question, found: bool(
            question_names_missing(question, found, certain=relevance(question, found) >= CERTAIN_RELEVANCE)
        ),
    }


def _share(cases: Sequence[_Case], gate: Gate) -> float:
    return 100 * sum(gate(question, found) for question, found in cases) / len(cases)


if __name__ == "__main__":
    sys.exit(main())
