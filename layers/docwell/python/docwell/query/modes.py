"""The modes of a question: each but `passages` is a `Way`, which finds a `Basis` to answer from.

A mode has a value in `docwell.answers.Mode`, and a way in `docwell.wiring.query`. docwell chooses `compare` for a
question that compares several documents, and other modes by their examples in `modes.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from math import ceil
from typing import Protocol

import numpy as np

from docwell.answers import Mode, Sentence
from docwell.errors import BadInput
from docwell.models import Passage
from docwell.ports import LanguageModel
from docwell.query.asked_values import asked_values_alone
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.document_names import Written, compares, written
from docwell.query.prompting import Prompt
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import MOST_ROWS, Scope
from docwell.query.routing import Router
from docwell.text.naming import has_suffix


@dataclass(frozen=True, slots=True)
class Searched:
    """A question after its search: the `text` searched for, its unit `vector`, and up to `top_k` passages.

    `documents` are those of all candidates, by rank; some may not be live.
    """

    mode: Mode
    text: str
    scope: Scope
    vector: Sequence[float]
    passages: tuple[Passage, ...]
    documents: tuple[str, ...]
    top_k: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The documents to ask one by one, with their names, and the model that writes a row for each."""

    names: Mapping[str, str]
    model: LanguageModel


@dataclass(frozen=True, slots=True)
class Basis:
    """The pieces that a mode answers from in place of the nearest passages, and the prompt for them.

    With `rows`, the prompt is for the passages of one document. With an `answer`, no model is asked; one without
    citations is a refusal. Its `sentences` are those of the documents. With `partial`, a part of the index did not
    answer.
    """

    mode: Mode
    passages: tuple[Passage, ...]
    prompt: Prompt | None = None
    rows: Rows | None = None
    answer: GroundedAnswer | None = None
    sentences: tuple[Sentence, ...] = ()
    partial: bool = False


class Way(Protocol):
    """One mode."""

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis of an answer, None where the documents have none.

        Raises `BadInput` where the question is not one for this mode.
        """


@dataclass(frozen=True, slots=True)
class Modes:
    """Finds what a question is answered from in the mode that its caller or docwell chooses."""

    router: Router
    ways: Mapping[Mode, Way]
    retrieval: Retrieval

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis of the mode's answer; None where the passages answer.

        Raises `BadInput` where the caller has chosen a mode that does not suit the question.
        """
        mode = searched.mode
        named = self._named(searched) if mode in {Mode.AUTO, Mode.OVERVIEW, Mode.LIST} else None
        if mode is Mode.AUTO and searched.passages:
            mode = self._chosen(searched, named)
        if mode is Mode.OVERVIEW and named:
            searched = self._narrowed(searched, named.key)
        if mode is Mode.LIST and named and self._is_where(searched.text, named):
            searched = replace(searched, text=_without(searched.text, named), scope=searched.scope.only(named.key))
        way = self.ways.get(mode)
        try:
            return way.basis(searched) if way else None
        except BadInput:
            if searched.mode is Mode.AUTO:
                return None
            raise

    def _is_where(self, text: str, named: Written) -> bool:
        """Return whether a document that a list names is the place to look, not one of the terms to look for."""
        subject = self.router.subjects.find(text)
        terms = (*subject.terms, *subject.without) if subject else ()
        is_term = any(one.text == text[named.start : named.end] for one in terms)
        return not is_term and self.router.is_certain_list(_without(text, named))

    def _chosen(self, searched: Searched, named: Written | None) -> Mode:
        text, vector, passages = searched.text, searched.vector, searched.passages
        if asked_values_alone(text, searched.documents):
            return Mode.LIST
        if self.router.is_certain_list(_without(text, named) if named else text):
            return Mode.LIST
        if compares(text, searched.documents):
            return Mode.COMPARE
        if named:  # the examples of overviews name no documents
            text = _without(text, named)
            found = [one for one in passages if one.document == named.key]
            (vector,) = self.router.embedder.embed_queries([text]).tolist()
            passages = self._scored(vector, found)
        return self.router.choose(text, vector, passages)

    def _scored(self, vector: Sequence[float], passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """Return the passages as near as they are to a question without the name, which they often begin with."""
        if not passages:
            return ()
        embedder, texts = self.router.embedder, [one.chunk.text for one in passages]
        tokens = embedder.offsets(texts)
        parts = [_parts(*one, embedder.max_tokens) for one in zip(texts, tokens, strict=True)]
        scores = iter((embedder.embed_passages([*chain(*parts)]) @ np.asarray(vector)).tolist())
        nearest = [max(islice(scores, len(own))) for own in parts]
        return tuple(one.scored(score) for one, score in zip(passages, nearest, strict=True))

    def _named(self, searched: Searched) -> Written | None:
        """Return the only document whose whole file name the question has.

        The ledger is read for a name with a suffix, and where the caller wants an overview.
        """
        found = written(searched.text, searched.documents)
        if not found and (searched.mode is Mode.OVERVIEW or has_suffix(searched.text)):
            live, _ = searched.scope.documents(self.retrieval.catalogue, MOST_ROWS)
            found = written(searched.text, live)
        return found[0] if len({one.key for one in found}) == 1 else None

    def _narrowed(self, searched: Searched, key: str) -> Searched:
        """Return the question as it is asked of one document."""
        scope = searched.scope.only(key)
        passages = self.retrieval.search(scope, searched.vector, searched.top_k, searched.text).passages
        return replace(searched, scope=scope, passages=passages, documents=(key,))

    def after_refusal(self, searched: Searched) -> Basis | None:
        """Return a list in place of a refusal, if docwell chooses the mode and the question can be one for a list.

        If no document has its subject, a question that asks for a list in so many words gets that with its bound;
        None for others.
        """
        way = self.ways.get(Mode.LIST)
        if way is None or searched.mode is not Mode.AUTO or not searched.passages:
            return None
        is_certain = self.router.is_certain_list(searched.text)
        if not is_certain and not self.router.is_near_list(searched.text, searched.vector, searched.passages):
            return None
        try:
            return way.basis(replace(searched, mode=Mode.LIST) if is_certain else searched)
        except BadInput:
            return None


def _without(text: str, named: Written) -> str:
    return f"{text[: named.start]}{text[named.end :].lstrip()}"


def _parts(text: str, tokens: Sequence[tuple[int, int]], most: int) -> list[str]:
    """Return a text in equal parts of at most `most` tokens: joined chunks are longer than the embedder reads."""
    if len(tokens) <= most:
        return [text]
    size = ceil(len(tokens) / ceil(len(tokens) / most))
    parts = (tokens[first : first + size] for first in range(0, len(tokens), size))
    return [text[part[0][0] : part[-1][1]] for part in parts]
