"""`docwell eval` finds an expected answer in any notation of figures, and no other figure or word."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.cli.evaluation.verdicts import says

CASES = tomllib.loads(Path(__file__).with_name("wordings.toml").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['text']!r} says {case['wording']!r}")
def test_a_text_says_a_wording_in_any_notation(case: dict[str, Any]) -> None:
    assert says(case["text"], case["wording"], case["language"]) is case["says"]
