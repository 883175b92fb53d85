"""The claims written by hand."""

from __future__ import annotations

import pytest

from benchmarks.claims.cases import made_up
from docwell.query.checking.grounding import marked


@pytest.mark.parametrize("half", ["first", "second"])
def test_every_claim_cites_a_passage_that_it_has(half: str) -> None:
    for case in made_up(half):
        assert marked(case.answer, len(case.passages)), case
