"""``python -m benchmarks.answers`` (`make eval-answers`): how good the answers of the whole system are.

A new local stack indexes documents of the evaluation sets, and gets a sample of their questions over HTTP, with
half as many that no document answers. The verdicts are those of `docwell eval`. Another reader than docwell's
reads the cited pages. Answers and verdicts go to `build/reports/answers.jsonl`.

Some articles and companies are held out, so the index has no answer to their questions. A question counts as
unanswerable only when it names something (otherwise another document may answer it) and no indexed page has its
answer beside those names.
"""

import argparse
import json
import math
import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2

from benchmarks.doors import Doors, Reply, local_stack, run_command
from benchmarks.guard import load
from docwell.cli.evaluation.verdicts import GOOD, Answer, Page, Verdict, judge_answer, read_answer, says
from infra.local.stack import DEADLINE_S
from infra.measuring import wilson
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, REPORTS, Report

# Indexing all 1,400 pages takes minutes on two cores.
_INDEXED_S = 1800.0
_GOALS = {
    "answerable questions that are refused": "<= 10",
    "unanswerable questions that are refused": ">= 90",
    "answered, and cite a page of the truth: article": ">= 85",
    "citations that resolve": ">= 100",
    "quotes that stand verbatim": ">= 100",
}
# Answerable questions of the long form. Another seed takes another sample, and holds out other documents.
_ANSWERABLE, _SEED = 100, 7
# The collections of the index, and their evaluation sets.
_SETS = {"articles": "xquad", "filings": "financebench", "reports": "mmlongbench"}
# A company with more questions than the last number is never held out: filings have few questions.
_HELD_ARTICLES, _HELD_COMPANIES, _MOST_HELD = 7, 2, 3
# The shares of absent filings among the unanswerable questions, and of reports, the most varied documents.
_ABSENT_FILING_SHARE, _REPORT_SHARE = 0.15, 0.3
_NAME = re.compile(r"(?<!^)\b[A-Z][\w&'\u2019.-]*|\b\d[\d,.]*\b")
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
_MARKER = re.compile(r"\[(\d{1,3})\]")
# With fewer cases judge only a goal of 100: one of six is not 10%.
_FEWEST_CASES = 30
# Ignore white space and hyphens: PDFium writes U+FFFE, and older versions U+0002, for one at the end of a line.
# Also ignore bullets of symbol fonts, which PDFium writes as private or control characters.
_LOOSE = re.compile("[\\s\\-\u00ad\u2010\u2011\ufffe\u200b\x00-\x1f\x7f-\x9f\ue000-\uf8ff]+")
# The file and the uploaded version of each document in the index.
Index = Mapping[str, tuple[Path, str]]


class Kind(StrEnum):
    """The origin of a question in the evaluation sets."""

    ARTICLE = "article"
    FILING = "filing"
    REPORT = "report"
    ABSENT_ARTICLE = "absent article"
    ABSENT_FILING = "absent filing"
    ABSENT_REPORT = "absent from its report"


@dataclass(frozen=True, slots=True)
class Question:
    """One question on a document, the accepted wordings of its answer, and the pages that have it."""

    id: str
    kind: Kind
    ask: str
    document: str
    truths: tuple[str, ...]
    pages: frozenset[Page]

    @property
    def answerable(self) -> bool:
        return not self.kind.startswith("absent")

    @property
    def body(self) -> dict[str, Any]:
        """The request. Authors of the other sets had the document at hand, so some questions do not name it."""
        is_within = self.kind in {Kind.FILING, Kind.REPORT, Kind.ABSENT_REPORT}
        return {"question": self.ask} | ({"document": self.document} if is_within else {})


class Citing(NamedTuple):
    """The counts of one answer.

    `markers` counts the numbers in the answer or among the citations; `resolved` counts those in both that lead
    to a page of an indexed document in that version.
    """

    markers: int = 0
    resolved: int = 0
    quotes: int = 0
    verbatim: int = 0


class Judgement(NamedTuple):
    """The verdict on an answer, which is None where the request failed, and its counts."""

    question: Question
    answer: Answer | None
    verdict: Verdict
    citing: Citing = Citing()

    @property
    def cites_page(self) -> bool | None:
        """Whether a citation leads to a page of the truth; None for a refusal, or where no page answers."""
        if self.answer is None or self.is_refused or not self.question.answerable:
            return None
        return bool(self.answer.citations & self.question.pages)

    @property
    def is_refused(self) -> bool:
        return self.verdict in {Verdict.RIGHTLY_REFUSED, Verdict.WRONGLY_REFUSED}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--n", type=int, default=_ANSWERABLE, help="answerable questions, and half as many others")
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    options = parser.parse_args()
    report, judged, path = Report("eval-answers"), list[Judgement](), REPORTS / "answers.jsonl"
    CONSOLE.print("choosing questions…")
    files, questions = choose(options.n)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        local_stack(options.model) as stack,
        Doors(stack, timeout_s=DEADLINE_S + 20) as doors,
        path.open("w", encoding="utf-8") as lines,
    ):
        index = {key: (file, doors.put(key, file)) for key, file in files.items()}
        with bar("indexing", len(index)) as step:
            for key, (_, version) in index.items():
                doors.indexed(key, version, _INDEXED_S)
                step()
        with bar("asking", len(questions)) as step:
            for question in questions:
                reply = doors.ask(question.body)
                if reply.status != 200 or reply.broken:
                    problem = reply.broken or (reply.body or {}).get("type")
                    CONSOLE.print(f"{question.id} failed after {reply.seconds:.0f} s: {reply.status} {problem}")
                judged.append(judge(question, reply, index))
                row = {"id": question.id, **question.body, "truths": question.truths}
                row |= {"verdict": judged[-1].verdict, "answer": reply.body}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                lines.flush()
                step()
    add_figures(report, judged)
    CONSOLE.print(f"answers with their verdicts: {path}")
    return report.finish()


