"""The documents to index and the questions to ask: a stratified sample that a seed decides.

Some articles and companies are held out, so the index has no answer to their questions. A question counts as
unanswerable only when it names something (otherwise another document may answer it) and no indexed page has its
answer beside those names.
"""

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

import pypdfium2

# The collections of the index, and the sets that they come from.
_ARTICLES, _FILINGS, _REPORTS = "articles", "filings", "reports"
_SETS = {_ARTICLES: "xquad", _FILINGS: "financebench", _REPORTS: "mmlongbench"}
_HELD_ARTICLES = 7
_HELD_COMPANIES = 2
# A company with more questions is never held out: filings have few questions.
_MOST_HELD = 3
# The share of the unanswerable questions.
_ABSENT_FILING_SHARE = 0.15
# The share of both kinds of questions that is on reports, the most varied documents.
_REPORT_SHARE = 0.3
_NAME = re.compile(r"(?<!^)\b[A-Z][\w&'\u2019.-]*|\b\d[\d,.]*\b")


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


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to index, by key, and the questions in their order."""

    files: dict[str, Path]
    questions: list[Question]


def plan(folder: Path, answerable: int, unanswerable: int, seed: int, filings_asked: int | None = None) -> Plan:
    """Choose up to so many questions. Raises `OSError` where the evaluation material is absent.

    Each question on an article or a filing is equally likely, unless `filings_asked` sets the number of those on
    filings.
    """
    chooser = random.Random(seed)
    reports = [_report(one) for one in _load(folder / "mmlongbench" / "questions_dev.json") if _is_asked(one)]
    on_reports = _spread(
        [one for one in reports if one.answerable], round(answerable * _REPORT_SHARE), chooser
    ) + _spread([one for one in reports if not one.answerable], round(unanswerable * _REPORT_SHARE), chooser)
    answerable -= sum(one.answerable for one in on_reports)
    unanswerable -= sum(not one.answerable for one in on_reports)
    articles = _load(folder / "xquad" / "questions_en_dev.json")
    filings = _load(folder / "financebench" / "questions_dev.json")
    held = set(chooser.sample(sorted({one["doc"] for one in articles}), _HELD_ARTICLES))
    counts = Counter(one["company"] for one in filings)
    few = sorted(name for name, count in counts.items() if count <= _MOST_HELD)
    companies = set(chooser.sample(few, _HELD_COMPANIES))
    present = [_filing(one) for one in filings if one["company"] not in companies]
    absent = [_filing(one, Kind.ABSENT_FILING) for one in filings if one["company"] in companies]
    from_articles = [_article(one) for one in articles if one["doc"] not in held]
    gone = [_article(one, Kind.ABSENT_ARTICLE) for one in articles if one["doc"] in held]

    if filings_asked is None:
        filings_asked = round(answerable * len(present) / (len(present) + len(from_articles)))
    from_filings = chooser.sample(present, min(filings_asked, answerable, len(present)))
    asked = from_filings + _spread(from_articles, answerable - len(from_filings), chooser)
    indexed = {one.key for one in [*from_articles, *from_filings, *on_reports]}
    index = _Index({key: _path_of(folder, key) for key in sorted(indexed)})

    unasked = [one for one in _shuffled(absent, chooser) if index.lacks(one)]
    nowhere = unasked[: math.ceil(unanswerable * _ABSENT_FILING_SHARE)]
    nowhere += _spread([one for one in gone if index.lacks(one)], unanswerable - len(nowhere), chooser)
    questions = on_reports + asked + nowhere[:unanswerable]
    chooser.shuffle(questions)  # a run that stops half-way has some of every kind
    return Plan(index.files, questions)


class _Index:
    """The pages that will be indexed."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self._pages = {key: page_texts(path) for key, path in files.items()}

    def lacks(self, question: Question) -> bool:
        """Whether the question names something, and no page that it may search answers it."""
        names = set(_NAME.findall(question.text))
        if not names:
            return False
        keys = [question.document] if question.document else self._pages
        return not any(
            says(text, question.truth) and all(says(text, name) for name in names)
            for key in keys
            for text in self._pages[key]
        )


