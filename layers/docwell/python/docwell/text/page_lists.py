"""Lists of page numbers in text, such as `3,7-9`, and of the pages that cannot be read, by reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from docwell.models import Reason


def listed(numbers: Iterable[int]) -> str:
    """Return page numbers in order, runs shortened.

    >>> listed([8, 3, 7, 9])
    '3,7-9'
    """
    runs = []
    # Within a run, number minus position is constant.
    for _, run in groupby(enumerate(sorted(numbers)), lambda item: item[1] - item[0]):
        pages = [number for _, number in run]
        runs.append(str(pages[0]) if len(pages) == 1 else f"{pages[0]}-{pages[-1]}")
    return ",".join(runs)


def page_failures(pages: Mapping[int, Reason]) -> frozenset[str]:
    """Return one entry for each reason, in the form that `by_reason` reads: `too_slow 3,7-9`."""
    reasons = set(pages.values())
    return frozenset(f"{reason} {listed(n for n in pages if pages[n] is reason)}" for reason in reasons)


def by_reason(entries: Iterable[str]) -> dict[Reason, list[int]]:
    """Return the pages of each reason, in order; the reason of the first page comes first."""
    pages_by_reason: dict[Reason, list[int]] = {}
    for entry in entries:
        reason, _, runs = entry.partition(" ")
        for run in runs.split(","):
            first, _, last = run.partition("-")
            pages_by_reason.setdefault(Reason(reason), []).extend(range(int(first), int(last or first) + 1))
    return {
        reason: sorted(pages) for reason, pages in sorted(pages_by_reason.items(), key=lambda item: min(item[1]))
    }
