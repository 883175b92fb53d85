"""Questions of the evaluation sets, and half as many that no document answers: a sample.

Some articles and companies are held out, so the index has no answer to their questions. A question counts as
unanswerable only when it names something (otherwise another document may answer it) and no indexed page has its
answer beside those names.
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.answers.judging import page_texts
from benchmarks.answers.questions import Fact, Kind, Question
from docwell.cli.evaluation.verdicts import Page, says
from infra.report import EVALUATION

_ANSWERABLE = 100
# Another seed takes another sample, and holds out other documents.
_SEED = 7
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
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")


def choose(count: int | None) -> tuple[dict[str, Path], list[Question]]:
    """Return the files to index, by key, and up to `count` answerable questions with half as many others.

    Each question on an article or a filing is equally likely. Raises `OSError` without the evaluation material.
    """
    chooser = random.Random(_SEED)
    answerable = _ANSWERABLE if count is None else count
    unanswerable = answerable // 2
    reports = [_report(entry) for entry in _load("mmlongbench/questions_dev.json") if _is_usable(entry)]
    on_reports, absent = (
        _spread((q for q in reports if q.answerable is answered), round(number * _REPORT_SHARE), chooser)
        for answered, number in ((True, answerable), (False, unanswerable))
    )
    answerable, unanswerable = answerable - len(on_reports), unanswerable - len(absent)
    articles, filings = _load("xquad/questions_en_dev.json"), _load("financebench/questions_dev.json")
    held_out = set(chooser.sample(sorted({entry["doc"] for entry in articles}), _HELD_ARTICLES))
    counts = Counter(entry["company"] for entry in filings)
    companies = sorted(name for name, count in counts.items() if count <= _MOST_HELD)
    held_out |= set(chooser.sample(companies, _HELD_COMPANIES))
    from_filings = [_filing(entry, Kind.FILING) for entry in filings if entry["company"] not in held_out]
    from_articles = [_article(entry, Kind.ARTICLE) for entry in articles if entry["doc"] not in held_out]
    on_filings = round(answerable * len(from_filings) / (len(from_filings) + len(from_articles)))
    chosen = chooser.sample(from_filings, on_filings)
    chosen += _spread(from_articles, answerable - len(chosen), chooser)
    keys = {_key(question) for question in [*from_articles, *from_filings, *on_reports, *absent]}
    files = {key: _path_of(key) for key in sorted(keys)}
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
    names, (truth, *_) = set(_NAME.findall(question.ask)), question.facts[0].say
    texts = (text for texts in pages.values() for text in texts)
    return bool(names) and not any(all(name in text for name in names) and says(text, truth) for text in texts)


def _article(entry: dict[str, Any], kind: Kind) -> Question:
    numbers = {page for page in (entry["page"], *entry["paragraph_pages"]) if page}
    return _question(entry, kind, f"articles/{entry['doc']}", numbers, within=False)


def _filing(entry: dict[str, Any], kind: Kind) -> Question:
    numbers = {page for evidence in entry["evidence"] for page in (evidence["page1"], evidence["best_page1"])}
    # The truth explains its figures, so one of them is a right answer.
    figures = _FIGURE.findall(entry["answer"])
    # The authors of the set had the filing at hand, so some questions do not name it.
    within = kind is Kind.FILING
    return _question(entry, kind, f"filings/{entry['doc']}.pdf", numbers, figures, within=within)


def _report(entry: dict[str, Any]) -> Question:
    kind = Kind.ABSENT_REPORT if entry["unanswerable"] else Kind.REPORT
    return _question(entry, kind, f"reports/{entry['doc']}", entry["evidence_pages"], within=True)


def _question(
    entry: dict[str, Any], kind: Kind, key: str, numbers: Iterable[int], say: Sequence[str] = (), *, within: bool
) -> Question:
    """Return a question with the answer of the set as its fact; `within` restricts it to its document."""
    fact = Fact((entry["answer"], *say), tuple(Page(key, number) for number in sorted(numbers)))
    return Question(entry["qid"], kind, entry["question"], document=key if within else None, facts=(fact,))


def _key(question: Question) -> str:
    return question.document or question.facts[0].on[0].key


def _is_usable(entry: dict[str, Any]) -> bool:
    """Return whether text or a table answers a report's question, or nothing does."""
    return bool(entry["unanswerable"] or entry["text_or_table_only"]) and not entry["doc_is_image_only"]


def _path_of(key: str) -> Path:
    collection, _, name = key.partition("/")
    return EVALUATION / _SETS[collection] / "pdf" / name


def _spread(questions: Iterable[Question], count: int, chooser: random.Random) -> list[Question]:
    """Return this many random questions, from each document in turn."""
    by_document: dict[str, list[Question]] = {}
    for question in questions:
        by_document.setdefault(_key(question), []).append(question)
    piles = [chooser.sample(pile, len(pile)) for pile in by_document.values()]
    chooser.shuffle(piles)
    chosen: list[Question] = []
    while any(piles) and len(chosen) < count:
        chosen += [pile.pop() for pile in piles if pile][: count - len(chosen)]
    return chosen


def _load(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((EVALUATION / name).read_text(encoding="utf-8"))
    return entries
