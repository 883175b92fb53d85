"""Rewrite a follow-up question into one that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

from docwell.answers import Message, Turn, Usage
from docwell.errors import BadInput, Unavailable
from docwell.ports import LanguageModel
from docwell.query.model_host import charged, whole
from docwell.query.prompting import QUESTION_TOO_LONG, Prompt, fill
from docwell.text.lexicon import UNSPACED, content_words
from docwell.text.tokens import bound_of_messages

# Longer text, or several lines, is an answer and not a question.
_MAX_CHARACTERS = 400
# The most characters of an earlier answer: a follow-up refers to its beginning.
_MAX_TURN_CHARACTERS = 300
# Words of up to this many letters are mostly articles and the like, in any alphabet. If such a word is a name,
# ignoring it only joins two questions.
_SAYS_LITTLE = 3


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question with the conversation before it, the prompt that rewrites it, and its estimated tokens."""

    history: Sequence[Turn]
    question: str
    messages: tuple[Message, ...]
    reading: Usage


@dataclass(frozen=True)
class Conversation:
    """Rewrites follow-up questions with the language model.

    If the model fails, or adds no word of the conversation, join the previous question and a follow-up that has up
    to half its words. A prompt takes up to `budget_tokens`: the host would cut a longer one.
    """

    model: LanguageModel
    prompt: Prompt
    budget_tokens: int

    def follow_up(self, history: Sequence[Turn], question: str) -> FollowUp:
        """Return the prompt with as many of the last turns as fit. Raises `BadInput` for a question too long."""
        # Shorten each text to one line, so that an answer can neither forge a turn nor fill the context.
        lines = [
            f"{speaker}: {shorten(text, _MAX_TURN_CHARACTERS, placeholder=' ...')}"
            for turn in history
            for speaker, text in (("Q", turn.question), ("A", turn.answer))
        ]
        for first in range(0, len(lines) + 1, 2):
            messages = fill(self.prompt, history="\n".join(lines[first:]), question=question)
            bound = bound_of_messages(messages)
            if bound.most <= self.budget_tokens:
                return FollowUp(history, question, messages, Usage(bound.expected))
        raise BadInput(QUESTION_TOO_LONG)

    async def standalone(self, follow_up: FollowUp, timeout_s: float) -> tuple[str, Usage]:
        """Return the question with the words that it refers to, and the model's tokens.

        A failure of the model raises nothing.
        """
        try:
            completion = await whole(self.model.chat(follow_up.messages, timeout_s))
        except Unavailable as error:
            return _with_previous_question(follow_up), charged(error, follow_up.reading)
        text = completion.text.strip().strip('"').strip()
        is_question = text and "\n" not in text and len(text) <= _MAX_CHARACTERS + len(follow_up.question)
        # The rewritten question must have a word of the conversation that the follow-up lacks.
        turns = " ".join(f"{turn.question} {turn.answer}" for turn in follow_up.history)
        words = (content_words(text) - content_words(follow_up.question)) & content_words(turns)
        adds = any(len(word) > _SAYS_LITTLE or word.isdecimal() or UNSPACED.search(word) for word in words)
        text = text if is_question and adds else _with_previous_question(follow_up)
        return text, Usage(completion.prompt_tokens, completion.completion_tokens)


def _with_previous_question(follow_up: FollowUp) -> str:
    """Return the previous question, which names what "it" means, and the follow-up; a long follow-up alone."""
    before = follow_up.history[-1].question
    is_short = len(content_words(follow_up.question)) <= (len(content_words(before)) + 1) // 2
    return f"{before} {follow_up.question}" if is_short else follow_up.question
