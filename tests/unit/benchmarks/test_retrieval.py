"""`make eval-retrieval`: sets, measures, and the choice of the gate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.retrieval.asking import DEFAULT, VARIANTS, Asker, of_content, of_ranks, rank_of_answer
from benchmarks.retrieval.gate import threshold
from benchmarks.retrieval.sets import DOCUMENT, MIXED, POOLED, SETS, EvaluationSet, Question
from docwell.models import Chunk, Passage, collection_of
from docwell.ports import Places
from docwell.text.lexicon import content_words
from infra.report import EVALUATION

KEY = "set/a.pdf"


def passage(text: str, start: int = 0, *, page: int = 1, key: str = KEY) -> Passage:
    return Passage(f"{key}{page}{start}", key, "g", "v", Chunk(text, page, start, start + len(text), 1), 0.5)


def test_repeated_text_counts_once_as_found_and_twice_as_retrieved() -> None:
    question = Question("q", KEY, spans=((0, 10), (90, 100)))
    values = of_content(question, [passage("x" * 20), passage("x" * 20), passage("x" * 20, key="set/b.pdf")])
    assert values == {
        "recall": 50.0,
        "precision": pytest.approx(100 * 10 / 60),
        "IoU": pytest.approx(100 * 10 / 70),
    }


def test_a_hit_is_a_passage_on_a_page_that_answers_among_the_first() -> None:
    question = Question("q", KEY, frozenset({(KEY, 7)}))
    misses = [passage("x", page=1), passage("the same page elsewhere", page=7, key="set/b.pdf")]
    values = of_ranks(question, [*misses, passage("it is forty two.", page=7)])
    assert values == {
        "hit@1": 0.0,
        "hit@3": 100.0,
        "hit@5": 100.0,
        "hit@10": 100.0,
    }
    assert set(of_ranks(question, misses).values()) == {0.0}


def test_a_passage_that_touches_a_reference_answers() -> None:
    question = Question("q", KEY, spans=((15, 25),))
    elsewhere = [passage("x" * 15), passage("x" * 50, key="set/b.pdf"), passage("x", 25)]
    assert rank_of_answer(question, elsewhere) is None
    assert rank_of_answer(question, [*elsewhere, passage("x" * 5, 11)]) == 4


def test_evidence_is_held_by_passages_on_a_page_that_answers() -> None:
    question = Question("q", KEY, frozenset({(KEY, 7)}), evidence="The boilers burn 40 litres of diesel")
    right = [passage("A boiler burns diesel.", page=7), passage("40 of it", page=7)]
    wrong = [passage("litres", page=8), passage("litres", page=7, key="set/b.pdf")]
    assert of_content(question, [*right, *wrong]) == {"evidence in 5": pytest.approx(100 * 4 / 5)}
    assert of_content(question, wrong) == {"evidence in 5": 0.0}


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write a set's questions; return the folder of the sets."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return folder


def test_evidence_of_several_places_is_joined_with_the_pages_of_each(tmp_path: Path) -> None:
    places = [
        {"doc": "A", "page1": 3, "best_page1": 4, "evidence_text": "net sales"},
        {"doc": "A", "page1": 9, "best_page1": 9, "evidence_text": "total assets"},
    ]
    rows = [{"question": "q", "doc": "A", "evidence": places}]
    (question,) = SETS["filings2"](written(tmp_path, "filings2/questions_dev2.json", rows)).questions
    assert question.pages == {("filings2/A.pdf", page) for page in (3, 4, 9)}
    assert question.evidence == "net sales\ntotal assets"


def test_only_questions_that_text_or_a_table_answers_are_asked_of_mixed_pdfs(tmp_path: Path) -> None:
    rows = [
        {"question": str(text) + str(absent), "doc": "a.pdf", "evidence_pages": [2, 5], "text_or_table_only": text,
         "unanswerable": absent}
        for text in (True, False)
        for absent in (True, False)
    ]  # fmt: skip
    (question,) = SETS["mmlongbench"](written(tmp_path, "mmlongbench/questions_dev.json", rows)).questions
    assert question == Question(
        "TrueFalse", "mmlongbench/a.pdf", frozenset({("mmlongbench/a.pdf", 2), ("mmlongbench/a.pdf", 5)})
    )


def test_the_evidence_on_an_article_is_the_sentence_with_the_answer(tmp_path: Path) -> None:
    context = "The gate opens at six. It shuts at ten in the evening, except on Sundays."
    row = {"question": "q", "doc": "a.pdf", "page": 2, "answer": "ten in the evening", "context": context}
    rows = [row | {"answer_start": context.index("ten in")}]
    (question,) = SETS["xquad"](written(tmp_path, "xquad/questions_en_dev.json", rows)).questions
    assert question.evidence == "It shuts at ten in the evening, except on Sundays."


@pytest.mark.parametrize("name", SETS)
def test_every_question_has_its_document_and_evidence_has_words(name: str) -> None:
    try:
        material = SETS[name](EVALUATION)
    except FileNotFoundError:
        pytest.skip("no evaluation material: DOCWELL_EVAL")
    assert material.questions
    assert {question.key for question in material.questions} <= set(material.files)
    assert {key for question in material.questions for key in question.among} <= set(material.files)
    assert all(content_words(question.evidence) for question in material.questions if question.evidence)


KEYS = ("xquad/a.pdf", "xquad/b.pdf", "other/a.pdf")


RIGHT = "The gate is locked at ten in the evening."


TEXTS = {1: "Hills.", 2: RIGHT}


class Index:
    """Two pages of each document, nearest first: those of other documents before those of the first."""

    def search(self, places: Places, vector: Sequence[float], k: int) -> list[Passage]:
        result = [
            Passage(f"{key}{page}", key, "g", "v", Chunk(f"{TEXTS[page]} {key}", page, 0, 41, 9), score)
            for key, score in zip(KEYS[::-1], (0.5, 0.4, 0.3), strict=True)
            for page in (1, 2)
            if collection_of(key) in places and key in (places[collection_of(key)] or KEYS)
        ]
        return result[:k]


def asker(index: Index) -> Asker:
    embedder: Any = SimpleNamespace(embed_queries=lambda texts: np.ones((len(texts), 4), dtype=np.float32) / 2)
    catalogue = SimpleNamespace(live=lambda keys: dict.fromkeys(keys, "g"))
    indexed: Any = SimpleNamespace(
        index=index, embedder=embedder, catalogue=catalogue, chunks=dict.fromkeys(KEYS, 2)
    )
    return Asker(indexed, ("other", "xquad"))


def material(**fields: Any) -> EvaluationSet:
    question = Question("Hills?", KEYS[0], frozenset({(KEYS[0], 2)}), evidence=RIGHT, **fields)
    return EvaluationSet("xquad", "XQuAD", {}, (question,), judged=(POOLED,))


def test_a_question_is_asked_in_each_scope_and_in_more_ways_where_its_set_judges() -> None:
    scores = asker(Index()).ask(material(), [variant for variant in VARIANTS if variant != DEFAULT])
    assert {scope for variant, scope in scores if variant != DEFAULT} == {POOLED}
    hits = {scope: scores[DEFAULT, scope]["hit@5"] for scope in (POOLED, DOCUMENT, MIXED)}
    assert hits == {POOLED: [100.0], DOCUMENT: [100.0], MIXED: [0.0]}


def test_the_threshold_refuses_at_most_three_percent_of_the_worst_set_and_scope() -> None:
    hard = [0.2 + i / 1000 for i in range(100)]
    fits = {
        ("articles", "alone", True): [0.5 + i / 1000 for i in range(100)],
        ("manuals", "mixed", True): hard,
        ("articles", "mixed", False): [0.1],
    }
    assert threshold(fits) == 0.20
    assert sum(fit < 0.20 for fit in hard) <= 3
