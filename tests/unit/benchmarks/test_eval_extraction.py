"""The score of `make eval-extraction`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.extraction import ratio


def plain(text: str, other: str) -> float:
    """The same by the textbook's table."""
    row = [0] * (len(other) + 1)
    for letter in text:
        diagonal = 0
        for at, other_letter in enumerate(other, 1):
            diagonal, row[at] = row[at], diagonal + 1 if letter == other_letter else max(row[at], row[at - 1])
    return 2 * row[-1] / (len(text) + len(other)) if text or other else 1.0


@given(st.text(alphabet="abc日", max_size=40), st.text(alphabet="abc日", max_size=40))
def test_the_ratio_is_that_of_the_longest_common_subsequence(text: str, other: str) -> None:
    assert ratio(text, other) == pytest.approx(plain(text, other))


def test_known_ratios() -> None:
    assert ratio("kitten", "sitting") == pytest.approx(8 / 13)
    assert (ratio("", ""), ratio("a", ""), ratio("same", "same")) == (1.0, 0.0, 1.0)
