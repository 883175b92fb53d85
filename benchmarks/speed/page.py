"""``python -m benchmarks.speed.page``: write docs/generated/benchmarks.md from build/reports.

The tables are the reports' rows, and each module's docstring describes its benchmark.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.options import NAMES, SHORT, BenchError
from infra.report import REPORTS, ROOT

PAGE = ROOT / "docs" / "generated" / "benchmarks.md"
_HEAD = """\
<!-- Written by `python -m benchmarks.speed.page`: change the benchmarks, not this page. -->

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


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of a report by metric."""
    return {row["metric"]: row["value"] for row in report["rows"]}


def write(reports: Path = REPORTS, page: Path = PAGE) -> Path:
    """Write the page of all reports in a folder. Raises `BenchError` where one is of the short form."""
    found = {name: read(name, reports) for name in NAMES if (reports / f"bench-{name}.json").exists()}
    if short := [name for name, report in found.items() if SHORT in figures(report)]:
        raise BenchError(f"measured in the short form: {', '.join(short)}: run `make bench` again")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([_HEAD, *(_section(name, report) for name, report in found.items())]), "utf-8")
    return page


def _section(name: str, report: Mapping[str, Any]) -> str:
    when = f"Commit {report['commit']} on {report['machine']}, {report['started'][:10]}"
    when += f"; {report['seconds'] / 60:.1f} minutes."
    return f"## {name}\n\n{_prose(name)}\n\n{when}\n\n{_table(report['rows'])}\n"


def _prose(name: str) -> str:
    """Return the module's docstring without importing it: it may need what is not installed."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").replace("``", "`")


def _table(rows: list[dict[str, Any]]) -> str:
    spread = any(row.get("repeats") for row in rows)
    head = ["figure", "value", *(["quartiles"] if spread else []), "unit", "goal", ""]
    lines = [
        head,
        ["---", "---:", *["---"] * (len(head) - 2)],
        *(list(_cells(row, spread=spread)) for row in rows),
    ]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cells(row: dict[str, Any], *, spread: bool) -> Iterator[str]:
    yield row["metric"]
    yield _number(row["value"])
    if spread:
        yield f"{_number(row['low'])} to {_number(row['high'])}, of {row['repeats']}" if row.get("repeats") else ""
    yield row["unit"]
    yield row["goal"] or ""
    yield "" if row["goal"] is None else "met" if row["ok"] else "**missed**"


def _number(value: float) -> str:
    """Return at least three digits, without an exponent.

    >>> _number(12345.678), _number(0.5), _number(123.456), _number(7.0)
    ('12,346', '0.5', '123.5', '7')
    """
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 3
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    try:
        print(write())
    except BenchError as error:
        sys.exit(str(error))
