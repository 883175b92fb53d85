"""Right answers over made-up passages reach the reader unmarked, and wrong ones do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.claims.cases import Case, read
from docwell.query.checking.check import Checker

CASES = read(Path(__file__).with_name("claims.txt").read_text(encoding="utf-8"))


def passes(case: Case) -> bool:
    """Return whether an answer reaches the reader without a mark."""
    answer, sentences = Checker(case.passages, case.question).check(case.answer)
    return answer is not None and all(sentence.supported for sentence in sentences)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.answer}")
def test_a_right_answer_passes_and_a_wrong_one_does_not(case: Case) -> None:
    assert passes(case) is case.right
