"""The verdict on one answer, by the facts that it must say. `make eval-answers` judges by the same rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from docwell.answers import AnswerStatus
from docwell.cli.evaluation.wording import says_any, without_markers


class Verdict(StrEnum):
    """The judgement on one answer."""

    RIGHT = "right"
    RIGHTLY_REFUSED = "rightly refused"
    INCOMPLETE = "incomplete"
    WRONG = "wrong, not marked"
    WRONG_MARKED = "wrong, but marked"
    WRONGLY_REFUSED = "wrongly refused"
    FAILED = "failed"


GOOD = frozenset({Verdict.RIGHT, Verdict.RIGHTLY_REFUSED})


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """A page (1-based) of a document in the index."""

    key: str
    number: int


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


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read the JSON of an answer. Raises `KeyError` where a field is missing."""
    pages = {one["marker"]: Page(one["document"], one["page"]) for one in body["citations"]}
    sentences = tuple(_sentence(one, pages) for one in body.get("sentences") or ())
    text = without_markers(str(body["answer"]))
    return Answer(str(body["status"]), text, frozenset(pages.values()), sentences, body.get("mode"))


def judge_facts(
    answer: Answer,
    facts: Sequence[Collection[str]],
    *,
    answerable: bool,
    never: Collection[str] = (),
    language: str = "en",
    enough: float = 1.0,
) -> Verdict:
    """Judge an answer that must say the share `enough` of the facts; a fact has one or more wordings.

    A refusal is right where the documents have no answer, and wrong elsewhere. Any other answer where they have
    none is wrong, and so is one with a wording of `never`. It is incomplete when it says some facts.
    """
    if answer.status == AnswerStatus.REFUSED:
        return Verdict.WRONGLY_REFUSED if answerable else Verdict.RIGHTLY_REFUSED
    if not answerable or says_any(answer.text, never, language):
        return wrong(answer, never, language)
    said = sum(says_any(answer.text, wordings, language) for wordings in facts)
    if said >= enough * len(facts):
        return Verdict.RIGHT
    return Verdict.INCOMPLETE if said else wrong(answer, never, language)


def wrong(answer: Answer, never: Iterable[str] = (), language: str = "en") -> Verdict:
    """Return the verdict on a wrong answer: marked when docwell marks its sentences with a `never`, else all."""
    never = tuple(never)
    guilty = [one for one in answer.sentences if says_any(one.text, never, language)]
    sentences = guilty or answer.sentences
    marked = bool(sentences) and not any(one.supported for one in sentences)
    return Verdict.WRONG_MARKED if marked else Verdict.WRONG


def _sentence(body: Mapping[str, Any], pages: Mapping[int, Page]) -> Sentence:
    cited = tuple(pages[marker] for marker in body["markers"] if marker in pages)
    return Sentence(body["text"], cited, body["supported"])
