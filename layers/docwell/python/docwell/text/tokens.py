"""Token counts for a language model whose tokenizer is on its host and not here.

`bound_of` returns an upper bound. `TokenRatio` learns from the host's reports how far below this bound a model
stays, exactly enough to detect a prompt that the host has cut.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple, Self

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
    r"|(?P<accents>[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff])|(?P<greek>[\u0370-\u03ff])"
    r"|(?P<indic>[\u0900-\u0dff])|(?P<thai>[\u0e00-\u0eff])"
    r"|(?P<east_asian>[\u2e80-\u33ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef])"
    r"|(?P<marks>[\u0080-\u00bf\u2000-\u22ff])|(?P<rare>.)",
    re.DOTALL,
)
# The most tokens of a piece, from the tokenizers of Qwen 2.5 and SmolLM2 on 440 passages in nine languages.
_TOKENS_PER_PIECE = {
    "plain": 1, "cyrillic": 2, "arabic": 2.5, "accents": 2, "greek": 1.2, "indic": 1.5, "thai": 2,
    "east_asian": 2, "marks": 3,
}  # fmt: skip
# A tokenizer falls back to bytes, so no text has more tokens than bytes.
_BY_BYTES = frozenset({"code", "rare"})
# Do not learn from a prompt with a larger share of rare pieces.
_MOST_RARE = 0.1
# The most tokens that a chat template adds to each message.
_MESSAGE = 8

# On those passages a token has 1.04 to 2.3 pieces: a whole prompt has at least 0.43 tokens per piece, and a
# truncated one about half of that.
_LEAST_OF_PIECES = 0.4
# The initial ratio: Latin words on those passages have about this share of their bound.
_FIRST_RATIO = 0.65
# A report over this share of the bound cannot be true.
_MOST_OF_BOUND = 1.5
# Trust a ratio after this many reports, if the mean error is smaller than this,
_NEEDED_REPORTS = 20
_MOST_ERROR = 0.10
# and if the prompt's share of other scripts is this near to the mean of the learnt prompts.
_NEAR = 0.25
# Estimates are off by up to this many mean errors, and by at least this share.
_WIDTH = 4
_LEAST_MARGIN = 0.05
# A count below this share of the least estimate means that the prompt was cut.
_CUT = 0.9
# The weight of a new report in the running means.
_MEMORY = 0.1


class TokenBound(NamedTuple):
    """The most tokens of the `plain` (ASCII) part of a text, of its `foreign` rest, and of `rare` pieces in both.

    Rare text has a token for each byte with any model. `pieces` counts the pieces of all three.
    """

    plain: float = 0
    foreign: float = 0
    pieces: int = 0
    rare: float = 0

    @property
    def most(self) -> int:
        """The upper bound in tokens, for an unknown model."""
        return math.ceil(self.plain + self.foreign + self.rare)

    @property
    def foreign_share(self) -> float:
        """The share of the bound that is not plain, 0 to 1."""
        return self.foreign / known if (known := self.plain + self.foreign) else 0.0


@lru_cache(TEXTS_KEPT)
def bound_of(text: str) -> TokenBound:
    """Return the bound of a text."""
    counts, rare = Counter[str](), 0
    for match in _PIECE.finditer(text):
        kind = str(match.lastgroup)
        counts[kind] += 1
        if kind in _BY_BYTES:
            rare += len(match[0].encode("utf-8", "surrogatepass"))
    foreign = sum(_TOKENS_PER_PIECE.get(kind, 0) * count for kind, count in counts.items()) - counts["plain"]
    return TokenBound(counts["plain"], foreign, counts.total(), rare)


def bound_of_messages(messages: Iterable[Message]) -> TokenBound:
    """Return the bound of a whole prompt, with what the chat template adds."""
    bounds = [bound_of(message.content) for message in messages]
    return total([*bounds, TokenBound(_MESSAGE * len(bounds))])


def total(bounds: Iterable[TokenBound]) -> TokenBound:
    """Return the bound of several texts together."""
    return TokenBound(*map(sum, zip(*bounds, strict=True)))


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """The tokens that a prompt is expected to take.

    `high` tokens must fit into the context; a host that reports fewer than `least` has cut the prompt.
    """

    tokens: int
    high: int
    least: int

    def was_cut(self, reported: int) -> bool:
        """Return whether the host read only a part: it silently cuts a long prompt to half its context."""
        return reported < self.least

    def error(self, reported: int) -> float:
        """Return the distance from the host's count, as a share of that count."""
        return abs(self.tokens - reported) / reported if reported > 0 else 0.0


@dataclass(slots=True)
class TokenRatio:
    """The share of the upper bound that one model's tokenizer makes, learnt from its host's reports.

    A prompt in scripts that were not learnt keeps the wide bounds. Reports of cut prompts, and impossible ones,
    are ignored. So keep one ratio for each digest of a model: another tokenizer's reports could all look cut.

    Attributes:
        ratio: the running mean of that share.
        foreign: the running mean of the prompts' share in other scripts.
        error: the running mean of the relative error, each taken before its report was learnt.
        observations: the number of reports learnt.
    """

    ratio: float = _FIRST_RATIO
    foreign: float = 0.0
    error: float = 0.0
    observations: int = 0

    @property
    def calibrated(self) -> bool:
        """True once the ratio has learnt enough reports with small enough errors."""
        return self.observations >= _NEEDED_REPORTS and self.error < _MOST_ERROR

    def estimate(self, bound: TokenBound) -> TokenEstimate:
        """Return the estimate of a prompt; until the ratio is trusted, `high` is the upper bound."""
        expected = self.ratio * (bound.plain + bound.foreign)
        tokens = round(expected + self.ratio * bound.rare)
        if not self.calibrated or abs(bound.foreign_share - self.foreign) > _NEAR:
            return TokenEstimate(tokens, bound.most, math.ceil(bound.pieces * _LEAST_OF_PIECES))
        margin = max(_WIDTH * self.error, _LEAST_MARGIN)
        return TokenEstimate(
            tokens,
            high=min(math.ceil(expected * (1 + margin) + bound.rare), bound.most),
            least=math.ceil(expected * (1 - margin) * _CUT),
        )

    def observe(self, bound: TokenBound, reported: int) -> TokenEstimate:
        """Learn the host's count of a prompt; return the estimate before learning."""
        before = self.estimate(bound)
        known = bound.rare <= bound.most * _MOST_RARE
        if known and 0 < reported <= bound.most * _MOST_OF_BOUND and not before.was_cut(reported):
            self.observations += 1
            share = max(_MEMORY, 1 / self.observations)
            self.error += share * (before.error(reported) - self.error)
            self.ratio += share * (reported / (bound.plain + bound.foreign + bound.rare) - self.ratio)
            self.foreign += share * (bound.foreign_share - self.foreign)
        return before

    def to_state(self) -> dict[str, str]:
        """Return the state for `from_state`, in the form that `docwell.ports.StateStore` stores."""
        return {name: repr(value) for name, value in asdict(self).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, str]) -> Self:
        """Return the ratio of a stored state; a new ratio if the state is empty, damaged or of another format."""
        try:
            ratio, foreign, error = (float(state[name]) for name in ("ratio", "foreign", "error"))
            observations = int(state["observations"])
        except (KeyError, ValueError):
            return cls()
        sound = 0 < ratio < math.inf and math.isfinite(foreign) and math.isfinite(error)
        return cls(ratio, foreign, error, observations) if sound else cls()
