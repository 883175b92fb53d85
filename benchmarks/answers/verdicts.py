"""Judges an answer to a question as people ask them.

The rules, in their order:

1. A refusal is right where the documents have no answer, and wrong elsewhere. Any other answer where they have
   none is wrong.
2. An answer with a wording of `never` is wrong.
3. Yes/no: the answer must decide as the truth does (`decision`) and cite a page of the truth, as a guess is right
   half the time.
4. A list over documents is right when its citations lead to exactly the documents of the truth. It is incomplete
   when some are missing, and wrong with a further one or a wrong count.
5. All else must say each fact, an overview four of five. It is incomplete when it says some.
6. A wrong answer is marked when docwell marks its sentences as not supported: those with a `never`, else all.

A fact is said when the answer has one of its wordings (`wording.says`). No rule reads meaning.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.answers.asked import Asked, Kind, Page
from benchmarks.answers.wording import says_any, tokens, without_markers
from benchmarks.doors import Seen

PageText = Callable[[Page], str]

# An overview may leave out one of five: which statements are the main ones is a matter of taste.
_OVERVIEW_SHARE = 0.8
# A sentence in the words of its page shares more than this; one about another page of the document seldom does.
_SHARED_WORDS = 0.6
_LONG_WORD = 5
# "No dividends were paid" is a statement.
_LEAD = re.compile(r"\W*(?:(?:yes|ja|doch|oui|si)\b|(?P<no>no|nein|non)\b(?!\s+\w))", re.IGNORECASE)
_NEGATIONS = (
    frozenset({"not", "no", "never", "none", "neither", "nor", "without", "cannot"})
    | {"nicht", "kein", "keine", "keinen", "keiner", "keines", "keinem", "nie", "niemals", "ohne"}
    | {"ne", "pas", "jamais", "aucun", "aucune", "sans"}
)
_CONTRACTED = re.compile(r".*n't|n'.+")
# A bare "No [1]." has no statement.
_STATEMENT_WORDS = 2
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z\u00c0-\u00dc])")


class Verdict(StrEnum):
    """The judgement on one answer."""

    RIGHT = "right"
    RIGHTLY_REFUSED = "rightly refused"
    INCOMPLETE = "incomplete"
    WRONG = "wrong, not marked"
    WRONG_MARKED = "wrong, but marked"
    WRONGLY_REFUSED = "wrongly refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer, the pages that it cites, and whether docwell takes it as supported."""

    text: str
    pages: tuple[Page, ...]
    supported: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a client sees it. `mode` is the one that docwell chose, where it says so."""

    status: str
    text: str
    citations: frozenset[Page] = frozenset()
    sentences: tuple[Sentence, ...] = ()
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and the counts behind it.

    `said` and `musts` count facts, and `hits`, `listed` and `wanted` the documents of a list. `cites_page` is
    whether a citation leads to a page of the truth. `cited_right` of `sentences` are of an overview.
    """

    verdict: Verdict
    missing: tuple[str, ...] = ()
    said: int = 0
    musts: int = 0
    cites_page: bool | None = None
    hits: int = 0
    listed: int = 0
    wanted: int = 0
    sentences: int = 0
    cited_right: int = 0


def answer_of(seen: Seen) -> Answer | None:
    """Read an answer; None where the request failed."""
    body = seen.body
    if seen.status != 200 or not isinstance(body, dict):
        return None
    pages = {one["marker"]: Page(one["document"], one["page"]) for one in body["citations"]}
    sentences = tuple(_sentence(one, pages) for one in body.get("sentences") or ())
    text = without_markers(str(body["answer"]))
    return Answer(str(body["status"]), text, frozenset(pages.values()), sentences, body.get("mode"))


