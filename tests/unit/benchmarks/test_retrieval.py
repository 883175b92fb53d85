"""`make eval-retrieval`: sets, measures, and the choice of the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval.asking import of_ranks
from benchmarks.retrieval.gate import threshold
from benchmarks.retrieval.sets import SETS, Question
from docwell.models import Chunk, Passage
from infra.report import EVALUATION

KEY = "set/a.pdf"


def passage(text: str, start: int = 0, *, page: int = 1, key: str = KEY) -> Passage:
    return Passage(f"{key}{page}{start}", key, "g", "v", Chunk(text, page, start, start + len(text), 1), 0.5)


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


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write a set's questions; return the folder of the sets."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return folder


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


@pytest.mark.parametrize("name", SETS)
def test_every_question_has_its_document(name: str) -> None:
    try:
        material = SETS[name](EVALUATION)
    except FileNotFoundError:
        pytest.skip("no evaluation material: DOCWELL_EVAL")
    assert material.questions
    assert {question.key for question in material.questions} <= set(material.files)
    assert {key for question in material.questions for key in question.among} <= set(material.files)


def test_the_threshold_refuses_at_most_three_percent_of_the_worst_set_and_scope() -> None:
    hard = [0.2 + i / 1000 for i in range(100)]
    fits = {
        ("articles", "alone", True): [0.5 + i / 1000 for i in range(100)],
        ("manuals", "mixed", True): hard,
        ("articles", "mixed", False): [0.1],
    }
    assert threshold(fits) == 0.20
    assert sum(fit < 0.20 for fit in hard) <= 3
