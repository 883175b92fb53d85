"""The joins of questions, documents and evidence in the sets of `make eval-retrieval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval.sets import (
    SETS,
    Asked,
    filings2,
    mmlongbench,
    sentence_with,
    translated,
    translated_english,
)
from benchmarks.retrieval.sets import xquad as load_xquad
from docwell.text.lexicon import content_words
from infra.report import EVALUATION


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
    (asked,) = filings2(written(tmp_path, "filings2/questions_dev2.json", rows)).asked
    assert asked.pages == {("filings2/A.pdf", page) for page in (3, 4, 9)}
    assert asked.evidence == "net sales\ntotal assets"


def test_only_questions_that_text_or_a_table_answers_are_asked_of_mixed_pdfs(tmp_path: Path) -> None:
    rows = [
        {"question": str(text) + str(absent), "doc": "a.pdf", "evidence_pages": [2, 5], "text_or_table_only": text,
         "unanswerable": absent}
        for text in (True, False)
        for absent in (True, False)
    ]  # fmt: skip
    (asked,) = mmlongbench(written(tmp_path, "mmlongbench/questions_dev.json", rows)).asked
    assert asked == Asked(
        "TrueFalse", "mmlongbench/a.pdf", frozenset({("mmlongbench/a.pdf", 2), ("mmlongbench/a.pdf", 5)})
    )


def test_the_evidence_on_an_article_is_the_sentence_with_the_answer(tmp_path: Path) -> None:
    context = "The gate opens at six. It shuts at ten in the evening, except on Sundays."
    row = {"question": "q", "doc": "a.pdf", "page": 2, "answer": "ten in the evening", "context": context}
    rows = [row | {"answer_start": context.index("ten in")}]
    (asked,) = load_xquad(written(tmp_path, "xquad/questions_en_dev.json", rows)).asked
    assert asked.evidence == "It shuts at ten in the evening, except on Sundays."


def test_an_answer_over_two_sentences_has_both_as_evidence() -> None:
    text = "One is here. Two is there. Three is gone."
    assert sentence_with(text, text.index("here"), len("here. Two")) == "One is here. Two is there."


def test_a_translated_question_searches_its_language_and_without_a_page_its_document_answers(
    tmp_path: Path,
) -> None:
    rows = [
        {"question": f"q{doc}", "question_en": "in English", "doc": f"{doc}.pdf", "lang": lang, "page": page}
        for doc, lang, page in (("a_de", "de", 2), ("b_de", "de", None), ("a_hi", "hi", 1))
    ]
    folder = written(tmp_path, "xquad/questions_translated_dev.json", rows)
    german = ("xquad/a_de.pdf", "xquad/b_de.pdf")
    assert translated(folder).asked == (
        Asked("qa_de", german[0], frozenset({(german[0], 2)}), among=german, language="de"),
        Asked("qb_de", german[1], among=german, language="de"),
        Asked(
            "qa_hi", "xquad/a_hi.pdf", frozenset({("xquad/a_hi.pdf", 1)}), among=("xquad/a_hi.pdf",), language="hi"
        ),
    )
    assert {one.text for one in translated_english(folder).asked} == {"in English"}


@pytest.mark.parametrize("name", SETS)
def test_every_question_has_its_document_and_evidence_has_words(name: str) -> None:
    try:
        material = SETS[name](EVALUATION)
    except FileNotFoundError:
        pytest.skip("no evaluation material: DOCWELL_EVAL")
    assert material.asked
    assert {one.key for one in material.asked} <= set(material.files)
    assert {key for one in material.asked for key in one.among} <= set(material.files)
    assert all(content_words(one.evidence) for one in material.asked if one.evidence)


def test_a_sample_is_spread_over_all_questions(tmp_path: Path) -> None:
    rows = [{"question": str(i), "doc": "a.pdf", "evidence_pages": [1], "text_or_table_only": True,
             "unanswerable": False} for i in range(10)]  # fmt: skip
    material = mmlongbench(written(tmp_path, "mmlongbench/questions_dev.json", rows))
    assert [one.text for one in material.sample(3).asked] == ["0", "3", "6"]
    assert material.sample(10) is material
    assert material.sample(None) is material
