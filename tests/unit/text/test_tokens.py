"""Token counts and their learnt ratio, against tokenizers simulated by a density for each kind of text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest

from docwell.answers import Message
from docwell.text.tokens import TokenBound, TokenRatio, bound_of, bound_of_messages

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

    def prompt(self, *languages: str, words: int = 400) -> tuple[TokenBound, int]:
        """The bound and the tokens of a prompt: English instructions, then text of one of the languages."""
        source = WORDS[self._random.choice(languages)].split()
        text = " ".join(self._random.choices(source, k=self._random.randint(words // 4, words)))
        instructions = " ".join((WORDS["english"].split() * 10)[:150])
        bound = bound_of_messages([Message("system", instructions), Message("user", text)])
        pieces = [str(found.lastgroup) for part in (instructions, text) for found in PIECE.finditer(part)]
        exact = sum(self._density[kind] for kind in (*pieces, "messages", "messages"))
        return bound, round(exact * self._random.uniform(0.98, 1.02))


def taught(tokenizer: Tokenizer, *languages: str, prompts: int = 30) -> TokenRatio:
    ratio = TokenRatio()
    for _ in range(prompts):
        ratio.observe(*tokenizer.prompt(*languages))
    return ratio


@DENSITIES
@pytest.mark.parametrize("language", WORDS)
def test_the_mean_error_falls_below_5_percent_after_30_prompts(density: Density, language: str) -> None:
    tokenizer = Tokenizer(density)
    ratio = taught(tokenizer, language)
    assert ratio.calibrated
    errors = []
    for _ in range(40):
        bound, reported = tokenizer.prompt(language)
        errors.append(ratio.estimate(bound).error(reported))
    assert sum(errors) / len(errors) < 0.05


@DENSITIES
def test_mixed_scripts_raise_no_false_alarm(density: Density) -> None:
    tokenizer, ratio = Tokenizer(density), TokenRatio()
    # Enough English to trust the ratio, then scripts that were never seen before.
    for languages in (["english"] * 40, list(WORDS) * 40, ["russian"] * 40):
        for language in languages:
            bound, reported = tokenizer.prompt(language)
            assert not ratio.observe(bound, reported).was_cut(reported)
    assert ratio.observations == 240


@DENSITIES
@pytest.mark.parametrize("language", WORDS)
def test_a_prompt_that_was_cut_to_half_is_always_seen(density: Density, language: str) -> None:
    tokenizer = Tokenizer(density)
    ratio = taught(tokenizer, language)
    for _ in range(50):
        bound, reported = tokenizer.prompt(language)
        assert ratio.estimate(bound).was_cut(reported // 2)
        assert not ratio.estimate(bound).was_cut(reported)


def test_before_anything_is_learnt_a_cut_to_a_fifth_is_seen_and_a_whole_prompt_is_no_alarm() -> None:
    bound, reported = Tokenizer(SPARSE).prompt("english")
    estimate = TokenRatio().estimate(bound)
    assert not estimate.was_cut(reported)
    assert estimate.was_cut(reported // 5)
    assert estimate.high == bound.most


@pytest.mark.parametrize("lie", [lambda n: n // 2, lambda _: 0, lambda _: -5, lambda _: 1, lambda n: n * 1000])
def test_reports_that_cannot_be_true_teach_nothing(lie: Callable[[int], int]) -> None:
    tokenizer = Tokenizer(DENSE)
    ratio = taught(tokenizer, "english")
    before = ratio.to_state()
    for _ in range(200):
        bound, reported = tokenizer.prompt("english")
        ratio.observe(bound, lie(reported))
    assert ratio.to_state() == before


def test_the_space_that_must_fit_shrinks_once_the_ratio_is_learnt() -> None:
    tokenizer = Tokenizer(SPARSE)
    bound, reported = tokenizer.prompt("english")
    before, after = TokenRatio().estimate(bound), taught(tokenizer, "english").estimate(bound)
    assert reported <= after.high < before.high
    assert after.least <= reported


def test_a_script_that_was_never_seen_keeps_wide_bounds() -> None:
    ratio = taught(Tokenizer(DENSE), "english", prompts=100)
    known, unknown = (bound_of(WORDS[name] * 20) for name in ("english", "thai"))
    assert ratio.estimate(known).high < known.most
    assert ratio.estimate(unknown).high == unknown.most
    assert ratio.estimate(unknown).least < ratio.estimate(unknown).tokens * 0.4


def test_a_model_that_fits_no_ratio_is_never_trusted() -> None:
    chance, ratio = random.Random(5), TokenRatio()
    tokenizer = Tokenizer(DENSE)
    for _ in range(100):
        bound, _ = tokenizer.prompt("english")
        ratio.observe(bound, int(bound.most * chance.uniform(0.5, 1.4)))
    assert ratio.observations > 50
    assert not ratio.calibrated


def test_a_state_gives_the_same_ratio_again() -> None:
    ratio = taught(Tokenizer(DENSE), *WORDS)
    again = TokenRatio.from_state(ratio.to_state())
    bound = bound_of(" ".join(WORDS.values()))
    assert again.estimate(bound) == ratio.estimate(bound)
    assert (again.error, again.observations) == (ratio.error, ratio.observations)


@pytest.mark.parametrize(
    "damage",
    [{"ratio": "nan"}, {"ratio": "0"}, {"ratio": "-1"}, {"ratio": "much"}, {"error": "nan"}, {"foreign": "inf"},
     {"observations": "many"}],
)  # fmt: skip
def test_a_state_that_is_damaged_or_of_an_older_format_starts_anew(damage: dict[str, str]) -> None:
    state = taught(Tokenizer(DENSE), "english").to_state()
    assert TokenRatio.from_state(state).observations == 30
    assert TokenRatio.from_state(state | damage).observations == 0
    assert TokenRatio.from_state({}).observations == 0
    older = {"kinds": "[]", "weights": "[]", "observations": "40", "error": "0.02"}
    assert TokenRatio.from_state(older).to_state() == TokenRatio().to_state()
