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
from docwell.query.document_names import FUNCTION_BEGINNINGS, WrittenName, compares, written
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
# A question about documents has this part of its content words in an example, or its cosine with one is over the
# mean of the examples' cosines with each other by this many of their spreads.
_SHARED_BY_WORDS, _OVER_MEAN = 0.4, 0.7
# The least part in all examples about documents together, if a question is about all documents: it has no subject.
_LEAST_KNOWN = 0.5
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
        searched = replace(searched, documents=(*searched.documents, *([name.key] if name else ())))
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
        # Sort the words: the last digits of a sum depend on its order.
        none = np.zeros(len(self._topics), dtype=bool)
        having = {word: self._having.get(word, none) for word in sorted(frozenset(beginnings(searched.text)))}
        weights = {word: rarity(int(np.count_nonzero(row)), len(row)) for word, row in having.items()}
        total = math.fsum(weights.values()) or 1.0
        cosines = self._vectors @ np.asarray(searched.vector, dtype=np.float32)
        spread = float(np.std(cosines)) or 1.0
        parts = np.sum([weights[word] * row for word, row in having.items()], axis=0) / total
        counted = parts > (_LEAST_SHARED if self.language else -1.0)
        of_passages = self._topics == "passages"
        asked = sorted(having.keys() - FUNCTION_BEGINNINGS)
        over_share = np.sum([weights[word] * (having[word] - _SHARED_BY_WORDS) for word in asked], axis=0)
        counted &= of_passages | (cosines >= self._least_cosine) | (over_share > 0)
        nearness = np.where(counted, cosines / spread + _WORDS * parts, -math.inf)
        near: dict[Topic, float] = {
            topic: float(np.max(nearness[self._topics == topic])) for topic in dict.fromkeys(self._topics.tolist())
        }
        for hit in searched.passages:
            shared = math.fsum(weights[word] for word in weights.keys() & beginnings(hit.chunk.text)) / total
            near["passages"] = max(near["passages"], hit.score / spread + _WORDS * shared)
        if (
            math.fsum(weights[word] for word, row in having.items() if row[~of_passages].any())
            < _LEAST_KNOWN * total
        ):
            del near["collection"]
        return max(reversed(near), key=near.__getitem__)  # in doubt, passages, the last

    @cached_property
    def _vectors(self) -> Vectors:
        """The unit vectors of the examples, (n, dimension)."""
        return (self.embed or self.embedder.embed_queries)(example_texts())

    @cached_property
    def _least_cosine(self) -> float:
        """The least cosine of an example with a question about documents."""
        cosines = self._vectors @ self._vectors.T
        return float(cosines.mean() + _OVER_MEAN * cosines.std())

    @cached_property
    def _topics(self) -> NDArray[np.str_]:
        """The topic of each example."""
        return np.array([topic for topic, texts in _examples().items() for _ in texts])

    @cached_property
    def _having(self) -> Mapping[str, NDArray[np.bool_]]:
        """The examples that have each word, (n,), without their subjects."""
        texts = [text for texts in _examples(" ").values() for text in texts]
        having: dict[str, NDArray[np.bool_]] = {}
        for place, text in enumerate(texts):
            for word in beginnings(text):
                having.setdefault(word, np.zeros(len(texts), dtype=bool))[place] = True
        return having
