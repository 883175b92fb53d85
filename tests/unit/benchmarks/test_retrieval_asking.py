"""Asking the sets of `make eval-retrieval` over a small index in memory, and the rows of the report."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.retrieval.asking import Asker
from benchmarks.retrieval.rows import GOALS, JUDGED, of_languages, of_set
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, Asked, EvaluationSet
from benchmarks.retrieval.ways import DEFAULT, WAYS
from docwell.models import Chunk, Passage, collection_of
from docwell.ports import Places
from infra.report import Report

KEYS = ("xquad/a.pdf", "xquad/b.pdf", "other/a.pdf")
RIGHT = "The gate is locked at ten in the evening."
TEXTS = {1: "Hills.", 2: RIGHT}


class Index:
    """Two pages of each document, nearest first: those of other documents before those of the first."""

    def __init__(self) -> None:
        self.searches: list[tuple[Any, int]] = []

    def search(self, places: Places, vector: Sequence[float], k: int) -> list[Passage]:
        self.searches.append((places, k))
        found = [
            Passage(f"{key}{page}", key, "g", "v", Chunk(f"{TEXTS[page]} {key}", page, 0, 41, 9), score)
            for key, score in zip(KEYS[::-1], (0.5, 0.4, 0.3), strict=True)
            for page in (1, 2)
            if collection_of(key) in places and key in (places[collection_of(key)] or KEYS)
        ]
        return found[:k]


def asker(index: Index) -> Asker:
    embedder: Any = SimpleNamespace(embed_queries=lambda texts: np.ones((len(texts), 4), dtype=np.float32) / 2)
    whole: Any = index
    return Asker(whole, embedder, dict.fromkeys(KEYS, "g"), dict.fromkeys(KEYS, 2), ("other", "xquad"))


def material(**more: Any) -> EvaluationSet:
    asked = Asked("Hills?", KEYS[0], frozenset({(KEYS[0], 2)}), evidence=RIGHT, **more)
    return EvaluationSet("xquad", "XQuAD", {}, (asked,), judged=(POOLED,))


def test_each_scope_is_searched_once_for_ranks_whatever_the_number_of_ways() -> None:
    index = Index()
    scores, _ = asker(index).ask(material(), [DEFAULT], [way for way in WAYS if way != "nearest"])
    places = ({"xquad": None}, {"xquad": (KEYS[0],)}, {"other": None, "xquad": None})
    assert [one for one, _ in index.searches] == list(places)
    assert {scope for way, scope in scores if way != DEFAULT} == {POOLED}
    ranks = {scope: scores[DEFAULT, scope]["reciprocal rank"] for scope in (POOLED, DOCUMENT, MIXED)}
    assert ranks == {POOLED: [25.0], DOCUMENT: [50.0], MIXED: [100 / 6]}


def test_ranks_alone_are_asked_where_a_set_judges_and_miss_nothing() -> None:
    index = Index()
    scores, misses = asker(index).ask(material(), (), (DEFAULT,))
    assert ([one for one, _ in index.searches], misses) == ([{"xquad": None}], [])
    assert scores == {
        (DEFAULT, POOLED): {"hit@1": [0.0], "hit@3": [0.0], "hit@5": [100.0], "hit@10": [100.0], JUDGED: [25.0]}
    }


def test_evidence_is_of_the_first_five_passages_and_a_question_without_one_is_missed() -> None:
    index = Index()
    scores, misses = asker(index).ask(material(), [DEFAULT])
    assert (scores[DEFAULT, POOLED]["evidence in 5"], scores[DEFAULT, MIXED]["evidence in 5"]) == ([100.0], [0.0])
    assert misses == []
    _, misses = asker(index).ask(
        EvaluationSet("xquad", "XQuAD", {}, (Asked("q", KEYS[0], frozenset({("x", 1)})),)), ["nearest"]
    )
    assert [(one["question"], one["document"], len(one["found"])) for one in misses] == [("q", KEYS[0], 4)]


def test_a_question_can_search_some_documents_of_its_collection() -> None:
    index = Index()
    asker(index).ask(material(among=(KEYS[0],)), ["nearest"])
    assert index.searches[0][0] == {"xquad": (KEYS[0],)}


def test_rows_have_the_goal_of_their_scope_and_the_difference_to_another_way() -> None:
    one = material(language="de")
    scores, _ = asker(Index()).ask(one, [DEFAULT, "nearest"])
    report = Report("retrieval")
    of_set(report, one, scores, DEFAULT, "nearest", GOALS)
    goals = {row.metric.partition(" [")[0]: row.goal for row in report.rows}
    assert goals["XQuAD: hit@1"] == ">= 97"
    assert goals["XQuAD: hit@5, in the mixed collection"] == ">= 99"
    assert goals["XQuAD: hit@5, in the document"] is None
    assert goals["XQuAD: hit@5, over nearest"] is None
    assert "XQuAD: hit@1, de" in goals
    assert not any("reciprocal" in metric for metric in goals)


def test_another_model_stands_beside_in_each_language() -> None:
    one = material(language="de")
    scores, _ = asker(Index()).ask(one, [DEFAULT])
    report = Report("retrieval")
    of_languages(report, one, scores, DEFAULT, "MiniLM")
    assert [row.metric.partition(" [")[0] for row in report.rows] == [
        "XQuAD: hit@1 by MiniLM",
        "XQuAD: hit@1 by MiniLM, de",
    ]
