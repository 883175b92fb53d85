"""Questions as people ask them (`make eval-answers PART=people`): asks them, judges the answers, adds the figures.

Half of the questions stay untouched: of these the report has totals alone, unless the caller asks to see them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.answers.asked import Asked, Kind, sample, truth
from benchmarks.answers.indexing import index_files
from benchmarks.answers.questions import page_texts
from benchmarks.answers.replies import stack_with_replies
from benchmarks.answers.shares import add_share
from benchmarks.answers.verdicts import Judgement, answer_of, judge
from benchmarks.doors import Doors
from docwell.cli.evaluation.verdicts import GOOD, Answer, Page, Verdict
from infra.local.stack import DEADLINE_S
from infra.progress import CONSOLE, bar
from infra.report import REPORTS, Report

ANSWERS = REPORTS / "answers" / "people.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question, its answer (None where the request failed), the judgement, and the seconds of the answer."""

    asked: Asked
    answer: Answer | None
    judgement: Judgement
    seconds: float

    def as_json(self) -> dict[str, Any]:
        asked, judgement, answer = self.asked, self.judgement, self.answer
        return {
            "id": asked.id,
            "kind": asked.kind,
            "half": "untouched" if asked.untouched else "seen",
            **asked.body,
            "verdict": judgement.verdict,
            "answer": asdict(answer) | {"citations": sorted(answer.citations)} if answer else None,
            "pages": sorted(asked.pages),
            "judgement": asdict(judgement),
            "seconds": round(self.seconds, 1),
        }


def run(report: Report, count: int | None, seed: int, model: str, *, show_untouched: bool) -> None:
    """Ask and add all figures. Raises `RuntimeError`, `TimeoutError` where a document cannot be indexed."""
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with ANSWERS.open("w", encoding="utf-8") as lines:
        for one in _ask(sample(truth().questions, count, seed), truth().files, model):
            outcomes.append(one)
            if show_untouched or not one.asked.untouched:
                lines.write(json.dumps(one.as_json(), ensure_ascii=False, default=_page) + "\n")
                lines.flush()
    CONSOLE.print(verdicts_table(outcomes))
    add_figures(report, outcomes)
    CONSOLE.print(f"answers with their judgement: {ANSWERS}")


def _ask(chosen: Sequence[Asked], files: Mapping[str, Path], model: str) -> Iterator[Outcome]:
    """Index what the questions need, so a small sample meets fewer other documents, and ask one at a time."""
    needed = set().union(*(one.needs(files) for one in chosen))

    def text_of(page: Page) -> str:
        pages = page_texts(files[page.key])
        return pages[page.number - 1] if page.number <= len(pages) else ""

    with stack_with_replies(model) as (stack, _), Doors(stack, timeout_s=DEADLINE_S + 20) as doors:
        index_files(doors, {key: files[key] for key in sorted(needed)})
        with bar("asking", len(chosen)) as step:
            for asked in chosen:
                seen = doors.ask(asked.body)
                answer = answer_of(seen)
                yield Outcome(asked, answer, judge(asked, answer, text_of), seen.seconds)
                step()


def verdicts_table(outcomes: Iterable[Outcome]) -> Table:
    """Return the verdicts by kind and half: the seen half, then the untouched."""
    table = Table(title="answers by kind: seen half / untouched half")
    table.add_column("kind")
    for verdict in Verdict:
        table.add_column(verdict, justify="right")
    outcomes = list(outcomes)
    for kind in (*Kind, None):
        of_kind = [one for one in outcomes if kind in {None, one.asked.kind}]
        cells = []
        for verdict in Verdict:
            untouched = [one.asked.untouched for one in of_kind if one.judgement.verdict is verdict]
            cells.append(f"{untouched.count(False)} / {untouched.count(True)}")
        table.add_row(kind or "all", *cells)
    return table


def add_figures(report: Report, outcomes: Sequence[Outcome]) -> None:
    """Add the figures, the goals first."""

    def verdicts(
        metric: str, wanted: Iterable[Verdict], cases: Sequence[Outcome], goal: str | None = None
    ) -> None:
        hits = sum(one.judgement.verdict in wanted for one in cases)
        add_share(report, metric, hits, len(cases), goal)

    def counts(metric: str, hits: str, of: str, kind: Kind, goal: str) -> None:
        cases = [one.judgement for one in outcomes if one.asked.kind is kind]
        found, wanted = (sum(getattr(one, name) for one in cases) for name in (hits, of))
        add_share(report, metric, found, wanted, goal)

    untouched = [one for one in outcomes if one.asked.untouched]
    seen = [one for one in outcomes if not one.asked.untouched]
    failed = sum(one.judgement.verdict is Verdict.FAILED for one in outcomes)
    report.add("questions that failed", failed, "questions", "== 0")
    verdicts("right or rightly refused, the untouched half", GOOD, untouched, ">= 75")
    verdicts("right or rightly refused, the seen half", GOOD, seen)
    verdicts("wrong and not marked", {Verdict.WRONG}, outcomes, "<= 6")
    verdicts("wrong, but marked as not supported", {Verdict.WRONG_MARKED}, outcomes)
    answerable = [one for one in outcomes if one.asked.answerable]
    verdicts("wrongly refused, of the answerable", {Verdict.WRONGLY_REFUSED}, answerable, "<= 12")
    verdicts("incomplete", {Verdict.INCOMPLETE}, outcomes)
    counts("overviews: statements that must be there", "said", "musts", Kind.OVERVIEW, ">= 80")
    counts("overviews: sentences cited right", "cited_right", "sentences", Kind.OVERVIEW, ">= 95")
    counts("lists: recall of documents", "hits", "wanted", Kind.LIST, ">= 90")
    counts("lists: precision of documents", "hits", "listed", Kind.LIST, ">= 90")
    cited = [one for one in answerable if one.judgement.verdict is Verdict.RIGHT]
    right = sum(one.judgement.cites_page is True for one in cited)
    add_share(report, "right answers that cite a page of the truth", right, len(cited))
    for kind in Kind:
        cases = [one for one in outcomes if one.asked.kind is kind]
        verdicts(f"right or rightly refused: {kind}", GOOD, cases)


def _page(value: object) -> str:
    if isinstance(value, Page):
        return f"{value.key}#{value.number}"
    raise TypeError(f"not JSON: {value!r}")
