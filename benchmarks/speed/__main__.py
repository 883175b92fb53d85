"""``python -m benchmarks.speed [NAME...]``: measure, and write `build/reports/bench-NAME.json`.

Without a name it runs all, then writes docs/generated/benchmarks.md from the reports. Exit status: 0 every goal is
met, 1 a goal is missed, 2 wrong usage or something that a benchmark needs is missing.
"""

import argparse
import sys

from benchmarks.speed import coldstart, documents, encode, questions
from benchmarks.speed.options import NAMES, BenchError, Options, write_page
from infra.container.sam import StepError
from infra.progress import CONSOLE
from infra.report import REPORTS, Report

_MEASURES = {
    "encode": encode.measure,
    "coldstart": coldstart.measure,
    "query": questions.query,
    "find": questions.find,
    "memory": documents.memory,
    "ingest": documents.ingest,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--short", action="store_true", help="measure less, and judge no timing")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown benchmarks: {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    options = Options(arguments.short)
    status = max(_run(name, options) for name in arguments.names or NAMES)
    if not (arguments.short or arguments.names):
        write_page()
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


if __name__ == "__main__":
    sys.exit(main())
