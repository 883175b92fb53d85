"""A question that follows on others becomes one that can be asked by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from threading import Event

from docwell.answers import Turn, Usage
from docwell.errors import Unavailable
from docwell.ports import LanguageModel
from docwell.query.prompting import Prompt, fill

# A rewritten question is a question: what is longer, or has lines, is an answer or chatter.
_MAX_CHARACTERS = 400
# What a follow-up refers to stands at an answer's beginning.
_MAX_TURN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`text` stands by itself. `usage` is what making it took, nothing where the model was not asked."""

    text: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Conversation:
    """Rewrites follow-up questions by the language model, or without it when it fails."""

    model: LanguageModel
    prompt: Prompt

    def standalone(
        self, history: Sequence[Turn], question: str, timeout_s: float, cancel: Event | None = None
    ) -> Rewritten:
        """The question with what it refers to. Raises `Cancelled` and nothing else of the model's."""
        if not history:
            return Rewritten(question)
        # On lines of their own and shortened: an answer can neither forge a turn nor fill the context.
        told = "\n".join(f"Q: {_one_line(turn.question)}\nA: {_one_line(turn.answer)}" for turn in history)
        try:
            completion = self.model.chat(
                fill(self.prompt, history=told, question=question), timeout_s, cancel=cancel
            )
        except Unavailable:
            return Rewritten(concatenated(history, question))
        usage = Usage(completion.prompt_tokens, completion.completion_tokens)
        text = completion.text.strip().strip('"').strip()
        if not text or "\n" in text or len(text) > _MAX_CHARACTERS + len(question):
            return Rewritten(concatenated(history, question), usage)
        return Rewritten(text, usage)


def _one_line(text: str) -> str:
    return shorten(text, _MAX_TURN_CHARACTERS, placeholder=" ...")


def concatenated(history: Sequence[Turn], question: str) -> str:
    """The last question and this one: its words find what "it" was.

    >>> concatenated([Turn("Who built the mill?", "Ann [1].")], "When?")
    'Who built the mill? When?'
    """
    return f"{history[-1].question} {question}"
