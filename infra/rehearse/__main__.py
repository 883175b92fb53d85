"""``python -m infra.rehearse [NAME…]``: run rehearsals on local stacks, and write build/reports/rehearse.json."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console

from infra.local.demo import DemoFailed
from infra.local.supervisor import StackFailed
from infra.rehearse import restore, sleep
from infra.report import Report

# Each adds its rows to the report. Its stack keeps data and logs in the folder, which is new.
Rehearsal = Callable[[Report, Path], None]
REHEARSALS: dict[str, Rehearsal] = {
    "sleep": sleep.rehearse,
    "restore": restore.rehearse,
}


def main() -> int:
    """Run the named rehearsals, or all. Return 0 when every goal holds."""
    parser = argparse.ArgumentParser(prog="python -m infra.rehearse", description="Rehearse sleep and restore.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(REHEARSALS)}; default all")
    names = parser.parse_args().names or list(REHEARSALS)
    if unknown := set(names) - set(REHEARSALS):
        parser.error(f"no rehearsal {', '.join(sorted(unknown))}")
    report, console = Report("rehearse"), Console(stderr=True, highlight=False)
    for name in names:
        console.print(f"{name}…")
        with tempfile.TemporaryDirectory(prefix="docwell-rehearse-") as folder:
            try:
                REHEARSALS[name](report, Path(folder))
            except (DemoFailed, StackFailed, httpx.HTTPError) as failure:
                console.print(f"{name}: {failure}", style="red", markup=False)
                report.add(f"{name}: the rehearsal finished", 0, "", "== 1")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
