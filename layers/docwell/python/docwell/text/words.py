"""The lists of words by language: one data file, `words.toml` beside this module, and its one reader.

A table of the file is a list, and its keys are languages: `[negation.verb]` has `en = "not cannot"`. A string
holds words that blanks divide; an array holds phrases with blanks. A table may hold tables: `[currency]` has a
list for each sign. A comment with "re:" marks entries that are regular expressions. To move a list here, add a
table and read it with one of the functions below. Reading the file takes about 3 ms, once in a process.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

# These languages have no blanks between words, so an entry matches anywhere.
_UNSPACED = frozenset({"zh", "ja"})


def by_language(name: str) -> dict[str, tuple[str, ...]]:
    """Return the entries of a list by language: `by_language("month")["de"]`. Raises `KeyError`."""
    return {
        language: tuple(value.split() if isinstance(value, str) else value)
        for language, value in _table(name).items()
    }


def words(name: str) -> tuple[str, ...]:
    """Return the entries of a list in all languages, each once, in the order of the file. Raises `KeyError`."""
    return tuple(dict.fromkeys(entry for entries in by_language(name).values() for entry in entries))


def names(name: str) -> tuple[str, ...]:
    """Return the names of the lists within a table: `names("currency")` gives the signs. Raises `KeyError`."""
    return tuple(_table(name))


def numbers(name: str) -> dict[str, int]:
    """Return the number of each word of a list whose entries count from 1.

    A slash divides words of one number, and a dash is a number without a word.

    >>> numbers("month")["mai"], numbers("ordinal")["2nd"]
    (5, 2)
    """
    lists = by_language(name).values()
    numbered = [(number, entry) for entries in lists for number, entry in enumerate(entries, 1) if entry != "-"]
    return {word: number for number, entry in numbered for word in entry.split("/")}


def pattern(*lists: str) -> str:
    """Return a regular expression for an entry of these lists: a whole word, or Chinese or Japanese signs."""
    tables = [by_language(name).items() for name in lists]
    rows = [(language, entry) for table in tables for language, entries in table for entry in entries]
    spaced = dict.fromkeys(entry for language, entry in rows if language not in _UNSPACED)
    signs = dict.fromkeys(entry for language, entry in rows if language in _UNSPACED)
    return "|".join([*([rf"\b(?:{'|'.join(spaced)})\b"] if spaced else []), *signs])


def _table(name: str) -> Mapping[str, Any]:
    table = _file()
    for part in name.split("."):
        table = table[part]
    return table


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads(files("docwell.text").joinpath("words.toml").read_text(encoding="utf-8"))
