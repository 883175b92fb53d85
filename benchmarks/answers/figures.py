"""From judged answers to figures with 95% intervals and goals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.answers.judge import Judged
from benchmarks.answers.questions import Kind
from infra.report import Report

_Z = 1.96  # of a 95% interval
_FEWEST = 30


def wilson(hits: int, cases: int) -> tuple[float, float]:
    """The 95% interval of a share by Wilson's score, in percent (Wilson 1927; good for small counts too).

    >>> wilson(9, 10)
    (59.6, 98.2)
    """
    if cases == 0:
        return 0.0, 100.0
    share, square = hits / cases, _Z**2
    middle = share + square / (2 * cases)
    margin = _Z * math.sqrt(share * (1 - share) / cases + square / (4 * cases**2))
    low, high = ((middle + sign * margin) / (1 + square / cases) for sign in (-1, 1))
    return round(100 * max(low, 0.0), 1), round(100 * min(high, 1.0), 1)


def add_share(report: Report, metric: str, hits: int, cases: int, goal: str | None = None) -> None:
    """A share in percent; its unit says of how many, and its interval. Of no cases it is 0: a goal is not met.

    Of fewer cases than `_FEWEST` only what must always hold is judged: one of six is no 10%.
    """
    low, high = wilson(hits, cases)
    unit = f"% of {cases}, 95%: {low:g} to {high:g}" if cases else "% of none"
    if goal is not None and cases < _FEWEST and not goal.endswith("100"):
        goal, unit = None, f"{unit}; too few for the goal of {goal}"
    report.add(metric, 100 * hits / cases if cases else 0.0, unit, goal)


def add_figures(report: Report, judged: Sequence[Judged]) -> None:
    """Every figure of the suite, in the order in which a reader wants them."""
    answerable = [one for one in judged if one.question.answerable]
    unanswerable = [one for one in judged if not one.question.answerable]
    answered = [one for one in answerable if one.status == "answered"]
    articles = [one for one in answered if one.question.kind is Kind.ARTICLE]
    filings = [one for one in answered if one.question.kind is Kind.FILING]
    markers, citations = sum(one.markers for one in judged), sum(len(one.citations) for one in judged)

    report.add("questions that failed", _count(one.status == "failed" for one in judged), "questions", "== 0")
    add_share(report, "answerable questions that are answered", len(answered), len(answerable))
    wrong = _count(one.status == "refused" for one in answerable)
    add_share(report, "answerable questions that are refused", wrong, len(answerable), "<= 10")
    for kind in (Kind.ARTICLE, Kind.FILING):
        some = [one for one in answerable if one.question.kind is kind]
        add_share(report, f"of these, on {kind}s", _count(one.status == "refused" for one in some), len(some))
    right = _count(one.status == "refused" for one in unanswerable)
    add_share(report, "unanswerable questions that are refused", right, len(unanswerable), ">= 90")
    for kind in (Kind.ABSENT_ARTICLE, Kind.ABSENT_FILING, Kind.OTHER_ARTICLE):
        some = [one for one in unanswerable if one.question.kind is kind]
        add_share(report, f"of these, {kind}", _count(one.status == "refused" for one in some), len(some))

    add_share(report, "citations that resolve", sum(one.resolved for one in judged), markers, ">= 100")
    add_share(report, "quotes that stand verbatim", sum(one.verbatim for one in judged), citations, ">= 100")
    cited = _count(bool(one.cites_answer) for one in articles)
    add_share(report, "answered articles: a cited page holds the answer", cited, len(articles), ">= 85")
    evidence = _count(bool(one.cites_answer) for one in filings)
    add_share(report, "answered filings: a cited page is of the evidence", evidence, len(filings))
    truths = _count(bool(one.has_truth) for one in articles)
    add_share(report, "answered articles: the answer has the truth's words", truths, len(articles))
    truths = _count(bool(one.has_truth) for one in filings)
    add_share(report, "answered filings: the answer has a figure of the truth", truths, len(filings))
    unsupported = sum(one.unsupported for one in judged)
    add_share(report, "sentences marked as not supported", unsupported, sum(one.sentences for one in judged))
    _add_tokens(report, judged)


def _add_tokens(report: Report, judged: Sequence[Judged]) -> None:
    """How much of each prompt the model read, how well tokens are counted, and how long an answer takes."""
    read = [one for one in judged if one.prompt_tokens]
    silent = _count(one.estimated_tokens is None for one in read)
    report.add("prompts without docwell's own count", silent, "prompts", "== 0")
    report.add("prompts that were truncated", _count(one.truncated for one in read), f"of {len(read)}", "== 0")
    errors = [
        100 * abs(one.estimated_tokens - one.prompt_tokens) / one.prompt_tokens
        for one in read
        if one.estimated_tokens is not None
    ]
    if errors:
        report.add("own token count, error, median", statistics.median(errors), "%")
        report.add("own token count, error, worst", max(errors), "%")
    if judged:
        report.add("seconds for one answer, median", statistics.median(one.seconds for one in judged), "s")
        report.add("seconds for one answer, worst", max(one.seconds for one in judged), "s")


def _count(found: Iterable[bool]) -> int:
    return sum(found)
