"""Run checkers in parallel, print their findings, and report how many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from infra.container.sam import StepError
from infra.report import Report

Checker = Callable[[], list[str]]


def check(find: Checker) -> list[str]:
    """Return a checker's findings. A checker that fails is a finding."""
    try:
        return find()
    except StepError as error:
        return [str(error)]


def add_findings(report: Report, checks: Mapping[str, Checker], console: Console) -> None:
    """Run the checkers, print their findings, and add the number of each to the report."""
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(checks, pool.map(check, checks.values()), strict=True))
    for name, lines in results.items():
        report.add(name, len(lines), "findings", "== 0")
        for line in lines:
            console.print(f"[red]{name}[/] {line}", highlight=False, soft_wrap=True)
