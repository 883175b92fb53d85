"""Bounds of token counts, against what the tokenizers of models make of texts in ten languages."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.text.tokens import bound_of

ROWS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("tokens.toml").read_text("utf-8"))["row"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_text_has_at_most_its_bound_of_tokens_and_an_alarm_only_if_it_is_cut(row: dict[str, Any]) -> None:
    bound, counts = bound_of(row["text"]), row["tokens"]
    assert bound.least < min(counts)
    assert max(counts) <= bound.most < 2 * max(counts)
    assert 0.7 * max(counts) < bound.expected < 1.5 * max(counts)
    assert max(counts) // 5 < bound.least
