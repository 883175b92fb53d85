"""The documents whose whole file name a question has."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from docwell.query.document_names import compares, side_by_side, written

CASES: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("document_names.toml").read_text("utf-8")
)
DOCUMENTS: Mapping[str, Sequence[str]] = CASES["documents"]


@pytest.mark.parametrize(("question", "names"), CASES["written"].items())
def test_a_name_is_found_with_or_without_its_suffix(question: str, names: dict[str, str]) -> None:
    matches = written(question, DOCUMENTS["KEYS"])
    assert {match.key: question[match.start : match.end] for match in matches} == names


@pytest.mark.parametrize(
    ("question", "documents"),
    [
        (question, DOCUMENTS[name])
        for name, group in (("POLICIES", "nothing"), ("FIRMS", "firms_apart"), ("RUNBOOKS", "runbooks_apart"))
        for question in CASES["comparing"][group]
    ],
)
def test_words_of_file_names_that_set_no_two_apart_compare_nothing(
    question: str, documents: Sequence[str]
) -> None:
    assert not compares(question, documents)


@pytest.mark.parametrize(("question", "keys"), CASES["side_by_side"].items())
def test_documents_side_by_side_differ_in_the_words_of_the_question(question: str, keys: list[str]) -> None:
    assert sorted(side_by_side(question, DOCUMENTS["FIRMS"])) == keys


@pytest.mark.parametrize(
    ("question", "documents"),
    [
        (question, DOCUMENTS[name])
        for name in ("POLICIES", "FIRMS", "PLANTS")
        for question in CASES["comparing"][name.lower()]
    ],
)
def test_a_question_compares_documents_that_it_sets_side_by_side(question: str, documents: Sequence[str]) -> None:
    assert compares(question, documents)
    assert not compares(question, documents[:1])
