"""The options of the speed benchmarks, and the page of their reports."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.report import EVALUATION, REPORTS, ROOT

# Each name has a target `make bench-NAME`.
NAMES = ("encode", "coldstart", "query", "find", "memory", "ingest")
PAGE = ROOT / "docs" / "generated" / "benchmarks.md"
_HEAD = """\
<!-- Written by `make bench`: change the benchmarks, not this page. -->

# Benchmark tables

Each table is the report of one `make bench-NAME`. [Benchmarks](../benchmarks.md) explains how they are measured.
Repeated figures are medians with their quartiles.
"""
T = TypeVar("T")


class BenchError(Exception):
    """A benchmark cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """`short` is the form for CI: less of everything, and no goals for timings."""

    short: bool = False

    def form(self, long: T, short: T) -> T:
        """Return `short` in the short form, else `long`."""
        return short if self.short else long

    def goal(self, text: str) -> str | None:
        """Return the goal of a timing; the short form measures too little to have one."""
        return None if self.short else text

    def pdfs(self, *sets: str) -> list[Path]:
        """Return the PDFs of these evaluation sets, else the examples."""
        material = [folder for name in sets if (folder := EVALUATION / name / "pdf").is_dir()]
        # Read English first: the other languages of XQuAD are in files such as xq00_de.pdf.
        return [
            path
            for folder in material or [ROOT / "examples"]
            for path in sorted(folder.rglob("*.pdf"), key=lambda path: ("_" in path.stem, path))
        ]


def seconds_of(work: Callable[[], object]) -> float:
    """Run a work and return its seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_page() -> None:
    """Write the page of all reports."""
    sections = [_HEAD]
    for name in NAMES:
        path = REPORTS / f"bench-{name}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        minutes = f"{report['seconds'] / 60:.1f} minutes"
        when = f"Commit {report['commit']} on {report['machine']}, {report['started'][:10]}; {minutes}."
        head = ["| figure | value | quartiles | unit | goal |  |", "| --- | ---: | --- | --- | --- | --- |"]
        # Show missed goals first.
        rows = sorted(report["rows"], key=lambda row: bool(row["ok"]))
        sections.append("\n".join([f"## {name}", "", when, "", *head, *map(_line, rows), ""]))
    PAGE.write_text("\n".join(sections), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    quartiles = f"{row['low']:,g} to {row['high']:,g}, of {row['repeats']}" if row.get("repeats") else ""
    verdict = "" if row["goal"] is None else "met" if row["ok"] else "**missed**"
    return (
        f"| {row['metric']} | {row['value']:,g} | {quartiles} | {row['unit']} | {row['goal'] or ''} | {verdict} |"
    )
