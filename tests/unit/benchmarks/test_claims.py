"""The claims of `make eval-guard`."""

from __future__ import annotations

import pytest

from benchmarks.guard import SETS, made_up
from docwell.query.checking.grounding import marked
from docwell.text.lexicon import is_sheet_row
from infra.report import EVALUATION


@pytest.mark.parametrize("half", ["first", "second"])
def test_every_claim_cites_a_passage_that_it_has(half: str) -> None:
    for case in made_up(half):
        assert marked(case.answer, len(case.passages)), case


@pytest.mark.skipif(not (EVALUATION / "claims").is_dir(), reason=f"no evaluation material in {EVALUATION}")
def test_rows_of_sheets_have_their_form_and_both_figures_of_a_question() -> None:
    cases = list(SETS["rows of sheets"]())
    assert sum(case.right for case in cases) == 70
    for case in cases:
        _, *rows = case.passages[0].chunk.text.split("\n")
        assert all(map(is_sheet_row, rows)), case
        figure = case.answer.removesuffix(" [1].").partition(" was ")[2].partition(" in ")[0]
        assert figure in case.passages[0].chunk.text, case
