"""The modes of a question, and the choice among them if the caller sets none.

The words of a question show that it asks for a list or compares documents. A question about a whole document, or
about all documents, is nearer to an example (`modes.json`) than to ordinary examples and to any passage. Nearness
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
from functools import cached_property
from importlib.resources import files
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.ports import Embedder
from docwell.query.ask import Basis, Searched
from docwell.query.document_names import WrittenName, compares, written
from docwell.query.overview import contents
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import MOST_ROWS
from docwell.query.subject import asks_for_list, find_subject, quotations
from docwell.query.values import wanted_values
from docwell.text.lexicon import beginnings, rarity
from docwell.text.naming import DOCUMENT_SUFFIX

Vectors = NDArray[np.float32]
# A question is about a whole document, about all documents, or about something that passages say.
Topic = Literal["overview", "collection", "passages"]

# The weight of common words, in spreads of the cosines. It errs least among 1, 2 and 3 (docs/develop/modes.md).
_WORDS = 2.0
# To an embedder for one language all questions in other languages are alike, so an example counts only with over
# this part of the question's words, by rarity.
_LEAST_SHARED = 0.1
# A question about documents has this part of its words in an example, or its cosine with one is over the mean of
# the examples' cosines with each other by this many of their spreads. Without this, 34 to 69 % of unrelated
# questions to a single article or handbook are such questions; with it, 2 to 3 %.
_SHARED_BY_WORDS, _OVER_MEAN = 0.4, 0.7
# The least part in all examples about documents together, if a question is about all documents: it has no subject.
# With 0.5, "Worum geht es im Quartalsbericht?" has none. No question of five evaluation sets, of 261, has none.
_LEAST_KNOWN = 0.57
_SUBJECT = re.compile(r"\{([^}]*)\}")


def example_texts() -> list[str]:
    """Return the example questions of all topics, in several languages."""
    return [text for texts in _examples().values() for text in texts]


def _examples(subject: str = r"\1") -> dict[Topic, list[str]]:
    """Return the example questions by topic, about `subject` if given, which replaces the words in braces."""
    text = (files("docwell.query") / "modes.json").read_text(encoding="utf-8")
    return {
        topic: [_SUBJECT.sub(subject, question) for question in questions]
        for topic, questions in json.loads(text).items()
    }


class Source(Protocol):
    """Finds the basis of an answer in one mode."""

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis, None if the documents have none. Raises `BadInput` for a question of another mode."""


@dataclass(frozen=True, slots=True)
class Modes:
    """Finds the passages for an answer in the mode that the caller or docwell chooses."""

    router: Router
    sources: Mapping[Mode, Source]
    retrieval: Retrieval

    def basis(self, searched: Searched) -> Basis | None:
        """Return the basis of the mode's answer, None for the nearest passages. Raises `BadInput` as modes do."""
        if searched.mode is Mode.PASSAGES:
            return None
        name = self._name(searched)
        mode = self.router.mode(searched, name) if searched.mode is Mode.AUTO else searched.mode
        if mode is None or mode not in self.sources:
            return None
        is_about_all = mode is Mode.OVERVIEW and not name and self.router.topic(searched) == "collection"
        if is_about_all and (basis := contents(self.retrieval, searched)):
            return basis
        if name and mode is Mode.OVERVIEW:
            scope = searched.scope.only(name.key)
            hits = self.retrieval.search(scope, searched.vector, searched.top_k, searched.text)
            searched = replace(searched, scope=scope, passages=hits.passages, documents=(name.key,))
        if name and mode is Mode.LIST and asks_for_list(rest := name.removed_from(searched.text)):
            searched = replace(searched, text=rest, scope=searched.scope.only(name.key))
        try:
            return self.sources[mode].basis(searched)
        except BadInput:
            if searched.mode is Mode.AUTO:
                return None
            raise

    def _name(self, searched: Searched) -> WrittenName | None:
        """Return the only document whose whole file name the question has, unless it is the subject of a list.

        Read the ledger only for a name with a suffix, or if the caller wants an overview.
        """
        names = written(searched.text, searched.documents)
        if not names and (searched.mode is Mode.OVERVIEW or DOCUMENT_SUFFIX.search(searched.text)):
            live, _ = searched.scope.documents(self.retrieval.catalogue, MOST_ROWS)
            names = written(searched.text, live)
        names = [name for name in names if not _is_subject(searched.text, name)]
        return names[0] if len({name.key for name in names}) == 1 else None