def choose(count: int) -> tuple[dict[str, Path], list[Question]]:
    """Return the files to index, by key, and up to `count` answerable questions with half as many others.

    Each question on an article or a filing is equally likely. Raises `OSError` without the evaluation material.
    """
    chooser = random.Random(_SEED)
    kinds = {True: Kind.ABSENT_REPORT, False: Kind.REPORT}
    reports = [
        _question(entry, kinds[entry["unanswerable"]], f"reports/{entry['doc']}", entry["evidence_pages"])
        for entry in load("mmlongbench/questions_dev.json")
        # Text or a table answers it, or nothing does.
        if (entry["unanswerable"] or entry["text_or_table_only"]) and not entry["doc_is_image_only"]
    ]
    on_reports, absent = (
        _spread((q for q in reports if q.answerable is answered), round(number * _REPORT_SHARE), chooser)
        for answered, number in ((True, count), (False, count // 2))
    )
    answerable, unanswerable = count - len(on_reports), count // 2 - len(absent)
    articles, filings = load("xquad/questions_en_dev.json"), load("financebench/questions_dev.json")
    held_out = set(chooser.sample(sorted({entry["doc"] for entry in articles}), _HELD_ARTICLES))
    counts = Counter(entry["company"] for entry in filings)
    companies = sorted(name for name, number in counts.items() if number <= _MOST_HELD)
    held_out |= set(chooser.sample(companies, _HELD_COMPANIES))
    from_filings = [_filing(entry, Kind.FILING) for entry in filings if entry["company"] not in held_out]
    from_articles = [_article(entry, Kind.ARTICLE) for entry in articles if entry["doc"] not in held_out]
    on_filings = round(answerable * len(from_filings) / (len(from_filings) + len(from_articles)))
    chosen = chooser.sample(from_filings, on_filings)
    chosen += _spread(from_articles, answerable - len(chosen), chooser)
    keys = {question.document for question in [*from_articles, *from_filings, *on_reports, *absent]}
    folders = {key: _SETS[key.partition("/")[0]] for key in sorted(keys)}
    files = {key: EVALUATION / folder / "pdf" / key.partition("/")[2] for key, folder in folders.items()}
    pages = {key: page_texts(path) for key, path in files.items()}
    gone = [_filing(entry, Kind.ABSENT_FILING) for entry in filings if entry["company"] in held_out]
    unknown = [question for question in chooser.sample(gone, len(gone)) if _lacks(pages, question)]
    unknown = unknown[: math.ceil(unanswerable * _ABSENT_FILING_SHARE)]
    gone = [_article(entry, Kind.ABSENT_ARTICLE) for entry in articles if entry["doc"] in held_out]
    unknown += _spread((q for q in gone if _lacks(pages, q)), unanswerable - len(unknown), chooser)
    questions = on_reports + absent + chosen + unknown[:unanswerable]
    chooser.shuffle(questions)  # an interrupted run has some of every kind
    return files, questions


def _lacks(pages: Mapping[str, Sequence[str]], question: Question) -> bool:
    """Whether the question names something, and no page of the index has its answer beside those names."""
    names, truth = set(_NAME.findall(question.ask)), question.truths[0]
    texts = (text for texts in pages.values() for text in texts)
    return bool(names) and not any(all(name in text for name in names) and says(text, truth) for text in texts)


def _article(entry: dict[str, Any], kind: Kind) -> Question:
    numbers = {page for page in (entry["page"], *entry["paragraph_pages"]) if page}
    return _question(entry, kind, f"articles/{entry['doc']}", numbers)


def _filing(entry: dict[str, Any], kind: Kind) -> Question:
    numbers = {page for evidence in entry["evidence"] for page in (evidence["page1"], evidence["best_page1"])}
    # The truth explains its figures, so one of them is a right answer.
    return _question(entry, kind, f"filings/{entry['doc']}.pdf", numbers, _FIGURE.findall(entry["answer"]))


def _question(
    entry: dict[str, Any], kind: Kind, key: str, numbers: Iterable[int], further: Sequence[str] = ()
) -> Question:
    pages = frozenset(Page(key, number) for number in numbers)
    return Question(entry["qid"], kind, entry["question"], key, (entry["answer"], *further), pages)


def _spread(questions: Iterable[Question], count: int, chooser: random.Random) -> list[Question]:
    """Return this many random questions, from each document in turn."""
    by_document: dict[str, list[Question]] = {}
    for question in questions:
        by_document.setdefault(question.document, []).append(question)
    piles = [chooser.sample(pile, len(pile)) for pile in by_document.values()]
    chooser.shuffle(piles)
    return [question for turn in zip_longest(*map(reversed, piles)) for question in turn if question][:count]


@cache
def page_texts(path: Path) -> tuple[str, ...]:
    with pypdfium2.PdfDocument(path) as document:
        return tuple(page.get_textpage().get_text_range() for page in document)


def judge(question: Question, reply: Reply, index: Index) -> Judgement:
    """Judge one answer against the truth and the pages; it is failed if the request failed."""
    if reply.status != 200 or not isinstance(reply.body, dict):
        return Judgement(question, None, Verdict.FAILED)
    answer = read_answer(reply.body)
    verdict = judge_answer(answer, question.truths, answerable=question.answerable)
    return Judgement(question, answer, verdict, _citing(reply.body, index))


def _citing(body: Mapping[str, Any], index: Index) -> Citing:
    citations = body["citations"]
    pages = {citation["marker"]: _page_of(citation, index) for citation in citations}
    written = {int(number) for number in _MARKER.findall(body["answer"])}
    quotes = [stands_verbatim(citation["quote"], pages[citation["marker"]] or "") for citation in citations]
    resolved = sum(pages.get(marker) is not None for marker in written)
    return Citing(len(written | pages.keys()), resolved, len(quotes), sum(quotes))


def _page_of(citation: Mapping[str, Any], index: Index) -> str | None:
    """Return the text of the cited page; None where there is no such page of that version of the document."""
    path, version = index.get(citation["document"], (None, None))
    if path is None or citation["version"] != version:
        return None
    pages, number = page_texts(path), citation["page"]
    return pages[number - 1] if 1 <= number <= len(pages) else None


def stands_verbatim(quote: str, text: str) -> bool:
    r"""Whether a text contains a quote, up to white space and hyphenation; a blank quote is never contained.

    >>> stands_verbatim("an inter- national treaty", "signed an inter-\nnational\ntreaty in 1921")
    True
    """
    squeezed = _LOOSE.sub("", quote)
    return bool(squeezed) and squeezed in _LOOSE.sub("", text)


def add_figures(report: Report, judged: Sequence[Judgement]) -> None:
    """Add the figures with their goals; a figure without cases is left out."""

    def add(metric: str, hits: int, cases: int) -> None:
        """Add a share in percent; its unit has the number of cases and the interval."""
        (low, high), goal = wilson(hits, cases), _GOALS.get(metric)
        unit = f"% of {cases}, 95%: {low:g} to {high:g}"
        if goal is not None and cases < _FEWEST_CASES and not goal.endswith("100"):
            goal, unit = None, f"{unit}; too few for the goal of {goal}"
        if cases:
            report.add(metric, 100 * hits / cases, unit, goal)

    def share(metric: str, verdicts: Collection[Verdict], cases: Sequence[Judgement]) -> None:
        add(metric, sum(case.verdict in verdicts for case in cases), len(cases))

    answerable, absent = ([case for case in judged if case.question.answerable is kind] for kind in (True, False))
    failed = sum(case.verdict is Verdict.FAILED for case in judged)
    report.add("questions that failed", failed, "questions", "== 0")
    share("right or rightly refused", GOOD, judged)
    share("answerable questions that are refused", {Verdict.WRONGLY_REFUSED}, answerable)
    share("unanswerable questions that are refused", {Verdict.RIGHTLY_REFUSED}, absent)
    share("wrong and not marked", {Verdict.WRONG}, judged)
    share("wrong, but marked as not supported", {Verdict.WRONG_MARKED}, judged)
    citing = Citing(*(sum(numbers) for numbers in zip(*(case.citing for case in judged), strict=True)))
    add("citations that resolve", citing.resolved, citing.markers)
    add("quotes that stand verbatim", citing.verbatim, citing.quotes)
    sentences = [sentence for case in judged if case.answer for sentence in case.answer.sentences]
    add("sentences marked as not supported", sum(not sentence.supported for sentence in sentences), len(sentences))
    for kind in Kind:
        cases = [case for case in judged if case.question.kind is kind]
        share(f"right or rightly refused: {kind}", GOOD, cases)
        add(f"refused: {kind}", sum(case.is_refused for case in cases), len(cases))
        cites = [case.cites_page for case in cases if case.cites_page is not None]
        add(f"answered, and cite a page of the truth: {kind}", sum(cites), len(cites))


if __name__ == "__main__":
    run_command(main)
