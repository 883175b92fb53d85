"""The rule by which a part of the ranking stays, and the choice without a set."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.retrieval.rows import CHOSEN, judged, of_left_out, of_parts
from benchmarks.retrieval.sets import DOCUMENT, POOLED, Asked, EvaluationSet
from benchmarks.retrieval.ways import DEFAULT, PARTS, WAYS
from benchmarks.retrieval.worth import Worth, chosen_without, worth
from docwell.query.retrieval.ranking import Weights
from infra.measuring import interval_of_difference
from infra.report import Report

GOOD, EVEN, DOUBTFUL, BAD = (4.0, 1.0, 7.0), (0.0, -2.0, 2.0), (-3.0, -8.0, 0.0), (-3.0, -6.0, -1.0)


@pytest.mark.parametrize(
    ("together", "by_set", "stays"),
    [
        ((2.0, 0.5, 3.5), (GOOD, GOOD, EVEN), True),
        ((2.0, 0.5, 3.5), (GOOD, GOOD, EVEN, DOUBTFUL, DOUBTFUL), True),
        ((2.0, 0.0, 4.0), (GOOD, GOOD, GOOD), False),
        ((2.0, 0.5, 3.5), (GOOD, GOOD, DOUBTFUL), False),
        ((2.0, 0.5, 3.5), (GOOD, GOOD, GOOD, BAD), False),
    ],
)
def test_a_part_stays_only_if_it_helps_together_and_on_three_sets_and_harms_none(
    together: tuple[float, float, float], by_set: tuple[tuple[float, float, float], ...], stays: bool
) -> None:
    assert Worth(dict(enumerate(by_set)), together).carries_over is stays  # type: ignore[arg-type]


def test_worth_is_the_paired_difference_in_which_each_question_counts_the_same() -> None:
    whole = {"large": [100.0] * 90 + [0.0] * 10, "small": [100.0, 0.0]}
    without = {"small": [0.0, 100.0], "large": [100.0] * 80 + [0.0] * 20}
    found = worth(whole, without)
    assert found.by_set["large"] == interval_of_difference(whole["large"], without["large"])
    assert found.by_set["small"][0] == 0.0
    assert found.together[0] == pytest.approx(100 * 10 / 102)
    assert found.together[1] > 0


def test_the_choice_without_a_set_ignores_its_figures_and_weighs_the_other_sets_alike() -> None:
    ways = {
        DEFAULT: {"a": [50.0], "b": [50.0], "c": [50.0] * 9},
        "fits a": {"a": [100.0], "b": [40.0], "c": [40.0] * 9},
        "fits b": {"a": [50.0], "b": [90.0], "c": [30.0] * 9},
    }
    assert chosen_without(ways) == {"a": "fits b", "b": "fits a", "c": "fits a"}


def test_of_equal_ways_the_default_is_chosen() -> None:
    assert next(iter(WAYS)) == DEFAULT
    assert chosen_without({way: {"a": [1.0], "b": [1.0]} for way in WAYS}) == {"a": DEFAULT, "b": DEFAULT}


def test_each_part_of_the_ranking_has_a_way_that_only_lacks_it() -> None:
    assert list(PARTS) == [one.name for one in fields(Weights)]
    for part, without in PARTS.items():
        weights = WAYS[without].weights
        changed = [
            one.name for one in fields(Weights) if getattr(weights, one.name) != getattr(Weights(), one.name)
        ]
        assert (changed, getattr(weights, part)) == ([part], 0.0)
