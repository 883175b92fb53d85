"""Questions as people ask them (`make eval-answers PART=people`): the tables in `truth/`, and the judge.

Each file of `truth/` holds one kind. Pages are written `name#1,2`, with a short name of `documents.toml`. A seed
decides which half of each kind stays untouched: the report has its totals alone. Questions that were looked at all
the same are marked `seen` and are never in that half.

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

A fact is said when the answer has one of its wordings (`wording.says`). No rule reads meaning.
"""

import argparse
import random
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.answers.pages import Indexed, add_share
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
from infra.report import EVALUATION, ROOT, Report

_TRUTH = Path(__file__).parent / "truth"
_HALVES_SEED = 7
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


class Kind(StrEnum):
    """The kind of a question: the name of its file."""

    PLAIN = "plain"
    TABLE = "table"
    YES_NO = "yes-no"
    OVERVIEW = "overview"
    COMPARISON = "comparison"
    LIST = "list"
    TWO_PAGES = "two-pages"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement. `say` are its accepted wordings, in English notation.

    `stands` is the wording of the page where it has none of them. A `derived` fact, such as a count, stands
    nowhere.
    """

    say: tuple[str, ...]
    on: tuple[Page, ...] = ()
    stands: str | None = None
    must: bool = True
    derived: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question. It names a document, a collection or nothing.

    `never` are wordings that only a wrong answer says. `holds`, `negated` and `denies` are of yes/no questions
    (`truth/yes-no.toml`); `mention` and `on` are of lists over documents (`truth/list.toml`).
    """

    id: str
    kind: Kind
    ask: str
    untouched: bool
    language: str = "en"
    document: str | None = None
    collection: str | None = None
    facts: tuple[Fact, ...] = ()
    never: tuple[str, ...] = ()
    holds: bool | None = None
    negated: bool = False
    denies: tuple[str, ...] = ()
    mention: tuple[str, ...] = ()
    on: tuple[Page, ...] = ()

    @property
    def answerable(self) -> bool:
        return self.kind is not Kind.ABSENT

    @property
    def musts(self) -> tuple[Fact, ...]:
        """The facts that an answer must say; those of yes/no questions are evidence, and "no" says enough."""
        stated = self.kind not in {Kind.YES_NO, Kind.ABSENT}
        return tuple(fact for fact in self.facts if fact.must) if stated else ()

    @property
    def pages(self) -> frozenset[Page]:
        """The pages that a citation may lead to."""
        return frozenset(page for pages in (self.on, *(fact.on for fact in self.facts)) for page in pages)

    @property
    def documents(self) -> frozenset[str]:
        """The documents that a list has to name; empty for a list within one document."""
        return frozenset(page.key for page in self.on)

    @property
    def body(self) -> dict[str, Any]:
        """The request. It sends no mode: docwell chooses."""
        fields = {"question": self.ask, "document": self.document, "collection": self.collection}
        return {name: value for name, value in fields.items() if value is not None}

    def needs(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that must be in the index; a list needs its whole collection."""
        folder = f"{self.collection}/" if self.kind is Kind.LIST and self.collection else None
        named = {page.key for page in self.pages} | {self.document}
        return {key for key in keys if key in named or (folder is not None and key.startswith(folder))}


@cache
def truth() -> tuple[tuple[Question, ...], Mapping[str, Path]]:
    """Read the tables: all questions, and the file of each document by its key."""
    keys, files = dict[str, str](), dict[str, Path]()
    for collection, paths in tomllib.loads((_TRUTH / "documents.toml").read_text(encoding="utf-8")).items():
        for name, path in paths.items():
            keys[name] = f"{collection}/{Path(path).name}"
            files[keys[name]] = (ROOT if path.startswith("examples/") else EVALUATION) / path
    return tuple(question for kind in Kind for question in _of_kind(kind, keys)), files


def _of_kind(kind: Kind, keys: Mapping[str, str]) -> list[Question]:
    entries = tomllib.loads((_TRUTH / f"{kind}.toml").read_text(encoding="utf-8"))["questions"]
    by_chance = sorted(
        (entry["id"] for entry in entries if not entry.pop("seen", False)),
        key=lambda id_: sha256(f"{_HALVES_SEED}:{id_}".encode()).digest(),
    )
    untouched = set(by_chance[: (len(entries) + 1) // 2])
    return [_read(kind, entry | {"untouched": entry["id"] in untouched}, keys) for entry in entries]


def _read(kind: Kind, fields: dict[str, Any], keys: Mapping[str, str]) -> Question:
    """Read one entry of a table. `in` names a document, otherwise a collection."""
    if place := fields.pop("in", None):
        fields |= {"document": keys[place]} if place in keys else {"collection": place}
    facts = tuple(
        Fact(**{**fact, "say": tuple(fact["say"]), "on": _pages(fact.get("on", ()), keys)})
        for fact in fields.pop("facts", ())
    )
    on = _pages(fields.pop("on", ()), keys)
    for name in ("never", "denies", "mention"):
        fields[name] = tuple(fields.get(name, ()))
    return Question(kind=kind, facts=facts, on=on, **fields)


def _pages(places: Iterable[str], keys: Mapping[str, str]) -> tuple[Page, ...]:
    """Read pages, each as `name#1,2`."""
    parts = [place.split("#") for place in places]
    return tuple(Page(keys[name], int(number)) for name, numbers in parts for number in numbers.split(","))


def sample(questions: Sequence[Question], count: int | None, seed: int) -> list[Question]:
    """Return this many questions, from each kind in turn; without a count, all. The order is random."""
    chooser = random.Random(seed)
    piles = [[question for question in questions if question.kind is kind] for kind in Kind]
    for pile in piles:
        chooser.shuffle(pile)
    chosen: list[Question] = []
    while any(piles) and (count is None or len(chosen) < count):
        chosen += [pile.pop() for pile in piles if pile]
    chosen = chosen[:count]
    chooser.shuffle(chosen)  # an interrupted run has some of every kind
    return chosen


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and the counts behind it.

    `facts_said` of `facts`, and of a list the `hits` and the documents `listed` of those in the truth.
    `cites_page` is whether a citation leads to a page of the truth.
    """

    question: Question
    answer: Answer | None
    verdict: Verdict
    missing: tuple[str, ...] = ()
    facts_said: int = 0
    facts: int = 0
    cites_page: bool | None = None
    hits: int = 0
    listed: int = 0
    in_truth: int = 0


def judge(question: Question, reply: Reply, _: Mapping[str, Indexed]) -> Judgement:
    """Judge one answer; it is failed if the request failed."""
    is_answer = reply.status == 200 and isinstance(reply.body, dict)
    return judge_answer(question, read_answer(reply.body) if is_answer else None)


def judge_answer(question: Question, answer: Answer | None) -> Judgement:
    """Judge one answer; None means that the request failed."""
    musts, in_truth = len(question.musts), len(question.documents)
    if answer is None or answer.status == "refused":
        refused = answer and judge_facts(answer, (), answerable=question.answerable)
        return Judgement(question, answer, refused or Verdict.FAILED, facts=musts, in_truth=in_truth)
    missing = tuple(
        fact.say[0] for fact in question.musts if not says_any(answer.text, fact.say, question.language)
    )
    documents = {page.key for page in answer.citations} if in_truth else set()
    return Judgement(
        question,
        answer,
        _verdict(question, answer, missing, documents),
        missing=missing,
        facts_said=musts - len(missing),
        facts=musts,
        cites_page=bool(answer.citations & question.pages) if question.answerable else None,
        hits=len(documents & question.documents),
        listed=len(documents),
        in_truth=in_truth,
    )


def _verdict(question: Question, answer: Answer, missing: Collection[str], documents: set[str]) -> Verdict:
    by_facts = judge_facts(
        answer,
        [fact.say for fact in question.musts],
        answerable=question.answerable,
        never=question.never,
        language=question.language,
        enough=_OVERVIEW_SHARE if question.kind is Kind.OVERVIEW else 1.0,
    )
    if not question.answerable or says_any(answer.text, question.never, question.language):
        return by_facts
    if question.kind is Kind.YES_NO:
        holds = decision(answer.text, negated=question.negated, denies=question.denies)
        cited = bool(answer.citations & question.pages)
        return Verdict.RIGHT if cited and holds is question.holds else wrong(answer)
    if question.documents:
        if missing or not documents or documents - question.documents:
            return wrong(answer)
        return Verdict.RIGHT if documents == question.documents else Verdict.INCOMPLETE
    return by_facts


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


def choose(options: argparse.Namespace) -> tuple[dict[str, Path], list[Question]]:
    """Return the files to index, by key, and the questions.

    A small sample indexes fewer documents, so it meets fewer passages of others.
    """
    questions, files = truth()
    chosen = sample(questions, options.n, options.seed)
    needed = set().union(*(question.needs(files) for question in chosen))
    return {key: files[key] for key in sorted(needed)}, chosen


def row(judgement: Judgement) -> dict[str, Any]:
    """Return an answer and its judgement; nothing for a question of the untouched half."""
    question, answer = judgement.question, judgement.answer
    if question.untouched:
        return {}
    fields = {name: value for name, value in asdict(judgement).items() if name not in {"question", "answer"}}
    return {
        "id": question.id,
        "kind": question.kind,
        **question.body,
        "answer": asdict(answer) | {"citations": _written(answer.citations)} if answer else None,
        "pages": _written(question.pages),
        **fields,
    }


def _written(pages: Iterable[Page]) -> list[str]:
    return [f"{page.key}#{page.number}" for page in sorted(pages)]


def add_figures(report: Report, judged: Sequence[Judgement]) -> None:
    """Add the figures, beginning with those that have goals."""

    def share(
        metric: str, verdicts: Collection[Verdict], cases: Sequence[Judgement], goal: str | None = None
    ) -> None:
        add_share(report, metric, sum(case.verdict in verdicts for case in cases), len(cases), goal)

    def counts(metric: str, hits: str, of: str, kind: Kind, goal: str) -> None:
        counted, total = (sum(getattr(case, name) for case in of_kind[kind]) for name in (hits, of))
        add_share(report, metric, counted, total, goal)

    of_kind = {kind: [case for case in judged if case.question.kind is kind] for kind in Kind}
    untouched, developed = ([case for case in judged if case.question.untouched is half] for half in (True, False))
    answerable = [case for case in judged if case.question.answerable]
    failed = sum(case.verdict is Verdict.FAILED for case in judged)
    report.add("questions that failed", failed, "questions", "== 0")
    share("right or rightly refused, the untouched half", GOOD, untouched, ">= 75")
    share("right or rightly refused, the seen half", GOOD, developed)
    share("wrong and not marked", {Verdict.WRONG}, judged, "<= 6")
    share("wrong, but marked as not supported", {Verdict.WRONG_MARKED}, judged)
    share("wrongly refused, of the answerable", {Verdict.WRONGLY_REFUSED}, answerable, "<= 12")
    share("incomplete", {Verdict.INCOMPLETE}, judged)
    counts("overviews: statements that must be there", "facts_said", "facts", Kind.OVERVIEW, ">= 80")
    counts("lists: recall of documents", "hits", "in_truth", Kind.LIST, ">= 90")
    counts("lists: precision of documents", "hits", "listed", Kind.LIST, ">= 90")
    right = [case for case in answerable if case.verdict is Verdict.RIGHT]
    citing = sum(case.cites_page is True for case in right)
    add_share(report, "right answers that cite a page of the truth", citing, len(right))
    for kind, cases in of_kind.items():
        share(f"right or rightly refused: {kind}", GOOD, cases)
