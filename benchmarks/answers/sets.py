"""Questions of the evaluation sets, and half as many that no document answers: a sample that a seed decides.

Some articles and companies are held out, so the index has no answer to their questions. A question counts as
unanswerable only when it names something (otherwise another document may answer it) and no indexed page has its
answer beside those names.
"""

import argparse
import json
import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.answers.pages import Indexed, add_share, page_texts, says, stands_verbatim
from benchmarks.doors import Reply
from docwell.config import QueryLimits
from infra.report import EVALUATION, Report

T = TypeVar("T")
_ANSWERABLE = 100
# The collections of the index, and their evaluation sets.
_SETS = {"articles": "xquad", "filings": "financebench", "reports": "mmlongbench"}
_HELD_ARTICLES = 7
_HELD_COMPANIES = 2
# A company with more questions is never held out: filings have few questions.
_MOST_HELD = 3
# The share of the unanswerable questions.
_ABSENT_FILING_SHARE = 0.15
# The share of both kinds of questions that is on reports, the most varied documents.
_REPORT_SHARE = 0.3
_NAME = re.compile(r"(?<!^)\b[A-Z][\w&'\u2019.-]*|\b\d[\d,.]*\b")
_MARKER = re.compile(r"\[(\d{1,3})\]")
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
# A host that reads less than this share of the prompt has cut it (docs/answers.md, "How prompts fit").
_READ_SHARE = 0.9


class Kind(StrEnum):
    """The origin of a question, which decides whether it can be answered."""

    ARTICLE = "article"
    FILING = "filing"
    REPORT = "report"
    ABSENT_ARTICLE = "absent article"
    ABSENT_FILING = "absent filing"
    ABSENT_REPORT = "absent from its report"


@dataclass(frozen=True, slots=True)
class Question:
    """One question. The truth is in `key`, on `pages` (1-based); the question is restricted to `document`."""

    id: str
    kind: Kind
    text: str
    truth: str
    key: str
    pages: tuple[int, ...] = ()
    document: str | None = None

    @property
    def answerable(self) -> bool:
        return self.kind in {Kind.ARTICLE, Kind.FILING, Kind.REPORT}

    @property
    def body(self) -> dict[str, Any]:
        """The request."""
        fields = {"question": self.text, "document": self.document, "stream": True}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Judged:
    """One question, its answer, and the judgement. `status` is the answer's, or `failed`.

    `markers` counts the numbers in the answer or among the citations; `resolved` counts those in both that lead
    to a page of an indexed document in that version. `cites_answer` and `has_truth` are None where they do not
    apply. `estimated_tokens` is docwell's own count of the prompt.
    """

    question: Question
    status: str
    seconds: float
    answer: str = ""
    citations: tuple[Mapping[str, Any], ...] = ()
    markers: int = 0
    resolved: int = 0
    verbatim: int = 0
    cites_answer: bool | None = None
    has_truth: bool | None = None
    sentences: int = 0
    unsupported: int = 0
    prompt_tokens: int = 0
    estimated_tokens: int | None = None

    @property
    def truncated(self) -> bool:
        """Whether the host has cut the prompt. Ollama cuts what exceeds the context, to about half of it."""
        estimated = self.estimated_tokens or 0
        return estimated > QueryLimits().num_ctx / 2 and self.prompt_tokens < _READ_SHARE * estimated


