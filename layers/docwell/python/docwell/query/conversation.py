"""Rewriting of a follow-up question into one that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten

from docwell.answers import Turn, Usage
from docwell.errors import Unavailable
from docwell.ports import LanguageModel
from docwell.query.model_host import whole
from docwell.query.prompting import Prompt, fill

# A rewritten question is a question: longer text, or several lines, is an answer or chatter.
_MAX_CHARACTERS = 400
# A follow-up refers to the beginning of an answer.
_MAX_TURN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`text` stands alone. `usage` counts the model's tokens, none where the model did not answer."""

    text: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Conversation:
    """Rewrites follow-up questions with the language model, or without it when it fails."""

    model: LanguageModel
    prompt: Prompt

    async def standalone(self, history: Sequence[Turn], question: str, timeout_s: float) -> Rewritten:
        """Return the question with the words it refers to. A failure of the model raises nothing."""
        # One shortened line each: an answer can neither forge a turn nor fill the context.
        turns = "\n".join(f"Q: {_one_line(turn.question)}\nA: {_one_line(turn.answer)}" for turn in history)
        messages = fill(self.prompt, history=turns, question=question)
        # Without the model: the words of the last question name what "it" is.
        last_two = f"{history[-1].question} {question}"
        try:
            completion = await whole(self.model.chat(messages, timeout_s))
        except Unavailable:
            return Rewritten(last_two)
        usage = Usage(completion.prompt_tokens, completion.completion_tokens)
        text = completion.text.strip().strip('"').strip()
        if not text or "\n" in text or len(text) > _MAX_CHARACTERS + len(question):
            return Rewritten(last_two, usage)
        return Rewritten(text, usage)


def _one_line(text: str) -> str:
    return shorten(text, _MAX_TURN_CHARACTERS, placeholder=" ...")
