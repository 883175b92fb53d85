"""Prompts that fit the model's context, from passages and a question. Pure: data in, data out.

A prompt is a file in `docwell/query/prompts/`: front matter between two lines `---`, then turns under the headings
`# system`, `# user`, `# assistant`. The last turn is the user's, with placeholders.

Documents and questions are data: in a prompt they cannot close their fence, and cannot look like a turn of the
chat or the number of another passage.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from itertools import accumulate, groupby
from string import Template

from docwell.answers import Message
from docwell.errors import BadInput
from docwell.models import Passage
from docwell.query.checking.figures import is_table_row
from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import TEXTS_KEPT, content_words, rarity, statements
from docwell.text.naming import file_words
from docwell.text.tokens import TokenBound, bound_of, bound_of_messages
from docwell.text.visible import strip_invisible

_TURN = re.compile(r"^# (system|user|assistant)\n", re.MULTILINE)
# The prompt tells the model to write this when no passage helps.
_REFUSAL = re.compile(r"\W*not found\b", re.IGNORECASE)
# The fence around passages and conversation, which a model reads with any spacing.
_FENCE = re.compile(r"<\s*/?\s*(passages|conversation)\s*/?\s*>", re.IGNORECASE)
# The start of a tag, of a chat template (`<|im_start|>`, `<s>`, `</think>`) or of HTML. A host obeys template
# tokens anywhere in a prompt.
_TAG = re.compile(r"<(?=[^\s\d=<])")
_TEMPLATE_MARK = re.compile(r"\|(?=>)|\uff5c")
# `[7]` would be cited as passage 7; `[INST]` is a turn in some templates. Models write full-width brackets too.
_BRACKETS = re.compile(r"[\[\u3010\uff3b](\s*(?:\d[\d\s,;\u2013-]*|/?[A-Z_]{2,})\s*)[\]\u3011\uff3d]")
# `### Instruction:` or `Assistant:` at the start of a line.
_HEADING = re.compile(
    r"^([ #>*]*)(system|user|assistant|human|instructions?|question|passages)\s*:", re.IGNORECASE | re.MULTILINE
)
# The tokens of a passage's number: `[`, two digits, `]`, the end of its line.
_NUMBER_TOKENS = 5
# Three longer parts contain the answer more often than five shorter ones, on each of three question sets.
_PART_TOKENS = 110
QUESTION_TOO_LONG = "the question is too long for the language model's context"
# When not all passages fit, drop one over this share of the budget before lower-ranked ones: words that are rare
# to the language model take hundreds of tokens each. A question may not take more either.
_MOST_OF_BUDGET = 0.5


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template. `version` is 12 hex digits of its content's SHA-256.

    With `names`, each passage stands below the names of its file and section.
    """

    name: str
    version: str
    turns: tuple[Message, ...]
    names: bool = False


@dataclass(frozen=True, slots=True)
class BuiltPrompt:
    """Messages for the model, and the bound of their tokens. `[i + 1]` in the answer cites `passages[i]`."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]
    dropped: int
    bound: TokenBound


def load_prompt(name: str) -> Prompt:
    """Return the prompt in the file of that name."""
    data = (files("docwell.query") / "prompts" / f"{name}.md").read_bytes()
    head, *parts = _TURN.split(data.decode())
    turns = tuple(Message(role, content.strip()) for role, content in zip(parts[0::2], parts[1::2], strict=True))
    return Prompt(name, sha256(data).hexdigest()[:12], turns, "\nnames: true\n" in head)


def about(prompt: Prompt, document: str) -> Prompt:
    """Return the prompt for one of several documents, with the document's name as harmless text."""
    *turns, last = prompt.turns
    name = as_data(document).replace("$", "$$")
    filled = Message(last.role, Template(last.content).safe_substitute(document=name))
    return replace(prompt, turns=(*turns, filled))


def is_refusal(text: str) -> bool:
    """Return whether the model wrote that the passages do not answer, or nothing at all."""
    return not text.strip() or _REFUSAL.match(text) is not None


def may_be_refusal(begun: str) -> bool:
    """Return whether a text with this beginning can still become a refusal."""
    return "not found".startswith(begun.lstrip("*_\"' \n").lower()) or is_refusal(begun)


def build_prompt(
    prompt: Prompt,
    passages: Sequence[Passage],
    question: str,
    budget_tokens: int,
    passage_tokens: int | None = None,
) -> BuiltPrompt:
    """Return messages within `budget_tokens`; drop passages that do not fit: the largest, then the lowest rank.

    `passages` come best first; the result may have none. With `passage_tokens` they are cut to that many in all,
    by the question (`shorten`). Raises `BadInput` when the question leaves no room for them.
    """
    line = as_data(" ".join(strip_invisible(question).split()))
    template = bound_of_messages(_filled(prompt, passages="", question=""), bound_of(line))
    parts = passages if passage_tokens is None else shorten(passages, question, passage_tokens)
    # Bound the parts one by one: the bound of a text is cached.
    fitting = [(passage, bound_of(_shown(prompt, passage))) for passage in parts]
    while True:
        costs = [template, *(cost for _, cost in fitting)]
        most = sum(cost.most for cost in costs) + _NUMBER_TOKENS * len(fitting)
        if most <= budget_tokens * (1 if fitting else _MOST_OF_BUDGET):
            break
        if not fitting:
            raise BadInput(QUESTION_TOO_LONG)
        largest = max(fitting, key=lambda entry: entry[1].most)
        fitting.remove(largest if largest[1].most > budget_tokens * _MOST_OF_BUDGET else fitting[-1])
    chosen = tuple(passage for passage, _ in fitting)
    numbered = (f"[{number}] {_shown(prompt, passage)}" for number, passage in enumerate(chosen, 1))
    messages = _filled(prompt, passages="\n".join(numbered), question=line)
    bound = TokenBound(most, sum(cost.least for cost in costs))
    return BuiltPrompt(messages, chosen, len(passages) - len(chosen), bound)


