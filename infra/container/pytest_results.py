"""Run tests from a command of this repository and read their results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from infra.container.sam import ROOT, StepError


def run(
    what: str,
    arguments: list[str],
    results: Path,
    *,
    environment: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> ET.Element:
    """Run pytest and return the `testsuite` of its JUnit file at `results`.

    `what` names the tests in the error. `environment` is added to this process's own.

    Raises:
        StepError: no test ran.
    """
    results.unlink(missing_ok=True)
    results.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments, f"--junitxml={results}"],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    suite = ET.parse(results).getroot().find("testsuite") if results.exists() else None  # noqa: S314 - pytest wrote it
    if suite is None or not int(suite.get("tests", 0)):
        raise StepError(f"{what} did not run")
    return suite


def failed(what: str, arguments: list[str], results: Path) -> list[str]:
    """Run pytest without its output and return the failed tests. Raises `StepError` as `run` does."""
    suite = run(what, arguments, results, quiet=True)
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
