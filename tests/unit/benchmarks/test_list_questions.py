"""The questions for lists, and the pages that are read from an answer."""

from __future__ import annotations

import pytest

from benchmarks.answers.asked import truth
from benchmarks.answers.lists import Asked, Outcome, add_figures, listed, questions
from docwell.answers import Mode
from docwell.cli.evaluation.verdicts import Page
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.modes import Basis
from infra.report import Report


def test_the_questions_are_no_others_and_half_of_them_is_untouched() -> None:
    ours, _ = questions()
    assert len({one.id for one in ours}) == len(ours)
    assert {one.ask for one in ours}.isdisjoint(one.ask for one in truth().questions)
    found = [one for one in ours if one.on]
    assert len(found) >= 40
    assert 1 / 3 <= sum(one.untouched for one in found) / len(found) <= 2 / 3
    assert {one.language for one in found} == {"en", "de", "fr", "es"}


@pytest.mark.parametrize(
    ("text", "place", "pages"),
    [
        ("- a/x.pdf, pages 1,3-5: \u201cText.\u201d [1]\n\n1 of the 2 documents mentions.", "a", "x1 x3 x4 x5"),
        ("- page 2: \u201c- page 9.\u201d [1]\n- page 4 [2]", "a/x.pdf", "x2 x4"),
        ("None of the 2 documents mentions \u201cpage 3\u201d.", "a", ""),
    ],
)
def test_the_pages_of_a_list_are_those_of_its_lines(text: str, place: str, pages: str) -> None:
    basis = Basis(Mode.LIST, (), answer=GroundedAnswer(text, ()))
    assert listed(basis, place) == {Page(f"a/{one[0]}.pdf", int(one[1:])) for one in pages.split()}


def test_a_document_that_is_missing_lowers_recall_and_a_wrong_one_precision() -> None:
    on = frozenset({Page("a/x.pdf", 1), Page("a/y.pdf", 2)})
    one = Asked("id", "Which?", "a", on, "en", ordinary=False)
    report = Report("lists")
    add_figures(report, "half", [Outcome(one, frozenset({Page("a/x.pdf", 1), Page("a/z.pdf", 1)}), True, False)])
    figures = {row.metric: row.value for row in report.rows}
    assert figures["half: recall of documents"] == 50
    assert figures["half: precision of documents"] == 50
    assert figures["half: exactly the right documents, en"] == 0
