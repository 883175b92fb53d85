"""The measures of `make eval-extraction`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.extraction import count_excerpts, ratio


def by_table(text: str, truth: str) -> float:
    """The ratio by the textbook's table."""
    row = [0] * (len(truth) + 1)
    for letter in text:
        diagonal = 0
        for at, truth_letter in enumerate(truth, 1):
            diagonal, row[at] = row[at], diagonal + 1 if letter == truth_letter else max(row[at], row[at - 1])
    return 2 * row[-1] / (len(text) + len(truth)) if text or truth else 1.0


@given(st.text(alphabet="abc日", max_size=40), st.text(alphabet="abc日", max_size=40))
def test_the_ratio_is_that_of_the_longest_common_subsequence(text: str, truth: str) -> None:
    assert ratio(text, truth) == pytest.approx(by_table(text, truth))


def test_excerpts_are_found_whatever_their_white_space_and_marks_of_direction() -> None:
    truth = "السلام عليكم ورحمة الله وبركاته " * 5
    spaced = "\u202b" + truth.replace(" ", "\n") + "\u202c"
    assert count_excerpts([truth], spaced) == (3, 3)
    assert count_excerpts([truth], truth[::-1]) == (0, 3)
    assert count_excerpts(["short"], "short") == (0, 0)
