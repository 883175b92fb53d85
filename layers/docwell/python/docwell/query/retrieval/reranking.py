"""Order the best passages again by a model that reads the question and a passage together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from docwell.answers import Completion, Message, Usage
from docwell.errors import Unavailable
from docwell.models import Passage
from docwell.ports import LanguageModel, Reranking
from docwell.query.model_host import has_read, whole
from docwell.query.prompting import Prompt, as_data, fill
from docwell.text.naming import file_words
from docwell.text.tokens import TokenRatio, bound_of, bound_of_messages

# The passages that are read together with the question.
RERANKED = 20
# Five numbers of two digits, each with a comma and a space.
ORDER_TOKENS = 24
# A passage cut shorter than this says too little to judge it.
_LEAST_TOKENS = 24
# Two digits of a passage's number, a colon, a space, and the end of its line.
_NUMBER_TOKENS = 5
_ORDER = re.compile(r"\s*[0-9]{1,2}(?:\s*,\s*[0-9]{1,2})*\s*\.?\s*")


def reranked_text(passage: Passage) -> str:
    """Return the text to judge a passage by: the names of its file and section, then its own text."""
    names = " > ".join(filter(None, (file_words(passage.document), passage.chunk.heading)))
    return f"{names}. {passage.chunk.text}" if names else passage.chunk.text


def reordered(passages: Sequence[Passage], scores: Sequence[float]) -> tuple[Passage, ...]:
    """Return the passages by their scores, best first, then those without a score; equal ones keep their order."""
    places = sorted(range(len(scores)), key=lambda place: -scores[place])
    return (*(passages[place] for place in places), *passages[len(scores) :])


def sound(reranking: Reranking, count: int) -> Reranking:
    """Return the reranking without its scores, unless each of `count` texts has one that is finite."""
    is_sound = len(reranking.scores) == count and all(map(math.isfinite, reranking.scores))
    return reranking if is_sound else reranking._replace(scores=())


@dataclass(frozen=True)
class ListwiseReranker:
    """`docwell.ports.Reranker` by the language model: one call that reads all passages, cut to fit.

    A prompt takes up to `budget_tokens`: the host would cut a longer one. A passage that gives orders can change
    the order of the passages, and nothing else.
    """

    model: LanguageModel
    prompt: Prompt
    budget_tokens: int

    def reading(self, question: str, texts: Sequence[str], /) -> Usage:
        """Return about the tokens of the prompt; 0 where the question leaves too little room for the passages."""
        messages = self._messages(question, texts)
        return Usage(TokenRatio().estimate(bound_of_messages(messages)).tokens) if messages else Usage()

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Reranking:
        """Return a score for each text. Unless the model writes an order and nothing else, return no scores."""
        messages = self._messages(question, texts)
        if not messages:
            return Reranking()
        try:
            completion = await whole(self.model.chat(messages, timeout_s))
        except Unavailable as error:
            return Reranking(usage=self.reading(question, texts) if has_read(error) else Usage())
        usage = Usage(completion.prompt_tokens, completion.completion_tokens)
        return Reranking(_scores(completion, messages, len(texts)), usage)

    def _messages(self, question: str, texts: Sequence[str]) -> tuple[Message, ...]:
        """Return the prompt, empty where the passages would be too short."""
        empty = bound_of_messages(fill(self.prompt, passages="", question=question)).most
        # One line each: a passage cannot forge the number of another. Escaping adds characters, so cut after it.
        lines = [as_data(" ".join(text.split())) for text in texts]
        room = self.budget_tokens - empty - _NUMBER_TOKENS * len(lines)
        if not lines or room < _LEAST_TOKENS * len(lines):
            return ()
        cut = _cut_to(lines, room)
        numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(cut, 1))
        return fill(self.prompt, passages=numbered, question=question)


def _scores(completion: Completion, messages: Sequence[Message], count: int) -> tuple[float, ...]:
    """Return the scores of an order such as `3, 1`; passages that it leaves out follow. Empty if it is none."""
    expected = TokenRatio().estimate(bound_of_messages(messages))
    if expected.was_cut(completion.prompt_tokens) or not _ORDER.fullmatch(completion.text):
        return ()
    order = [int(number) for number in re.findall(r"\d+", completion.text)]
    if len(set(order)) < len(order) or not set(order) <= set(range(1, count + 1)):
        return ()
    places = {number: place for place, number in enumerate(order)}
    return tuple(-float(places.get(number, count)) for number in range(1, count + 1))


def _cut_to(lines: Sequence[str], room: int) -> list[str]:
    """Return the lines cut so that their bounds together fit; short ones leave their share to the others."""
    cut = list(lines)
    shortest_first = sorted(range(len(lines)), key=lambda place: bound_of(lines[place]).most)
    for done, place in enumerate(shortest_first):
        share = room // (len(lines) - done)
        while (most := bound_of(cut[place]).most) > share:
            cut[place] = cut[place][: min(len(cut[place]) * share // most, len(cut[place]) - 1)]
        room -= most
    return cut
