"""The modes of a question, and the choice among them if the caller sets none.

The words of a question show that it asks for a list or compares documents. A question about a document as a whole
is nearer to an example of such questions (`modes.json`) than to ordinary examples and to any passage. Nearness
combines cosines and shared words, which help in languages that the embedder does not know. Cosines differ between
models, so they are only compared with each other, or with their spread among the examples.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.ports import Embedder
from docwell.query.ask import Basis, Searched
from docwell.query.document_names import WrittenName, compares, written
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import MOST_ROWS
from docwell.query.subject import asks_for_list, find_subject, is_in_other_language
from docwell.query.values import wanted_values_alone
from docwell.text.lexicon import TEXTS_KEPT, beginnings, rarity
from docwell.text.naming import has_suffix

Vectors = NDArray[np.float32]

# The weight of common words, in spreads of the cosines. It errs least among 1, 2 and 3 (docs/modes.md).
_WORDS = 2.0
# An embedder for one language puts all questions in other languages near each other. In languages with examples,
# 55 of 59 questions on a document share this part of their words, by rarity, with an example; of XQuAD's 1,331
# other questions, 31 do.
_LEAST_SHARED = 0.15
_SUBJECT = re.compile(r"\{([^}]*)\}")


def example_texts() -> list[str]:
    """Return the example questions of all modes, in several languages."""
    return [text for texts in _examples().values() for text in texts]


def _examples(subject: str = r"\1") -> dict[Mode, list[str]]:
    """Return the example questions by mode, about `subject` if given, which replaces the words in braces."""
    text = (files("docwell.query") / "modes.json").read_text(encoding="utf-8")
    return {
        Mode(mode): [_SUBJECT.sub(subject, question) for question in questions]
        for mode, questions in json.loads(text).items()
    }


class Source(Protocol):
    """Finds the basis of an answer in one mode."""

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis of an answer; None if the documents have none.

        Raises `BadInput` where the question is not one for this mode.
        """


@dataclass(frozen=True, slots=True)
class Modes:
    """Finds the passages for an answer in the mode that the caller or docwell chooses."""

    router: Router
    sources: Mapping[Mode, Source]
    retrieval: Retrieval

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis of the mode's answer; None for an answer from the nearest passages.

        Raises `BadInput` where the caller has chosen a mode that does not suit the question.
        """
        if searched.mode is Mode.PASSAGES:
            return None
        name = self._name(searched)
        mode = self.router.mode(searched, name) if searched.mode is Mode.AUTO else searched.mode
        if mode is None or mode not in self.sources:
            return None
        if name and mode is Mode.OVERVIEW:
            scope = searched.scope.only(name.key)
            hits = self.retrieval.search(scope, searched.vector, searched.top_k, searched.text)
            searched = replace(searched, scope=scope, passages=hits.passages, documents=(name.key,))
        if name and mode is Mode.LIST and _is_place(searched.text, name):
            searched = replace(
                searched, text=name.removed_from(searched.text), scope=searched.scope.only(name.key)
            )
        try:
            return self.sources[mode].basis(searched)
        except BadInput:
            if searched.mode is Mode.AUTO:
                return None
            raise

    def _name(self, searched: Searched) -> WrittenName | None:
        """Return the only document whose whole file name the question has.

        Read the ledger only for a name with a suffix, or if the caller wants an overview.
        """
        names = written(searched.text, searched.documents)
        if not names and (searched.mode is Mode.OVERVIEW or has_suffix(searched.text)):
            live, _ = searched.scope.documents(self.retrieval.catalogue, MOST_ROWS)
            names = written(searched.text, live)
        return names[0] if len({name.key for name in names}) == 1 else None


def _is_place(text: str, name: WrittenName) -> bool:
    """Return whether the question names the document as the place to search, not as a term to search for."""
    subject = find_subject(text)
    terms = (*subject.terms, *subject.without) if subject else ()
    is_term = any(term.text == text[name.start : name.end] for term in terms)
    return not is_term and asks_for_list(name.removed_from(text))


class Router:
    """Chooses the mode of a question. `embed` returns the vectors of the examples, at the first question.

    `language` is the language of an embedding model that knows only one.
    """

    def __init__(
        self,
        embedder: Embedder,
        embed: Callable[[Sequence[str]], Vectors] | None = None,
        language: str | None = None,
    ) -> None:
        self.embedder = embedder
        self._embed = embed or embedder.embed_queries
        self._language = language

    def mode(self, searched: Searched, name: WrittenName | None = None) -> Mode | None:
        """Return the mode of a question, None for passages. `name` is the only document that it names, if any."""
        if not searched.passages:
            return None
        text = name.removed_from(searched.text) if name else searched.text
        if wanted_values_alone(searched.text, searched.documents) or asks_for_list(text):
            return Mode.LIST
        if compares(searched.text, searched.documents):
            return Mode.COMPARE
        if name:  # remove it: the examples of overviews name no document
            (vector,) = self.embedder.embed_queries([text]).tolist()
            searched = replace(searched, text=text, vector=vector, passages=())
        return Mode.OVERVIEW if self._is_overview(searched) else None

    def _is_overview(self, searched: Searched) -> bool:
        """Return whether a question is nearer to an example of overviews than to others and to its passages."""
        shared = self._shared(searched.text)
        is_foreign = self._language is not None and is_in_other_language(searched.text, self._language)
        # If the embedder does not know the language, the question must share words with an example.
        if is_foreign and max(map(shared, self._words[Mode.OVERVIEW])) < _LEAST_SHARED:
            return False
        vector = np.asarray(searched.vector, dtype=np.float32)
        cosines = {mode: rows @ vector for mode, rows in self._vectors.items()}
        spread = float(np.std(np.concatenate(list(cosines.values())))) or 1.0

        def nearness(cosine: float, words: frozenset[str]) -> float:
            return cosine / spread + _WORDS * shared(words)

        near = {mode: max(map(nearness, row, self._words[mode])) for mode, row in cosines.items()}
        passages = [nearness(passage.score, _words_of(passage.chunk.text)) for passage in searched.passages]
        return near[Mode.OVERVIEW] > max([near[Mode.PASSAGES], *passages])  # in doubt, choose passages

    def _shared(self, question: str) -> Callable[[frozenset[str]], float]:
        """Return a function for the share of the question's words, by rarity, that are among others."""
        examples, question_words = sum(map(len, self._words.values())), sorted(_words_of(question))
        weights = {word: rarity(self._counts[word], examples) for word in question_words}
        total = math.fsum(weights.values()) or 1.0
        return lambda words: math.fsum(weights[word] for word in question_words if word in words) / total

    @cached_property
    def _vectors(self) -> Mapping[Mode, Vectors]:
        """The unit vectors of the examples by mode, (n, dimension)."""
        vectors, examples = self._embed(example_texts()), _examples()
        ends = np.cumsum([len(questions) for questions in examples.values()])
        return dict(zip(examples, np.split(vectors, ends[:-1]), strict=True))

    @cached_property
    def _words(self) -> dict[Mode, list[frozenset[str]]]:
        """The words of the examples without their subjects."""
        return {mode: list(map(_words_of, questions)) for mode, questions in _examples(" ").items()}

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for rows in self._words.values() for words in rows for word in words)


@lru_cache(TEXTS_KEPT)
def _words_of(text: str) -> frozenset[str]:
    return frozenset(beginnings(text))
