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
from collections.abc import Callable, Collection
from dataclasses import dataclass

from benchmarks.answers.asked import Asked, Kind
from benchmarks.doors import Seen
from docwell.cli.evaluation.verdicts import Answer, Page, Sentence, Verdict, judge_facts, read_answer, wrong
from docwell.cli.evaluation.wording import says_any, tokens, without_markers

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
    return read_answer(seen.body) if seen.status == 200 and isinstance(seen.body, dict) else None


def judge(asked: Asked, answer: Answer | None, text_of: PageText) -> Judgement:
    """Judge one answer; `text_of` gives the text of a page."""
    musts, wanted = len(asked.musts), len(asked.documents)
    if answer is None:
        return Judgement(Verdict.FAILED, musts=musts, wanted=wanted)
    if answer.status == "refused":
        return Judgement(judge_facts(answer, (), answerable=asked.answerable), musts=musts, wanted=wanted)
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


def _verdict(asked: Asked, answer: Answer, missing: Collection[str], documents: set[str]) -> Verdict:
    by_facts = judge_facts(
        answer,
        [fact.say for fact in asked.musts],
        answerable=asked.answerable,
        never=asked.never,
        language=asked.language,
        enough=_OVERVIEW_SHARE if asked.kind is Kind.OVERVIEW else 1.0,
    )
    if not asked.answerable or says_any(answer.text, asked.never, asked.language):
        return by_facts
    if asked.kind is Kind.YES_NO:
        return Verdict.RIGHT if _decides(asked, answer) else wrong(answer)
    if asked.documents:
        if missing or not documents or documents - asked.documents:
            return wrong(answer)
        return Verdict.RIGHT if documents == asked.documents else Verdict.INCOMPLETE
    return by_facts


def _decides(asked: Asked, answer: Answer) -> bool:
    said = decision(answer.text, negated=asked.negated, denies=asked.denies)
    return said is asked.holds and bool(answer.citations & asked.pages)