def choose(options: argparse.Namespace) -> tuple[dict[str, Path], list[Question]]:
    """Return the files to index, by key, and the questions. Raises `OSError` without the evaluation material."""
    answerable = _ANSWERABLE if options.n is None else options.n
    return plan(EVALUATION, answerable, answerable // 2, options.seed)


def row(judged: Judged) -> dict[str, Any]:
    """Return a question, its answer and its judgement."""
    fields = asdict(judged)
    return {**fields.pop("question"), **fields}


def plan(folder: Path, answerable: int, unanswerable: int, seed: int) -> tuple[dict[str, Path], list[Question]]:
    """Choose up to so many questions; return the files to index, by key, and the questions in their order.

    Each question on an article or a filing is equally likely.
    """
    chooser = random.Random(seed)
    reports = [
        _report(entry) for entry in _load(folder / "mmlongbench" / "questions_dev.json") if _is_usable(entry)
    ]
    on_reports = _spread(
        (question for question in reports if question.answerable), round(answerable * _REPORT_SHARE), chooser
    )
    absent = _spread(
        (question for question in reports if not question.answerable), round(unanswerable * _REPORT_SHARE), chooser
    )
    answerable, unanswerable = answerable - len(on_reports), unanswerable - len(absent)
    articles = _load(folder / "xquad" / "questions_en_dev.json")
    filings = _load(folder / "financebench" / "questions_dev.json")
    held_out = set(chooser.sample(sorted({entry["doc"] for entry in articles}), _HELD_ARTICLES))
    counts = Counter(entry["company"] for entry in filings)
    companies = sorted(name for name, count in counts.items() if count <= _MOST_HELD)
    held_out |= set(chooser.sample(companies, _HELD_COMPANIES))
    from_filings = [_filing(entry) for entry in filings if entry["company"] not in held_out]
    from_articles = [_article(entry) for entry in articles if entry["doc"] not in held_out]
    on_filings = round(answerable * len(from_filings) / (len(from_filings) + len(from_articles)))
    chosen = chooser.sample(from_filings, on_filings)
    chosen += _spread(from_articles, answerable - len(chosen), chooser)
    keys = {question.key for question in [*from_articles, *from_filings, *on_reports, *absent]}
    files = {key: _path_of(folder, key) for key in sorted(keys)}
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
    """Whether the question names something, and no page that it may search answers it."""
    names = set(_NAME.findall(question.text))
    if not names:
        return False
    keys = [question.document] if question.document else pages
    return not any(
        says(text, question.truth) and all(says(text, name) for name in names)
        for key in keys
        for text in pages[key]
    )


def _article(entry: dict[str, Any], kind: Kind = Kind.ARTICLE) -> Question:
    pages = tuple(sorted({page for page in (entry["page"], *entry["paragraph_pages"]) if page}))
    return Question(entry["qid"], kind, entry["question"], entry["answer"], f"articles/{entry['doc']}", pages)


def _filing(entry: dict[str, Any], kind: Kind = Kind.FILING) -> Question:
    pages = {page for evidence in entry["evidence"] for page in (evidence["page1"], evidence["best_page1"])}
    key = f"filings/{entry['doc']}.pdf"
    # The authors of the set had the filing at hand, so some questions do not name it.
    restricted = key if kind is Kind.FILING else None
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, tuple(sorted(pages)), restricted)


def _is_usable(entry: dict[str, Any]) -> bool:
    """Return whether text or a table answers a report's question, or nothing does."""
    return bool(entry["unanswerable"] or entry["text_or_table_only"]) and not entry["doc_is_image_only"]


def _report(entry: dict[str, Any]) -> Question:
    kind = Kind.ABSENT_REPORT if entry["unanswerable"] else Kind.REPORT
    key, pages = f"reports/{entry['doc']}", tuple(entry["evidence_pages"])
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, pages, document=key)


def _path_of(folder: Path, key: str) -> Path:
    collection, _, name = key.partition("/")
    return folder / _SETS[collection] / "pdf" / name


def _spread(questions: Iterable[Question], count: int, chooser: random.Random) -> list[Question]:
    """Return this many random questions, from each document in turn."""
    by_document: dict[str, list[Question]] = {}
    for question in questions:
        by_document.setdefault(question.key, []).append(question)
    piles = [chooser.sample(pile, len(pile)) for pile in by_document.values()]
    chooser.shuffle(piles)
    chosen: list[Question] = []
    while any(piles) and len(chosen) < count:
        chosen += [pile.pop() for pile in piles if pile][: count - len(chosen)]
    return chosen


