"""Which documents are indexed, and what is asked: a stratified sample that a seed decides.

Some articles and companies are held out: their questions have no answer in the index. So has a question about
one article that may only be answered from another. A question counts as unanswerable only when it names
something (else another document may rightly answer it) and no indexed page holds its answer beside those names.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.answers.pages import page_texts, says, words

ARTICLES, FILINGS = "articles", "filings"
_HELD_ARTICLES = 7
_HELD_COMPANIES = 2
# A company with more questions than this is not held out: they are few.
_MOST_HELD = 3
# Of the unanswerable ones.
_OTHER_ARTICLE_SHARE = 0.3
_ABSENT_FILING_SHARE = 0.15
_NAME = re.compile(r"(?<!^)\b[A-Z][\w&'\u2019.-]*|\b\d[\d,.]*\b")


class Kind(StrEnum):
    """Where a question comes from, and so whether it can be answered."""

    ARTICLE = "article"
    FILING = "filing"
    ABSENT_ARTICLE = "absent article"
    ABSENT_FILING = "absent filing"
    OTHER_ARTICLE = "asked of another article"


@dataclass(frozen=True, slots=True)
class Question:
    """`key` has the truth, on `pages` (1-based); `document` is what the question is restricted to."""

    id: str
    kind: Kind
    text: str
    truth: str
    key: str
    pages: tuple[int, ...] = ()
    document: str | None = None

    @property
    def answerable(self) -> bool:
        """Whether the index has the answer."""
        return self.kind in {Kind.ARTICLE, Kind.FILING}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to index, by key, and what to ask, in this order."""

    files: dict[str, Path]
    questions: list[Question]


def plan(folder: Path, answerable: int, unanswerable: int, seed: int, filings_asked: int | None = None) -> Plan:
    """A sample of so many questions at most. Raises `OSError` where the evaluation material is absent.

    Each question of the two sets is equally likely, unless `filings_asked` says how many are of filings.
    """
    chooser = random.Random(seed)
    articles = _load(folder / "xquad" / "questions_en_dev.json")
    filings = _load(folder / "financebench" / "questions_dev.json")
    held = _held_articles(articles, chooser)
    companies = _held_companies(filings, chooser)
    present = [_filing(one) for one in filings if one["company"] not in companies]
    absent = [_filing(one, Kind.ABSENT_FILING) for one in filings if one["company"] in companies]

    from_articles = [_article(one) for one in articles if one["doc"] not in held]
    if filings_asked is None:
        filings_asked = round(answerable * len(present) / (len(present) + len(from_articles)))
    from_filings = _take(present, min(filings_asked, answerable), chooser)
    asked = from_filings + _spread(from_articles, answerable - len(from_filings), chooser)
    indexed = {_article(one).key for one in articles if one["doc"] not in held} | {one.key for one in from_filings}
    files = {key: path_of(folder, key) for key in sorted(indexed)}

    index = _Index(files)
    unasked = [one for one in _take(absent, len(absent), chooser) if index.lacks(one)]
    nowhere = unasked[: math.ceil(unanswerable * _ABSENT_FILING_SHARE)]
    others = [_of_another(one, index, chooser) for one in chooser.sample(from_articles, len(from_articles))]
    elsewhere = [one for one in others if index.lacks(one)]
    nowhere += _spread(elsewhere, round(unanswerable * _OTHER_ARTICLE_SHARE), chooser)
    gone = [_article(one, Kind.ABSENT_ARTICLE) for one in articles if one["doc"] in held]
    nowhere += _spread([one for one in gone if index.lacks(one)], unanswerable - len(nowhere), chooser)

    questions = asked + nowhere[:unanswerable]
    chooser.shuffle(questions)  # a run that is stopped half way has seen some of everything
    return Plan(files, questions)


def path_of(folder: Path, key: str) -> Path:
    """The file that is uploaded under a key."""
    collection, _, name = key.partition("/")
    return folder / ("xquad" if collection == ARTICLES else "financebench") / "pdf" / name


class _Index:
    """The pages that will be indexed, to make sure that an answer is not among them."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._pages = {key: page_texts(path) for key, path in files.items()}
        self._profiles = {key: Counter(words(" ".join(pages))) for key, pages in self._pages.items()}
        self._spread = Counter(word for profile in self._profiles.values() for word in profile)
        self._articles = [key for key in files if key.startswith(ARTICLES)]

    def lacks(self, question: Question) -> bool:
        """Whether the question names something, and nothing that may be searched answers it."""
        names = set(_NAME.findall(question.text))
        if not names:
            return False
        keys = [question.document] if question.document else self._pages
        return not any(
            says(text, question.truth) and all(says(text, name) for name in names)
            for key in keys
            for text in self._pages[key]
        )

    @cache  # noqa: B019 - it lives as long as the plan is being made
    def nearest(self, key: str) -> list[str]:
        """The three other articles that share most rare words with one (inverse document frequency)."""

        def likeness(other: str) -> float:
            shared = self._profiles[key].keys() & self._profiles[other].keys()
            return sum(math.log(len(self._profiles) / self._spread[word]) for word in shared)

        return sorted((other for other in self._articles if other != key), key=likeness, reverse=True)[:3]


def _of_another(question: Question, index: _Index, chooser: random.Random) -> Question:
    """The same question, restricted to one of the three articles that are most like its own."""
    target = chooser.choice(index.nearest(question.key))
    return Question(
        f"{question.id} of {target}", Kind.OTHER_ARTICLE, question.text, question.truth, question.key, (), target
    )


def _held_articles(entries: Sequence[dict[str, Any]], chooser: random.Random) -> set[str]:
    return set(chooser.sample(sorted({one["doc"] for one in entries}), _HELD_ARTICLES))


def _held_companies(entries: Sequence[dict[str, Any]], chooser: random.Random) -> set[str]:
    counts = Counter(one["company"] for one in entries)
    return set(chooser.sample(sorted(name for name, n in counts.items() if n <= _MOST_HELD), _HELD_COMPANIES))


def _article(entry: dict[str, Any], kind: Kind = Kind.ARTICLE) -> Question:
    pages = tuple(sorted({page for page in (entry["page"], *entry["paragraph_pages"]) if page}))
    key = f"{ARTICLES}/{entry['doc']}"
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, pages)


def _filing(entry: dict[str, Any], kind: Kind = Kind.FILING) -> Question:
    pages = {page for one in entry["evidence"] for page in (one["page1"], one["best_page1"])}
    key = f"{FILINGS}/{entry['doc']}.pdf"
    # These questions were written with their filing at hand: some do not name it.
    restricted = key if kind is Kind.FILING else None
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, tuple(sorted(pages)), restricted)


def _take(questions: Sequence[Question], count: int, chooser: random.Random) -> list[Question]:
    return chooser.sample(questions, min(count, len(questions)))


def _spread(questions: Iterable[Question], count: int, chooser: random.Random) -> list[Question]:
    """`count` of them, one document after the other."""
    by_document: dict[str, list[Question]] = {}
    for one in questions:
        by_document.setdefault(one.key, []).append(one)
    piles = [chooser.sample(pile, len(pile)) for pile in by_document.values()]
    chooser.shuffle(piles)
    found: list[Question] = []
    while any(piles) and len(found) < count:
        found += [pile.pop() for pile in piles if pile][: count - len(found)]
    return found


def _load(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries
