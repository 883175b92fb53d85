"""`make eval-answers`: its questions and their truth, and its verdicts."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.answers.judging import (
    Indexed,
    Judgement,
    add_figures,
    decision,
    judge,
    judge_answer,
    page_texts,
    stands_verbatim,
)
from benchmarks.answers.questions import Fact, Kind, Question, choose, truth
from benchmarks.doors import Reply
from benchmarks.pdfs import pdf
from docwell.cli.evaluation.verdicts import Answer, Page, Sentence, Verdict, says_any
from infra.report import EVALUATION, Report

CASES = tomllib.loads(Path(__file__).with_name("answers.toml").read_text(encoding="utf-8"))
PEOPLE, FILES = truth()
EACH_QUESTION = pytest.mark.parametrize("question", PEOPLE, ids=lambda question: question.id)
needs_documents = pytest.mark.skipif(
    not (EVALUATION / "xquad").is_dir(), reason=f"no evaluation material in {EVALUATION}"
)
KEY, TRUTH = "articles/gate.pdf", "ten in the evening"
A1, A2 = Page("x/a.pdf", 1), Page("x/a.pdf", 2)
TEXTS = {A1: "The gate opens at seven. It cost 1,200 dollars.", A2: "The boiler is in the cellar."}


@pytest.fixture
def index(tmp_path: Path) -> dict[str, Indexed]:
    path = tmp_path / "gate.pdf"
    path.write_bytes(pdf(["The boiler is in the cellar.", f"The gate is locked at {TRUTH}."]))
    return {KEY: Indexed(path, "v1")}


def judged(index: dict[str, Indexed], **fields: Any) -> Judgement:
    citation = {"marker": 1, "document": KEY, "version": "v1", "page": 2, "quote": f"locked at {TRUTH}"}
    body = {
        "answer": f"At {TRUTH} [1].",
        "status": "answered",
        "citations": [citation | fields.pop("citation", {})],
        "usage": {"prompt_tokens": 900, "completion_tokens": 9, "estimated_prompt_tokens": 950},
        **fields,
    }
    question = Question("q", Kind.ARTICLE, "When is the gate locked?", facts=(Fact((TRUTH,), (Page(KEY, 2),)),))
    return judge(question, Reply(200, "application/json", body, 1.0), index)


def test_a_right_answer_holds_the_truth_and_cites_it(index: dict[str, Indexed]) -> None:
    judgement = judged(index)
    assert (judgement.verdict, judgement.cites_page) == (Verdict.RIGHT, True)
    assert judgement.citing == (1, 1, 1, 1, 0)


@pytest.mark.parametrize(
    "fields",
    [{"citation": fields} for fields in ({"marker": 2}, {"page": 3}, {"page": 0}, {"version": "v0"})]
    + [{"citation": {"document": "articles/none.pdf"}}, {"answer": f"At {TRUTH} [3]."}],
)
def test_a_citation_that_leads_nowhere_is_not_resolved(index: dict[str, Indexed], fields: dict[str, Any]) -> None:
    assert judged(index, **fields).citing.resolved == 0


@pytest.mark.parametrize("quote", ["locked at eleven in the evening", ""])
def test_a_quote_that_does_not_stand_on_its_page_is_not_verbatim(index: dict[str, Indexed], quote: str) -> None:
    assert judged(index, citation={"quote": quote}).citing.verbatim == 0


@pytest.mark.parametrize(
    ("read", "estimated", "truncated"), [(2300, 4000, True), (3900, 4000, False), (899, 1000, False)]
)
def test_a_long_prompt_of_which_little_was_read_is_truncated(
    index: dict[str, Indexed], read: int, estimated: int, *, truncated: bool
) -> None:
    usage = {"prompt_tokens": read, "completion_tokens": 9, "estimated_prompt_tokens": estimated}
    assert judged(index, usage=usage).citing.truncated == truncated


def test_text_is_compared_up_to_white_space_and_hyphenation_alone() -> None:
    text = "The inter-\r\nnational  treaty was signed in 1921."
    assert stands_verbatim("international treaty\nwas", text)
    assert not stands_verbatim("treaty signed in 1921", text)


def test_the_figures_have_their_cases() -> None:
    def question(kind: Kind, *, untouched: bool = False) -> Question:
        return Question("q", kind, "When?", untouched=untouched)

    pages = [Page(f"x/{number}.pdf", 1) for number in range(39)]
    listing = Answer("answered", "Those [1].", frozenset(pages[9:]))
    plain, fresh = question(Kind.PLAIN), question(Kind.PLAIN, untouched=True)
    cases = [
        *[Judgement(fresh, None, Verdict.RIGHT)] * 30,
        *[Judgement(fresh, None, Verdict.WRONG)] * 10,
        *[Judgement(plain, None, Verdict.WRONGLY_REFUSED)] * 10,
        *[Judgement(question(Kind.ABSENT), None, Verdict.RIGHTLY_REFUSED)] * 10,
        Judgement(replace(question(Kind.LIST), on=tuple(pages[:36])), listing, Verdict.INCOMPLETE),
        Judgement(
            replace(question(Kind.OVERVIEW), facts=(Fact(("seven",)),) * 40), listing, Verdict.RIGHT, ("",) * 8
        ),
    ]
    report = Report("unit")
    add_figures(report, cases, {"wrong and not marked": "<= 6", "lists: recall of documents": ">= 75"})
    rows = {row.metric: (row.value, row.ok) for row in report.rows}
    assert rows["right or rightly refused, the untouched half"] == (75.0, True)
    assert rows["wrong and not marked"] == (16.129, False)
    assert rows["answerable questions that are refused"] == (19.231, True)
    assert rows["overviews: statements that must be there"] == (80.0, True)
    assert rows["lists: recall of documents"] == (75.0, True)
    assert rows["lists: precision of documents"] == (90.0, True)


@pytest.mark.parametrize("case", CASES["decisions"], ids=lambda case: case["text"])
def test_yes_or_no_is_decided(case: dict[str, Any]) -> None:
    holds = decision(case["text"], negated=case.get("negated", False), denies=("unannounced",))
    assert holds is case.get("holds")


def page(written: str) -> Page:
    name, _, number = written.partition("#")
    return Page(f"x/{name}.pdf", int(number))


@pytest.mark.parametrize("case", CASES["verdicts"], ids=lambda case: case.get("text", "refused"))
def test_verdicts(case: dict[str, Any]) -> None:
    question = Question(
        "q",
        Kind(case.get("kind", "plain")),
        "When?",
        untouched=False,
        facts=tuple(Fact(tuple(wordings), (A1,)) for wordings in case.get("facts", [["seven"]])),
        never=tuple(case.get("never", ())),
        holds=case.get("holds"),
        on=tuple(map(page, case.get("on", ()))),
    )
    cites = tuple(map(page, case.get("cites", ())))
    text, supported = case.get("text", ""), not case.get("marked", False)
    status = "refused" if case.get("refused") else "answered"
    reply = Answer(status, text, frozenset(cites), (Sentence(text, cites, supported),))
    assert judge_answer(question, reply).verdict is Verdict[case["verdict"]]
    assert judge_answer(question, None).verdict is Verdict.FAILED


def test_the_untouched_half_is_not_written_down() -> None:
    failed = Reply(503, "application/problem+json", {"type": "busy"}, 1.0)
    _, questions = choose(8)
    rows = {question: judge(question, failed, {}).row for question in questions}
    assert {question.untouched for question in questions} == {True, False}
    assert all(bool(row) != question.untouched for question, row in rows.items())


def test_half_of_each_kind_is_untouched_or_all_that_were_not_looked_at() -> None:
    fresh = {Kind.LIST: 6, Kind.COMPARISON: 8, Kind.TWO_PAGES: 6}
    kinds = {question.kind for question in PEOPLE}
    for kind in kinds:
        halves = Counter(question.untouched for question in PEOPLE if question.kind is kind)
        assert halves[True] == fresh.get(kind, (halves.total() + 1) // 2)
    _, questions = choose(len(kinds))
    assert {question.kind for question in questions} == kinds


@EACH_QUESTION
def test_a_question_has_what_its_kind_needs(question: Question) -> None:
    collections = {key.partition("/")[0] for key in FILES}
    assert question.document in {None, *FILES}
    assert question.collection in {None, *collections}
    assert question.pages
    assert (question.holds is not None) == (question.kind is Kind.YES_NO)
    assert bool(question.mention) == bool(question.on)
    assert question.musts or question.on or question.kind in {Kind.YES_NO, Kind.ABSENT}
    if question.kind is Kind.COMPARISON:
        assert len({place.key for place in question.pages}) > 1


@needs_documents
@EACH_QUESTION
def test_the_truth_stands_on_its_pages(question: Question) -> None:
    for fact in question.facts:
        wordings = (fact.stands,) if fact.stands else fact.say
        assert fact.derived or fact.on, fact
        for place in fact.on:
            text = page_texts(FILES[place.key])[place.number - 1]
            assert says_any(text, wordings, "de" if place.key.startswith("artikel/") else "en"), (place, wordings)
    for key in FILES:
        if question.mention and key.startswith(f"{question.collection}/"):
            pages = enumerate(page_texts(FILES[key]), 1)
            mentions = {number for number, text in pages if says_any(text, question.mention)}
            assert {place.number for place in question.on if place.key == key} == mentions, key
