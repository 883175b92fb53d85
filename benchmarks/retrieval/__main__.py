"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. All
sets share one new Chroma server, so that each document is indexed once. Records and vectors are cached under
`build/retrieval-cache` for the next run. With three sets or more the report has the worth of each part of the
ranking, and what a configuration chosen without a set finds on it. `--ingest-parts` also judges the parts of
ingest that move a vector, each on another index. `--against WAY` compares two ways to retrieve. With `--model`
the report has the figures of the default model for each language too. `--without` leaves out each part of the
ranking in turn on two small sets, asks the router questions whose mode is known, and writes
docs/generated/ranking.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.retrieval.asking import Asker, Scores
from benchmarks.retrieval.index import CachedEmbedder, indexed, new_index
from benchmarks.retrieval.ingest_parts import INGEST_PARTS, VECTORS_WITHOUT, Vectors
from benchmarks.retrieval.routes import add_routes
from benchmarks.retrieval.rows import GOALS, MULTILINGUAL_GOALS, Goals, of_languages, of_left_out, of_parts, of_set
from benchmarks.retrieval.sets import MIXED, POOLED, SETS, EvaluationSet, northwind
from benchmarks.retrieval.ways import DEFAULT, PARTS, WAYS
from benchmarks.retrieval.without import TABLE, add_parts, write_table
from benchmarks.retrieval.worth import SETS_HELPED
from docwell.config import IngestLimits
from docwell.models import collection_of
from infra.local.stack import MODEL_DIR
from infra.progress import CONSOLE
from infra.report import EVALUATION, REPORTS, Report

MISSES = REPORTS / "retrieval" / "misses.jsonl"
# The time that ranking adds to a question at p50, on a Chroma server.
ADDED_GOAL = "<= 5"


# Small sets that no weight was chosen on: minutes in place of an hour.
QUICK = ("northwind", "xquad")
LOADERS = {**SETS, "northwind": northwind}


def main() -> int:
    options = _arguments()
    if options.without:
        return _without(options)
    try:
        sets = {name: LOADERS[name](EVALUATION).sample(options.n) for name in options.sets}
    except FileNotFoundError as error:
        CONSOLE.print(f"no {error.filename}: DOCWELL_EVAL names the folder of the evaluation sets", style="red")
        return 2
    if options.ingest_parts and not _judging(sets):
        CONSOLE.print(f"--ingest-parts needs {SETS_HELPED} sets that judge", style="red")
        return 2
    report = Report("retrieval")
    embedder = CachedEmbedder(options.model)
    with _asker(sets, embedder, options.chunk_tokens) as asker:
        scores, misses = _measure(report, asker, sets, options, _goals(embedder.name) if options.n is None else {})
        _time(report, asker, sets, whole=options.n is None)
    if options.ingest_parts:
        _judge_ingest(report, sets, scores, embedder, options)
    if options.model != MODEL_DIR:
        _add_default_model(report, {name: one for name, one in sets.items() if one.asked[0].language}, options)
    MISSES.parent.mkdir(parents=True, exist_ok=True)
    MISSES.write_text("".join(json.dumps(miss, ensure_ascii=False) + "\n" for miss in misses), encoding="utf-8")
    status = report.finish()
    CONSOLE.print(f"{len(misses)} questions are missed: {MISSES}")
    return status


def _without(options: argparse.Namespace) -> int:
    """Measure what each part of the ranking, and the router, is worth on the quick sets; write the table."""
    report, embedder = Report("retrieval-without"), CachedEmbedder(options.model)
    try:
        names = QUICK if options.sets == tuple(SETS) else options.sets
        sets = {name: LOADERS[name](EVALUATION).sample(options.n) for name in names}
        with _asker(sets, embedder, options.chunk_tokens) as asker:
            for material in sets.values():
                ways = (DEFAULT, "nearest", *PARTS.values())
                add_parts(report, material, asker.ask(material, (), ways)[0])
        add_routes(report, EVALUATION)
    except FileNotFoundError as error:
        CONSOLE.print(f"no {error.filename}: DOCWELL_EVAL names the folder of the evaluation sets", style="red")
        return 2
    write_table(report)
    CONSOLE.print(f"written: {TABLE}")
    return report.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(LOADERS), default=tuple(SETS))
    parser.add_argument("--way", choices=tuple(WAYS), default=DEFAULT)
    parser.add_argument("--against", choices=tuple(WAYS), help="a second way, compared question by question")
    parser.add_argument("--chunk-tokens", type=int, default=IngestLimits().chunk_tokens)
    parser.add_argument("--ingest-parts", action="store_true", help="judge what ingest adds to the vectors too")
    parser.add_argument("--without", action="store_true", help="what hit@5 loses without each part, on quick sets")
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    return parser.parse_args()


