"""``python -m benchmarks.nightly [NAME...] [--short]`` (`make nightly`): run every long form, and print one table.

A failed step does not end the run. A step with a report in `build/reports` counts its goals; the others count by
their exit status. The output of each step is in `build/nightly/`.
"""

import argparse
import json
import os
import subprocess
import time
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.doors import run_command
from infra.progress import CONSOLE
from infra.report import REPORTS, ROOT

_LOGS = ROOT / "build" / "nightly"
_SHORT = ("ARGS=--short",)
_BENCHES = ("encode", "coldstart", "query", "scale", "find", "memory", "ingest")
# Drop the arguments of `make nightly`: make passes them to every make below it.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in {"ARGS", "MAKEFLAGS", "MAKEOVERRIDES"}
}


class Step(NamedTuple):
    """The arguments of a make target in the short form, and the reports that it writes."""

    short: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


STEPS = {
    "test-all": Step(),
    "faults": Step(_SHORT, ("faults",)),
    "attack": Step(_SHORT, ("attack",)),
    "chaos-query": Step(_SHORT, ("chaos-query",)),
    "hard-pdfs": Step(("N=100",), ("hard-pdfs",)),
    "eval-guard": Step((), ("eval-guard",)),
    "eval-answers": Step(("N=6",), ("eval-answers",)),
    "eval-retrieval": Step(("N=20", "ARGS=--sets xquad"), ("retrieval",)),
    "eval-extraction": Step(("N=3",), ("extraction",)),
    "scale-out": Step(_SHORT, ("scale-out",)),
    "bench": Step(_SHORT, tuple(f"bench-{name}" for name in _BENCHES)),
    "bench-compare": Step(_SHORT, ("bench-compare",)),
    "console-test": Step(),
    "rendered-test": Step(),
    "mcp-conformance": Step(),
    "container": Step((), ("container",)),
    "mlflow-test": Step(),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(STEPS)} (default: all)")
    parser.add_argument("--short", action="store_true", help="the short form of each step that has one")
    options = parser.parse_args()
    if unknown := set(options.names) - STEPS.keys():
        parser.error(f"unknown steps: {', '.join(sorted(unknown))}; known: {', '.join(STEPS)}")
    table = Table("name", "rows", "goals missed", "seconds", "ok", title="nightly", title_justify="left")
    failed = 0
    for name in options.names or STEPS:
        CONSOLE.print(f"{time.strftime('%H:%M')} {name}…")
        started = time.monotonic()
        rows, ok = run(name, STEPS[name], short=options.short)
        failed += not ok
        counts = [f"{len(rows)}", f"{sum(not row['ok'] for row in rows)}"] if STEPS[name].reports else ["", ""]
        verdict = "[green]ok[/]" if ok else f"[red]no[/], build/nightly/{name}.log"
        table.add_row(name, *counts, f"{time.monotonic() - started:.0f}", verdict)
    Console().print(table)
    return 1 if failed else 0


def run(name: str, step: Step, *, short: bool) -> tuple[list[dict[str, Any]], bool]:
    """Run one step; return the rows of its reports, and whether it succeeded. Remove older reports first."""
    _LOGS.mkdir(parents=True, exist_ok=True)
    paths = [REPORTS / f"{report}.json" for report in step.reports]
    for path in paths:
        path.unlink(missing_ok=True)
    with (_LOGS / f"{name}.log").open("w", encoding="utf-8") as log:
        command = ["make", name, *(step.short if short else ())]
        done = subprocess.run(
            command, cwd=ROOT, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
    rows = [row for path in paths if path.exists() for row in json.loads(path.read_text("utf-8"))["rows"]]
    return rows, done.returncode == 0 and bool(rows or not paths)


if __name__ == "__main__":
    run_command(main)