def fill(prompt: Prompt, **values: str) -> tuple[Message, ...]:
    """Return the messages of a prompt with its values as harmless text; line breaks stay."""
    return _filled(prompt, **{name: as_data(value) for name, value in values.items()})


def as_data(text: str) -> str:
    """Return the text without tags, passage numbers and headings of turns, which a model could obey."""
    text = _FENCE.sub(r"(\1)", strip_invisible(text))
    text = _TEMPLATE_MARK.sub(" ", _TAG.sub("< ", text))
    return _HEADING.sub(r"\1\2 -", _BRACKETS.sub(r"(\1)", text))


def _shown(prompt: Prompt, passage: Passage) -> str:
    """Return a passage as the prompt shows it. Names that give orders are left out."""
    text, names = passage.chunk.text, (file_words(passage.document), passage.chunk.heading)
    if not prompt.names or suspicion("\n".join(names)):
        return _lines(text)
    return _lines(f"{' > '.join(filter(None, names))}.\n{text}")


@lru_cache(TEXTS_KEPT)
def _lines(text: str) -> str:
    """Return a passage on one line, but each table row on a separate line: a model confuses joined rows."""
    parts: list[str] = []
    for are_rows, group in groupby(strip_invisible(text).split("\n"), is_table_row):
        lines = list(group)
        parts += lines if are_rows else [" ".join(lines)]
    return as_data("\n".join(" ".join(part.split()) for part in parts if part.strip()))


def _filled(prompt: Prompt, **values: str) -> tuple[Message, ...]:
    *turns, last = prompt.turns
    # Fill the last turn once, so that a `$question` inside a passage stays as it is.
    return (*turns, Message(last.role, Template(last.content).substitute(values)))


def shorten(passages: Sequence[Passage], question: str, tokens: int) -> list[Passage]:
    """Return the passages, best first, cut to about `tokens` in all.

    Each keeps neighbouring sentences around the one with most of the question's words, weighted by rarity. If not
    all passages fit whole, keep only the first ones, as many as can have 110 tokens. The shares of the tokens fall
    as 1/rank; a short passage leaves unused tokens to the others. A passage without room for one sentence is
    dropped. A cut passage has the offsets of its part.
    """
    parts, left = list[Passage](), tokens
    needed = [bound_of(passage.chunk.text).expected + _NUMBER_TOKENS for passage in passages]
    if sum(needed) > tokens:
        least = accumulate(min(cost, _PART_TOKENS) for cost in needed)
        passages = passages[: max(sum(cost <= tokens for cost in least), 1)]
        needed = needed[: len(passages)]
    for rank, passage in enumerate(passages, 1):
        of_rank = left / rank / sum(1 / later for later in range(rank, len(passages) + 1))
        share = max(of_rank, left - sum(needed[rank:]))
        part, cost = passage, needed[rank - 1]
        if cost > share:
            text = passage.chunk.text
            # How much of the question each statement has, by rarity.
            words = [content_words(text[start:end]) for start, end in statements(text)]
            counts = Counter(word for statement in words for word in statement)
            weights = {word: rarity(counts[word], len(words)) for word in content_words(question)}
            merits = [math.fsum(weights[word] for word in row & weights.keys()) for row in words]
            part, cost = _best_part(passage, merits, share - _NUMBER_TOKENS, left - _NUMBER_TOKENS)
            cost += _NUMBER_TOKENS
        if cost <= left:
            left -= cost
            parts.append(part)
    return parts


def _best_part(passage: Passage, merits: Sequence[float], share: float, most: int) -> tuple[Passage, int]:
    """Return the best part and its tokens: as many sentences as fit the `share`, at least one of up to `most`."""
    chunk = passage.chunk
    spans = statements(chunk.text)
    costs = [bound_of(chunk.text[start:end]).expected for start, end in spans]
    first = last = max(range(len(spans)), key=lambda place: (costs[place] <= most, merits[place]))
    cost = costs[first]
    # Of two equal neighbours, take the following sentence: explanations come after a statement.
    while fitting := [
        place for place in (last + 1, first - 1) if 0 <= place < len(spans) and cost + costs[place] <= share
    ]:
        best = max(fitting, key=merits.__getitem__)
        cost += costs[best]
        first, last = min(first, best), max(last, best)
    return replace(passage, chunk=chunk.part(spans[first][0], spans[last][1])), cost
