"""Token counts and their calibration, against tokenizers that are simulated by a density for each kind of text."""

from __future__ import annotations

import random

import pytest

from docwell.answers import Message
from docwell.text.tokens import (
    TextFeatures,
    TokenCalibration,
    count_tokens,
    features_of,
    features_of_messages,
)

WORDS = {
    "english": "the annual report of revenue describes operations in Europe, Asia; net income rose 4,512 to 98.7%",
    "russian": "годовой отчёт описывает выручку и операции компании в Европе за 2025 год",
    "thai": "รายงาน ประจำปี อธิบาย รายได้ และ การดำเนินงาน ของ บริษัท",
    "chinese": "年度报告 描述了 公司的 收入 和 业务 净利润 增长",
}
DENSE = TextFeatures(1, 0.9, 1.6, 2, 0.3, 1, 1, 2, 1, 1.2, 1.9, 1.8, 2.5, 6)
SPARSE = TextFeatures(0.5, 0.45, 0.5, 0.6, 0.2, 0.4, 0.6, 0.3, 0.5, 0.5, 0.45, 0.5, 1, 4)


class Tokenizer:
    """A model's tokenizer: so many tokens for each piece, and a little chance for each prompt."""

    def __init__(self, density: TextFeatures, seed: int = 1) -> None:
        self._density = density
        self._random = random.Random(seed)

    def prompt(self, *languages: str, words: int = 400) -> TextFeatures:
        """The features of a prompt: English instructions, then text of one of the languages."""
        source = WORDS[self._random.choice(languages)].split()
        text = " ".join(self._random.choices(source, k=self._random.randint(words // 4, words)))
        instructions = " ".join((WORDS["english"].split() * 10)[:150])
        return features_of_messages([Message("system", instructions), Message("user", text)])

    def count(self, features: TextFeatures) -> int:
        exact = sum(many * density for many, density in zip(features, self._density, strict=True))
        return round(exact * self._random.uniform(0.98, 1.02))


def taught(tokenizer: Tokenizer, *languages: str, prompts: int = 30) -> TokenCalibration:
    calibration = TokenCalibration()
    for _ in range(prompts):
        features = tokenizer.prompt(*languages)
        calibration.observe(features, tokenizer.count(features))
    return calibration


@pytest.mark.parametrize("density", [DENSE, SPARSE], ids=["dense", "sparse"])
@pytest.mark.parametrize("language", WORDS)
def test_the_error_falls_below_5_percent_after_30_prompts(density: TextFeatures, language: str) -> None:
    tokenizer = Tokenizer(density)
    calibration = taught(tokenizer, language)
    assert calibration.calibrated
    assert calibration.error < 0.05
    for _ in range(20):
        features = tokenizer.prompt(language)
        assert calibration.estimate(features).error(tokenizer.count(features)) < 0.05


@pytest.mark.parametrize("density", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_mixed_scripts_raise_no_false_alarm(density: TextFeatures) -> None:
    tokenizer, calibration = Tokenizer(density), TokenCalibration()
    # English long enough to be sure of it, then scripts that were never seen before.
    for languages in (["english"] * 40, list(WORDS) * 40):
        for language in languages:
            features = tokenizer.prompt(language)
            reported = tokenizer.count(features)
            assert not calibration.observe(features, reported).was_cut(reported)
    assert calibration.calibrated


@pytest.mark.parametrize("density", [DENSE, SPARSE], ids=["dense", "sparse"])
@pytest.mark.parametrize("language", WORDS)
def test_a_prompt_that_was_cut_to_half_is_always_seen(density: TextFeatures, language: str) -> None:
    tokenizer = Tokenizer(density)
    calibration = taught(tokenizer, language)
    for _ in range(50):
        features = tokenizer.prompt(language)
        reported = tokenizer.count(features)
        assert calibration.estimate(features).was_cut(reported // 2)
        assert calibration.estimate(features).was_cut(int(reported * 0.8))
        assert not calibration.estimate(features).was_cut(reported)


def test_before_calibration_a_cut_to_a_fifth_is_seen_and_a_whole_prompt_is_no_alarm() -> None:
    tokenizer = Tokenizer(SPARSE)
    features = tokenizer.prompt("english")
    estimate = TokenCalibration().estimate(features)
    assert not estimate.was_cut(tokenizer.count(features))
    assert estimate.was_cut(tokenizer.count(features) // 5)
    assert estimate.high == features.most


@pytest.mark.parametrize("lie", [lambda n: n // 2, lambda _: 0, lambda _: -5, lambda _: 1, lambda n: n * 1000])
def test_reports_that_cannot_be_teach_nothing(lie: object) -> None:
    assert callable(lie)
    tokenizer = Tokenizer(DENSE)
    calibration = taught(tokenizer, "english")
    before = calibration.to_state()
    for _ in range(200):
        features = tokenizer.prompt("english")
        calibration.observe(features, lie(tokenizer.count(features)))
    assert calibration.to_state() == before


def test_what_has_to_fit_is_nearer_once_it_is_calibrated() -> None:
    tokenizer = Tokenizer(SPARSE)
    features = tokenizer.prompt("english")
    reported = tokenizer.count(features)
    before, after = TokenCalibration().estimate(features), taught(tokenizer, "english").estimate(features)
    assert reported <= after.high < before.high
    assert after.low <= reported


def test_a_script_that_was_never_seen_keeps_wide_bounds() -> None:
    calibration = taught(Tokenizer(DENSE), "english", prompts=100)
    known, unknown = (calibration.estimate(features_of(WORDS[name] * 20)) for name in ("english", "thai"))
    assert (unknown.high - unknown.low) / unknown.tokens > 4 * (known.high - known.low) / known.tokens


def test_a_model_that_fits_no_density_is_never_trusted() -> None:
    chance, calibration = random.Random(5), TokenCalibration()
    tokenizer = Tokenizer(DENSE)
    for _ in range(100):
        features = tokenizer.prompt("english")
        calibration.observe(features, int(features.most * chance.uniform(0.5, 1.4)))
    assert not calibration.calibrated


def test_a_state_gives_the_same_calibration_again() -> None:
    calibration = taught(Tokenizer(DENSE), *WORDS)
    again = TokenCalibration.from_state(calibration.to_state())
    features = features_of(" ".join(WORDS.values()))
    assert again.estimate(features) == calibration.estimate(features)
    assert (again.error, again.observations) == (calibration.error, calibration.observations)
    assert len(str(calibration.to_state())) < 10_000


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": "[1, 2]"}, {"weights": "nonsense"}, {"weights": "7"}, {"spread": "[[1]]"}, {"error": "nan"},
        {"observations": "many"}, {"kinds": '["letters"]'}, {"weights": "[" + "NaN," * 13 + "1]"},
    ],
)  # fmt: skip
def test_a_state_that_is_damaged_or_of_other_features_starts_anew(damage: dict[str, str]) -> None:
    state = taught(Tokenizer(DENSE), "english").to_state()
    assert TokenCalibration.from_state(state | damage).observations == 0
    assert TokenCalibration.from_state({}).observations == 0


@pytest.mark.parametrize("text", ["plain words", "1,234.56", "日本語の文", "ภาษาไทย", "emoji 🎉🎉", "\n\n  \t"])
def test_every_character_is_counted(text: str) -> None:
    assert count_tokens(text + text) >= count_tokens(text) >= 1


def test_pieces_are_counted_by_their_kind() -> None:
    features = features_of("Annual  отчёт 42é, 年\n")
    assert features._asdict() == dict.fromkeys(TextFeatures._fields, 0) | {
        "words": 1, "rests": 1, "blanks": 4, "cyrillic": 3, "digits": 2, "accents": 1, "marks": 1, "east_asian": 1,
    }  # fmt: skip


def test_a_prompt_without_messages_is_nothing() -> None:
    assert features_of_messages([]) == TextFeatures()
    assert not TokenCalibration().observe(TextFeatures(), 0).was_cut(0)
