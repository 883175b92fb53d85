"""``python -m benchmarks.faults`` (`make faults`): the real handlers, Chroma and the AWS server under every fault.

It runs the rows, prints one table and writes build/reports/faults.json; docs/faults.md describes them.
"""

import argparse
import random
import time
import traceback
from collections.abc import Iterator, Sequence

from benchmarks.doors import run_command
from benchmarks.faults.rows import FAULTS, reindex, shared_world
from benchmarks.faults.scene import Outcome, Run
from infra.progress import CONSOLE, bar
from infra.report import ROOT, Report

REINDEX = "reindex"
TITLES = {name: row.title for name, row in FAULTS.items()} | {REINDEX: "re-index with a kill in the middle"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 minutes instead of 55")
    parser.add_argument("--seed", type=int, help="the seed that a failed run printed; random by default")
    parser.add_argument("--row", action="append", choices=TITLES, help="only this row; may be repeated")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    CONSOLE.print(f"seed {seed}")
    report, chosen = Report("faults"), options.row or list(TITLES)
    questions, wrong, failed = 0, 0, list[str]()
    for name, outcome in _outcomes(chosen, seed, short=options.short):
        questions, wrong = questions + outcome.questions, wrong + len(outcome.wrong)
        _add(report, TITLES[name], outcome)
        if not outcome.ok:
            failed.append(name)
            _explain(name, seed, outcome)
    report.add("reader: answers that mix generations, show a deleted document or a false text", wrong, "", "== 0")
    report.add("reader: questions asked while faults ran", questions, "questions", ">= 1")
    status = report.finish()
    if failed:
        rows = " ".join(f"--row {name}" for name in failed)
        form = " --short" if options.short else ""
        print(f"replay: python -m benchmarks.faults{form} {rows} --seed {seed}")
    return status


def _outcomes(chosen: Sequence[str], seed: int, *, short: bool) -> Iterator[tuple[str, Outcome]]:
    """Run the rows and yield the outcome of each. If a row raises, mark it as stuck and go on."""
    shared = {name: Outcome() for name in chosen if name in FAULTS}
    with bar("faults", len(chosen)) as shown:
        run, started = Run(f"{seed}", short, shown.say), time.monotonic()
        for versioned in run.buckets() if shared else ():
            try:
                for name in shared_world(shared, run, versioned=versioned):
                    _print(name, shared[name], started)
                    started = time.monotonic()
            except Exception:  # noqa: BLE001 - run the other rows all the same
                shared[list(shared)[-1]].add_raised(traceback.format_exc())
        yield from shared.items()
        if REINDEX in chosen:
            outcome, started = Outcome(), time.monotonic()
            try:
                reindex(Run(f"{seed} {REINDEX}", short, shown.say), outcome)
            except Exception:  # noqa: BLE001 - report the other rows all the same
                outcome.add_raised(traceback.format_exc())
            _print(REINDEX, outcome, started)
            yield REINDEX, outcome


def _print(name: str, outcome: Outcome, started: float) -> None:
    verdict = "[green]ok[/]" if outcome.ok else "[red]wrong[/]"
    facts = ", ".join(f"{value:g} {fact}" for fact, value in outcome.facts.items())
    figures = f"{outcome.compared:,} chunks compared, {outcome.questions:,} questions, {facts}"
    CONSOLE.print(f"{verdict} {name}: {time.monotonic() - started:.0f} s, {figures}", soft_wrap=True)


def _add(report: Report, title: str, outcome: Outcome) -> None:
    for kind, count in outcome.differences.items():
        report.add(f"{title}: {kind}", count, "documents" if kind == "stuck" else "chunks", "== 0")
    report.add(f"{title}: chunks compared", outcome.compared, "chunks", ">= 1")
    for name, (value, unit, goal) in outcome.goals.items():
        report.add(f"{title}: {name}", value, unit, goal)


def _explain(name: str, seed: int, outcome: Outcome) -> None:
    for line in outcome.examples[:30] + outcome.wrong[:10]:
        CONSOLE.print(f"  {line}", markup=False, soft_wrap=True)
    path = ROOT / "build" / "faults" / f"{name}-{seed}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(outcome.logs) + "\n", encoding="utf-8")
    CONSOLE.print(f"  log: {path}")


if __name__ == "__main__":
    run_command(main)
