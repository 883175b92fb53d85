"""``python -m benchmarks.speed [NAME...]``: measure, and write `build/reports/bench-NAME.json`.

Without a name it runs all, then writes docs/generated/benchmarks.md from the reports. Exit status: 0 every goal is
met, 1 a goal is missed, 2 wrong usage or something that a benchmark needs is missing.
"""

import argparse
import json
import sys
from typing import Any

from benchmarks.speed import coldstart, encode, stack
from benchmarks.speed.stack import BenchError, Options
from infra.container.sam import StepError
from infra.progress import CONSOLE
from infra.report import REPORTS, ROOT, Report

_PAGE = ROOT / "docs" / "generated" / "benchmarks.md"
_HEAD = """\
<!-- Written by `make bench`: change the benchmarks, not this page. -->

# Benchmark tables

Each table is the report of one `make bench-NAME`. [Benchmarks](../benchmarks.md) explains how they are measured.
Repeated figures are medians with their quartiles.
"""
# Each name has a target `make bench-NAME`.
_MEASURES = {
    "encode": encode.measure,
    "coldstart": coldstart.measure,
    "query": stack.query,
    "find": stack.find,
    "memory": stack.memory,
    "ingest": stack.ingest,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_MEASURES)} (default: all)")
    parser.add_argument("--short", action="store_true", help="measure less, and judge no timing")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - _MEASURES.keys():
        parser.error(f"unknown benchmarks: {', '.join(sorted(unknown))}; known: {', '.join(_MEASURES)}")
    options = Options(arguments.short)
    status = max(_run(name, options) for name in arguments.names or _MEASURES)
    if not (arguments.short or arguments.names):
        _write_page()
    return status


def _run(name: str, options: Options) -> int:
    CONSOLE.rule(f"bench-{name}", align="left")
    report = Report(f"bench-{name}")
    (REPORTS / f"{report.name}.json").unlink(missing_ok=True)  # a failed run must not leave an older report
    try:
        _MEASURES[name](report, options)
    except (BenchError, StepError) as error:
        CONSOLE.print(f"[red]bench-{name}:[/] {error}", soft_wrap=True)
        return 2
    except Exception:  # noqa: BLE001 - run the other benchmarks all the same
        CONSOLE.print_exception()
        return 2
    return report.finish()


def _write_page() -> None:
    """Write the page of all reports."""
    sections = [_HEAD]
    for name in _MEASURES:
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
    _PAGE.write_text("\n".join(sections), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    quartiles = f"{row['low']:,g} to {row['high']:,g}, of {row['repeats']}" if row.get("repeats") else ""
    verdict = "" if row["goal"] is None else "met" if row["ok"] else "**missed**"
    return (
        f"| {row['metric']} | {row['value']:,g} | {quartiles} | {row['unit']} | {row['goal'] or ''} | {verdict} |"
    )


if __name__ == "__main__":
    sys.exit(main())
