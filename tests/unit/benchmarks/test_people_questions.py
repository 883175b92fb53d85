"""The questions as people ask them: their truth stands on the pages that another reader than docwell reads."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.answers import asked
from benchmarks.answers.asked import Asked, Kind, sample, truth
from benchmarks.answers.questions import page_texts, words
from benchmarks.answers.verdicts import judge
from docwell.cli.evaluation.verdicts import Answer, Verdict
from docwell.cli.evaluation.wording import says_any
from infra.report import EVALUATION, ROOT

QUESTIONS = truth().questions
SETS = {
    "xquad": ("questions_en_dev.json", "questions_translated_dev.json"),
    "mmlongbench": ("questions_dev.json",),
    "financebench": ("questions_dev.json",),
    "filings2": ("questions_dev2.json",),
}
needs_documents = pytest.mark.skipif(
    not (EVALUATION / "xquad").is_dir(), reason=f"no evaluation material in {EVALUATION}"
)


def by_id(*kinds: Kind) -> list[object]:
    return [pytest.param(one, id=one.id) for one in QUESTIONS if not kinds or one.kind in kinds]


def language_of(key: str) -> str:
    return "de" if key.startswith("artikel/") else "en"


def pages_of(key: str) -> tuple[str, ...]:
    return page_texts(truth().files[key])


def test_each_kind_has_its_share() -> None:
    least = {Kind.PLAIN: 30, Kind.OVERVIEW: 20, Kind.TWO_PAGES: 10}
    counts = Counter(one.kind for one in QUESTIONS)
    assert all(counts[kind] >= least.get(kind, 15) for kind in Kind)


def test_half_of_each_kind_is_untouched_or_all_that_were_not_looked_at() -> None:
    fresh = {Kind.LIST: 6, Kind.COMPARISON: 8, Kind.TWO_PAGES: 6}
    for kind in Kind:
        halves = Counter(one.untouched for one in QUESTIONS if one.kind is kind)
        assert halves[True] == fresh.get(kind, (halves.total() + 1) // 2)


@pytest.mark.parametrize("question", by_id())
def test_a_question_has_what_its_kind_needs(question: Asked) -> None:
    assert question.pages
    assert (question.holds is not None) == (question.kind is Kind.YES_NO)
    assert bool(question.mention) == bool(question.on)
    assert question.musts or question.on or question.kind in {Kind.YES_NO, Kind.ABSENT}
    if question.document is not None:
        assert {page.key for page in question.pages} == {question.document}
    if question.collection is not None:
        assert all(page.key.startswith(f"{question.collection}/") for page in question.pages)


def test_comparisons_and_two_page_questions_need_two_places() -> None:
    for one in QUESTIONS:
        if one.kind is Kind.COMPARISON:
            assert len({page.key for page in one.pages}) > 1, one.id
        if one.kind is Kind.TWO_PAGES:
            first, second = (set(fact.on) for fact in one.musts)
            assert first.isdisjoint(second), one.id


@pytest.mark.parametrize("question", by_id(*(kind for kind in Kind if kind is not Kind.ABSENT)))
def test_an_answer_with_the_truth_is_right_and_one_beside_it_is_not(question: Asked) -> None:
    decided = {True: "Yes, it does.", False: "No, it does not.", None: ""}[question.holds]
    for at in range(max(len(fact.say) for fact in question.musts) if question.musts else 1):
        said = [fact.say[min(at, len(fact.say) - 1)] for fact in question.musts]
        truth_said = Answer("answered", f"{decided} {'; '.join(said)}", question.pages)
        assert judge(question, truth_said, str).verdict is Verdict.RIGHT, said
    beside = Answer("answered", "Nobody has measured this.", question.pages - set(question.on))
    contrary = {True: "No.", False: "Yes, it is.", None: ""}[question.holds]
    assert judge(question, replace(beside, text=contrary or beside.text), str).verdict is Verdict.WRONG


@needs_documents
@pytest.mark.parametrize("question", by_id())
def test_each_fact_stands_on_each_of_its_pages(question: Asked) -> None:
    for fact in question.facts:
        wordings = (fact.stands,) if fact.stands else fact.say
        assert fact.derived or fact.on, fact
        for page in fact.on:
            text = pages_of(page.key)[page.number - 1]
            assert says_any(text, wordings, language_of(page.key)), (page, wordings)


@needs_documents
@pytest.mark.parametrize("question", by_id(Kind.LIST))
def test_a_list_has_exactly_the_pages_that_mention_it(question: Asked) -> None:
    for key in truth().files:
        if question.mention and key.startswith(f"{question.collection}/"):
            mentions = {at for at, text in enumerate(pages_of(key), 1) if says_any(text, question.mention)}
            assert {page.number for page in question.on if page.key == key} == mentions, key


@needs_documents
def test_no_question_is_one_of_the_sets() -> None:
    theirs = set()
    for folder, names in SETS.items():
        for name in names:
            entries = json.loads((EVALUATION / folder / name).read_text(encoding="utf-8"))
            theirs |= {words(entry["question"]) for entry in entries}
    assert len(theirs) > 1000
    assert not [one.id for one in QUESTIONS if words(one.ask) in theirs]


def test_no_question_is_one_of_the_examples() -> None:
    entries = json.loads((ROOT / "examples" / "questions.json").read_text(encoding="utf-8"))
    assert not {words(entry["question"]) for entry in entries} & {words(one.ask) for one in QUESTIONS}


def test_a_small_sample_has_each_kind() -> None:
    assert {one.kind for one in sample(QUESTIONS, len(Kind), seed=7)} == set(Kind)
    assert {one.id for one in sample(QUESTIONS, None, seed=7)} == {one.id for one in QUESTIONS}


def test_a_list_over_documents_needs_its_whole_collection() -> None:
    keys = ["news/a.pdf", "news/b.pdf", "papers/c.pdf"]
    listed = next(one for one in QUESTIONS if one.kind is Kind.LIST and one.collection == "news")
    assert listed.needs(keys) == {"news/a.pdf", "news/b.pdf"}
    assert replace(listed, kind=Kind.PLAIN).needs(keys) == set()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"in": "nowhere"}, "neither a document nor a collection: nowhere"),
        ({"facts": [{"say": ["x"], "on": ["ulta"]}]}, "not pages of a document: ulta"),
        ({"facts": [{"say": ["x"], "on": ["other#1"]}]}, "not pages of a document: other#1"),
        ({"answer": "x"}, "answer"),
    ],
)
def test_a_mistake_in_a_table_is_an_error(fields: dict[str, object], said: str) -> None:
    entry = {"id": "one", "ask": "What?", "untouched": False, **fields}
    with pytest.raises(ValueError, match=said):
        asked._asked(Kind.PLAIN, entry, {"ulta": "news/ulta.pdf"}, {"news"})
