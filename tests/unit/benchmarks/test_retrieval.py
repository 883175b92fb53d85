"""`make eval-retrieval`: sets and measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval import SETS, Question, of_ranks
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
