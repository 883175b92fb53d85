"""Mark a quote at its place on a page, and no sentence with other words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.console_scripts import run_script


def find(strings: list[str], quote: str) -> list[dict[str, int]]:
    found: Any = run_script(f"return (await script('quote.js')).find(...{json.dumps([strings, quote])});")
    return list(found)


@pytest.mark.parametrize(
    ("strings", "quote", "found"),
    [
        (["The boil", "er is old."], "The boiler", ["The boil", "er"]),
        (["an inter-", "national ﬁle"], "international file", ["inter-", "national ﬁle"]),
        (["a  b", "c"], "B C", ["b", "c"]),
        (["Größe: 5 mm"], "GRÖSSE 5", []),
        (["日本語の文"], "本語", ["本語"]),
        (["ﻛﺘـــﺎب ﻻزم"], "كتاب لازم", ["ﻛﺘـــﺎب ﻻزم"]),
        (["שָׁלוֹם עולם"], "שלום עולם", ["שָׁלוֹם עולם"]),
        # A line from the right: pdf.js gives its runs from the left.
        (
            ["وكان أيضا أفضل لاعب", " ", "Panthers", " ", "في مباراة خط الدفاع"],
            "في مباراة خط الدفاع Panthers وكان أيضا أفضل لاعب",
            ["وكان أيضا أفضل لاعب", "Panthers", "في مباراة خط الدفاع"],
        ),
        (
            ["היא שחקנית מצטיינת", " ", "Panthers", " ", "בתחילת המשחק הראשון"],
            "בתחילת המשחק הראשון Panthers היא שחקנית מצטיינת",
            ["היא שחקנית מצטיינת", "Panthers", "בתחילת המשחק הראשון"],
        ),
        (["Panthers", "something else"], "בתחילת המשחק הראשון Panthers היא שחקנית מצטיינת", []),
        # A number of the margin in the middle.
        (
            ["The boiler in the cellar of the house", "12", "is inspected by two engineers"],
            "The boiler in the cellar of the house is inspected by two engineers",
            ["The boiler in the cellar of the house", "12", "is inspected by two engineers"],
        ),
        (["nothing"], "else", []),
        (["nothing"], "…", []),
    ],
)
def test_a_quote_is_found_by_its_letters_and_digits(strings: list[str], quote: str, found: list[str]) -> None:
    ranges = find(strings, quote)
    assert [strings[one["index"]][one["start"] : one["end"]] for one in ranges] == [
        text if text != "inter-" else "inter" for text in found
    ]


@pytest.mark.parametrize(
    ("page", "quote"),
    [
        ("The boiler is inspected every May by two engineers.", "The boiler is inspected every March"),
        ("Total revenue 1,234,568 euros", "Total revenue 1,234,567"),
        (
            "The rate is 4 percent a year for loans of ten thousand euros, and 9 percent for all others.",
            "The rate is 9 percent a year for loans of ten thousand euros",
        ),
        (
            "The boiler in the cellar of the house is inspected every May by two engineers of the city.",
            "The boiler in the cellar of the house is inspected every March by two engineers of the city.",
        ),
        # In Arabic and Hebrew, where runs of the quote may be in another order.
        ("وكان أفضل لاعب في مباراة خط الدفاع", "وكان أفضل لاعب في مباراة خط الهجوم"),
        ("בתחילת המשחק הראשון היא שחקנית מצטיינת", "בתחילת המשחק השני היא שחקנית מצטיינת"),
    ],
)
def test_a_sentence_with_another_word_is_not_marked_as_the_quote(page: str, quote: str) -> None:
    assert find([page], quote) == []
    assert find([page], page) != []
