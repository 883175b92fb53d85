"""The claims written by hand."""

from __future__ import annotations

from itertools import chain

import pytest

from benchmarks.claims.cases import cases
from docwell.query.checking.grounding import marked


@pytest.mark.parametrize("half", ["first", "second"])
def test_every_claim_cites_a_passage_that_it_has(half: str) -> None:
    for case in cases(half):
        assert marked(case.answer, len(case.passages)), case


def test_there_are_as_many_claims_as_the_page_says() -> None:
    claims = [*chain.from_iterable(map(cases, ("first", "second")))]
    assert sum(case.right for case in claims) == 78
    assert sum(not case.right for case in claims) == 90
