"""``python -m infra.container``: build the functions, weigh them, run them in their containers, report.

Writes `build/reports/container.json`; exits 0 only when every goal holds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from infra.container import sam

REPORTS = sam.ROOT / "build" / "reports"
TEST_RESULTS = REPORTS / "container-tests.xml"
MEGABYTE = 1024 * 1024  # Lambda's: its 250 MB are 262,144,000 bytes

console = Console()


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `goal` says in words what `ok` means."""

    metric: str
    value: float
    unit: str
    goal: str | None = None
    ok: bool = True


def at_most(metric: str, value: float, unit: str, limit: float) -> Row:
    """A figure that has an upper limit."""
    return Row(metric, round(value, 1), unit, f"<= {limit:g}", value <= limit)


def folder_megabytes(folder: Path) -> float:
    """The bytes of all files in a folder, as Lambda counts an unzipped package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def image_megabytes(image: str) -> float:
    """The size of a local image, base included."""
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.check_output(command, text=True)) / MEGABYTE


def sizes() -> list[Row]:
    """What the zip with its layers and the image weigh."""
    artifacts = ("QueryFunction", "DocwellLayer", "EmbedderLayer")
    parts = {name: folder_megabytes(sam.BUILD / name) for name in artifacts}
    whole = sum(parts.values())
    added = image_megabytes(sam.INGEST_IMAGE) - image_megabytes(sam.BASE_IMAGE)
    return [
        at_most("query function with its layers, unzipped: Lambda's limit", whole, "MB", 250),
        *(Row(f"of which {name}", round(size, 1), "MB") for name, size in parts.items()),
        at_most("ingest image, added to its base", added, "MB", 400),
    ]


def run_tests() -> list[Row]:
    """Run `tests/container`; properties that tests record as `metric (unit)` become rows."""
    TEST_RESULTS.unlink(missing_ok=True)
    # Properties of a test are not part of the newer schema.
    pytest = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1", "tests/container"]
    environment = os.environ | {"DOCWELL_CONTAINER": "1"}
    subprocess.run([*pytest, f"--junitxml={TEST_RESULTS}"], cwd=sam.ROOT, env=environment, check=False)
    # pytest wrote the file just now.
    suite = ET.parse(TEST_RESULTS).getroot().find("testsuite") if TEST_RESULTS.exists() else None  # noqa: S314
    if suite is None:
        raise sam.StepError("the container tests did not run")
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "errors", "failures", "skipped")}
    wanted = counts.pop("tests")
    passed = wanted - sum(counts.values())
    rows = [Row("container tests passed", passed, "tests", f"== {wanted} > 0", passed == wanted > 0)]
    for found in suite.iter("property"):
        metric, _, unit = found.get("name", "").rpartition(" (")
        rows.append(Row(metric, float(found.get("value", "nan")), unit.rstrip(")")))
    return rows


def report(rows: list[Row], started: datetime, seconds: float) -> bool:
    """Print the table, write the JSON file; True when every goal holds."""
    table = Table("metric", "value", "unit", "goal", "")
    for row in rows:
        mark = "" if row.goal is None else "[green]ok[/]" if row.ok else "[red]no[/]"
        table.add_row(row.metric, f"{row.value:g}", row.unit, row.goal or "", mark)
    console.print(table)
    revision = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(revision, cwd=sam.ROOT, text=True, capture_output=True, check=False).stdout.strip()
    ok = all(row.ok for row in rows)
    content = {
        "name": "container",
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "rows": [asdict(row) for row in rows],
        "ok": ok,
    }
    (REPORTS / "container.json").write_text(json.dumps(content, indent=2) + "\n")
    return ok


def main() -> int:
    """Every step in turn; a failed one is named with what to do."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    started, clock = datetime.now(UTC), time.monotonic()
    steps = {"prepare": sam.prepare, "sam validate --lint": sam.validate, "sam build": sam.build}
    rows: list[Row] = []
    try:
        for name, step in steps.items():
            before = time.monotonic()
            with console.status(name):
                step()
            rows.append(Row(name, round(time.monotonic() - before, 1), "s"))
            console.print(f"{name}: {rows[-1].value:g} s")
        rows += sizes()
        rows += run_tests()
    except sam.StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    return 0 if report(rows, started, time.monotonic() - clock) else 1


if __name__ == "__main__":
    sys.exit(main())