def _goals(model: str) -> Goals:
    return {**GOALS, **MULTILINGUAL_GOALS} if "multilingual" in model else GOALS


def _judging(sets: dict[str, EvaluationSet]) -> bool:
    return sum(bool(one.judged) for one in sets.values()) >= SETS_HELPED


@contextmanager
def _asker(
    sets: dict[str, EvaluationSet], embedder: CachedEmbedder, chunk_tokens: int, vectors: Vectors | None = None
) -> Iterator[Asker]:
    """Index the documents of all sets in a new Chroma server for the block."""
    files = {key: path for material in sets.values() for key, path in material.files.items()}
    mixed = {collection_of(key) for one in sets.values() if MIXED in one.scopes for key in one.files}
    with new_index(embedder.fingerprint) as index:
        generations, chunks = indexed(files, index, embedder, chunk_tokens, vectors)
        yield Asker(index, embedder, generations, chunks, sorted(mixed))


def _measure(
    report: Report, asker: Asker, sets: dict[str, EvaluationSet], options: argparse.Namespace, goals: Goals
) -> tuple[dict[str, Scores], list[dict[str, Any]]]:
    """Add the rows of all sets; return their scores, and the questions that are missed."""
    judging = _judging(sets)
    thorough = list(filter(None, (options.way, options.against)))
    scores: dict[str, Scores] = {}
    misses: list[dict[str, Any]] = []
    for name, material in sets.items():
        scores[name], missed = asker.ask(material, thorough, WAYS if judging and material.judged else ())
        of_set(report, material, scores[name], options.way, options.against, goals)
        misses += missed
    if judging:
        of_parts(report, sets, scores, PARTS, whole=options.n is None)
        of_left_out(report, sets, scores, whole=options.n is None)
    return scores, misses


def _judge_ingest(
    report: Report,
    sets: dict[str, EvaluationSet],
    scores: dict[str, Scores],
    embedder: CachedEmbedder,
    options: argparse.Namespace,
) -> None:
    """Add the worth of each part of ingest. Each is left out in another index, which the default way searches."""
    for part, vectors in VECTORS_WITHOUT.items():
        with _asker(sets, embedder, options.chunk_tokens, vectors) as asker:
            for name, material in sets.items():
                found, _ = asker.ask(material, (), (DEFAULT,))
                scores[name] |= {(INGEST_PARTS[part], scope): values for (_, scope), values in found.items()}
    of_parts(report, sets, scores, INGEST_PARTS, whole=options.n is None)


def _add_default_model(report: Report, sets: dict[str, EvaluationSet], options: argparse.Namespace) -> None:
    """Add what the default model finds of the sets in many languages."""
    if not sets:
        return
    embedder = CachedEmbedder(MODEL_DIR)
    with _asker(sets, embedder, options.chunk_tokens) as asker:
        for material in sets.values():
            scores, _ = asker.ask(material, (options.way,))
            of_languages(report, material, scores, options.way, embedder.name.rpartition("/")[2])


def _time(report: Report, asker: Asker, sets: dict[str, EvaluationSet], *, whole: bool) -> None:
    """Add the time of retrieval in the largest collection: the mixed one where there is one."""
    if asker.mixed:
        title, scope = "mixed collection", MIXED
        timed = [material for material in sets.values() if MIXED in material.scopes]
    else:
        largest = max(sets.values(), key=lambda one: sum(asker.chunks[key] for key in one.files))
        title, scope, timed = largest.title, POOLED, [largest]
    report.add(f"{title}: chunks", sum(asker.chunks[key] for one in timed for key in one.files), "chunks")
    total, added = asker.times([asked for material in timed for asked in material.asked], scope)
    report.add(f"{title}: retrieval of one question, p50", total, "ms")
    metric = f"{title}: of it beyond a search for the nearest five"
    report.add(metric, added, "ms", ADDED_GOAL if whole else None)


if __name__ == "__main__":
    sys.exit(main())
