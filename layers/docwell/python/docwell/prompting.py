"""Passages and a question become messages that fit the model's context. Pure: data in, data out.

A prompt is a file in `docwell/prompts/`: turns under the headings `# system`, `# user`, `# assistant`,
the last of them the user's with `$passages` and `$question`. Its version is the hash of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from string import Template

from docwell.errors import BadInput, Corrupt
from docwell.models import Message, Passage

_TURN = re.compile(r"^# (system|user|assistant)\n", re.MULTILINE)

# What a chat template adds to each message (role markers); ChatML takes 5 tokens.
_TOKENS_FOR_EACH_MESSAGE = 8

# One language-model token for each match, an upper bound in practice: up to 4 letters of a Latin word, 2 of a
# Cyrillic or Arabic one, a digit, a run of white space, or any other character by itself. Against Qwen 2.5's
# tokenizer it counts 1.04 to 2.3 times as many on texts in nine languages and on pages of filings.
_TOKEN = re.compile(r" ?(?:[A-Za-z]{1,4}|[\u0400-\u04ff\u0600-\u06ff]{1,2})|\s+|\d|.", re.DOTALL)

# So a host that read the whole prompt reports at least 0.43 of the count; one that cut it, about half of that.
_LEAST_READ = 0.4

# What the prompt tells the model to write when no passage helps.
_REFUSAL = re.compile(r"\W*not found\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template. `version` is 12 hex digits of its content's SHA-256."""

    name: str
    version: str
    turns: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class BuiltPrompt:
    """Messages for the model. `passages[i]` is what `[i + 1]` in the answer means."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]
    dropped: int
    tokens: int

    def was_cut(self, prompt_tokens: int) -> bool:
        """Whether the host read less than it was sent: it cuts a long prompt to half its context, silently."""
        return prompt_tokens < self.tokens * _LEAST_READ


def load_prompt(name: str) -> Prompt:
    """The prompt of that name. Raises `Corrupt` when its file is not one."""
    data = (files("docwell") / "prompts" / f"{name}.md").read_bytes()
    return parse_prompt(name, data)


def parse_prompt(name: str, data: bytes) -> Prompt:
    """A prompt from the bytes of its file. Raises `Corrupt` when they are not one."""
    _, *parts = _TURN.split(data.decode())
    turns = tuple(Message(role, text.strip()) for role, text in zip(parts[0::2], parts[1::2], strict=True))
    last = turns[-1] if turns else Message("", "")
    if last.role != "user" or "$passages" not in last.content or "$question" not in last.content:
        raise Corrupt(f"the prompt {name!r} does not end with a user turn that has $passages and $question")
    return Prompt(name, sha256(data).hexdigest()[:12], turns)


def count_tokens(text: str) -> int:
    """How many tokens a language model makes of `text`, rather too many than too few.

    >>> count_tokens("Two words"), count_tokens("2026")
    (4, 4)
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def is_refusal(text: str) -> bool:
    """Whether the model wrote that the passages do not answer, or nothing at all."""
    return not text.strip() or _REFUSAL.match(text) is not None


def build_prompt(prompt: Prompt, passages: Sequence[Passage], question: str, budget_tokens: int) -> BuiltPrompt:
    """Messages within `budget_tokens`: passages that do not fit are dropped, lowest rank first.

    Args:
        prompt: the template.
        passages: best first.
        question: as the user wrote it.
        budget_tokens: what the model's context leaves beside the answer.

    Raises:
        BadInput: not even the best passage fits beside the question.
    """
    kept = list(passages)
    while kept:
        messages = _fill(prompt, kept, question)
        tokens = sum(count_tokens(m.content) + _TOKENS_FOR_EACH_MESSAGE for m in messages)
        if tokens <= budget_tokens:
            return BuiltPrompt(messages, tuple(kept), len(passages) - len(kept), tokens)
        kept.pop()
    raise BadInput("the question is too long for the language model's context")


def _fill(prompt: Prompt, passages: Sequence[Passage], question: str) -> tuple[Message, ...]:
    numbered = "\n".join(f"[{i}] {_one_line(passage.chunk.text)}" for i, passage in enumerate(passages, 1))
    *turns, last = prompt.turns
    # Only the last turn is a template, filled once: a `$question` inside a passage stays as it is.
    content = Template(last.content).substitute(passages=numbered, question=_one_line(question))
    return (*turns, Message(last.role, content))


def _one_line(text: str) -> str:
    return " ".join(text.split())
