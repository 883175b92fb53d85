"""Choose the mode of a question by the examples that it is near. Pure, but for the embedder.

Cosines differ from model to model, so they are only compared with each other, or measured by their spread among
the examples. A question about a document as a whole is nearer to another such question than to an ordinary one and
to any passage: in meaning, and in words, which also help in languages that the embedder does not know. A question
for a list is near whatever is about its subject, so its words decide (`docwell.query.asked_lists`) where they
can. Otherwise it is compared without its subject, and so are the examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np

from docwell.answers import Mode
from docwell.models import Passage
from docwell.ports import Embedder
from docwell.query.examples import Examples, Vectors, examples
from docwell.query.question_words import is_in_other_language
from docwell.query.subject import Subjects
from docwell.text.lexicon import TEXTS_KEPT, beginnings, rarity

# The weight of common words, in spreads of the cosines. Of 1, 2 and 3 it errs least (docs/modes.md).
_WORDS = 2.0

# Most questions are further than this from the examples of lists, beside the passages, and are not embedded again
# without a subject.
_FAR = 0.5

# To a model of one language, questions in another are near each other, whatever they ask. In languages with
# examples 55 of 59 on a document share this part of their words, by rarity, with one, and 48 of 72 for a list;
# words of asking show the other 24. Of XQuAD's 1,331 questions, 31 and 29 do.
_LEAST_SHARED = 0.15


class Router:
    """Compares questions with the examples. `embed` returns the vectors of these, at the first question.

    `language` is that of the embedding model, if it knows a single one.
    """

    def __init__(
        self,
        embedder: Embedder,
        embed: Callable[[Sequence[str]], Vectors] | None = None,
        language: str | None = None,
    ) -> None:
        self.embedder = embedder
        self._examples = Examples(embed or embedder.embed_queries)
        self._language = language
        self.subjects = Subjects(embedder, self._examples)

    def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
        """Return the mode of a question with this unit vector and these nearest passages, if any."""
        if self.is_certain_list(question):
            return Mode.LIST
        cosines = self._cosines(vector)
        if self._is_list(question, cosines, passages, near=True):
            return Mode.LIST
        if self._is_strange(question, Mode.OVERVIEW):
            return Mode.PASSAGES
        del cosines[Mode.LIST]
        spread, shared = float(np.std(np.concatenate(list(cosines.values())))) or 1.0, self._shared(question)

        def nearness(cosine: float, words: frozenset[str]) -> float:
            return cosine / spread + _WORDS * shared(words)

        near = {mode: max(map(nearness, row, self._words[mode])) for mode, row in cosines.items()}
        own = [nearness(one.score, _words_of(one.chunk.text)) for one in passages]
        near[Mode.PASSAGES] = max([near[Mode.PASSAGES], *own])
        return max([Mode.PASSAGES, *near], key=near.__getitem__)  # in doubt, passages

    def is_certain_list(self, question: str) -> bool:
        """Return whether the words of a question ask for a list."""
        return self.subjects.is_of_certain_list(question)

    def is_near_list(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> bool:
        """Return whether a question that the passages do not answer can be one for a list, in unusual words."""
        return self._is_list(question, self._cosines(vector), passages, near=False)

    def _is_list(
        self,
        question: str,
        cosines: Mapping[Mode, Vectors],
        passages: Sequence[Passage],
        *,
        near: bool,
    ) -> bool:
        """Return whether the question, as it is and without its subject, is more like the examples of lists.

        With `near`, it also has to be about as near to one as these are to each other.
        """
        nearest = {mode: float(np.max(row)) for mode, row in cosines.items()}
        # An overview is of one document.
        of_one = len({one.document for one in passages}) == 1
        modes = (Mode.PASSAGES, Mode.OVERVIEW) if of_one else (Mode.PASSAGES,)
        rival = max([nearest[mode] for mode in modes] + [one.score for one in passages])
        if nearest[Mode.LIST] < _FAR * rival or self._is_strange(question, Mode.LIST):
            return False
        typical = self.subjects.typical
        least = typical.margin + rival - nearest[Mode.LIST]
        subject = self.subjects.find(question) if self.subjects.has_margin(question, least) else None
        if subject is None or not subject.is_of_list:
            return False
        return subject.margin >= least and (subject.near >= typical.near or not near)

    def _cosines(self, vector: Sequence[float]) -> dict[Mode, Vectors]:
        asked = np.asarray(vector, dtype=np.float32)
        return {mode: rows @ asked for mode, rows in self._examples.whole.items()}

    def _is_strange(self, question: str, mode: Mode) -> bool:
        """Whether the embedder does not know the question's language, and no example of the mode has its words."""
        if self._language is None or not is_in_other_language(question, self._language):
            return False
        return max(map(self._shared(question), self._words[mode])) < _LEAST_SHARED

    def _shared(self, question: str) -> Callable[[frozenset[str]], float]:
        """Return a function for the share of the question's words, by rarity, that are among others."""
        asked, count = _words_of(question), sum(map(len, self._words.values()))
        weights = {word: rarity(self._counts[word], count) for word in asked}
        total = math.fsum(weights.values()) or 1.0
        return lambda words: math.fsum(weights[word] for word in asked & words) / total

    @cached_property
    def _words(self) -> dict[Mode, list[frozenset[str]]]:
        """The words of the examples without their subjects."""
        return {
            mode: [frozenset(beginnings(one)) for one in questions] for mode, questions in examples(" ").items()
        }

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for rows in self._words.values() for one in rows for word in one)


@lru_cache(TEXTS_KEPT)
def _words_of(text: str) -> frozenset[str]:
    return frozenset(beginnings(text))