def _is_subject(text: str, name: WrittenName) -> bool:
    """Return whether a question asks for a list of what mentions the name, and not of what the document has."""
    subject, written_name = find_subject(text), text[name.start : name.end]
    if subject is None or not asks_for_list(text):
        return False
    terms = (term.text for term in (*subject.terms, *subject.without))
    return any(written_name == term or (quotations(text) and written_name in term) for term in terms)


@dataclass(frozen=True)
class Router:
    """Chooses the mode of a question. `embed` returns the vectors of the examples, at the first question.

    `language` is the language of an embedding model that knows only one.
    """

    embedder: Embedder
    embed: Callable[[Sequence[str]], Vectors] | None = None
    language: str | None = None

    def mode(self, searched: Searched, name: WrittenName | None = None) -> Mode | None:
        """Return the mode of a question, None for passages. `name` is the only document that it names, if any."""
        if not searched.passages:
            return None
        text = name.removed_from(searched.text) if name else searched.text
        if wanted_values(searched.text, searched.documents) or asks_for_list(text):
            return Mode.LIST
        if compares(searched.text, searched.documents):
            return Mode.COMPARE
        if name:  # remove it: the examples of overviews name no document
            (vector,) = self.embedder.embed_queries([text]).tolist()
            searched = replace(searched, text=text, vector=vector, passages=())
        return None if self.topic(searched) == "passages" else Mode.OVERVIEW

    def topic(self, searched: Searched) -> Topic:
        """Return the topic of the nearest example; passages if a passage is nearer, and in doubt."""
        examples, question_words = sum(map(len, self._words.values())), frozenset(beginnings(searched.text))
        weights = {word: rarity(self._counts[word], examples) for word in question_words}
        total = math.fsum(weights.values()) or 1.0

        def shared(words: frozenset[str]) -> float:
            """Return the share of the question's words, by rarity, that are among these."""
            return math.fsum(weights[word] for word in question_words & words) / total

        vector = np.asarray(searched.vector, dtype=np.float32)
        cosines = {topic: rows @ vector for topic, rows in self._vectors.items()}
        spread = float(np.std(np.concatenate(list(cosines.values())))) or 1.0
        near: dict[Topic, float] = {}
        for topic, row in cosines.items():
            parts = list(map(shared, self._words[topic]))
            nearness = row / spread + _WORDS * np.array(parts)
            counted = np.array(parts) > (_LEAST_SHARED if self.language else -1.0)
            if topic != "passages":
                counted &= (row >= self._least_cosine) | (np.array(parts) >= _SHARED_BY_WORDS)
            near[topic] = float(np.max(nearness, initial=-math.inf, where=counted))
        hits = [
            hit.score / spread + _WORDS * shared(frozenset(beginnings(hit.chunk.text)))
            for hit in searched.passages
        ]
        near["passages"] = max([near["passages"], *hits])
        if shared(frozenset[str]().union(*self._words["overview"], *self._words["collection"])) < _LEAST_KNOWN:
            del near["collection"]
        return max(reversed(near), key=near.__getitem__)  # in doubt, passages, the last

    @cached_property
    def _vectors(self) -> Mapping[Topic, Vectors]:
        """The unit vectors of the examples by topic, (n, dimension)."""
        examples, embed = _examples(), self.embed or self.embedder.embed_queries
        ends = np.cumsum([len(questions) for questions in examples.values()])
        return dict(zip(examples, np.split(embed(example_texts()), ends[:-1]), strict=True))

    @cached_property
    def _least_cosine(self) -> float:
        """The least cosine of an example with a question about documents."""
        examples = np.concatenate(list(self._vectors.values()))
        cosines = examples @ examples.T
        return float(cosines.mean() + _OVER_MEAN * cosines.std())

    @cached_property
    def _words(self) -> dict[Topic, list[frozenset[str]]]:
        """The words of the examples without their subjects."""
        return {topic: [frozenset(beginnings(text)) for text in texts] for topic, texts in _examples(" ").items()}

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for rows in self._words.values() for words in rows for word in words)
