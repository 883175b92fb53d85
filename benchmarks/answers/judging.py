"""The judge of an answer, and the figures of all answers.

The rules of a verdict, in their order:

1. A refusal is right where the documents have no answer, and wrong elsewhere. Any other answer where they have
   none is wrong.
2. An answer with a wording of `never` is wrong.
3. Yes/no: the answer must decide as the truth does (`decision`) and cite a page of the truth, as a guess is right
   half the time.
4. A list over documents is right when its citations lead to exactly the documents of the truth. It is incomplete
   when some are missing, and wrong with a further one or a wrong count.
5. All else must say each fact, an overview four of five. It is incomplete when it says some.
6. A wrong answer is marked when docwell marks its sentences as not supported: those with a `never`, else all.

A fact is said when the answer has one of its wordings (`verdicts.says`). No rule reads meaning.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2

from benchmarks.answers.questions import Kind, Question
from benchmarks.doors import Reply
from docwell.cli.evaluation.verdicts import (
    GOOD,
    Answer,
    Page,
    Verdict,
    judge_facts,
    read_answer,
    says_any,
    tokens,
    wrong,
)
from docwell.config import QueryLimits
from infra.measuring import wilson
from infra.report import Report

# An overview may omit one of five facts: which statements are the main ones is a matter of taste.
_OVERVIEW_SHARE = 0.8
# A `no` before a noun belongs to the statement: "No dividends were paid".
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
_MARKER = re.compile(r"\[(\d{1,3})\]")
# A host that reads less than this share of the prompt has cut it (docs/answers.md, "How prompts fit").
_READ_SHARE = 0.9
_FEWEST_CASES = 30
# PDFium writes U+FFFE, and older versions U+0002, for a hyphen at the end of a line.
_HYPHENS = "\\-\u00ad\u2010\u2011\ufffe\x02"
# Also ignore bullets of symbol fonts, which PDFium writes as private or control characters.
_LOOSE = re.compile(rf"[\s{_HYPHENS}\u200b\x00-\x1f\x7f-\x9f\ue000-\uf8ff]+")


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document in the index: its file, and the version that was uploaded."""

    path: Path
    version: str


class Citing(NamedTuple):
    """The counts of one answer.

    `markers` counts the numbers in the answer or among the citations; `resolved` counts those in both that lead
    to a page of an indexed document in that version. `truncated` is 1 where the host has cut the prompt.
    """

    markers: int = 0
    resolved: int = 0
    quotes: int = 0
    verbatim: int = 0
    truncated: int = 0


class Judgement(NamedTuple):
    """The verdict on an answer, None where the request failed; the facts that it lacks; and its counts."""

    question: Question
    answer: Answer | None
    verdict: Verdict
    missing: tuple[str, ...] = ()
    citing: Citing = Citing()

    @property
    def row(self) -> dict[str, Any]:
        """The answer and its judgement; empty for a question of the untouched half."""
        question, answer = self.question, self.answer
        if question.untouched:
            return {}
        return {
            "id": question.id,
            "kind": question.kind,
            **question.body,
            "answer": asdict(answer) | {"citations": _written(answer.citations)} if answer else None,
            "pages": _written(question.pages),
            "verdict": self.verdict,
            "missing": self.missing,
            "citing": self.citing._asdict(),
        }

    @property
    def listed(self) -> set[str]:
        """The documents that an answer to a list over documents cites."""
        return {page.key for page in self.answer.citations} if self.answer and self.question.documents else set()

    @property
    def cites_page(self) -> bool | None:
        """Whether a citation leads to a page of the truth; None for a refusal, or where no page answers."""
        if self.answer is None or self.is_refused or not self.question.answerable:
            return None
        return bool(self.answer.citations & self.question.pages)

    @property
    def is_refused(self) -> bool:
        return self.verdict in {Verdict.RIGHTLY_REFUSED, Verdict.WRONGLY_REFUSED}


def _written(pages: Iterable[Page]) -> list[str]:
    return [f"{page.key}#{page.number}" for page in sorted(pages)]


def judge(question: Question, reply: Reply, index: Mapping[str, Indexed]) -> Judgement:
    """Judge one answer against the truth and the pages; it is failed if the request failed."""
    if reply.status != 200 or not isinstance(reply.body, dict):
        return judge_answer(question, None)
    return judge_answer(question, read_answer(reply.body))._replace(citing=_citing(reply.body, index))


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


def _citing(body: Mapping[str, Any], index: Mapping[str, Indexed]) -> Citing:
    citations, usage = body["citations"], body["usage"]
    pages = {citation["marker"]: _page_of(citation, index) for citation in citations}
    written = {int(number) for number in _MARKER.findall(body["answer"])}
    quotes = [stands_verbatim(citation["quote"], pages[citation["marker"]] or "") for citation in citations]
    resolved = sum(pages.get(marker) is not None for marker in written)
    read, estimated = usage["prompt_tokens"], usage.get("estimated_prompt_tokens") or 0
    # Ollama cuts what exceeds the context, to about half of it.
    is_cut = read > 0 and estimated > QueryLimits().num_ctx / 2 and read < _READ_SHARE * estimated
    return Citing(len(written | pages.keys()), resolved, len(quotes), sum(quotes), int(is_cut))


