"""Token counts for a language model whose tokenizer is on its host and not here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from docwell.answers import Message
from docwell.text.lexicon import TEXTS_KEPT

# Pieces to count: up to 4 letters of a Latin word, 2 of a Cyrillic or Arabic one, a digit, a run of white space,
# or any other single character. A tokenizer has no tokens for a `code`, a word of no language (capitals or digits
# inside, 6 consonants, 25 letters), nor for most `rare` characters.
_PIECE = re.compile(
    r"(?P<cyrillic> ?[\u0400-\u045f]{1,2})|(?P<arabic> ?[\u0600-\u06ff]{1,2})"
    r"|(?P<code> ?\b(?:[A-Z]?[a-z]*(?:[a-z][A-Z]|[A-Za-z][0-9])|[A-Z]{2,}[a-z]{2}|[0-9]+[A-Za-z]|[A-Za-z]{25}"
    r"|(?i:[a-z]{,2}[b-df-hj-np-tv-xz]{6}))[A-Za-z0-9]*)"
    r"|(?P<plain> ?[A-Za-z]{1,4}|\s+|[0-9]|[!-~])"
    r"|(?P<vietnamese>[\u0103\u0111\u01a1\u01b0\u1ea0-\u1ef9])"
    r"|(?P<accents>[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff])|(?P<greek>[\u0370-\u03ff])"
    r"|(?P<indic>[\u0900-\u0dff])|(?P<thai>[\u0e00-\u0eff])"
    r"|(?P<east_asian>[\u2e80-\u33ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef])"
    r"|(?P<marks>[\u0080-\u00bf\u2000-\u22ff])|(?P<rare>.)",
    re.DOTALL,
)
# The most tokens of a piece, and 5 to 15 % more, from the tokenizers of Qwen 2.5 and 3, gpt-oss and Mistral on 240
# passages in nine languages. Those of English models make twice as many of other scripts: their hosts refuse a
# prompt that is too long, and the next one is shorter (`docwell.query.writing`).
_TOKENS_PER_PIECE = {
    "plain": 1, "cyrillic": 1, "arabic": 1.05, "vietnamese": 0.4, "accents": 2, "greek": 1.05, "indic": 1.2,
    "thai": 0.75, "east_asian": 1.2, "marks": 3,
}  # fmt: skip
# A tokenizer falls back to bytes, so no text has more tokens than bytes.
_BY_BYTES = frozenset({"code", "rare"})
# The most tokens that a chat template adds to each message.
_MESSAGE = 8

# On those passages a text has at least 0.59 of the most tokens in English, and 0.21 in Hindi.
_LEAST_OF_PLAIN, _LEAST_SHARE = 0.4, 0.2
# On those passages the tokenizer of Qwen makes 0.69 to 0.86 of the most tokens.
_EXPECTED_SHARE = 0.75


class TokenBound(NamedTuple):
    """The most tokens that the tokenizers in use make of a text, and the least.

    A host that reports fewer tokens than `least` has cut the prompt, as an old Ollama does silently.
    """

    most: float = 0.0
    least: float = 0.0

    @property
    def expected(self) -> int:
        """The tokens that the text is expected to take."""
        return round(self.most * _EXPECTED_SHARE)


@lru_cache(TEXTS_KEPT)
def bound_of(text: str) -> TokenBound:
    """Return the bound of a text."""
    counts = Counter(map(attrgetter("lastgroup"), _PIECE.finditer(text)))
    most = float(sum(_TOKENS_PER_PIECE.get(kind, 0) * count for kind, count in counts.items()))
    if counts.keys() & _BY_BYTES:
        pieces = (match[0] for match in _PIECE.finditer(text) if match.lastgroup in _BY_BYTES)
        most += len("".join(pieces).encode("utf-8", "surrogatepass"))
    return TokenBound(most, most * _LEAST_SHARE + counts["plain"] * (_LEAST_OF_PLAIN - _LEAST_SHARE))


def bound_of_messages(messages: Iterable[Message], *others: TokenBound) -> TokenBound:
    """Return the bound of a prompt and of other parts, with what the chat template adds to each message."""
    bounds = [bound_of(message.content) for message in messages]
    template = _MESSAGE * len(bounds)
    bounds += others
    return TokenBound(template + sum(part.most for part in bounds), sum(part.least for part in bounds))