def _article(entry: dict[str, Any], kind: Kind = Kind.ARTICLE) -> Question:
    pages = tuple(sorted({page for page in (entry["page"], *entry["paragraph_pages"]) if page}))
    key = f"{_ARTICLES}/{entry['doc']}"
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, pages)


def _filing(entry: dict[str, Any], kind: Kind = Kind.FILING) -> Question:
    pages = {page for one in entry["evidence"] for page in (one["page1"], one["best_page1"])}
    key = f"{_FILINGS}/{entry['doc']}.pdf"
    # The authors had the filing at hand, so some questions do not name it.
    restricted = key if kind is Kind.FILING else None
    return Question(entry["qid"], kind, entry["question"], entry["answer"], key, tuple(sorted(pages)), restricted)


def _is_asked(entry: dict[str, Any]) -> bool:
    """Whether text or a table answers the question of a report, or nothing does."""
    return bool(entry["unanswerable"] or entry["text_or_table_only"]) and not entry["doc_is_image_only"]


def _report(entry: dict[str, Any]) -> Question:
    kind = Kind.ABSENT_REPORT if entry["unanswerable"] else Kind.REPORT
    key = f"{_REPORTS}/{entry['doc']}"
    return Question(
        entry["qid"], kind, entry["question"], entry["answer"], key, tuple(entry["evidence_pages"]), document=key
    )


def _path_of(folder: Path, key: str) -> Path:
    collection, _, name = key.partition("/")
    return folder / _SETS[collection] / "pdf" / name


def _shuffled(questions: Sequence[Question], chooser: random.Random) -> list[Question]:
    return chooser.sample(questions, len(questions))


def _spread(questions: Iterable[Question], count: int, chooser: random.Random) -> list[Question]:
    by_document: dict[str, list[Question]] = {}
    for one in questions:
        by_document.setdefault(one.key, []).append(one)
    piles = [_shuffled(pile, chooser) for pile in by_document.values()]
    chooser.shuffle(piles)
    found: list[Question] = []
    while any(piles) and len(found) < count:
        found += [pile.pop() for pile in piles if pile][: count - len(found)]
    return found


def _load(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


# PDFium gives U+FFFE, and older ones U+0002, for a hyphen at the end of a line.
_HYPHENS = "\\-\u00ad\u2010\u2011\ufffe\x02"
_SPLIT_WORD = re.compile(rf"(?<=\w)[{_HYPHENS}]\s*\n\s*|[\u00ad\ufffe\x02]\s*")
# Bullets of symbol fonts, which PDFium gives as private or control characters, are no text.
_LOOSE = re.compile(rf"[\s{_HYPHENS}\u200b\x00-\x1f\x7f-\x9f\ue000-\uf8ff]+")
_WORD = re.compile(r"\w+")
# Shorter answers, such as "3", also occur inside other words and figures.
_LEAST_SQUEEZED = 8


@cache
def page_texts(path: Path) -> tuple[str, ...]:
    document = pypdfium2.PdfDocument(path)
    try:
        return tuple(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()


def stands_verbatim(quote: str, text: str) -> bool:
    r"""Whether a text contains a quote, up to white space and hyphenation; a blank quote is never contained.

    >>> stands_verbatim("an inter- national treaty", "signed an inter-\nnational\ntreaty in 1921")
    True
    """
    squeezed = _LOOSE.sub("", quote)
    return bool(squeezed) and squeezed in _LOOSE.sub("", text)


@cache
def words(text: str) -> tuple[str, ...]:
    """Return the words in lower case, and join words that are split at the end of a line."""
    return tuple(_WORD.findall(_SPLIT_WORD.sub("", text.replace("\r", "")).casefold()))


@cache
def _spaced(text: str) -> str:
    return f" {' '.join(words(text))} "


def says(text: str, answer: str) -> bool:
    r"""Whether a text contains an answer, word for word.

    >>> says("It has 124 yards.", "24"), says("an inter-\nception by Miller", "interception")
    (False, True)
    """
    wanted = words(answer)
    if not wanted:
        return False
    if _spaced(answer) in _spaced(text):
        return True
    # A line can break at a compound's own hyphen.
    squeezed = "".join(wanted)
    return len(squeezed) >= _LEAST_SQUEEZED and squeezed in _spaced(text).replace(" ", "")
