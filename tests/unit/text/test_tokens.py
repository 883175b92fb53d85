"""Bounds of token counts, against tokenizers simulated by a density for each kind of text."""

from __future__ import annotations

import random
import re
from typing import NamedTuple

import pytest

from docwell.answers import Message
from docwell.text.tokens import TokenBound, bound_of_messages

WORDS = {
    "english": "the annual report of revenue describes operations in Europe, Asia; net income rose 4,512 to 98.7%",
    "russian": "годовой отчёт описывает выручку и операции компании в Европе за 2025 год",
    "thai": "รายงาน ประจำปี อธิบาย รายได้ และ การดำเนินงาน ของ บริษัท",
    "chinese": "年度报告 描述了 公司的 收入 和 业务 净利润 增长",
}


class Density(NamedTuple):
    """Tokens of each kind of piece that a text is cut into, and of a chat template's frame around a message."""

    words: float
    rests: float
    cyrillic: float
    blanks: float
    digits: float
    thai: float
    chinese: float
    marks: float
    messages: float


DENSE = Density(1, 0.9, 1.6, 0.3, 1, 1.9, 1.8, 1, 6)
SPARSE = Density(0.5, 0.45, 0.5, 0.2, 0.4, 0.45, 0.5, 0.6, 4)
DENSITIES = pytest.mark.parametrize("density", [DENSE, SPARSE], ids=["dense", "sparse"])
PIECE = re.compile(
    r"(?P<words> ?(?<![A-Za-z])[A-Za-z]{1,4})|(?P<rests>[A-Za-z]{1,4})|(?P<cyrillic> ?[\u0400-\u04ff]{1,2})"
    r"|(?P<blanks>\s+)|(?P<digits>[0-9])|(?P<thai>[\u0e00-\u0fff])|(?P<chinese>[\u2e80-\u9fff])|(?P<marks>.)"
)


class Tokenizer:
    """A model's tokenizer: so many tokens for each piece, and a little chance for each prompt."""

    def __init__(self, density: Density, seed: int = 1) -> None:
        self._density = density._asdict()
        self._random = random.Random(seed)

    def prompt(self, language: str, words: int = 400) -> tuple[TokenBound, int]:
        """The bound and the tokens of a prompt: English instructions, then text of a language."""
        source = WORDS[language].split()
        text = " ".join(self._random.choices(source, k=self._random.randint(words // 4, words)))
        instructions = " ".join((WORDS["english"].split() * 10)[:150])
        bound = bound_of_messages([Message("system", instructions), Message("user", text)])
        pieces = [str(match.lastgroup) for part in (instructions, text) for match in PIECE.finditer(part)]
        exact = sum(self._density[kind] for kind in (*pieces, "messages", "messages"))
        return bound, round(exact * self._random.uniform(0.98, 1.02))


@DENSITIES
@pytest.mark.parametrize("language", WORDS)
def test_a_whole_prompt_has_no_more_tokens_than_its_bound_and_raises_no_alarm(
    density: Density, language: str
) -> None:
    tokenizer = Tokenizer(density)
    for _ in range(40):
        bound, reported = tokenizer.prompt(language)
        assert bound.least <= reported <= bound.most


@pytest.mark.parametrize("language", WORDS)
def test_a_prompt_that_a_host_cut_to_a_fifth_is_under_its_bound(language: str) -> None:
    bound, reported = Tokenizer(DENSE).prompt(language)
    assert reported // 5 < bound.least