def judge(asked: Asked, answer: Answer | None, text_of: PageText) -> Judgement:
    """Judge one answer; `text_of` gives the text of a page."""
    musts, wanted = len(asked.musts), len(asked.documents)
    if answer is None:
        return Judgement(Verdict.FAILED, musts=musts, wanted=wanted)
    if answer.status == "refused":
        verdict = Verdict.WRONGLY_REFUSED if asked.answerable else Verdict.RIGHTLY_REFUSED
        return Judgement(verdict, musts=musts, wanted=wanted)
    cites_page = bool(answer.citations & asked.pages) if asked.answerable else None
    missing = tuple(fact.say[0] for fact in asked.musts if not says_any(answer.text, fact.say, asked.language))
    documents = {page.key for page in answer.citations} if wanted else set()
    checked = answer.sentences if asked.kind is Kind.OVERVIEW and asked.language == "en" else ()
    return Judgement(
        verdict=_verdict(asked, answer, missing, documents),
        missing=missing,
        said=musts - len(missing),
        musts=musts,
        cites_page=cites_page,
        hits=len(documents & asked.documents),
        listed=len(documents),
        wanted=wanted,
        sentences=len(checked),
        cited_right=sum(is_cited_right(one, text_of) for one in checked),
    )


def decision(text: str, *, negated: bool = False, denies: Collection[str] = ()) -> bool | None:
    """Return whether an answer says that the plain statement holds; None where it does not decide.

    A leading yes or no decides a plain question, otherwise whether the first statement has a negation. After a
    negated question "yes" can mean both, so the statement decides; a bare "no" means that it does not hold.

    >>> decision("No, it does pay."), decision("No, it does pay.", negated=True), decision("Yes.", negated=True)
    (False, True, None)
    """
    lead = _LEAD.match(text)
    if lead and not negated:
        return lead["no"] is None
    statement = _SENTENCE_END.split(text[lead.end() if lead else 0 :].strip(" ,.;:!\u2013\u2014-"))[0]
    words = [word for token in tokens(statement) for word in token]
    if lead and len(words) < _STATEMENT_WORDS:
        return False if lead["no"] else None
    if not words:
        return None
    denied = any(word in _NEGATIONS or _CONTRACTED.fullmatch(word) for word in words)
    return not (denied or says_any(statement, denies))


def is_cited_right(sentence: Sentence, text_of: PageText) -> bool:
    """Whether one cited page has all figures of a sentence and most of its long words, by their first letters."""
    said = [word for token in tokens(without_markers(sentence.text)) for word in token]
    figures = {word for word in said if word[0].isdigit()}
    words = {word[:_LONG_WORD] for word in said if len(word) >= _LONG_WORD and word not in figures}
    for page in sentence.pages:
        there = {word for token in tokens(text_of(page)) for word in token}
        starts = {word[:_LONG_WORD] for word in there}
        if figures <= there and len(words & starts) >= _SHARED_WORDS * len(words):
            return True
    return False


def _sentence(body: Mapping[str, Any], pages: Mapping[int, Page]) -> Sentence:
    cited = tuple(pages[marker] for marker in body["markers"] if marker in pages)
    return Sentence(body["text"], cited, body["supported"])


def _verdict(asked: Asked, answer: Answer, missing: Collection[str], documents: set[str]) -> Verdict:
    wrong = Verdict.WRONG_MARKED if _is_marked(asked, answer) else Verdict.WRONG
    if not asked.answerable or says_any(answer.text, asked.never, asked.language):
        return wrong
    if asked.kind is Kind.YES_NO:
        return Verdict.RIGHT if _decides(asked, answer) else wrong
    if asked.documents:
        if missing or not documents or documents - asked.documents:
            return wrong
        return Verdict.RIGHT if documents == asked.documents else Verdict.INCOMPLETE
    said = len(asked.musts) - len(missing)
    enough = _OVERVIEW_SHARE if asked.kind is Kind.OVERVIEW else 1.0
    if said >= enough * len(asked.musts):
        return Verdict.RIGHT
    return Verdict.INCOMPLETE if said else wrong


def _decides(asked: Asked, answer: Answer) -> bool:
    said = decision(answer.text, negated=asked.negated, denies=asked.denies)
    return said is asked.holds and bool(answer.citations & asked.pages)


def _is_marked(asked: Asked, answer: Answer) -> bool:
    guilty = [one for one in answer.sentences if says_any(one.text, asked.never, asked.language)]
    sentences = guilty or answer.sentences
    return bool(sentences) and not any(one.supported for one in sentences)
