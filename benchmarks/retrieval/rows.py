"""The rows of the report of `make eval-retrieval`, and their goals."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.retrieval.asking import DEFAULT, Scores
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, EvaluationSet
from infra.measuring import interval_of_mean
from infra.report import Report

Goals = Mapping[tuple[str, str, str], str]  # by set, scope and measure


def _goals(name: str, scope: str, *goals: tuple[int, float]) -> dict[tuple[str, str, str], str]:
    return {(name, scope, f"hit@{k}"): f">= {goal:g}" for k, goal in goals}


GOALS: Goals = {
    ("chunking", POOLED, "recall"): ">= 84",
    ("chunking", POOLED, "IoU"): ">= 7.5",
    **_goals("financebench", POOLED, (1, 45), (5, 75), (10, 85)),
    **_goals("financebench", DOCUMENT, (1, 55), (5, 85), (10, 92)),
    **_goals("mmlongbench", DOCUMENT, (1, 62), (5, 90), (10, 95)),
    **_goals("xquad", POOLED, (1, 97), (5, 99.5)),
    **_goals("xquad", MIXED, (1, 96.5), (5, 99)),
}
# The default model was trained on English.
MULTILINGUAL_GOALS: Goals = {
    **_goals("translated", POOLED, (1, 88)),
    **_goals("translated-english", POOLED, (1, 80)),
}
_SHOWN = {POOLED: "", DOCUMENT: ", in the document", MIXED: ", in the mixed collection"}


def of_set(report: Report, material: EvaluationSet, scores: Scores, goals: Goals) -> None:
    """Add a row for each scope and measure of a set, and hit@1 of each of its languages."""
    for (way, scope), measures in scores.items():
        for measure, values in measures.items() if way == DEFAULT else ():
            if measure.startswith("hit@") and "recall" in measures:
                continue  # a set that judges by characters
            metric = f"{material.title}: {measure}{_SHOWN[scope]}"
            _add(report, metric, values, goals.get((material.name, scope, measure)))
    first, languages = scores[DEFAULT, POOLED]["hit@1"], [asked.language for asked in material.asked]
    for language in sorted(set(filter(None, languages))):
        values = [value for value, name in zip(first, languages, strict=True) if name == language]
        _add(report, f"{material.title}: hit@1, {language}", values)


def _add(report: Report, metric: str, values: Sequence[float], goal: str | None = None) -> None:
    low, high = interval_of_mean(values)
    report.add(f"{metric} [{low:.1f}, {high:.1f}]", fmean(values), "%", goal)
