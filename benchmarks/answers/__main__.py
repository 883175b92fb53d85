"""``python -m benchmarks.answers`` (`make eval-answers`): how good the answers of the whole system are.

A new local stack indexes articles and company filings. Over HTTP it gets questions that they answer, and half as
many that they do not. Each answer is judged against the pages, which another reader than docwell's reads.
`--show misses` prints the last run's wrong answers.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.answers.figures import add_figures
from benchmarks.answers.judge import Indexed, Judged, judge
from benchmarks.answers.questions import Plan, plan
from benchmarks.doors import Doors
from benchmarks.progress import CONSOLE, bar
from infra.local.stack import DEADLINE_S
from infra.local.supervisor import running_stack
from infra.report import EVALUATION, REPORTS, Report

ANSWERS = REPORTS / "answers" / "answers.jsonl"
# 1,200 pages take some minutes on two cores; the last document waits for all the others.
_INDEXED_S = 1800.0


def main() -> int:
    """Ask all; return the exit status."""
    options = _arguments()
    if options.show:
        return _show(options.show)
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not (EVALUATION / "xquad").is_dir():
        CONSOLE.print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", style="red")
        return 2
    report = Report("eval-answers")
    CONSOLE.print("choosing questions…")
    absent = options.n // 2 if options.absent is None else options.absent
    judged = _run(plan(EVALUATION, options.n, absent, options.seed, options.filings), options.model)
    add_figures(report, judged)
    status = report.finish()
    misses = sum(bool(one.faults) for one in judged)
    CONSOLE.print(f"{misses} of {len(judged)} answers have a fault: python -m benchmarks.answers --show misses")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="answerable questions")
    parser.add_argument("--absent", type=int, help="questions without an answer (default: half of N)")
    parser.add_argument("--filings", type=int, help="answerable questions on filings (default: by chance)")
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    parser.add_argument("--seed", type=int, default=7, help="another sample, and other documents held out")
    parser.add_argument("--show", choices=("misses", "all"), help="only print the last run's answers")
    return parser.parse_args()


def _run(chosen: Plan, model: str) -> list[Judged]:
    """Index the documents, then ask one question at a time. Raises `RuntimeError`, `TimeoutError`."""
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    judged: list[Judged] = []
    with (
        tempfile.TemporaryDirectory(prefix="docwell-answers-") as folder,
        running_stack(Path(folder), model) as stack,
        Doors(stack, timeout_s=DEADLINE_S + 20) as doors,
        ANSWERS.open("w", encoding="utf-8") as lines,
    ):
        index = {key: Indexed(path, doors.put(key, path)) for key, path in chosen.files.items()}
        with bar("indexing", len(index)) as step:
            for key, one in index.items():
                doors.indexed(key, one.version, _INDEXED_S)
                step()
        with bar("asking", len(chosen.questions)) as step:
            for question in chosen.questions:
                body = {"question": question.text, "document": question.document, "stream": True}
                seen = doors.ask({name: value for name, value in body.items() if value is not None})
                judged.append(judge(question, seen, index))
                lines.write(json.dumps(judged[-1].as_json(), ensure_ascii=False) + "\n")
                lines.flush()
                step()
    return judged


def _show(which: str) -> int:
    """Print the last run's answers, those with a fault or all."""
    if not ANSWERS.exists():
        CONSOLE.print("there are no answers yet: make eval-answers", style="red")
        return 2
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if which == "misses" and not one["faults"]:
            continue
        CONSOLE.print(f"\n{one['kind']}: {one['text']}", style="bold", markup=False)
        CONSOLE.print(f"  truth ({one['key']} p. {one['pages']}): {one['truth']}", markup=False)
        CONSOLE.print(f"  {one['status']}, {one['seconds']:.1f} s: {one['answer']}", markup=False)
        for citation in one["citations"]:
            quote = " ".join(citation["quote"].split())
            where = f"{citation['document']} p. {citation['page']}, score {citation['score']:.2f}"
            CONSOLE.print(f"    [{citation['marker']}] {where}: {quote}", markup=False)
        for fault in one["faults"]:
            CONSOLE.print(f"  {fault}", style="red", markup=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
