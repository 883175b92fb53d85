"""Shares in a report, with their intervals."""

from infra.measuring import wilson
from infra.report import Report

_FEWEST = 30


def add_share(report: Report, metric: str, hits: int, cases: int, goal: str | None = None) -> None:
    """Add a share in percent; its unit has the number of cases and the interval. No cases meet no goal.

    With fewer cases than `_FEWEST` only a goal of 100 is judged: one of six is not 10%.
    """
    low, high = wilson(hits, cases)
    unit = f"% of {cases}, 95%: {low:g} to {high:g}" if cases else "% of none"
    if goal is not None and cases < _FEWEST and not goal.endswith("100"):
        goal, unit = None, f"{unit}; too few for the goal of {goal}"
    report.add(metric, 100 * hits / cases if cases else 0.0, unit, goal)
