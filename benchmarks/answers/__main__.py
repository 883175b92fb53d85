"""``python -m benchmarks.answers`` (`make eval-answers`): how good the answers of the whole system are.

A new local stack indexes documents of the evaluation sets, and gets questions over HTTP: those of the sets
(`sets.py`), or with `--part people` questions as people ask them (`questions.py`). Each answer is judged against
the truth and the pages, which another reader than docwell's reads (`judging.py`). Answers and judgements go to
`build/reports/answers/PART.jsonl`.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.answers import questions, sets
from benchmarks.answers.judging import Indexed, add_figures, judge
from benchmarks.answers.questions import Question
from benchmarks.doors import Doors, local_stack, run_command
from infra.local.stack import DEADLINE_S
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, REPORTS, Report

# Indexing all 1,400 pages takes minutes on two cores.
_INDEXED_S = 1800.0
_FOR_ALL = {"citations that resolve": ">= 100", "quotes that stand verbatim": ">= 100"}


class Part(NamedTuple):
    """Where questions come from: the name of their report, the choice of files and questions, and the goals."""

    report: str
    choose: Callable[[int | None], tuple[dict[str, Path], list[Question]]]
    goals: Mapping[str, str]


_PARTS = {
    "sets": Part(
        "eval-answers",
        sets.choose,
        {
            "answerable questions that are refused": "<= 10",
            "unanswerable questions that are refused": ">= 90",
            "answered, and cite a page of the truth: article": ">= 85",
        },
    ),
    "people": Part(
        "eval-answers-people",
        questions.choose,
        {
            "right or rightly refused, the untouched half": ">= 75",
            "wrong and not marked": "<= 6",
            "answerable questions that are refused": "<= 12",
            "overviews: statements that must be there": ">= 80",
            "lists: recall of documents": ">= 90",
            "lists: precision of documents": ">= 90",
        },
    ),
}


def main() -> int:
    options = _arguments()
    if not (EVALUATION / "xquad").is_dir():
        CONSOLE.print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", style="red")
        return 2
    part, judgements = _PARTS[options.part], []
    answers = REPORTS / "answers" / f"{options.part}.jsonl"
    report = Report(part.report)
    CONSOLE.print("choosing questions…")
    files, chosen = part.choose(options.n)
    answers.parent.mkdir(parents=True, exist_ok=True)
    with (
        local_stack(options.model) as stack,
        Doors(stack, timeout_s=DEADLINE_S + 20) as doors,
        answers.open("w", encoding="utf-8") as lines,
    ):
        index = {key: Indexed(path, doors.put(key, path)) for key, path in files.items()}
        with bar("indexing", len(index)) as step:
            for key, document in index.items():
                doors.indexed(key, document.version, _INDEXED_S)
                step()
        with bar("asking", len(chosen)) as step:
            for question in chosen:
                reply = doors.ask(question.body)
                if reply.status != 200 or reply.broken:
                    problem = reply.broken or (reply.body or {}).get("type")
                    CONSOLE.print(f"{question.id} failed after {reply.seconds:.0f} s: {reply.status} {problem}")
                judgements.append(judge(question, reply, index))
                if row := judgements[-1].row:
                    lines.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
                    lines.flush()
                step()
    add_figures(report, judgements, {**part.goals, **_FOR_ALL})
    CONSOLE.print(f"answers with their judgement: {answers}")
    return report.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--part", choices=_PARTS, default="sets", help="whose questions to ask")
    parser.add_argument(
        "--n", type=int, help="sets: answerable questions, and half as many others (100); people: questions (all)"
    )
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
