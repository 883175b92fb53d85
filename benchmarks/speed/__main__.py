"""``python -m benchmarks.speed [NAME...]``: measure, judge, and write `build/reports/bench-NAME.json`.

With no name all are run, and docs/benchmarks.md is written from their reports. Exit status: 0 every goal holds,
1 one does not, 2 wrong usage or something that a benchmark needs is missing, 3 the machine is too noisy to tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.peers import PeerError
from benchmarks.speed import page
from benchmarks.speed.one_run import NotOneRunError
from benchmarks.speed.options import NAMES, SHORT, UNTIMED, WORKED_OUT, Options, TooFewPdfsError
from benchmarks.speed.quiet import TooNoisyError, Watch
from infra.container.sam import StepError
from infra.report import REPORTS, Report

_NOISY = 3


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
    if missing := [str(folder) for folder in arguments.pdfs or () if not folder.is_dir()]:
        parser.error(f"--pdfs: no folder is at {', '.join(missing)}")
    options = Options(
        short=arguments.short,
        peers=not (arguments.short or arguments.no_peers),
        pdfs=tuple(arguments.pdfs or ()),
    )
    chosen = [name for name in NAMES if name in (arguments.names or NAMES)]
    status = _run_all(chosen, options, watched=not (arguments.noisy or arguments.short))
    if not (arguments.short or arguments.names):
        status = max(status, page.main())
    return status


def _run_all(names: Sequence[str], options: Options, *, watched: bool) -> int:
    """Run each. One that was refused for noise is tried once more, before what is worked out of others."""
    measuring = [name for name in names if name not in WORKED_OUT]
    found: dict[str, int] = {}
    for name in measuring:
        found[name] = _run(name, options, watched=watched and name not in UNTIMED)
    for name in [name for name in measuring if found[name] == _NOISY and len(measuring) > 1]:
        options.console.print(f"bench-{name} was refused for noise; once more")
        found[name] = _run(name, options, watched=watched)
    for name in names:
        if name in WORKED_OUT:
            found[name] = _run(name, options, watched=False)
    return max(found.values(), default=0)


def _run(name: str, options: Options, *, watched: bool) -> int:
    options.console.rule(f"bench-{name}", align="left")
    report = Report(f"bench-{name}")
    # What was measured before is not of this run.
    (REPORTS / f"bench-{name}.json").unlink(missing_ok=True)
    try:
        watch = Watch() if watched else None
        import_module(f"benchmarks.speed.{name}").measure(report, options)
        if options.short:
            report.add(SHORT, 1, "1: yes")
        if watch is not None:
            watch.note(report)
    except TooNoisyError as error:
        options.console.print(f"[red]bench-{name}:[/] {error}", soft_wrap=True)
        return _NOISY
    except (NotOneRunError, PeerError, StepError, TooFewPdfsError) as error:
        options.console.print(f"[red]bench-{name}:[/] {error}", soft_wrap=True)
        return 2
    except Exception:  # noqa: BLE001 - the others are still to be measured
        options.console.print_exception()
        return 2
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
