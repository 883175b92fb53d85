"""``python -m benchmarks.answers`` (`make eval-answers`): how good the answers of the whole system are.

A local stack of its own indexes articles and company filings, and is asked over HTTP: questions that they
answer and half as many that they do not. Each answer is held against the pages, read by another reader than
docwell's. The file with one line a question is for looking at what went wrong: `--show misses`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.answers.figures import add_figures
from benchmarks.answers.judge import Indexed, Judged, judge
from benchmarks.answers.questions import Plan, plan
from benchmarks.answers.tracking import track
from benchmarks.doors import Doors
from infra.local.stack import DEADLINE_S
from infra.local.supervisor import running_stack
from infra.report import EVALUATION, REPORTS, Report

NAME = "eval-answers"
ANSWERS = REPORTS / "answers" / "answers.jsonl"
# 1,200 pages take some minutes on two cores; the last document waits for all the others.
_INDEXED_S = 1800.0
# Where there is no terminal for a progress bar.
_SAY_EVERY = 10


def main() -> int:
    """Ask all; gives the exit status."""
    options = _arguments()
    console = Console(highlight=False, stderr=True)
    if options.show:
        return _show(console, options.show)
    # Ended from outside, it cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not (EVALUATION / "xquad").is_dir():
        console.print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", style="red")
        return 2
    report = Report(NAME)
    console.print("choosing questions…")
    absent = options.n // 2 if options.absent is None else options.absent
    chosen = plan(EVALUATION, options.n, absent, options.seed, options.filings)
    judged = _run(chosen, options.model, console)
    add_figures(report, judged)
    status = report.finish()
    parameters = {"model": options.model, "seed": options.seed, "n": options.n, "questions": len(judged)}
    run = track(report, parameters, [REPORTS / f"{NAME}.json", ANSWERS])
    if run is not None:
        console.print(f"MLflow run {run}", style="dim")
    misses = sum(bool(one.faults) for one in judged)
    console.print(f"{misses} of {len(judged)} questions have a fault: python -m benchmarks.answers --show misses")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="answerable questions")
    parser.add_argument("--absent", type=int, help="questions without an answer; half as many as the others")
    parser.add_argument(
        "--filings", type=int, help="how many of the answerable ones are of filings; else by chance"
    )
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    parser.add_argument("--seed", type=int, default=7, help="another sample, and other documents held out")
    parser.add_argument(
        "--show", choices=("misses", "all"), help="show the last run's answers, and do nothing else"
    )
    return parser.parse_args()


def _run(chosen: Plan, model: str, console: Console) -> list[Judged]:
    """Index, then ask one question at a time."""
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    judged: list[Judged] = []
    with (
        tempfile.TemporaryDirectory(prefix="docwell-answers-") as folder,
        running_stack(Path(folder), model) as stack,
        Doors(stack, timeout_s=DEADLINE_S + 20) as doors,
        ANSWERS.open("w", encoding="utf-8") as lines,
    ):
        index = _index(chosen, doors, console)
        with _progress(console, "asking", len(chosen.questions)) as (progress, task):
            for question in chosen.questions:
                body = {"question": question.text, "document": question.document, "stream": True}
                seen = doors.ask({name: value for name, value in body.items() if value is not None})
                judged.append(judge(question, seen, index))
                lines.write(json.dumps(judged[-1].as_json(), ensure_ascii=False) + "\n")
                lines.flush()
                progress.advance(task)
                if not console.is_terminal and len(judged) % _SAY_EVERY == 0:
                    console.print(f"{len(judged)} of {len(chosen.questions)} questions are asked")
    return judged


def _index(chosen: Plan, doors: Doors, console: Console) -> dict[str, Indexed]:
    """Upload every document and wait for it. Raises `RuntimeError` where one is not indexed."""
    index = {key: Indexed(path, doors.put(key, path)) for key, path in chosen.files.items()}
    with _progress(console, "indexing", len(index)) as (progress, task):
        for key, one in index.items():
            found = doors.settled(key, one.version, _INDEXED_S)
            if found["status"] != "INDEXED":
                raise RuntimeError(f"{key} is {found['status']}: {found['reason']}")
            progress.advance(task)
    return index


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield progress, progress.add_task(what, total=total)


def _show(console: Console, which: str) -> int:
    """The last run's answers, those with a fault or all."""
    if not ANSWERS.exists():
        console.print("there are no answers yet: make eval-answers", style="red")
        return 2
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if which == "misses" and not one["faults"]:
            continue
        console.print(f"\n{one['kind']}: {one['text']}", style="bold", markup=False)
        console.print(f"  truth ({one['key']} p. {one['pages']}): {one['truth']}", markup=False)
        console.print(f"  {one['status']}, {one['seconds']:.1f} s: {one['answer']}", markup=False)
        for citation in one["citations"]:
            quote = " ".join(citation["quote"].split())
            where = f"{citation['document']} p. {citation['page']}, score {citation['score']:.2f}"
            console.print(f"    [{citation['marker']}] {where}: {quote}", markup=False)
        for fault in one["faults"]:
            console.print(f"  {fault}", style="red", markup=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
