"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. All
sets share one new Chroma server, so that each document is indexed once. Vectors are cached under
`build/retrieval-cache` for the next run. With three sets or more the report has the worth of each part of the
ranking, and what a configuration chosen without a set finds on it. `--against WAY` compares two ways to retrieve.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.retrieval.asking import Asker, Scores
from benchmarks.retrieval.index import CachedEmbedder, indexed, new_index
from benchmarks.retrieval.rows import GOALS, MULTILINGUAL_GOALS, Goals, of_left_out, of_parts, of_set
from benchmarks.retrieval.sets import MIXED, POOLED, SETS, EvaluationSet
from benchmarks.retrieval.ways import DEFAULT, WAYS
from benchmarks.retrieval.worth import SETS_HELPED
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import IngestLimits
from docwell.models import collection_of
from infra.local.stack import MODEL_DIR
from infra.progress import CONSOLE
from infra.report import EVALUATION, REPORTS, Report

MISSES = REPORTS / "retrieval" / "misses.jsonl"
# The time that ranking adds to a question at p50, on a Chroma server.
ADDED_GOAL = "<= 5"


def main() -> int:
    options = _arguments()
    try:
        sets = {name: SETS[name](EVALUATION).sample(options.n) for name in options.sets}
    except FileNotFoundError as error:
        CONSOLE.print(f"no {error.filename}: DOCWELL_EVAL names the folder of the evaluation sets", style="red")
        return 2
    report = Report("retrieval")
    embedder = CachedEmbedder(OnnxEmbedder(options.model))
    with new_index(embedder.fingerprint) as index:
        files = {key: path for material in sets.values() for key, path in material.files.items()}
        generations, chunks = indexed(files, index, embedder, options.chunk_tokens)
        mixed = {collection_of(key) for one in sets.values() if MIXED in one.scopes for key in one.files}
        asker = Asker(index, embedder, generations, chunks, sorted(mixed))
        misses = _measure(report, asker, sets, options, _goals(embedder.name) if options.n is None else {})
        _time(report, asker, sets, chunks, whole=options.n is None)
    status = report.finish()
    MISSES.parent.mkdir(parents=True, exist_ok=True)
    MISSES.write_text("".join(json.dumps(miss, ensure_ascii=False) + "\n" for miss in misses), encoding="utf-8")
    CONSOLE.print(f"{len(misses)} questions are missed: {MISSES}")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--way", choices=tuple(WAYS), default=DEFAULT)
    parser.add_argument("--against", choices=tuple(WAYS), help="a second way, compared question by question")
    parser.add_argument("--chunk-tokens", type=int, default=IngestLimits().chunk_tokens)
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    return parser.parse_args()


def _goals(model: str) -> Goals:
    return {**GOALS, **MULTILINGUAL_GOALS} if "multilingual" in model else GOALS


def _measure(
    report: Report, asker: Asker, sets: dict[str, EvaluationSet], options: argparse.Namespace, goals: Goals
) -> list[dict[str, Any]]:
    """Add the rows of all sets; return the questions that are missed."""
    judging = sum(bool(one.judged) for one in sets.values()) >= SETS_HELPED
    thorough = list(filter(None, (options.way, options.against)))
    scores: dict[str, Scores] = {}
    misses: list[dict[str, Any]] = []
    for name, material in sets.items():
        scores[name], missed = asker.ask(material, thorough, WAYS if judging and material.judged else ())
        of_set(report, material, scores[name], options.way, options.against, goals)
        misses += missed
    if judging:
        of_parts(report, sets, scores, whole=options.n is None)
        of_left_out(report, sets, scores, whole=options.n is None)
    return misses


def _time(
    report: Report, asker: Asker, sets: dict[str, EvaluationSet], chunks: dict[str, int], *, whole: bool
) -> None:
    """Add the time of retrieval in the largest collection: the mixed one where there is one."""
    if asker.mixed:
        title, scope = "mixed collection", MIXED
        timed = [material for material in sets.values() if MIXED in material.scopes]
    else:
        largest = max(sets.values(), key=lambda one: sum(chunks[key] for key in one.files))
        title, scope, timed = largest.title, POOLED, [largest]
    report.add(f"{title}: chunks", sum(chunks[key] for one in timed for key in one.files), "chunks")
    total, added = asker.times([asked for material in timed for asked in material.asked], scope)
    report.add(f"{title}: retrieval of one question, p50", total, "ms")
    metric = f"{title}: of it beyond a search for the nearest five"
    report.add(metric, added, "ms", ADDED_GOAL if whole else None)


if __name__ == "__main__":
    sys.exit(main())
