"""Lists of pages in text."""

from __future__ import annotations

import pytest

from docwell.models import Reason
from docwell.text.page_lists import by_reason, listed, page_failures

DYNAMODB_ROW = 400 * 1024


@pytest.mark.parametrize(
    ("numbers", "text"), [([4], "4"), ([2, 1], "1-2"), ([9, 3, 8, 7, 12], "3,7-9,12"), ([], "")]
)
def test_runs_of_pages_are_shortened(numbers: list[int], text: str) -> None:
    assert listed(numbers) == text


def test_the_failures_of_several_ranges_come_together_and_the_first_page_s_reason_first() -> None:
    first = page_failures({7: Reason.TOO_SLOW, 8: Reason.TOO_SLOW, 5: Reason.READER_CRASHED})
    second = page_failures({51: Reason.TOO_SLOW})
    assert first == {"too_slow 7-8", "reader_crashed 5"}
    assert list(by_reason(first | second).items()) == [
        (Reason.READER_CRASHED, [5]),
        (Reason.TOO_SLOW, [7, 8, 51]),
    ]
    assert page_failures({}) == frozenset()


@pytest.mark.parametrize("range_pages", [5, 50])
def test_twenty_thousand_bad_pages_of_all_reasons_fit_into_one_row(range_pages: int) -> None:
    reasons = [
        Reason.TOO_MUCH_MEMORY,
        Reason.READER_CRASHED,
        Reason.TOO_MUCH_TEXT,
        Reason.UNREADABLE,
        Reason.TOO_SLOW,
    ]
    entries = [
        entry
        for first in range(1, 20_001, range_pages)
        for entry in page_failures({first + n: reasons[n % len(reasons)] for n in range(range_pages)})
    ]
    # DynamoDB charges a byte for each element of a set.
    assert sum(len(entry) + 1 for entry in entries) < DYNAMODB_ROW
