"""``python -m benchmarks.chaos`` (`make chaos-query`): each way to fail, and what a client sees of it.

The real query function runs on a local stack with a short deadline. Every row is asked in three ways: plainly,
with the best sentences allowed as a fallback, and as a stream. After each, everything is well again and the
next question must be answered.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.chaos.model_host import Misdeed
from benchmarks.chaos.rig import Rig, rig
from benchmarks.chaos.rows import MODES, ROWS, Row, Verdict, judge
from benchmarks.doors import Seen
from infra.report import Report

_GRACE_S = 1.0  # what an answer may take over the deadline
_RECOVERY_S = 5.0  # what a recovery may take over the breaker's rest
_WARM_S = 30.0
_STORM = 12
_ATTEMPTS = 2

Result = tuple[str, Seen, Verdict]


def main() -> int:
    """Run the rows. Gives 0 when every goal holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a deadline of 2.5 s, and one way to ask each row")
    parser.add_argument("--row", action="append", help="only rows whose name holds this; may be repeated")
    options = parser.parse_args()
    for part in options.row or ():
        if not any(part in row.name for row in ROWS):
            parser.error(f"no row's name holds {part!r}")
    # Ended from outside, it cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console, report = Console(highlight=False, stderr=True), Report("chaos-query")
    rows = [row for row in ROWS if not options.row or any(part in row.name for part in options.row)]
    deadline_s, rest_s = (2.5, 1.0) if options.short else (6.0, 3.0)
    console.print("starting the stack…")
    with rig(deadline_s, rest_s) as world:
        results = _run(world, rows, report, console, short=options.short)
        if not options.row:
            _storm(world, report, console)
    console.print(_table(results, deadline_s))
    return report.finish()


def _run(
    world: Rig, rows: Sequence[Row], report: Report, console: Console, *, short: bool
) -> dict[str, list[Result]]:
    """Every row; the figures go into the report."""
    results: dict[str, list[Result]] = {}
    limit, slowest_recovery = world.deadline_s + _GRACE_S, 0.0
    patience_s = world.rest_s + _RECOVERY_S
    if world.recovery(_WARM_S) >= _WARM_S:  # both environments are warm from here on
        raise RuntimeError(f"the function gave no answer within {_WARM_S:g} s, before anything was made to fail")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(rows))
        for number, row in enumerate(rows):
            progress.update(task, description=f"{row.name:55.55}")
            found: list[Result] = []
            for wave in _waves(number, short=short):
                row.begin(world)
                answers = world.together(*(MODES[mode] for mode in wave))
                world.heal()
                found += [
                    (mode, seen, judge(seen, mode, row.promise)) for mode, seen in zip(wave, answers, strict=True)
                ]
                slowest_recovery = max(slowest_recovery, world.recovery(patience_s + 1))
            results[row.name] = found
            report.add(
                f"{row.name}: slowest answer", max(seen.seconds for _, seen, _ in found), "s", f"<= {limit:g}"
            )
            wrong = sum(not verdict.ok for _, _, verdict in found)
            report.add(f"{row.name}: outcomes that were not promised", wrong, f"of {len(found)}", "== 0")
            progress.advance(task)
    report.add("well again to the next answer, slowest", slowest_recovery, "s", f"<= {patience_s:g}")
    return results


def _waves(number: int, *, short: bool) -> list[tuple[str, ...]]:
    """The ways to ask a row, those together that are asked at once: the function has two environments."""
    names = list(MODES)
    if short:
        return [(names[number % len(names)],)]
    return [tuple(names[:2]), tuple(names[2:])]


def _storm(world: Rig, report: Report, console: Console) -> None:
    """Many questions while the host fails: it must get fewer and fewer requests, and then a rest."""
    counts, told = [], 0
    with console.status("retry storm"):
        world.host.behave(Misdeed.BUSY)
        for _ in range(_STORM):
            before = world.host.chats
            seen = world.ask()
            counts.append(world.host.chats - before)
            told += isinstance(seen.body, dict) and str(seen.body.get("type", "")).endswith(":overloaded")
        world.heal()
        patience_s = world.rest_s + _RECOVERY_S
        recovery = world.recovery(patience_s + 1)
    half = _STORM // 2
    report.add("retry storm: most requests of one question", max(counts), "requests", f"<= {_ATTEMPTS}")
    report.add(f"retry storm: requests of the first {half} questions", sum(counts[:half]), "requests")
    fewer = f"< {max(sum(counts[:half]), 1)}"
    report.add(f"retry storm: requests of the last {half} questions", sum(counts[half:]), "requests", fewer)
    report.add("retry storm: questions told that the host is spared", told, f"of {_STORM}", ">= 1")
    report.add("retry storm: well again to the next answer", recovery, "s", f"<= {patience_s:g}")


def _table(results: dict[str, list[Result]], deadline_s: float) -> Table:
    table = Table(title=f"what a client saw, deadline {deadline_s:g} s", title_justify="left")
    table.add_column("row")
    for mode in MODES:
        table.add_column(mode)
    for name, found in results.items():
        cells = {mode: _cell(seen, verdict) for mode, seen, verdict in found}
        table.add_row(name, *(cells.get(mode, "") for mode in MODES))
    return table


def _cell(seen: Seen, verdict: Verdict) -> str:
    colour = "green" if verdict.ok else "red"
    return f"[{colour}]{verdict.what}[/] {seen.seconds:.1f} s"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
