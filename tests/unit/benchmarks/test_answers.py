"""`make eval-answers`: what it counts as right, resolved and verbatim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.answers import Indexed, Judgement, Kind, Question, judge, stands_verbatim
from benchmarks.doors import Reply
from benchmarks.pdfs import pdf
from docwell.cli.evaluation.verdicts import Page, Verdict

KEY, TRUTH = "articles/gate.pdf", "ten in the evening"


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
    question = Question("q", Kind.ARTICLE, "When is the gate locked?", KEY, (TRUTH,), frozenset({Page(KEY, 2)}))
    return judge(question, Reply(200, "application/json", body, 1.0), index)


def test_a_right_answer_holds_the_truth_and_cites_it(index: dict[str, Indexed]) -> None:
    judgement = judged(index)
    assert (judgement.verdict, judgement.cites_page) == (Verdict.RIGHT, True)
    assert judgement.citing == (1, 1, 1, 1)


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


def test_text_is_compared_up_to_white_space_and_hyphenation_alone() -> None:
    text = "The inter-\r\nnational  treaty was signed in 1921."
    assert stands_verbatim("international treaty\nwas", text)
    assert not stands_verbatim("treaty signed in 1921", text)
