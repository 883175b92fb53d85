"""The rows of the report of `make eval-retrieval`, and their goals."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from benchmarks.retrieval.asking import Scores
from benchmarks.retrieval.measures import RECIPROCAL_RANK
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, EvaluationSet
from benchmarks.retrieval.ways import DEFAULT, WAYS
from benchmarks.retrieval.worth import Difference, Values, chosen_without, worth
from infra.measuring import interval_of_difference, interval_of_mean
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
# What was chosen without a set, measured on it, is what to expect of unseen documents of its kind.
LEFT_OUT_GOALS: Goals = {
    **_goals("financebench", POOLED, (1, 30), (5, 60), (10, 75)),
    **_goals("financebench", DOCUMENT, (1, 45), (5, 75), (10, 88)),
    **_goals("filings2", POOLED, (1, 45), (5, 70), (10, 80)),
    **_goals("filings2", DOCUMENT, (1, 55), (5, 78), (10, 88)),
}
# The default model was trained on English.
MULTILINGUAL_GOALS: Goals = {
    **_goals("translated", POOLED, (1, 88)),
    **_goals("translated-english", POOLED, (1, 80)),
}
OPTIMISM_GOAL = "<= 8"  # points at hit@5
# Parts are judged by this measure: it counts the first place most, and misses no gain at the other nine.
JUDGED = RECIPROCAL_RANK
CHOSEN = "hit@5"
_RANKS = ("hit@1", "hit@3", "hit@5", "hit@10")
_SHOWN = {POOLED: "", DOCUMENT: ", in the document", MIXED: ", in the mixed collection"}


def of_set(
    report: Report, material: EvaluationSet, scores: Scores, way: str, against: str | None, goals: Goals
) -> None:
    """Add a row for each scope and measure of a set, and for the difference to another way."""
    for (one, scope), measures in scores.items():
        if one != way:
            continue
        for measure, values in measures.items():
            if measure == RECIPROCAL_RANK or (measure in _RANKS and "recall" in measures):
                continue  # these only judge the ranking
            metric = f"{material.title}: {measure}{_SHOWN[scope]}"
            _add(report, metric, values, goals.get((material.name, scope, measure)))
            if against:
                _add_difference(report, f"{metric}, over {against}", values, scores[against, scope][measure])
    of_languages(report, material, scores, way)


def of_languages(report: Report, material: EvaluationSet, scores: Scores, way: str, model: str = "") -> None:
    """Add hit@1 of each language of a set; with the name of another `model`, of all languages together too."""
    title = f"{material.title}: hit@1" + (f" by {model}" if model else "")
    first = scores[way, POOLED]["hit@1"]
    if model:
        _add(report, title, first)
    languages = [asked.language for asked in material.asked]
    for language in sorted(set(filter(None, languages))):
        values = [value for value, one in zip(first, languages, strict=True) if one == language]
        _add(report, f"{title}, {language}", values)


def of_parts(
    report: Report,
    sets: Mapping[str, EvaluationSet],
    scores: Mapping[str, Scores],
    parts: Mapping[str, str],
    *,
    whole: bool,
) -> None:
    """Add each part's worth on each set and on all together, and whether it stays by the rule of `Worth`.

    `parts` has the name of the scores without each part.
    """
    for part, without in parts.items():
        for measure in ("hit@1", "hit@5", JUDGED):
            found = worth(judged(sets, scores, DEFAULT, measure), judged(sets, scores, without, measure))
            for name, difference in found.by_set.items():
                _add_points(report, f"worth of {part}: {measure}, {sets[name].title}", difference)
            _add_points(report, f"worth of {part}: {measure}, all sets together", found.together)
            if measure == JUDGED:
                report.add(f"{part} carries over", found.carries_over, "of 1", "== 1" if whole else None)


def of_left_out(
    report: Report, sets: Mapping[str, EvaluationSet], scores: Mapping[str, Scores], *, whole: bool
) -> None:
    """Add for each set the figures of the configuration that is best on all other sets.

    The development figure is the default's, which was chosen with all sets.
    """
    by_way = {way: judged(sets, scores, way, CHOSEN) for way in WAYS}
    goals, most = (LEFT_OUT_GOALS, OPTIMISM_GOAL) if whole else ({}, None)
    for name, way in chosen_without(by_way).items():
        title = f"{sets[name].title}, left out ({way})"
        for scope in sets[name].judged:
            for measure in _RANKS:
                metric = f"{title}: {measure}{_SHOWN[scope]}"
                _add(report, metric, scores[name][way, scope][measure], goals.get((name, scope, measure)))
        metric = f"{title}: {CHOSEN}, development minus left out"
        _add_difference(report, metric, by_way[DEFAULT][name], by_way[way][name], most)


def judged(sets: Mapping[str, EvaluationSet], scores: Mapping[str, Scores], way: str, measure: str) -> Values:
    """Return one value for each question of each set that judges: its mean over the set's judged scopes."""
    return {
        name: np.mean([scores[name][way, scope][measure] for scope in material.judged], axis=0).tolist()
        for name, material in sets.items()
        if material.judged
    }


def _add(report: Report, metric: str, values: Sequence[float], goal: str | None = None) -> None:
    low, high = interval_of_mean(values)
    report.add(f"{metric} [{low:.1f}, {high:.1f}]", fmean(values), "%", goal)


def _add_difference(
    report: Report, metric: str, after: Sequence[float], before: Sequence[float], goal: str | None = None
) -> None:
    _add_points(report, metric, interval_of_difference(after, before), goal)


def _add_points(report: Report, metric: str, difference: Difference, goal: str | None = None) -> None:
    estimate, low, high = difference
    report.add(f"{metric} [{low:+.1f}, {high:+.1f}]", estimate, "points", goal)