def _page_of(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> str | None:
    """Return the text of the cited page; None where there is no such page of that version of the document."""
    document = index.get(citation["document"])
    if document is None or citation["version"] != document.version:
        return None
    pages, number = page_texts(document.path), citation["page"]
    return pages[number - 1] if 1 <= number <= len(pages) else None


def judge_answer(question: Question, answer: Answer | None) -> Judgement:
    """Judge one answer; None means that the request failed."""
    if answer is None:
        return Judgement(question, answer, Verdict.FAILED)
    missing = tuple(
        fact.say[0] for fact in question.musts if not says_any(answer.text, fact.say, question.language)
    )
    by_facts = judge_facts(
        answer,
        [fact.say for fact in question.musts],
        answerable=question.answerable,
        never=question.never,
        language=question.language,
        enough=_OVERVIEW_SHARE if question.kind is Kind.OVERVIEW else 1.0,
    )
    judgement = Judgement(question, answer, by_facts, missing)
    is_never = says_any(answer.text, question.never, question.language)
    if judgement.is_refused or not question.answerable or is_never:
        return judgement
    if question.kind is Kind.YES_NO:
        holds = decision(answer.text, negated=question.negated, denies=question.denies)
        is_right = holds is question.holds and answer.citations & question.pages
        return judgement._replace(verdict=Verdict.RIGHT if is_right else wrong(answer))
    if question.documents:
        is_wrong = missing or not judgement.listed or judgement.listed - question.documents
        complete = Verdict.RIGHT if judgement.listed == question.documents else Verdict.INCOMPLETE
        return judgement._replace(verdict=wrong(answer) if is_wrong else complete)
    return judgement


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


def add_share(report: Report, metric: str, hits: int, cases: int, goal: str | None = None) -> None:
    """Add a share in percent; its unit has the number of cases and the interval. No cases meet no goal.

    With fewer than 30 cases judge only a goal of 100: one of six is not 10%.
    """
    low, high = wilson(hits, cases)
    unit = f"% of {cases}, 95%: {low:g} to {high:g}" if cases else "% of none"
    if goal is not None and cases < _FEWEST_CASES and not goal.endswith("100"):
        goal, unit = None, f"{unit}; too few for the goal of {goal}"
    report.add(metric, 100 * hits / cases if cases else 0.0, unit, goal)


def add_figures(report: Report, judged: Sequence[Judgement], goals: Mapping[str, str]) -> None:
    """Add the figures, with the goals by metric; a figure without cases is left out."""

    def add(metric: str, hits: int, cases: int) -> None:
        if cases:
            add_share(report, metric, hits, cases, goals.get(metric))

    def share(metric: str, verdicts: Collection[Verdict], cases: Sequence[Judgement]) -> None:
        add(metric, sum(case.verdict in verdicts for case in cases), len(cases))

    of_kind = {kind: [case for case in judged if case.question.kind is kind] for kind in Kind}
    answerable, absent = ([case for case in judged if case.question.answerable is kind] for kind in (True, False))
    failed = sum(case.verdict is Verdict.FAILED for case in judged)
    report.add("questions that failed", failed, "questions", "== 0")
    share(
        "right or rightly refused, the untouched half", GOOD, [case for case in judged if case.question.untouched]
    )
    share("right or rightly refused", GOOD, judged)
    share("answerable questions that are refused", {Verdict.WRONGLY_REFUSED}, answerable)
    share("unanswerable questions that are refused", {Verdict.RIGHTLY_REFUSED}, absent)
    share("wrong and not marked", {Verdict.WRONG}, judged)
    share("wrong, but marked as not supported", {Verdict.WRONG_MARKED}, judged)
    share("incomplete", {Verdict.INCOMPLETE}, judged)
    facts = sum(len(case.question.musts) for case in of_kind[Kind.OVERVIEW])
    missing = sum(
        len(case.missing) if case.answer else len(case.question.musts) for case in of_kind[Kind.OVERVIEW]
    )
    add("overviews: statements that must be there", facts - missing, facts)
    lists = of_kind[Kind.LIST]
    hits = sum(len(case.listed & case.question.documents) for case in lists)
    add("lists: recall of documents", hits, sum(len(case.question.documents) for case in lists))
    add("lists: precision of documents", hits, sum(len(case.listed) for case in lists))
    citing = Citing(*(sum(numbers) for numbers in zip(*(case.citing for case in judged), strict=True)))
    add("citations that resolve", citing.resolved, citing.markers)
    add("quotes that stand verbatim", citing.verbatim, citing.quotes)
    sentences = [sentence for case in judged if case.answer for sentence in case.answer.sentences]
    add("sentences marked as not supported", sum(not sentence.supported for sentence in sentences), len(sentences))
    report.add("prompts that were truncated", citing.truncated, f"of {len(judged)}", "== 0")
    for kind, cases in of_kind.items():
        share(f"right or rightly refused: {kind}", GOOD, cases)
        add(f"refused: {kind}", sum(case.is_refused for case in cases), len(cases))
        cites = [case.cites_page for case in cases if case.cites_page is not None]
        add(f"answered, and cite a page of the truth: {kind}", sum(cites), len(cites))
