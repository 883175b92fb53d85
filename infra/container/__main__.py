"""``python -m infra.container``: build the functions and measure their size.

Writes `build/reports/container.json`. Exits with 0 only when every goal holds. See docs/operate/containers.md.
"""

from __future__ import annotations

import sys
import time

from rich.console import Console

from infra.container import packages, sam
from infra.report import REPORTS, Report

# Lambda allows 250 MB. The difference leaves room for a larger model.
MOST_MEGABYTES = 150

console = Console()


def add_sizes(report: Report) -> None:
    """Report the sizes of the zip with its layers, and of the image."""
    parts = {name: packages.folder_megabytes(sam.artefact(name)) for name in packages.QUERY}
    limit = f"<= {MOST_MEGABYTES}"
    report.add("query function with its layers, unzipped", sum(parts.values()), "MB", limit)
    for name, size in parts.items():
        report.add(f"of which {name}", size, "MB")
    added = packages.image_megabytes(sam.INGEST_IMAGE) - packages.image_megabytes(sam.BASE_IMAGE)
    report.add("ingest image, added to its base", added, "MB", "<= 400")


def main() -> int:
    """Run every step in order. Stop at a failure and print its advice."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = Report("container")
    steps = {"prepare": sam.prepare, "sam build": sam.build}
    try:
        for name, step in steps.items():
            before = time.monotonic()
            with console.status(name):
                step()
            row = report.add(name, time.monotonic() - before, "s")
            console.print(f"{name}: {row.value:.1f} s")
        add_sizes(report)
    except sam.StepError as error:
        console.print(f"[red]failed[/] {error}", highlight=False)
        return 1
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
