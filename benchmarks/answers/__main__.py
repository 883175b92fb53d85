"""``python -m benchmarks.answers`` (`make eval-answers`): how good the answers of the whole system are.

A new local stack indexes articles, company filings and other reports. Over HTTP it gets questions that they
answer, and half as many that they do not. Each answer is judged against the pages, which another reader than
docwell's reads. Every question and its judgement go to `build/reports/answers/answers.jsonl`. The next run replays
the model's replies from `build/model-replies`.

`--part people` asks questions as people ask them instead (`benchmarks/answers/people.py`), and `--part lists`
those for lists, without a model (`benchmarks/answers/lists.py`).
"""

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.answers import lists, people
from benchmarks.answers.indexing import index_files
from benchmarks.answers.judge import Judged, judge
from benchmarks.answers.questions import Kind, Plan, plan
from benchmarks.answers.replies import stack_with_replies
from benchmarks.answers.shares import add_share
from benchmarks.doors import Doors
from infra.local.stack import DEADLINE_S
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, REPORTS, Report

ANSWERS = REPORTS / "answers" / "answers.jsonl"
_ANSWERABLE = 100


def main() -> int:
    options = _arguments()
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not (EVALUATION / "xquad").is_dir():
        CONSOLE.print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", style="red")
        return 2
    if options.part == "people":
        report = Report("eval-answers-people")
        people.run(report, options.n, options.seed, options.model, show_untouched=options.show_untouched)
        return report.finish()
    if options.part == "lists":
        report = Report("eval-answers-lists")
        lists.run(report)
        return report.finish()
    report = Report("eval-answers")
    CONSOLE.print("choosing questions…")
    answerable = _ANSWERABLE if options.n is None else options.n
    absent = answerable // 2 if options.absent is None else options.absent
    judged = _run(plan(EVALUATION, answerable, absent, options.seed, options.filings), options.model)
    add_figures(report, judged)
    status = report.finish()
    misses = sum(bool(one.faults) for one in judged)
    CONSOLE.print(f"{misses} of {len(judged)} answers have a fault: {ANSWERS}")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument(
        "--part", choices=("sets", "people", "lists"), default="sets", help="whose questions to ask"
    )
    parser.add_argument(
        "--n", type=int, help=f"sets: answerable questions ({_ANSWERABLE}); people: questions (all)"
    )
    parser.add_argument("--show-untouched", action="store_true", help="people: write down the untouched half too")
    parser.add_argument("--absent", type=int, help="questions without an answer (default: half of N)")
    parser.add_argument("--filings", type=int, help="answerable questions on filings (default: by chance)")
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    parser.add_argument("--seed", type=int, default=7, help="another sample, and other documents held out")
    return parser.parse_args()


def _run(chosen: Plan, model: str) -> list[Judged]:
    """Index the documents, then ask one question at a time. Raises `RuntimeError`, `TimeoutError`."""
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    judged: list[Judged] = []
    with (
        stack_with_replies(model) as (stack, replies),
        Doors(stack, timeout_s=DEADLINE_S + 20) as doors,
        ANSWERS.open("w", encoding="utf-8") as lines,
    ):
        index = index_files(doors, chosen.files)
        with bar("asking", len(chosen.questions)) as step:
            for question in chosen.questions:
                body = {"question": question.text, "document": question.document, "stream": True}
                before = replies.replayed
                seen = doors.ask({name: value for name, value in body.items() if value is not None})
                judged.append(replace(judge(question, seen, index), replayed=replies.replayed > before))
                lines.write(json.dumps(judged[-1].as_json(), ensure_ascii=False) + "\n")
                lines.flush()
                step()
    return judged


def add_figures(report: Report, judged: Sequence[Judged]) -> None:
    """Add every figure, in the order in which a reader wants them."""

    def share(
        metric: str, holds: Callable[[Judged], object], cases: Sequence[Judged], goal: str | None = None
    ) -> None:
        add_share(report, metric, sum(bool(holds(one)) for one in cases), len(cases), goal)

    def refused(one: Judged) -> bool:
        return one.status == "refused"

    answerable = [one for one in judged if one.question.answerable]
    unanswerable = [one for one in judged if not one.question.answerable]
    answered = [one for one in answerable if one.status == "answered"]
    articles = [one for one in answered if one.question.kind is Kind.ARTICLE]
    filings = [one for one in answered if one.question.kind is Kind.FILING]
    reports = [one for one in answered if one.question.kind is Kind.REPORT]

    report.add("questions that failed", sum(one.status == "failed" for one in judged), "questions", "== 0")
    share("answerable questions that are answered", lambda one: one.status == "answered", answerable)
    share("answerable questions that are refused", refused, answerable, "<= 10")
    for kind in (Kind.ARTICLE, Kind.FILING, Kind.REPORT):
        share(f"of these, on {kind}s", refused, [one for one in answerable if one.question.kind is kind])
    share("unanswerable questions that are refused", refused, unanswerable, ">= 90")
    for kind in (Kind.ABSENT_ARTICLE, Kind.ABSENT_FILING, Kind.ABSENT_REPORT):
        share(f"of these, {kind}", refused, [one for one in unanswerable if one.question.kind is kind])
    mixed = {Kind.ARTICLE, Kind.REPORT, Kind.ABSENT_ARTICLE, Kind.ABSENT_REPORT}
    for questions, what, goal in ((answerable, "answerable", "<= 12"), (unanswerable, "unanswerable", ">= 85")):
        cases = [one for one in questions if one.question.kind in mixed]
        share(f"articles and reports: {what} questions that are refused", refused, cases, goal)
    markers, citations = sum(one.markers for one in judged), sum(len(one.citations) for one in judged)
    add_share(report, "citations that resolve", sum(one.resolved for one in judged), markers, ">= 100")
    add_share(report, "quotes that stand verbatim", sum(one.verbatim for one in judged), citations, ">= 100")
    share("answered articles: a cited page holds the answer", lambda one: one.cites_answer, articles, ">= 85")
    share("answered filings: a cited page is of the evidence", lambda one: one.cites_answer, filings)
    share("answered reports: a cited page is of the evidence", lambda one: one.cites_answer, reports)
    share("answered articles: the answer has the truth's words", lambda one: one.has_truth, articles)
    share("answered filings: the answer has a figure of the truth", lambda one: one.has_truth, filings)
    unsupported = sum(one.unsupported for one in judged)
    add_share(report, "sentences marked as not supported", unsupported, sum(one.sentences for one in judged))
    _add_tokens(report, judged)


def _add_tokens(report: Report, judged: Sequence[Judged]) -> None:
    """Add how much of each prompt the model read, the error of docwell's count, and the time of an answer."""
    read = [one for one in judged if one.prompt_tokens]
    silent = sum(one.estimated_tokens is None for one in read)
    report.add("prompts without docwell's own count", silent, "prompts", "== 0")
    report.add("prompts that were truncated", sum(one.truncated for one in read), f"of {len(read)}", "== 0")
    errors = [
        100 * abs(one.estimated_tokens - one.prompt_tokens) / one.prompt_tokens
        for one in read
        if one.estimated_tokens is not None
    ]
    seconds = [one.seconds for one in judged if not one.replayed]
    report.add("replies of the model from earlier runs", len(judged) - len(seconds), "replies")
    for metric, values, unit in (
        ("own token count, error", errors, "%"),
        ("seconds for one answer", seconds, "s"),
    ):
        if values:
            report.add(f"{metric}, median", statistics.median(values), unit)
            report.add(f"{metric}, worst", max(values), unit)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
