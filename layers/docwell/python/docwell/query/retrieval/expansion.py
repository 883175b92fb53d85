"""Other wordings of a question, and the passages that several searches find together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from docwell.answers import Message, Usage
from docwell.errors import Unavailable
from docwell.models import Passage
from docwell.ports import LanguageModel
from docwell.query.model_host import has_read, whole
from docwell.query.prompting import Prompt, fill
from docwell.text.tokens import TokenRatio, bound_of_messages

# Three headings of a line each.
WORDINGS_TOKENS = 80
_MOST_WORDINGS = 3
# A longer line is an answer or chatter.
_MAX_CHARACTERS = 120
# About 0.3 KB each.
_QUESTIONS_KEPT = 1000
# Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods"
# (2009).
_K = 60
# Models write lists with these in front of each line.
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")


class Wording(NamedTuple):
    """A text to search for, and its vector of unit length."""

    text: str
    vector: Sequence[float]


class Expanded(NamedTuple):
    """Other wordings of a question, none where the model gave none; and the tokens used."""

    texts: tuple[str, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True)
class Expansion:
    """Asks the language model for the names of a page that answers, and keeps them by asker and question.

    A prompt takes up to `budget_tokens`. Askers share nothing: a quick answer would tell one what another asked.
    """

    model: LanguageModel
    prompt: Prompt
    budget_tokens: int
    _kept: LRUCache[tuple[str, str], tuple[str, ...]] = field(default_factory=lambda: LRUCache(_QUESTIONS_KEPT))
    _lock: Lock = field(default_factory=Lock)

    def reading(self, asker: str, question: str) -> Usage:
        """Return about the tokens of the prompt; 0 if the wordings are known, or the question is too long."""
        messages = () if self._known(asker, question) else self._messages(question)
        return Usage(TokenRatio().estimate(bound_of_messages(messages)).tokens) if messages else Usage()

    async def expand(self, asker: str, question: str, timeout_s: float) -> Expanded:
        """Return other wordings of the question. A failure of the model raises nothing."""
        if known := self._known(asker, question):
            return Expanded(known)
        messages = self._messages(question)
        if not messages:
            return Expanded()
        try:
            completion = await whole(self.model.chat(messages, timeout_s))
        except Unavailable as error:
            return Expanded(usage=self.reading(asker, question) if has_read(error) else Usage())
        texts = wordings_of(completion.text)
        if texts:
            with self._lock:
                self._kept[asker, question] = texts
        return Expanded(texts, Usage(completion.prompt_tokens, completion.completion_tokens))

    def _known(self, asker: str, question: str) -> tuple[str, ...]:
        with self._lock:
            return self._kept.get((asker, question), ())

    def _messages(self, question: str) -> tuple[Message, ...]:
        messages = fill(self.prompt, question=question)
        return messages if bound_of_messages(messages).most <= self.budget_tokens else ()


def wordings_of(text: str) -> tuple[str, ...]:
    """Return the first lines of what the model wrote, without bullets; a long line is none."""
    lines = (" ".join(_BULLET.sub("", line).split()) for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if 0 < len(line) <= _MAX_CHARACTERS))[:_MOST_WORDINGS]


def fuse(rankings: Sequence[Sequence[Passage]]) -> list[Passage]:
    """Return the passages of all rankings, best first, by the sum of 1 / (60 + rank).

    The first ranking is the question's own. A passage that it lacks gets at most the score of its last one: it is
    not nearer to the question, and another wording must not open a gate.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    found: dict[str, Passage] = {}
    farthest = min((one.score for one in rankings[0]), default=-1.0)
    for ranking in rankings:
        for rank, passage in enumerate(ranking, 1):
            sums[passage.id] += 1 / (_K + rank)
            lacks = ranking is not rankings[0] and passage.score > farthest
            found.setdefault(passage.id, replace(passage, score=farthest) if lacks else passage)
    return sorted(found.values(), key=lambda one: -sums[one.id])
