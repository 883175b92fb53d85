"""Count wrong answers that checking passes and right ones that it removes, with all rules and without each."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

from benchmarks.claims.cases import DEVELOPMENT, SETS, UNTOUCHED
from docwell.query.checking import check, tables
from docwell.query.checking.claims import Claim
from infra.report import ROOT, Report

PAGE = ROOT / "docs" / "generated" / "rules.md"
# The most wrong answers that pass and right ones that are removed: the counts of December 2026, with more rules;
# of copied sentences, 1 % may be removed.
_GOALS = {
    "claims about documents": (30, 9),
    "answers of a careful reader": (0, 7),
    "made-up claims, first file": (1, 0),
    "made-up claims, second file": (4, 1),
    "cells of tables": (6, 0),
    "figures of articles": (34, 7),
    "sentences copied from articles": (0, 2),
}


class Count(NamedTuple):
    """The wrong answers of a set that pass unmarked, and the right ones that are removed or marked."""

    passed: int = 0
    wrong: int = 0
    removed: int = 0
    marked: int = 0
    right: int = 0

    def plus(self, other: "Count") -> "Count":
        """Return the sum of two counts."""
        return Count(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


# Each rule, where it is, and what it returns when it is switched off.
RULES: Mapping[str, tuple[str, object, str, object]] = {
    "rivals": ("no other figure of the passage fits the sentence better", Claim, "_has_rival", False),
    "periods": ("a figure is of the sentence's year, quarter or month", Claim, "_has_period", True),
    "columns": ("a cell is in the column that the sentence names", Claim, "_has_column", True),
    "asked words": ("words of the question stand around a figure", Claim, "_is_asked", True),
    "units": ("a figure has the unit of the sentence", Claim, "_has_unit", True),
    "bounds": ("'at least 5' is not 'at most 5'", Claim, "_has_bound", True),
    "tables": ("rows of figures are cells under heads", tables, "_row_of", None),
    "rows of sheets": ("a line with a head beside each value is a row of a sheet", tables, "is_sheet_row", False),
    "yes and no": ("the nearest sentence decides a yes or no", check, "verdict", None),
    "denials": ("no sentence with the same words denies it", check, "contradicts", False),
    "copies": ("a sentence that the passage has as it is holds", check, "is_copied", False),
    "words": ("the passage has half of a sentence's words", check.Checker, "_lexical", 1.0),
    "moved markers": ("a marker moves to a passage with far more of the words", check, "_is_elsewhere", False),
    "more than the question": ("an answer adds something to its question", check.Checker, "_is_answered", True),
}


def counted(name: str, *, listed: bool = False) -> Count:
    """Return the count of a set; with `listed`, print its errors."""
    count = Count()
    for case in SETS[name]():
        answer, sentences = check.Checker(case.passages, case.question).check(case.answer)
        passes = answer is not None and all(sentence.supported for sentence in sentences)
        if listed and passes != case.right:
            print(f"{'removed' if case.right else 'passed'}: {case.question} -> {case.answer}")
        removed = case.right and answer is None
        marked = case.right and not passes and not removed
        count = count.plus(Count(passes > case.right, not case.right, removed, marked, case.right))
    return count


def add_claims(report: Report, *, listed: bool = False) -> None:
    """Add both errors on each set; with `listed`, print those of the development sets."""
    for name, (most_passed, most_removed) in _GOALS.items():
        count = counted(name, listed=listed and name in DEVELOPMENT)
        if count.wrong:
            report.add(
                f"{name}: of {count.wrong} wrong answers passed", count.passed, "answers", f"<= {most_passed}"
            )
        goal = f"<= {most_removed}"
        report.add(f"{name}: of {count.right} right answers removed", count.removed, "answers", goal)
        report.add(f"{name}: of {count.right} right answers marked", count.marked, "answers")


def write_rules(rules: Sequence[str] = ()) -> None:
    """Count the errors without each rule, or some, on development and untouched sets, and write the page."""
    names = [None, *(rules or RULES)]
    with ProcessPoolExecutor() as pool:
        (development, untouched), *without = pool.map(_without, names)
    rows = zip(rules or RULES, without, strict=True)
    lines = [
        f"| {name} | {RULES[name][0]} | {_row(in_development, development)} | {_row(in_untouched, untouched)} |"
        for name, (in_development, in_untouched) in rows
    ]
    page = _PAGE.format(development=development, untouched=untouched, rows="\n".join(lines))
    sys.stdout.write(page)
    if not rules:
        PAGE.write_text(page, encoding="utf-8")


_PAGE = """# What each rule of the checks is worth

`make eval-guard ARGS=--without` counts the errors of the checks with all rules, and without each.

| sets | wrong answers | passed unmarked | right answers | removed | marked |
| --- | ---: | ---: | ---: | ---: | ---: |
| development: claims about documents, a careful reader, made-up claims | {development.wrong} \
| {development.passed} | {development.right} | {development.removed} | {development.marked} |
| untouched: cells of tables, figures of articles, copied sentences | {untouched.wrong} \
| {untouched.passed} | {untouched.right} | {untouched.removed} | {untouched.marked} |

The rules were chosen with the errors of the development sets in sight, so the untouched sets are the check. Each
row has the counts without one rule, and the difference. A rule without which no set loses goes.

| rule | what it holds | development: wrong passed | right removed | untouched: wrong passed | right removed |
| --- | --- | ---: | ---: | ---: | ---: |
{rows}
"""


def _row(count: Count, whole: Count) -> str:
    pairs = ((count.passed, whole.passed), (count.removed, whole.removed))
    return " | ".join(f"{without} ({without - all_rules:+})" for without, all_rules in pairs)


def _without(name: str | None) -> tuple[Count, Count]:
    """Return the counts of the development and of the untouched sets, without one rule."""
    with _switched_off(name):
        return _total(DEVELOPMENT), _total(UNTOUCHED)


def _total(sets: Iterable[str]) -> Count:
    total = Count()
    for name in sets:
        total = total.plus(counted(name))
    return total


@contextmanager
def _switched_off(name: str | None) -> Iterator[None]:
    if name is None:
        yield
        return
    _, owner, attribute, value = RULES[name]
    # No mention that another rule has found is used.
    tables.mentions.cache_clear()
    with patch.object(owner, attribute, return_value=value):
        yield
    tables.mentions.cache_clear()
