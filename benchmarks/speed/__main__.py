"""``python -m benchmarks.speed [NAME...]``: measure, judge, and write `build/reports/bench-NAME.json`.

Exit status: 0 every goal holds, 1 one does not, 2 wrong usage, 3 the machine is too noisy to tell.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.report import Report
from benchmarks.speed.options import Options
from benchmarks.speed.quiet import TooNoisyError, check_quiet

# Each is a module here with `measure(report, options)`. What is quick comes first.
NAMES = ("size", "encode", "coldstart", "stream", "query", "memory", "ingest", "scale", "cost")


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--short", action="store_true", help="fewer and smaller, no peers, no timing is judged")
    parser.add_argument("--no-peers", action="store_true", help="docwell alone: no environment is made for others")
    parser.add_argument("--pdfs", type=Path, action="append", help="a folder of PDFs to use; may be repeated")
    parser.add_argument("--noisy", action="store_true", help="measure even where other work takes the processor")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    options = Options(
        short=arguments.short,
        peers=not (arguments.short or arguments.no_peers),
        pdfs=tuple(arguments.pdfs or ()),
    )
    status = 0
    for name in [name for name in NAMES if name in (arguments.names or NAMES)]:
        status = max(status, _run(name, options, noisy=arguments.noisy or arguments.short))
    return status


def _run(name: str, options: Options, *, noisy: bool) -> int:
    options.console.rule(f"bench-{name}", align="left")
    report = Report(f"bench-{name}")
    try:
        if not noisy:
            report.add("noise before", check_quiet() * 100, "%")
        import_module(f"benchmarks.speed.{name}").measure(report, options)
    except TooNoisyError as error:
        options.console.print(f"[red]bench-{name}: {error}[/]")
        return 3
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
