"""The claims written by hand."""

from __future__ import annotations

import pytest

from benchmarks.claims.cases import cases
from docwell.query.checking.grounding import marked


@pytest.mark.parametrize("half", ["first", "second"])
def test_every_claim_cites_a_passage_that_it_has(half: str) -> None:
    for case in cases(half):
        assert marked(case.answer, len(case.passages)), case
