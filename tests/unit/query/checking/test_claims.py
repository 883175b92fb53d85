"""Right answers over made-up passages reach the reader unmarked, and wrong ones do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.guard import RULES, Case, read
from docwell.query.checking.check import Checker

CASES = read(Path(__file__).with_name("claims.txt").read_text(encoding="utf-8"))
# The words of a sentence come in the order of their hashes. Before Python 3.12, a plain `sum` of their weights
# depends on it.
VERDICTS = """
from tests.unit.query.checking.test_claims import CASES, passes

print([passes(case) for case in CASES])
"""


def passes(case: Case) -> bool:
    """Return whether an answer reaches the reader without a mark."""
    answer, sentences = Checker(case.passages, case.question).check(case.answer)
    return answer is not None and all(sentence.supported for sentence in sentences)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.answer}")
def test_a_right_answer_passes_and_a_wrong_one_does_not(case: Case) -> None:
    assert passes(case) is case.right


def test_each_rule_of_the_table_can_be_switched_off() -> None:
    assert [rule for rule, (_, owner, name, _) in RULES.items() if not hasattr(owner, name)] == []


def test_a_verdict_does_not_depend_on_the_hash_seed() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", VERDICTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2", "3")
    ]
    assert {process.communicate()[0] for process in processes} == {f"{[case.right for case in CASES]}\n"}
