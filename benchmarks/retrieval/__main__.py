"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. All
sets share one new Chroma server, so that each document is indexed once. Records and vectors are cached under
`build/retrieval-cache` for the next run. `--without` leaves out each part of the ranking in turn on two small
sets, asks the router questions whose mode is known, and writes docs/generated/ranking.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.retrieval.asking import DEFAULT, WAYS, Asker
from benchmarks.retrieval.index import CachedEmbedder, indexed, new_index
from benchmarks.retrieval.routes import add_routes
from benchmarks.retrieval.rows import GOALS, MULTILINGUAL_GOALS, of_set
from benchmarks.retrieval.sets import MIXED, POOLED, SETS, EvaluationSet, northwind
from benchmarks.retrieval.without import TABLE, add_parts, write_table
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
    names = options.sets or (QUICK if options.without else tuple(SETS))
    try:
        sets = {name: LOADERS[name](EVALUATION).sample(options.n) for name in names}
        return (_without if options.without else _measure)(sets, options)
    except FileNotFoundError as error:
        CONSOLE.print(f"no {error.filename}: DOCWELL_EVAL names the folder of the evaluation sets", style="red")
        return 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(LOADERS))
    parser.add_argument("--without", action="store_true", help="what hit@5 loses without each part, on quick sets")
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    return parser.parse_args()


def _measure(sets: Mapping[str, EvaluationSet], options: argparse.Namespace) -> int:
    """Add the figures of each set, with their goals where all questions are asked; write what is missed."""
    report, embedder, whole = Report("retrieval"), CachedEmbedder(options.model), options.n is None
    goals = {**GOALS, **(MULTILINGUAL_GOALS if "multilingual" in embedder.name else {})} if whole else {}
    misses: list[dict[str, Any]] = []
    with _asker(sets, embedder) as asker:
        for material in sets.values():
            scores, missed = asker.ask(material)
            of_set(report, material, scores, goals)
            misses += missed
        _time(report, asker, sets, whole=whole)
    MISSES.parent.mkdir(parents=True, exist_ok=True)
    MISSES.write_text("".join(json.dumps(miss, ensure_ascii=False) + "\n" for miss in misses), encoding="utf-8")
    status = report.finish()
    CONSOLE.print(f"{len(misses)} questions are missed: {MISSES}")
    return status


def _without(sets: Mapping[str, EvaluationSet], options: argparse.Namespace) -> int:
    """Measure what each part of the ranking, and the router, is worth on the quick sets; write the table."""
    report = Report("retrieval-without")
    with _asker(sets, CachedEmbedder(options.model)) as asker:
        for material in sets.values():
            scores, _ = asker.ask(material, [way for way in WAYS if way != DEFAULT])
            add_parts(report, material, scores)
    add_routes(report, EVALUATION)
    write_table(report)
    CONSOLE.print(f"written: {TABLE}")
    return report.finish()


@contextmanager
def _asker(sets: Mapping[str, EvaluationSet], embedder: CachedEmbedder) -> Iterator[Asker]:
    """Index the documents of all sets in a new Chroma server for the block."""
    files = {key: path for material in sets.values() for key, path in material.files.items()}
    mixed = {collection_of(key) for one in sets.values() if MIXED in one.scopes for key in one.files}
    with new_index(embedder.fingerprint) as index:
        generations, chunks = indexed(files, index, embedder)
        yield Asker(index, embedder, generations, chunks, sorted(mixed))


def _time(report: Report, asker: Asker, sets: Mapping[str, EvaluationSet], *, whole: bool) -> None:
    """Add the time of retrieval in the largest collection: the mixed one where there is one."""
    if asker.mixed:
        title, scope = "mixed collection", MIXED
        timed = [material for material in sets.values() if MIXED in material.scopes]
    else:
        largest = max(sets.values(), key=lambda material: sum(asker.chunks[key] for key in material.files))
        title, scope, timed = largest.title, POOLED, [largest]
    report.add(f"{title}: chunks", sum(asker.chunks[key] for one in timed for key in one.files), "chunks")
    total, added = asker.times([asked for material in timed for asked in material.asked], scope)
    report.add(f"{title}: retrieval of one question, p50", total, "ms")
    metric = f"{title}: of it beyond a search for the nearest five"
    report.add(metric, added, "ms", ADDED_GOAL if whole else None)


if __name__ == "__main__":
    sys.exit(main())
