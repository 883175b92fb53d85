"""The verdicts of the judge of `make eval-answers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.answers.judge import Indexed, Judged, judge
from benchmarks.answers.questions import Kind, Question, says, stands_verbatim
from benchmarks.answers.shares import add_share
from benchmarks.doors import Seen, events_of
from benchmarks.pdfs import pdf
from infra.measuring import wilson
from infra.report import Report

KEY = "articles/gate.pdf"
TRUTH = "ten in the evening"


@pytest.fixture
def index(tmp_path: Path) -> dict[str, Indexed]:
    path = tmp_path / "gate.pdf"
    path.write_bytes(pdf(["The boiler is in the cellar.", f"The gate is locked at {TRUTH}."]))
    return {KEY: Indexed(path, "v1")}


def judged(index: dict[str, Indexed], kind: Kind = Kind.ARTICLE, **more: Any) -> Judged:
    citation = {"marker": 1, "document": KEY, "version": "v1", "page": 2, "quote": f"locked at {TRUTH}"}
    body = {
        "answer": f"At {TRUTH} [1].",
        "status": "answered",
        "citations": [citation | more.pop("citation", {})],
        "usage": {"prompt_tokens": 900, "completion_tokens": 9, "estimated_prompt_tokens": 950},
        **more,
    }
    question = Question("q", kind, "When is the gate locked?", TRUTH, KEY, (2,))
    return judge(question, Seen(200, "application/json", body, 1.0), index)


def test_a_right_answer_has_no_fault(index: dict[str, Indexed]) -> None:
    found = judged(index)
    assert found.faults == ()
    assert (found.markers, found.resolved, found.verbatim) == (1, 1, 1)
    assert (found.cites_answer, found.has_truth, found.truncated) == (True, True, False)


@pytest.mark.parametrize(
    "citation", [{"marker": 2}, {"page": 3}, {"page": 0}, {"version": "v0"}, {"document": "articles/none.pdf"}]
)
def test_a_citation_that_leads_nowhere_is_not_resolved(
    index: dict[str, Indexed], citation: dict[str, Any]
) -> None:
    assert judged(index, citation=citation).resolved == 0


def test_a_marker_without_a_citation_is_not_resolved(index: dict[str, Indexed]) -> None:
    found = judged(index, answer=f"At {TRUTH} [1][3].")
    assert (found.markers, found.resolved) == (2, 1)


@pytest.mark.parametrize("quote", ["locked at eleven in the evening", ""])
def test_a_quote_that_does_not_stand_on_its_page_is_not_verbatim(index: dict[str, Indexed], quote: str) -> None:
    assert judged(index, citation={"quote": quote}).verbatim == 0


def test_a_cited_page_that_does_not_hold_the_answer_is_a_fault(index: dict[str, Indexed]) -> None:
    found = judged(index, citation={"page": 1, "quote": "The boiler is in the cellar."})
    assert found.cites_answer is False
    assert found.faults == ("no cited page holds the answer",)


def test_an_answer_to_what_the_documents_do_not_say_is_a_fault(index: dict[str, Indexed]) -> None:
    assert judged(index, Kind.ABSENT_ARTICLE).faults
    assert not judged(index, Kind.ABSENT_ARTICLE, status="refused").faults


@pytest.mark.parametrize(
    ("read", "estimated", "truncated"), [(2300, 4000, True), (3900, 4000, False), (899, 1000, False)]
)
def test_a_prompt_longer_than_half_of_the_context_of_which_little_was_read_is_truncated(
    index: dict[str, Indexed], read: int, estimated: int, *, truncated: bool
) -> None:
    usage = {"prompt_tokens": read, "completion_tokens": 9, "estimated_prompt_tokens": estimated}
    assert judged(index, usage=usage).truncated is truncated


def test_a_problem_document_is_a_question_that_failed(index: dict[str, Indexed]) -> None:
    question = Question("q", Kind.ARTICLE, "When?", TRUTH, KEY)
    seen = Seen(503, "application/problem+json", {"type": "urn:docwell:problem:overloaded"}, 1.0)
    assert judge(question, seen, index).status == "failed"


def test_a_quote_is_verbatim_up_to_white_space_and_hyphenation_alone() -> None:
    text = "The inter-\r\nnational  treaty was signed in 1921."
    assert stands_verbatim("international treaty\nwas", text)
    assert not stands_verbatim("International treaty", text)
    assert not stands_verbatim("treaty signed in 1921", text)


def test_an_answer_is_found_word_for_word() -> None:
    assert says("It rose by 24 yards.", "24 Yards")
    assert says("an inter-\nception", "interception")
    assert not says("It rose by 124 yards.", "24 yards")
    assert not says("anything", "?")


def test_a_share_of_no_cases_does_not_meet_its_goal() -> None:
    report = Report("shares")
    add_share(report, "citations", 0, 0, ">= 100")
    assert not report.ok
    assert wilson(0, 0) == (0.0, 100.0)


def test_events_are_read_past_comments_and_over_several_lines() -> None:
    text = ': waiting\n\nevent: token\ndata: {"text":\ndata: "a"}\n\ndata: no json\n\n'
    assert events_of(text) == [("token", {"text": "a"})]


def test_a_report_is_judged_by_the_pages_of_its_evidence(index: dict[str, Indexed]) -> None:
    assert judged(index, Kind.REPORT).cites_answer is True
    assert judged(index, Kind.REPORT, citation={"page": 1, "quote": "The boiler is in the cellar."}).faults
    assert not judged(index, Kind.ABSENT_REPORT, status="refused").faults
