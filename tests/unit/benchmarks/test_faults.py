"""A row of the fault suite does not pass without its fault, nor with any difference."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.faults.__main__ import Outcome


def _nothing(_: Outcome) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "ok"),
    [
        (_nothing, True),
        (lambda outcome: outcome.must_happen("kills", 0, "workers"), False),
        (lambda outcome: outcome.stuck(1), False),
        (lambda outcome: outcome.wrong.append("a false text"), False),
        (lambda outcome: setattr(outcome, "compared", 0), False),
    ],
)
def test_a_row_passes_only_with_its_fault_and_without_any_difference(
    spoil: Callable[[Outcome], None], *, ok: bool
) -> None:
    outcome = Outcome(compared=3)
    spoil(outcome)
    assert outcome.ok is ok
