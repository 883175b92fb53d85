"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. All
sets share one Chroma server, whose data stays in `build/retrieval-cache` for the next run. `--without` leaves out
each part of the ranking in turn on two small sets, asks the router questions whose mode is known, and writes
docs/generated/ranking.md. `--gate` (`make calibrate`) chooses the least fit of a question that reaches the model.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

from benchmarks.retrieval.asking import DEFAULT, VARIANTS, Asker, Scores
from benchmarks.retrieval.gate import choose_gate
from benchmarks.retrieval.index import indexed
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, SETS, EvaluationSet
from benchmarks.retrieval.without import TABLE, add_parts, add_routes, write_table
from docwell.errors import ModelDamaged
from docwell.models import collection_of
from infra.local.stack import MODEL_DIR
from infra.measuring import interval_of_mean
from infra.progress import CONSOLE
from infra.report import EVALUATION, Report

# Small sets that no weight was chosen on: minutes in place of an hour.
QUICK = ("northwind", "xquad")
# The gate is for English questions: each set in its original words, once.
GATED = ("financebench", "filings2", "mmlongbench", "xquad")
# Goals by set and scope, then by measure; used when all questions are asked.
GOALS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("financebench", POOLED): {"hit@1": 45, "hit@5": 75, "hit@10": 85},
    ("financebench", DOCUMENT): {"hit@1": 55, "hit@5": 85, "hit@10": 92},
    ("mmlongbench", DOCUMENT): {"hit@1": 62, "hit@5": 90, "hit@10": 95},
    ("xquad", POOLED): {"hit@1": 97, "hit@5": 99.5},
    ("xquad", MIXED): {"hit@1": 96.5, "hit@5": 99},
}
# The default model was trained on English, so these goals are for multilingual models.
MULTILINGUAL_GOALS = {("translated", POOLED): {"hit@1": 88}, ("translated-english", POOLED): {"hit@1": 80}}
_SCOPES = {POOLED: "", DOCUMENT: ", in the document", MIXED: ", in the mixed collection"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS))
    parser.add_argument("--without", action="store_true", help="what hit@5 loses without each part, on quick sets")
    parser.add_argument("--gate", action="store_true", help="choose the threshold; with --n it is not written")
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    options = parser.parse_args()
    measured = tuple(name for name in SETS if name != "northwind")
    names = options.sets or (QUICK if options.without else GATED if options.gate else measured)
    try:
        sets = [SETS[name](EVALUATION).sample(options.n) for name in names]
        with _asker(sets, options.model) as asker:
            if options.gate:
                return choose_gate(asker, sets, options.model, is_sample=options.n is not None)
            return (_without if options.without else _measure)(asker, sets, options)
    except FileNotFoundError as error:
        CONSOLE.print(f"no {error.filename}: DOCWELL_EVAL names the folder of the evaluation sets", style="red")
    except ModelDamaged as error:
        CONSOLE.print(error.detail, style="red")
    return 2


@contextmanager
def _asker(sets: Sequence[EvaluationSet], model: Path) -> Iterator[Asker]:
    """Index the documents of all sets, and run their Chroma server during the block."""
    files = {key: path for material in sets for key, path in material.files.items()}
    mixed = {collection_of(key) for material in sets if MIXED in material.scopes for key in material.files}
    with indexed(files, model) as documents:
        yield Asker(documents, sorted(mixed))


def _measure(asker: Asker, sets: Sequence[EvaluationSet], options: argparse.Namespace) -> int:
    """Add the figures of each set, with their goals where all questions are asked."""
    report = Report("retrieval")
    multilingual = MULTILINGUAL_GOALS if "multilingual" in options.model.name else {}
    goals = {} if options.n else {**GOALS, **multilingual}
    for material in sets:
        _add_set(report, material, asker.ask(material), goals)
    return report.finish()


def _without(asker: Asker, sets: Sequence[EvaluationSet], _: argparse.Namespace) -> int:
    """Measure what each part of the ranking, and the router, is worth; write the table."""
    report = Report("retrieval-without")
    for material in sets:
        variants = [variant for variant in VARIANTS if variant != DEFAULT]
        add_parts(report, material, asker.ask(material, variants))
    add_routes(report, EVALUATION)
    write_table(report)
    CONSOLE.print(f"written: {TABLE}")
    return report.finish()


def _add_set(
    report: Report, material: EvaluationSet, scores: Scores, goals: Mapping[tuple[str, str], Mapping[str, float]]
) -> None:
    """Add a row for each scope and measure of a set, and hit@1 of each of its languages."""
    for (_, scope), measures in scores.items():
        for measure, values in measures.items():
            goal = goals.get((material.name, scope), {}).get(measure)
            _add(report, f"{material.title}: {measure}{_SCOPES[scope]}", values, goal)
    first, languages = scores[DEFAULT, POOLED]["hit@1"], [question.language for question in material.questions]
    for language in sorted(set(filter(None, languages))):
        values = [value for value, name in zip(first, languages, strict=True) if name == language]
        _add(report, f"{material.title}: hit@1, {language}", values)


def _add(report: Report, metric: str, values: Sequence[float], goal: float | None = None) -> None:
    low, high = interval_of_mean(values)
    text = None if goal is None else f">= {goal:g}"
    report.add(f"{metric} [{low:.1f}, {high:.1f}]", fmean(values), "%", text)


if __name__ == "__main__":
    sys.exit(main())
