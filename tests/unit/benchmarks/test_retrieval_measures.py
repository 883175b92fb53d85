from __future__ import annotations

import pytest

from benchmarks.retrieval.measures import (
    evidence_held,
    of_characters,
    of_ranks,
    overlap,
    precision_omega,
    rank_of_answer,
)
from benchmarks.retrieval.sets import Asked
from docwell.models import Chunk, Passage
from infra.measuring import interval_of_difference, interval_of_mean, interval_of_ratio

KEY = "set/a.pdf"


def passage(text: str, start: int = 0, *, page: int = 1, key: str = KEY) -> Passage:
    return Passage(f"{key}{page}{start}", key, "g", "v", Chunk(text, page, start, start + len(text), 1), 0.5)


def test_what_is_retrieved_twice_counts_once_as_found_and_twice_as_retrieved() -> None:
    asked = Asked("q", KEY, spans=((0, 10), (90, 100)))
    values = of_characters(asked, [passage("x" * 20), passage("x" * 20), passage("x" * 20, key="set/b.pdf")])
    assert values == {
        "recall": 50.0,
        "precision": pytest.approx(100 * 10 / 60),
        "IoU": pytest.approx(100 * 10 / 70),
    }


def test_precision_omega_is_of_the_chunks_that_touch_a_reference() -> None:
    asked = Asked("q", KEY, spans=((15, 25),))
    assert precision_omega(asked, [(0, 10), (10, 20), (20, 30)]) == 50.0


def test_overlaps_are_counted_once() -> None:
    assert overlap([(0, 10), (5, 10)], [(5, 20)]) == 5


def test_a_hit_is_a_passage_on_a_page_that_answers_among_the_first() -> None:
    asked = Asked("q", KEY, frozenset({(KEY, 7)}))
    others = [passage("x", page=1), passage("the same page elsewhere", page=7, key="set/b.pdf")]
    values = of_ranks(asked, [*others, passage("it is forty two.", page=7)])
    assert values == {
        "hit@1": 0.0,
        "hit@3": 100.0,
        "hit@5": 100.0,
        "hit@10": 100.0,
        "reciprocal rank": pytest.approx(100 / 3),
    }
    assert set(of_ranks(asked, others).values()) == {0.0}


def test_a_passage_that_touches_a_reference_answers() -> None:
    asked = Asked("q", KEY, spans=((15, 25),))
    elsewhere = [passage("x" * 15), passage("x" * 50, key="set/b.pdf"), passage("x", 25)]
    assert rank_of_answer(asked, elsewhere) is None
    assert rank_of_answer(asked, [*elsewhere, passage("x" * 5, 11)]) == 4


def test_any_page_of_the_document_answers_where_no_page_is_known() -> None:
    others = [passage("x", key="set/b.pdf")]
    assert rank_of_answer(Asked("q", KEY), others) is None
    assert rank_of_answer(Asked("q", KEY), [*others, passage("x", page=9)]) == 2


def test_evidence_is_held_by_passages_on_a_page_that_answers() -> None:
    asked = Asked("q", KEY, frozenset({(KEY, 7)}), evidence="The boilers burn 40 litres of diesel")
    right = [passage("A boiler burns diesel.", page=7), passage("40 of it", page=7)]
    wrong = [passage("litres", page=8), passage("litres", page=7, key="set/b.pdf")]
    assert evidence_held(asked, [*right, *wrong]) == pytest.approx(100 * 4 / 5)
    assert evidence_held(asked, wrong) == 0.0


def test_an_interval_holds_the_mean_and_a_difference_of_pairs_is_narrower_than_its_parts() -> None:
    before = [float(i % 7 * 10) for i in range(100)]
    after = [value + 1 for value in before]
    low, high = interval_of_mean(before)
    assert low < sum(before) / 100 < high
    assert interval_of_difference(after, before) == pytest.approx((1.0, 1.0, 1.0))


def test_a_ratio_is_of_pairs_and_its_interval_holds_the_median() -> None:
    old = [float(10 + i % 5) for i in range(20)]
    new = [value * (1.05 if i % 2 else 0.95) for i, value in enumerate(old)]
    ratio, low, high = interval_of_ratio(new, old)
    assert ratio == pytest.approx(1.0)
    assert 0.95 <= low <= ratio <= high <= 1.05
