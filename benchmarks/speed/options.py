"""The options and the reports of the speed benchmarks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.progress import CONSOLE
from infra.report import EVALUATION, REPORTS, ROOT

# Each is a module here with `measure(report, options)`, and `make bench-NAME`. `cost` reads the others' reports.
NAMES = (
    "size",
    "encode",
    "coldstart",
    "stream",
    "query",
    "find",
    "road",
    "memory",
    "ingest",
    "scale",
    "folders",
    "reconcile",
    "load",
    "cost",
)

# A simulation of 25 minutes: only `make bench-reconcile` runs it.
APART = frozenset({"reconcile"})

# The row that marks a report of the short form.
SHORT = "short form"


class BenchError(Exception):
    """A benchmark cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """`short` is the form that CI runs: less of everything, no peers, and no goals for timings.

    `pdfs` are folders of PDFs that replace those of the evaluation set.
    """

    short: bool = False
    peers: bool = True
    pdfs: tuple[Path, ...] = ()

    def goal(self, text: str) -> str | None:
        """Return the goal of a timing; the short form measures too little to have one."""
        return None if self.short else text

    def folders(self, *sets: str) -> list[Path]:
        """Return the folders of PDFs: those given, else these evaluation sets, else the examples."""
        found = [folder for name in sets if (folder := EVALUATION / name / "pdf").is_dir()]
        chosen = list(self.pdfs) or found or [ROOT / "examples"]
        CONSOLE.print(f"PDFs: {', '.join(map(str, chosen))}")
        return chosen


PAGE = ROOT / "docs" / "generated" / "benchmarks.md"
_HEAD = """\
<!-- Written by `python -m benchmarks.speed.options`: change the benchmarks, not this page. -->

# Benchmark tables

Each table is the report of one `make bench-NAME`. [Benchmarks](../benchmarks.md) explains how they are measured.
Repeated figures are medians with their quartiles.
"""


def read(name: str, folder: Path = REPORTS) -> dict[str, Any]:
    """Return the report of `make bench-NAME`. Raises `BenchError` where there is none."""
    try:
        document: dict[str, Any] = json.loads((folder / f"bench-{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BenchError(f"no report of bench-{name} in {folder}: run `make bench-{name}`") from None
    return document


def figures(report: dict[str, Any]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in report["rows"]}


def write_page(reports: Path = REPORTS, page: Path = PAGE) -> Path:
    """Write the page of all reports in a folder. Raises `BenchError` where one is of the short form."""
    sections = [_HEAD]
    for name in (name for name in NAMES if (reports / f"bench-{name}.json").exists()):
        report = read(name, reports)
        if SHORT in figures(report):
            raise BenchError(f"bench-{name} was measured in the short form: run `make bench-{name}`")
        minutes = f"{report['seconds'] / 60:.1f} minutes"
        when = f"Commit {report['commit']} on {report['machine']}, {report['started'][:10]}; {minutes}."
        head = ["| figure | value | quartiles | unit | goal |  |", "| --- | ---: | --- | --- | --- | --- |"]
        notes = [line for note in report.get("notes", ()) for line in (f"{note}.", "")]
        # Missed goals come first.
        rows = sorted(report["rows"], key=lambda row: bool(row["ok"]))
        sections.append("\n".join([f"## {name}", "", when, "", *notes, *head, *map(_line, rows), ""]))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(sections), encoding="utf-8")
    return page


def _line(row: dict[str, Any]) -> str:
    quartiles = f"{row['low']:,g} to {row['high']:,g}, of {row['repeats']}" if row.get("repeats") else ""
    verdict = "" if row["goal"] is None else "met" if row["ok"] else "**missed**"
    return (
        f"| {row['metric']} | {row['value']:,g} | {quartiles} | {row['unit']} | {row['goal'] or ''} | {verdict} |"
    )


if __name__ == "__main__":
    print(write_page())
