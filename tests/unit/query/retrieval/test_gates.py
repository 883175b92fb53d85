"""Refusals before the model is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docwell.models import Chunk, Passage
from docwell.query.retrieval.gates import is_hopeless, question_names_missing
from infra.report import EVALUATION


def passage(text: str, document: str = "a/b.pdf", score: float = 0.9) -> Passage:
    return Passage("id", document, "generation", "v1", Chunk(text, 1, 0, len(text), 1), score)


BOILER = passage("The boiler of Ostra Works is inspected every March. It holds 250 litres of water.")
DESK = passage("Visitors leave their badges at the desk. The desk opens at seven.")
INSPECTED = "When is the boiler inspected?"


@pytest.mark.parametrize(
    ("question", "score", "hopeless"),
    [
        (INSPECTED, 0.50, False),
        (INSPECTED, 0.34, True),
        ("How warm is the ocean?", 0.50, True),
        ("When is the boiler of Lloyd inspected?", 0.50, True),
        ("When is the boiler of Ostra inspected by Lloyd?", 0.99, False),
    ],
)
def test_a_question_is_hopeless_by_score_relevance_or_a_missing_name(
    question: str, score: float, hopeless: bool
) -> None:
    found = [passage(BOILER.chunk.text, score=score), passage(DESK.chunk.text, score=0.2)]
    assert is_hopeless(question, found, 0.35, 0.57) is hopeless


def test_a_question_without_passages_is_hopeless() -> None:
    assert is_hopeless(INSPECTED, [], 0.35, 0.57)


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("When is the boiler of Ostra Works inspected?", ()),
        ("When is the boiler of Lloyd inspected?", ("Lloyd",)),
        ("Is the boiler as it was in 1884?", ("1884",)),
        ("Is the boiler hotter than 90 degrees?", ()),
        ("Когда проверяют котёл в Лондоне?", ()),
    ],
)
def test_a_question_with_a_name_or_year_that_stands_nowhere_is_about_something_else(
    question: str, missing: tuple[str, ...]
) -> None:
    assert question_names_missing(question, [BOILER, DESK]) == missing


def test_the_documents_key_says_what_its_pages_do_not() -> None:
    report = passage("Revenue rose in fiscal 2021, as the Company opened shops.", "filings/OSTRA_2022_10K.pdf")
    assert question_names_missing("How did revenue of Ostra develop in FY2022?", [report]) == ()


def test_where_all_else_fits_one_name_may_be_misspelt_and_a_year_implied_but_not_the_only_name() -> None:
    question = "When is the boiler of Verks in Ostra inspected in 1950?"
    assert question_names_missing(question, [BOILER]) == ("Verks", "1950")
    assert question_names_missing(question, [BOILER], certain=True) == ()
    assert question_names_missing("When is the boiler of Kelvra inspected?", [BOILER], certain=True) == ("Kelvra",)


def test_a_year_beside_one_that_stands_is_not_missing() -> None:
    season = passage("The season of 2016 began in August.")
    assert question_names_missing("When did the season of 2015 begin?", [season]) == ()


@pytest.mark.skipif(not (EVALUATION / "xquad").is_dir(), reason="no evaluation material: DOCWELL_EVAL")
def test_questions_are_rarely_kept_from_the_article_that_answers_them() -> None:
    truth = json.loads((EVALUATION / "xquad" / "ground_truth_text_dev.json").read_text(encoding="utf-8"))
    articles = {Path(one["file"]).name: passage("\n\n".join(one["paragraphs"])) for one in truth}
    questions = json.loads((EVALUATION / "xquad" / "questions_en_dev.json").read_text(encoding="utf-8"))
    kept = [bool(question_names_missing(one["question"], [articles[one["doc"]]])) for one in questions[::3]]
    assert sum(kept) <= 0.02 * len(kept)
