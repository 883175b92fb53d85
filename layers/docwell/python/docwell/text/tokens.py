"""How many tokens a language model makes of a text. Pure.

The model's own tokenizer is on its host and not here. `count_tokens` is an upper bound in practice;
`TokenCalibration` learns, from what the host reports of each prompt, how many tokens the model makes of each
kind of character, and so estimates the next prompt closely enough to see that one was cut.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import NamedTuple, Self

from docwell.answers import Message

# What a text is cut into for counting: up to 4 letters of a Latin word, 2 of a Cyrillic or Arabic one, a digit,
# a run of white space, or any other character by itself.
_PIECE = re.compile(
    r"(?P<words> ?(?<![A-Za-z])[A-Za-z]{1,4})|(?P<rests>[A-Za-z]{1,4})"
    r"|(?P<cyrillic> ?[\u0400-\u04ff]{1,2})|(?P<arabic> ?[\u0600-\u06ff]{1,2})"
    r"|(?P<blanks>\s+)|(?P<digits>[0-9])|(?P<marks>[!-~])"
    r"|(?P<accents>[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff])|(?P<greek>[\u0370-\u03ff\u1f00-\u1fff])"
    r"|(?P<indic>[\u0900-\u0dff])|(?P<thai>[\u0e00-\u0fff])"
    r"|(?P<east_asian>[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef])|(?P<others>.)",
    re.DOTALL,
)

# The turns of a prompt that are the same for each question, and a conversation's.
_TEXTS_KEPT = 64

# Before a model is calibrated: Qwen 2.5 makes a token of 1.04 to 2.3 pieces in nine languages and in filings. So a
# host that read the whole prompt reports at least 0.43 of its pieces; one that cut it, about half of that.
_LEAST_UNCALIBRATED = 0.4
_MOST_UNCALIBRATED = 1.5
# A calibrated model: the least it can be expected to read, and the greatest share of that which is an alarm.
_LEAST_CALIBRATED = 0.9
_NEEDED_OBSERVATIONS = 20
_MOST_ERROR = 0.10

# Each weight is known at first to this share of itself, and is learnt as if reports had this error.
_PRIOR_SPREAD = 0.5
_NOISE = 0.04
# The bounds are so many standard deviations to either side, and never nearer than this error would have them. On
# those passages a cut to half is seen always in one language and in 97% of prompts that mix new scripts, with 1
# false alarm in 600 of such prompts.
_LEAST_NOISE = 0.025
_WIDTH = 2.5
# The running means forget about this share with each report.
_MEMORY = 0.1


class TextFeatures(NamedTuple):
    """How many pieces of each kind a text has: the columns of the model of `TokenCalibration`.

    `words` are beginnings of Latin words and `rests` what follows of them; scripts are apart because a
    tokenizer may know one by syllables and another by single bytes. `marks` are other printable ASCII;
    `messages` stands for what the chat template adds to each.
    """

    words: float = 0
    rests: float = 0
    cyrillic: float = 0
    arabic: float = 0
    blanks: float = 0
    digits: float = 0
    marks: float = 0
    accents: float = 0
    greek: float = 0
    indic: float = 0
    thai: float = 0
    east_asian: float = 0
    others: float = 0
    messages: float = 0

    @property
    def most(self) -> int:
        """The upper bound in tokens, for a model of which nothing is known."""
        return math.ceil(_dot(self, _MOST))


# Tokens of each piece of an unknown model: expected, and at most. From what the tokenizers of Qwen 2.5 and SmolLM2
# make of 440 passages in nine languages; they are widest apart in Thai, with 0.6 and 1.9 tokens a character.
_PRIOR = TextFeatures(
    words=0.65, rests=0.75, cyrillic=1.1, arabic=1.3, blanks=0.5, digits=1.1, marks=0.85, accents=1.2,
    greek=0.95, indic=1.1, thai=1.2, east_asian=1.2, others=2, messages=5,
)  # fmt: skip
_MOST = TextFeatures(
    words=1, rests=1, cyrillic=2, arabic=2.5, blanks=1, digits=1, marks=1, accents=2,
    greek=1.2, indic=1.5, thai=2, east_asian=2, others=3, messages=8,
)  # fmt: skip


@lru_cache(_TEXTS_KEPT)
def features_of(text: str) -> TextFeatures:
    """The features of a text."""
    counts = Counter(match.lastgroup for match in _PIECE.finditer(text))
    return TextFeatures(**{str(kind): count for kind, count in counts.items()})


def features_of_messages(messages: Iterable[Message]) -> TextFeatures:
    """The features of a whole prompt, with what the chat template adds."""
    rows = [features_of(message.content)._replace(messages=1) for message in messages]
    return TextFeatures(*(sum(column) for column in zip(*rows, strict=True))) if rows else TextFeatures()


def count_tokens(text: str) -> int:
    """How many tokens a language model makes of `text`, rather too many than too few.

    >>> count_tokens("Two words"), count_tokens("2026")
    (3, 4)
    """
    return features_of(text).most


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """What a prompt is expected to take, in tokens.

    `high` is what must fit into the context; a host that reports less than `least` has cut the prompt.
    """

    tokens: int
    low: int
    high: int
    least: int

    def was_cut(self, reported: int) -> bool:
        """Whether the host read less than it was sent: it cuts a long prompt to half its context, silently."""
        return reported < self.least

    def error(self, reported: int) -> float:
        """How far the estimate is from what the host reported, as a share of that."""
        return abs(self.tokens - reported) / reported if reported > 0 else 0.0


class TokenCalibration:
    """Tokens of each kind of piece for one model, learnt from what its host reports. Safe for threads.

    Least squares of the relative error with a Gaussian prior (ridge), one report at a time: the recursive
    form needs no history and no matrix library. A kind of text that the model has not been seen to read
    keeps the wide bounds of the prior. Reports of prompts that were cut, or that cannot be, teach nothing;
    so keep one calibration for each digest of a model: another tokenizer's reports could all look cut.
    """

    def __init__(self) -> None:
        self._weights = list(_PRIOR)
        self._spread = [
            [(_PRIOR_SPREAD * weight) ** 2 if row == column else 0.0 for column in range(len(_PRIOR))]
            for row, weight in enumerate(_PRIOR)
        ]
        self._observations = 0
        self._error = 0.0
        self._variance = 0.0
        self._lock = Lock()

    @property
    def observations(self) -> int:
        """How many reports it has learnt from."""
        return self._observations

    @property
    def error(self) -> float:
        """The running mean of the relative error, each taken before its report was learnt; 0 at first."""
        return self._error

    @property
    def calibrated(self) -> bool:
        """Whether it has seen enough, and been right enough, to be trusted."""
        return self._observations >= _NEEDED_OBSERVATIONS and self._error < _MOST_ERROR

    def estimate(self, features: TextFeatures) -> TokenEstimate:
        """What a prompt of these features takes; the plain upper bound has to fit until it is calibrated."""
        with self._lock:
            return self._estimate(features)

    def observe(self, features: TextFeatures, reported: int) -> TokenEstimate:
        """Learn what the host reported of a prompt; the estimate as it was before."""
        with self._lock:
            before = self._estimate(features)
            most = before.high if self.calibrated else features.most * _MOST_UNCALIBRATED
            if reported > 0 and not before.was_cut(reported) and reported <= most:
                self._learn(features, reported, before)
            return before

    def _estimate(self, features: TextFeatures) -> TokenEstimate:
        expected = _dot(self._weights, features)
        if not self.calibrated or expected <= 0:
            least = math.ceil(sum(features) * _LEAST_UNCALIBRATED)
            return TokenEstimate(round(expected), least, features.most, least)
        scaled = [count / expected for count in features]
        doubt = _dot(scaled, [_dot(row, scaled) for row in self._spread])
        margin = _WIDTH * math.sqrt(doubt + max(self._variance, _LEAST_NOISE**2))
        low = expected * max(1 - margin, 0.0)
        return TokenEstimate(
            tokens=round(expected),
            low=math.floor(low),
            high=math.ceil(expected * (1 + margin)),
            least=math.ceil(low * _LEAST_CALIBRATED),
        )

    def _learn(self, features: TextFeatures, reported: int, before: TokenEstimate) -> None:
        error = before.error(reported)
        self._observations += 1
        share = max(_MEMORY, 1 / self._observations)
        self._error += share * (error - self._error)
        # The Kalman update of a constant state, in shares of the report.
        scaled = [count / reported for count in features]
        gain = [_dot(row, scaled) for row in self._spread]
        expected_variance = _dot(scaled, gain) + _NOISE**2
        # Of an error only the part that weights not yet known do not explain is the model's own.
        self._variance += share * (error * error * _NOISE**2 / expected_variance - self._variance)
        surprise = (1 - _dot(self._weights, scaled)) / expected_variance
        self._weights = [
            max(weight + step * surprise, 0.0) for weight, step in zip(self._weights, gain, strict=True)
        ]
        self._spread = [
            [value - one * other / expected_variance for value, other in zip(row, gain, strict=True)]
            for row, one in zip(self._spread, gain, strict=True)
        ]

    def to_state(self) -> dict[str, str]:
        """What `from_state` needs, as `docwell.ports.StateStore` keeps it: 1.5 KB."""
        with self._lock:
            return {
                "kinds": json.dumps(TextFeatures._fields),
                "weights": json.dumps(self._weights),
                "spread": json.dumps(self._spread),
                "observations": str(self._observations),
                "error": repr(self._error),
                "variance": repr(self._variance),
            }

    @classmethod
    def from_state(cls, state: Mapping[str, str]) -> Self:
        """The calibration of a state; a new one for a state that is empty, broken or of other features."""
        new = cls()
        try:
            weights = _numbers(json.loads(state["weights"]))
            spread = [_numbers(row) for row in json.loads(state["spread"])]
            figures = _numbers([float(state[name]) for name in ("observations", "error", "variance")])
            known = tuple(json.loads(state["kinds"])) == TextFeatures._fields
        except (KeyError, ValueError, TypeError):
            return new
        if known and {len(weights), len(spread), *map(len, spread)} == {len(_PRIOR)}:
            new._weights, new._spread = weights, spread
            new._observations, new._error, new._variance = int(figures[0]), figures[1], figures[2]
        return new


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(left * right for left, right in zip(one, other, strict=True))


def _numbers(values: Sequence[object]) -> list[float]:
    """The values when they are finite numbers. Raises `ValueError`."""
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        raise ValueError("not finite numbers")
    return numbers
