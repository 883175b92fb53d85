"""What must stand in a text for a pattern to match it: a quick look before a slow search. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Parsed once for each pattern of the package; `re` has no public way to look into one.
_parser: Any = re._parser  # noqa: SLF001 - see above
# A text of one letter is in nearly every text.
_SHORTEST = 2


def needed(pattern: str) -> frozenset[str]:
    r"""Pieces in small letters without white space, of which every text that matches in any case has one.

    Empty where there is no such set, or one of them would be too short to tell texts apart.

    >>> sorted(needed(r"\b(?:ignore|forget)\s+all")), needed(r"\d+|ignore")
    (['forget', 'ignore'], frozenset())
    >>> sorted(needed(r"\b(?:ignore|forget(?:ting)?)\s+\w+"))
    ['forget', 'ignore']
    """
    found = _of_sequence(_parser.parse(pattern, re.IGNORECASE | re.MULTILINE))
    return frozenset(found) if found and min(map(len, found)) >= _SHORTEST else frozenset()


def _of_sequence(items: Iterable[tuple[Any, Any]]) -> set[str] | None:
    """Of all the parts of a sequence that must be there, the pieces of the one that says most."""
    choices: list[set[str]] = []
    run = ""
    for kind, value in items:
        if str(kind) == "LITERAL" and not chr(value).isspace():
            run += chr(value).lower()
            continue
        if run:
            choices.append({run})
            run = ""
        inner = _of_part(str(kind), value)
        if inner:
            choices.append(inner)
    if run:
        choices.append({run})
    return max(choices, key=lambda choice: min(map(len, choice)), default=None)


def _of_part(kind: str, value: Any) -> set[str] | None:  # noqa: ANN401 - the parser's own
    if kind == "SUBPATTERN":
        return _of_sequence(value[-1])
    if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
        return _of_sequence(value[2]) if value[0] >= 1 else None
    if kind == "BRANCH":
        branches = [_of_sequence(branch) for branch in value[1]]
        return set[str]().union(*(branch or () for branch in branches)) if all(branches) else None
    return None
