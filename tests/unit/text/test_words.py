"""The lists of words by language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest

from docwell.text.words import by_language, names, numbers, pattern, words

FILE = tomllib.loads(files("docwell.text").joinpath("words.toml").read_text(encoding="utf-8"))


def _lists(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    if all(isinstance(value, str | list) for value in table.values()):
        yield name
    else:
        for key, value in table.items():
            yield from _lists(value, f"{name}.{key}" if name else key)


@pytest.mark.parametrize("name", list(_lists(FILE)))
def test_every_list_is_one_regular_expression_and_no_language_repeats_a_word(name: str) -> None:
    re.compile(pattern(name))
    for language, entries in by_language(name).items():
        plain = [entry for entry in entries if entry != "-"]
        assert len(set(plain)) == len(plain), language


def test_the_words_of_a_list_are_of_all_languages() -> None:
    assert {"not", "nicht", "pas", "不"} <= set(words("negation.verb"))
    assert "6" in names("scale")
    assert (numbers("month")["mai"], numbers("month_in_date")["mars"], numbers("ordinal")["2nd"]) == (5, 3, 2)


def test_a_list_matches_whole_words_and_signs_anywhere() -> None:
    denied = re.compile(pattern("negation.verb"), re.IGNORECASE)
    assert denied.search("It does not run")
    assert not denied.search("a notice")
    assert denied.search("这里不开放")
