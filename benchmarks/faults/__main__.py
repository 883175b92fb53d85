"""``python -m benchmarks.faults`` (`make faults`): the real handlers, Chroma and moto under every fault.

It runs the rows, prints one table and writes build/reports/faults.json; docs/faults.md describes them.
"""

import argparse
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable

from benchmarks.faults import rows_deaths, rows_dependencies, rows_documents, rows_model, rows_processes
from benchmarks.faults.documents import build_model_folder
from benchmarks.faults.row import Outcome, Run
from benchmarks.faults.world import MODEL_DIR
from infra.progress import CONSOLE, bar
from infra.report import ROOT, Report

ROWS: dict[str, tuple[str, Callable[[Run], Outcome]]] = {
    "model": ("stateful property test", rows_model.model),
    "kill-ingest": ("kill -9 of ingest", rows_processes.kill_ingest),
    "kill-chroma": ("kill -9 of Chroma", rows_processes.kill_chroma),
    "chroma-network": ("Chroma behind a broken network", rows_dependencies.chroma_network),
    "aws": ("DynamoDB and S3 fail", rows_dependencies.aws),
    "parser-killed": ("PDF readers are killed", rows_dependencies.parser_killed),
    "disk-full": ("disk full", rows_dependencies.disk_full),
    "same-key": ("two and eight workers on one key", rows_processes.same_key),
    "dead-letters": ("killed until the dead letter", rows_deaths.dead_letters),
    "holder-dies": ("changes while the lease's holder dies", rows_deaths.holder_dies),
    "long-document": ("long documents", rows_documents.long_document),
    "poison": ("poison among healthy PDFs", rows_documents.poison),
    "volume-lost": ("loss of Chroma's volume, then reconcile", rows_processes.volume_lost),
    "reindex": ("re-index with a kill in the middle", rows_processes.reindex),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="6 minutes instead of 55")
    parser.add_argument("--seed", type=int, help="the seed that a failed run printed; random by default")
    parser.add_argument("--row", action="append", choices=ROWS, help="only this row; may be repeated")
    options = parser.parse_args()
    # SIGTERM cleans up as Ctrl-C does; Hypothesis would take any other exception for a finding.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    CONSOLE.print(f"seed {seed}")
    build_model_folder(MODEL_DIR)
    report = Report("faults")
    asked, wrong = 0, 0
    replays: list[str] = []
    chosen = options.row or list(ROWS)
    for name in chosen:
        outcome = _run(name, Run(f"{seed} {name}", options.short))
        _add(report, ROWS[name][0], outcome)
        asked, wrong = asked + outcome.asked, wrong + len(outcome.wrong)
        if not outcome.ok:
            _explain(name, seed, outcome)
            form = " --short" if options.short else ""
            replays.append(f"replay: python -m benchmarks.faults{form} --row {name} --seed {seed}")
    report.add("reader: answers that mix generations, show a deleted document or a false text", wrong, "", "== 0")
    # The row `model` has no reader.
    goal = ">= 1" if set(chosen) - {"model"} else None
    report.add("reader: questions asked while faults ran", asked, "questions", goal)
    status = report.finish()
    for line in replays:
        print(line)
    return status


def _run(name: str, run: Run) -> Outcome:
    started = time.monotonic()
    with bar(f"{name:14}", 1.0) as shown:
        run.advance, run.say = shown, shown.say
        try:
            outcome = ROWS[name][1](run)
        except Exception:  # noqa: BLE001 - run the other rows all the same
            outcome = Outcome(examples=traceback.format_exc().splitlines()[-12:])
            outcome.differences["stuck"] += 1
    seconds = time.monotonic() - started
    outcome.goals["chunks compared"] = (outcome.compared, "chunks", ">= 1")
    verdict = "[green]ok[/]" if outcome.ok else "[red]wrong[/]"
    facts = ", ".join(f"{value:g} {fact}" for fact, value in outcome.facts.items())
    figures = f"{outcome.compared:,} chunks compared, {outcome.asked:,} questions, {facts}"
    CONSOLE.print(f"{verdict} {name}: {seconds:.0f} s, {figures}", soft_wrap=True)
    return outcome


def _add(report: Report, title: str, outcome: Outcome) -> None:
    for kind, count in outcome.differences.items():
        report.add(f"{title}: {kind}", count, "documents" if kind == "stuck" else "chunks", "== 0")
    for name, (value, unit, goal) in outcome.goals.items():
        report.add(f"{title}: {name}", value, unit, goal)


def _explain(name: str, seed: int, outcome: Outcome) -> None:
    for line in outcome.examples[:30] + outcome.wrong[:10]:
        CONSOLE.print(f"  {line}", markup=False, soft_wrap=True)
    if outcome.logs:
        path = ROOT / "build" / "faults" / f"{name}-{seed}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(outcome.logs) + "\n", encoding="utf-8")
        CONSOLE.print(f"  log: {path}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
