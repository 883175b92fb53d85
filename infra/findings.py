"""Run checkers and tests, print their findings, and report how many there are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console

from infra.container.sam import ROOT, StepError
from infra.report import Report

Checker = Callable[[], list[str]]


def check(find: Checker) -> list[str]:
    """Return a checker's findings. A checker that fails is a finding."""
    try:
        return find()
    except StepError as error:
        return [str(error)]


def add_findings(report: Report, checks: Mapping[str, Checker], console: Console) -> None:
    """Run the checkers, two at a time, print their findings, and add the number of each to the report."""
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(checks, pool.map(check, checks.values()), strict=True))
    for name, lines in results.items():
        report.add(name, len(lines), "findings", "== 0")
        for line in lines:
            console.print(f"[red]{name}[/] {line}", highlight=False, soft_wrap=True)


def run_tests(arguments: list[str], results: Path, *, quiet: bool = False, **environment: str) -> ET.Element:
    """Run pytest and return the `testsuite` of its JUnit file at `results`. Raises `StepError` if no test ran."""
    results.unlink(missing_ok=True)
    results.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments, f"--junitxml={results}"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    suite = ET.parse(results).getroot().find("testsuite") if results.exists() else None  # noqa: S314 - pytest wrote it
    if suite is None or not int(suite.get("tests", 0)):
        raise StepError(f"no test ran: pytest {' '.join(arguments[-3:])}")
    return suite


def failed_tests(arguments: list[str], results: Path) -> list[str]:
    """Run pytest without its output and return the failed tests. Raises `StepError` as `run_tests` does."""
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in run_tests(arguments, results, quiet=True).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
