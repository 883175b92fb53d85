"""``python -m benchmarks.nightly [NAME...] [--short]`` (`make nightly`): run every long form, and print one table.

A failed step does not end the run. A step with a report in `build/reports` counts its goals; the others count by
their exit status. The output of each step is in `build/nightly/`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.speed.options import NAMES as BENCHES
from infra.progress import CONSOLE
from infra.report import REPORTS, ROOT

_LOGS = ROOT / "build" / "nightly"
_SHORT = ("ARGS=--short",)
# Without the arguments of `make nightly`, which make hands on to every make below it.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in {"ARGS", "MAKEFLAGS", "MAKEOVERRIDES"}
}


@dataclass(frozen=True, slots=True)
class Step:
    """A make target. `short` are its arguments in the short form; `reports` are the files that it writes."""

    target: str
    short: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


STEPS = {
    "test-all": Step("test-all"),
    "faults": Step("faults", _SHORT, ("faults",)),
    "attack": Step("attack", _SHORT, ("attack",)),
    "chaos-query": Step("chaos-query", _SHORT, ("chaos-query",)),
    "hard-pdfs": Step("hard-pdfs", ("N=100",), ("hard-pdfs",)),
    "eval-guard": Step("eval-guard", (), ("eval-guard",)),
    "eval-answers": Step("eval-answers", ("N=6",), ("eval-answers",)),
    "eval-retrieval": Step("eval-retrieval", ("N=20", "ARGS=--sets xquad"), ("retrieval",)),
    "eval-extraction": Step("eval-extraction", ("N=3",), ("extraction",)),
    "scale-out": Step("scale-out", _SHORT, ("scale-out",)),
    "bench": Step("bench", _SHORT, tuple(f"bench-{name}" for name in BENCHES)),
    "console": Step("console-test"),
    "container": Step("container", (), ("container",)),
    "mlflow-test": Step("mlflow-test"),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a step. `rows` and `missed` are None for a step without a report."""

    name: str
    rows: int | None
    missed: int | None
    seconds: float
    ok: bool


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nightly", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(STEPS)} (default: all)")
    parser.add_argument("--short", action="store_true", help="the short form of each step that has one")
    options = parser.parse_args()
    if unknown := set(options.names) - STEPS.keys():
        parser.error(f"unknown steps: {', '.join(sorted(unknown))}; known: {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = []
    for name in options.names or STEPS:
        CONSOLE.print(f"{time.strftime('%H:%M')} {name}…")
        results.append(run(name, STEPS[name], short=options.short))
    Console().print(table(results))
    return 0 if all(result.ok for result in results) else 1


def run(name: str, step: Step, *, short: bool) -> Result:
    """Run one step; its report must be newer than its start."""
    _LOGS.mkdir(parents=True, exist_ok=True)
    paths = [REPORTS / f"{report}.json" for report in step.reports]
    for path in paths:
        path.unlink(missing_ok=True)
    started = time.monotonic()
    with (_LOGS / f"{name}.log").open("w", encoding="utf-8") as log:
        command = ["make", step.target, *(step.short if short else ())]
        done = subprocess.run(
            command, cwd=ROOT, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
    seconds = time.monotonic() - started
    if not paths:
        return Result(name, None, None, seconds, done.returncode == 0)
    rows: list[dict[str, Any]] = []
    for path in paths:
        if path.exists():
            rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    missed = sum(not row["ok"] for row in rows)
    return Result(name, len(rows), missed, seconds, bool(rows) and done.returncode == 0)


def table(results: list[Result]) -> Table:
    shown = Table(title="nightly", title_justify="left")
    for heading in ("name", "rows", "goals missed", "seconds", "ok"):
        shown.add_column(heading, justify="left" if heading in ("name", "ok") else "right")
    for result in results:
        counts = ["" if count is None else str(count) for count in (result.rows, result.missed)]
        verdict = "[green]ok[/]" if result.ok else f"[red]no[/], build/nightly/{result.name}.log"
        shown.add_row(result.name, *counts, f"{result.seconds:.0f}", verdict)
    return shown


if __name__ == "__main__":
    sys.exit(main())