def _load(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def judge(question: Question, reply: Reply, index: Mapping[str, Indexed]) -> Judged:
    """Judge one answer against the pages and the truth."""
    body = reply.events[-1][1] if reply.events else reply.body
    if reply.status != 200 or not isinstance(body, dict):
        return Judged(question, "failed", reply.seconds)
    text, status, citations = str(body["answer"]), str(body["status"]), tuple(body["citations"])
    compared = status == "answered" and question.answerable
    cites_answer = any(_holds_answer(question, citation, index) for citation in citations) if compared else None
    written = {int(number) for number in _MARKER.findall(text)}
    markers = written | {citation["marker"] for citation in citations}
    resolved = written & {citation["marker"] for citation in citations if _page_of(citation, index) is not None}
    verbatim = [stands_verbatim(citation["quote"], _page_of(citation, index) or "") for citation in citations]
    sentences, usage = body.get("sentences") or [], body["usage"]
    return Judged(
        question=question,
        status=status,
        seconds=reply.seconds,
        answer=text,
        citations=citations,
        markers=len(markers),
        resolved=len(resolved),
        verbatim=sum(verbatim),
        cites_answer=cites_answer,
        has_truth=_has_truth(question, text) if compared else None,
        sentences=len(sentences),
        unsupported=sum(not sentence["supported"] for sentence in sentences),
        prompt_tokens=usage["prompt_tokens"],
        estimated_tokens=usage.get("estimated_prompt_tokens"),
    )


def _page_of(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> str | None:
    """Return the text of the cited page; None where there is no such page of that version of the document."""
    document = index.get(citation["document"])
    if document is None or citation["version"] != document.version:
        return None
    pages, number = page_texts(document.path), citation["page"]
    return pages[number - 1] if 1 <= number <= len(pages) else None


def _holds_answer(question: Question, citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> bool:
    """Return whether the cited page has an article's answer, or is a page of the evidence."""
    page = _page_of(citation, index)
    if citation["document"] != question.key or page is None:
        return False
    return says(page, question.truth) if question.kind is Kind.ARTICLE else citation["page"] in question.pages


def _has_truth(question: Question, text: str) -> bool:
    """Return whether the answer has the truth's words or, for a filing whose truth has figures, one of them."""
    figures = {figure.replace(",", "") for figure in _FIGURE.findall(question.truth)}
    plain = _MARKER.sub("", text)
    if question.kind is Kind.FILING and figures:
        return bool(figures & {figure.replace(",", "") for figure in _FIGURE.findall(plain)})
    return says(plain, question.truth)


def add_figures(report: Report, judged: Sequence[Judged]) -> None:
    """Add every figure, in the order in which a reader wants them."""

    def share(
        metric: str, holds: Callable[[Judged], object], cases: Sequence[Judged], goal: str | None = None
    ) -> None:
        add_share(report, metric, sum(bool(holds(case)) for case in cases), len(cases), goal)

    def of(cases: Sequence[Judged], *kinds: Kind) -> list[Judged]:
        return [case for case in cases if case.question.kind in kinds]

    def refused(case: Judged) -> bool:
        return case.status == "refused"

    answerable = [case for case in judged if case.question.answerable]
    unanswerable = [case for case in judged if not case.question.answerable]
    answered = [case for case in answerable if case.status == "answered"]
    report.add("questions that failed", sum(case.status == "failed" for case in judged), "questions", "== 0")
    share("answerable questions that are answered", lambda case: case.status == "answered", answerable)
    share("answerable questions that are refused", refused, answerable, "<= 10")
    for kind in (Kind.ARTICLE, Kind.FILING, Kind.REPORT):
        share(f"of these, on {kind}s", refused, of(answerable, kind))
    share("unanswerable questions that are refused", refused, unanswerable, ">= 90")
    for kind in (Kind.ABSENT_ARTICLE, Kind.ABSENT_FILING, Kind.ABSENT_REPORT):
        share(f"of these, {kind}", refused, of(unanswerable, kind))
    mixed = (Kind.ARTICLE, Kind.REPORT, Kind.ABSENT_ARTICLE, Kind.ABSENT_REPORT)
    share("articles and reports: answerable questions that are refused", refused, of(answerable, *mixed), "<= 12")
    share(
        "articles and reports: unanswerable questions that are refused", refused, of(unanswerable, *mixed), ">= 85"
    )
    markers, citations = sum(case.markers for case in judged), sum(len(case.citations) for case in judged)
    add_share(report, "citations that resolve", sum(case.resolved for case in judged), markers, ">= 100")
    add_share(report, "quotes that stand verbatim", sum(case.verbatim for case in judged), citations, ">= 100")
    articles, filings, reports = (of(answered, kind) for kind in (Kind.ARTICLE, Kind.FILING, Kind.REPORT))
    share("answered articles: a cited page holds the answer", lambda case: case.cites_answer, articles, ">= 85")
    share("answered filings: a cited page is of the evidence", lambda case: case.cites_answer, filings)
    share("answered reports: a cited page is of the evidence", lambda case: case.cites_answer, reports)
    share("answered articles: the answer has the truth's words", lambda case: case.has_truth, articles)
    share("answered filings: the answer has a figure of the truth", lambda case: case.has_truth, filings)
    unsupported = sum(case.unsupported for case in judged)
    add_share(report, "sentences marked as not supported", unsupported, sum(case.sentences for case in judged))
    read = [case for case in judged if case.prompt_tokens]
    report.add("prompts that were truncated", sum(case.truncated for case in read), f"of {len(read)}", "== 0")
    if judged:
        report.add("seconds for an answer, median", statistics.median(case.seconds for case in judged), "s")
