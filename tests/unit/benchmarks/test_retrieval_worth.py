"""The rule by which a part of the ranking stays, and the choice without a set."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import pytest

from benchmarks.retrieval import __main__ as command
from benchmarks.retrieval.asking import Scores
from benchmarks.retrieval.ingest_parts import INGEST_PARTS, VECTORS_WITHOUT
from benchmarks.retrieval.rows import JUDGED, judged, of_left_out, of_parts
from benchmarks.retrieval.sets import DOCUMENT, POOLED, Asked, EvaluationSet
from benchmarks.retrieval.ways import DEFAULT, PARTS, WAYS
from benchmarks.retrieval.worth import Worth, chosen_without, worth
from docwell.query.retrieval.ranking import Weights
from infra.measuring import interval_of_difference
from infra.report import Report, Row

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


def test_worth_is_the_paired_difference_in_which_each_set_counts_the_same() -> None:
    whole = {"large": [100.0] * 90 + [0.0] * 10, "small": [100.0, 0.0]}
    without = {"small": [0.0, 100.0], "large": [100.0] * 80 + [0.0] * 20}
    found = worth(whole, without)
    assert found.by_set["large"] == interval_of_difference(whole["large"], without["large"])
    assert found.by_set["small"][0] == 0.0
    assert found.together[0] == pytest.approx((10 + 0) / 2)
    assert found.together[1] < -20 < 20 < found.together[2]


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


ASKED = (Asked("q", "set/a.pdf"),) * 10
SCOPES = {"filings2": (POOLED, DOCUMENT), "mmlongbench": (DOCUMENT,), "chunking": (POOLED,), "translated": ()}
SETS = {name: EvaluationSet(name, name, {}, ASKED, judged=scopes) for name, scopes in SCOPES.items()}
MEASURES = ("hit@1", "hit@3", "hit@5", "hit@10", JUDGED)


def scores(figures: dict[str, float], filings2: dict[str, float] | None = None) -> dict[str, Scores]:
    """Return the scores of ten equal questions in each set and scope, by way; 50 for other ways."""
    return {
        name: {
            (way, scope): dict.fromkeys(MEASURES, [own.get(way, 50.0)] * len(ASKED))
            for way in WAYS
            for scope in (POOLED, DOCUMENT)
        }
        for name in SETS
        for own in [filings2 if filings2 is not None and name == "filings2" else figures]
    }


def rows(report: Report) -> dict[str, Row]:
    return {row.metric.partition(" [")[0]: row for row in report.rows}


def test_a_question_is_judged_by_the_mean_of_its_scopes_and_only_in_sets_that_judge() -> None:
    found = scores({})
    found["filings2"][DEFAULT, POOLED]["hit@5"] = [100.0] * len(ASKED)
    assert judged(SETS, found, DEFAULT, "hit@5") == {
        "filings2": [75.0] * len(ASKED),
        "mmlongbench": [50.0] * len(ASKED),
        "chunking": [50.0] * len(ASKED),
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_does_not_carry_over_misses_its_goal(part: str) -> None:
    report = Report("retrieval")
    of_parts(report, SETS, scores({PARTS[part]: 40.0}), PARTS, whole=True)
    found = rows(report)
    assert {name: found[f"{name} carries over"].ok for name in PARTS} == {name: name == part for name in PARTS}
    assert found[f"worth of {part}: hit@1, all sets together"].value == 10.0
    assert found[f"worth of {part}: {JUDGED}, mmlongbench"].value == 10.0


def test_a_set_that_is_left_out_shows_what_the_others_choose_and_what_the_default_has_more() -> None:
    report, other = Report("retrieval"), "nearest"
    of_left_out(report, SETS, scores({other: 60.0}, filings2={DEFAULT: 50.0, other: 40.0}), whole=True)
    found = rows(report)
    title = f"filings2, left out ({other})"
    assert (found[f"{title}: hit@1"].value, found[f"{title}: hit@1"].goal) == (40.0, ">= 45")
    assert found[f"{title}: hit@5, in the document"].goal == ">= 78"
    assert (found[f"{title}: hit@5, development minus left out"].value, report.ok) == (10.0, False)


def test_a_sample_has_no_goals() -> None:
    report = Report("retrieval")
    of_parts(report, SETS, scores({}), PARTS, whole=False)
    of_left_out(report, SETS, scores({}), whole=False)
    assert {row.goal for row in report.rows} == {None}


def test_each_part_of_ingest_is_judged_by_the_same_rule_on_an_index_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing: list[Any] = []

    class Asker:
        def ask(self, one: EvaluationSet, thorough: Any, others: Any) -> tuple[Scores, list[Any]]:
            assert (thorough, others) == ((), (DEFAULT,))
            value = 40.0 if missing[-1] is VECTORS_WITHOUT["headings"] else 50.0
            return {(DEFAULT, at): dict.fromkeys(MEASURES, [value] * len(ASKED)) for at in one.judged}, []

    @contextmanager
    def opened(_sets: Any, _embedder: Any, _chunk_tokens: int, vectors: Any) -> Iterator[Asker]:
        missing.append(vectors)
        yield Asker()

    monkeypatch.setattr(command, "_asker", opened)
    report = Report("retrieval")
    options = Namespace(chunk_tokens=200, n=None)
    command._judge_ingest(report, SETS, scores({}), None, options)  # type: ignore[arg-type]
    found = rows(report)
    assert missing == list(VECTORS_WITHOUT.values())
    assert {part: found[f"{part} carries over"].ok for part in INGEST_PARTS} == {
        "neighbours": False,
        "headings": True,
    }
    assert found["worth of headings: hit@1, mmlongbench"].value == 10.0
    assert found["worth of neighbours: hit@1, all sets together"].value == 0.0
