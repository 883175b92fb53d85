"""The values that a text has, and the kinds of values that a question asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from docwell.media_types import MEDIA_TYPES
from docwell.query.values import KINDS, ValueKind, wanted_values

CASES: Mapping[str, Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("values.toml").read_text("utf-8"))
VALUES = [(kind, text, written) for kind, rows in CASES["values"].items() for text, written in rows.items()]


@pytest.mark.parametrize(("kind", "text", "written"), VALUES)
def test_values_are_as_written_and_a_range_is_one_value(kind: str, text: str, written: list[str]) -> None:
    value_kind = KINDS[kind]
    assert [text[start:end] for start, end in value_kind.find(text)] == written
    # The index returns the chunks that match the kind's pattern.
    assert not written or all(re.search(value_kind.pattern, value, re.IGNORECASE) for value in written)


@pytest.mark.parametrize(("question", "expected"), CASES["questions"].items())
def test_a_question_asks_for_kinds_of_values(question: str, expected: Mapping[str, list[str]]) -> None:
    wanted = wanted_values(question)
    assert wanted is not None
    assert wanted.kinds == tuple(KINDS[kind] for kind in expected["kinds"])
    assert set(expected["limits"]) <= set(wanted.limits)
    assert (wanted_values(question, ()) is None) == bool(expected["limits"])


@pytest.mark.parametrize("question", CASES["other"]["questions"])
def test_other_questions_ask_for_no_kind(question: str) -> None:
    assert wanted_values(question) is None


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("text", ["1 " * 2_000, "a" * 4_000, "a.b-" * 1_000, "$" * 4_000])
def test_a_repetitive_text_has_no_values(kind: ValueKind, text: str) -> None:
    assert kind.find(text) == []


@pytest.mark.parametrize("suffix", MEDIA_TYPES)
def test_the_name_of_a_document_does_not_limit_the_list_to_anything_else(suffix: str) -> None:
    asked = f"List all dates in lease-2024{suffix}"
    assert wanted_values(asked, [f"homes/lease-2024{suffix}", "homes/other.pdf"])
    assert wanted_values(asked, ["homes/other.pdf"]) is None


@pytest.mark.parametrize(("month", "limits"), [("June", True), ("May", True), ("may", False)])
def test_a_month_limits_a_list_of_values_also_where_it_can_be_a_verb(month: str, limits: bool) -> None:
    wanted = wanted_values(f"List all amounts in the minutes of {month}")
    assert wanted is not None
    assert (month in wanted.limits) is limits
