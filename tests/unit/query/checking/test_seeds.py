"""The verdict on an answer is the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys

# The words of a sentence come in the order of their hashes. Only before Python 3.12 does a plain `sum` of their
# weights depend on it.
_VERDICTS = """
from benchmarks.claims.cases import cases
from docwell.query.checking.check import check
from docwell.query.checking.support import MeaningScale

for case in [*cases("developed"), *cases("untouched")]:
    grounded, sentences = check(case.answer, case.passages, case.question, None, 0.5, MeaningScale())
    print(case.answer, grounded is not None, sentences)
"""


def test_a_verdict_does_not_depend_on_the_hash_seed() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _VERDICTS],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(1, 5)
    ]
    verdicts = {process.communicate()[0] for process in processes}
    (verdict,) = verdicts
    assert " True (" in verdict
    assert " False (" in verdict
