"""``python -m infra.checks``: every check of the templates that needs no AWS account.

Writes `build/reports/infra.json`; exits 0 only when nothing is found. What is right to ignore is suppressed
beside its resource, with the reason.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from infra.checks import tools
from infra.container.sam import ROOT, StepError

REPORTS = ROOT / "build" / "reports"
TEST_RESULTS = REPORTS / "infra-tests.xml"
TESTS = (
    "unit/test_template.py",
    "unit/test_infra_*.py",
    "unit/test_observability_*.py",
    "integration/test_infra_*.py",
)

console = Console()


def check(name: str, find: Callable[[], list[str]]) -> tuple[dict[str, Any], list[str]]:
    """The row of one checker, and what it found; a checker that cannot work has found that."""
    started = time.monotonic()
    try:
        found = find()
    except StepError as error:
        found = [str(error)]
    seconds = time.monotonic() - started
    row = {"metric": name, "value": len(found), "unit": "findings", "goal": "== 0", "ok": not found}
    return row | {"seconds": round(seconds, 1)}, found


def tests() -> list[str]:
    """The tests of the templates that fail."""
    files = [str(path) for pattern in TESTS for path in sorted((ROOT / "tests").glob(pattern))]
    TEST_RESULTS.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    subprocess.run([*command, f"--junitxml={TEST_RESULTS}"], cwd=ROOT, capture_output=True, check=False)
    # pytest wrote the file just now.
    suite = ET.parse(TEST_RESULTS).getroot().find("testsuite") if TEST_RESULTS.exists() else None  # noqa: S314
    if suite is None or int(suite.get("tests", 0)) == 0:
        raise StepError("the tests of the templates did not run")
    failed = [
        case
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return [f"{case.get('classname')}::{case.get('name')}" for case in failed]


def report(rows: list[dict[str, Any]], started: datetime, seconds: float) -> bool:
    """Print the table, write the JSON file; True when every goal holds."""
    table = Table("check", "findings", "seconds", "")
    for row in rows:
        mark = "[dim]not run[/]" if row["goal"] is None else "[green]ok[/]" if row["ok"] else "[red]no[/]"
        table.add_row(row["metric"], f"{row['value']}", f"{row['seconds']:g}", mark)
    console.print(table)
    revision = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(revision, cwd=ROOT, text=True, capture_output=True, check=False).stdout.strip()
    ok = all(row["ok"] for row in rows)
    content = {
        "name": "infra",
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "rows": rows,
        "ok": ok,
    }
    (REPORTS / "infra.json").write_text(json.dumps(content, indent=2) + "\n")
    return ok


def main() -> int:
    """The checkers side by side; what they found is printed before the table."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    started, clock = datetime.now(UTC), time.monotonic()
    try:
        with console.status("the checkers"):
            tools.prepare()
    except StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    checks: dict[str, Callable[[], list[str]]] = {
        "sam validate --lint": tools.sam_validate,
        "cfn-lint, information included": tools.cfn_lint,
        "checkov": tools.checkov,
        "tests of the templates": tests,
    }
    if tools.has_node():
        checks["cdk-nag: AWS Solutions, Serverless"] = tools.cdk_nag
    with console.status(f"{len(tools.TEMPLATES)} templates"), ThreadPoolExecutor(2) as pool:
        results = list(pool.map(check, checks, checks.values()))
    for row, found in results:
        for line in found:
            console.print(f"[red]{row['metric']}[/] {line}", highlight=False, soft_wrap=True)
    rows = [row for row, _ in results]
    if not tools.has_node():
        missing = {
            "metric": "cdk-nag: needs node and npm",
            "value": 0,
            "unit": "findings",
            "goal": None,
            "ok": True,
        }
        rows.append(missing | {"seconds": 0})
    return 0 if report(rows, started, time.monotonic() - clock) else 1


if __name__ == "__main__":
    sys.exit(main())
