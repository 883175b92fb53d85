"""The documents that a question names, and what to call them in its answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from docwell.query.checking.cleaning import clean_answer
from docwell.text.lexicon import FUNCTION_WORDS, beginnings
from docwell.text.naming import file_words

_NAME_CHARACTERS = 80
_FUNCTION_WORDS = frozenset(beginnings(" ".join(FUNCTION_WORDS)))
_NO_BRACKETS = str.maketrans("[]", "()")  # `[1]` in a name would be read as a citation


def named(question: str, documents: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the documents that the question names, with its words in their file names.

    Of the documents with some of the words, those count that no other surpasses: with all of them, and more. Words
    of all file names do not count. Titles do not either: they have too many ordinary words.
    """
    asked = frozenset(beginnings(question)) - _FUNCTION_WORDS
    has = {key: asked.intersection(beginnings(file_words(key))) for key in documents}
    in_all = frozenset[str]().union(*has.values()).intersection(*has.values())
    own = {key: words - in_all for key, words in has.items()}
    sets = set(own.values())
    return {key: words for key, words in own.items() if words and not any(words < other for other in sets)}


def names_several(question: str, documents: Iterable[str]) -> bool:
    """Return whether the question names at least two of the documents, each in its own words."""
    return len(set(named(question, documents).values())) > 1


def names(titles: Mapping[str, str], question: str) -> dict[str, str]:
    """Return what to call each document, harmless and unlike the others.

    It is the file name or the title, whichever has more of the question's words, and the key if two are alike.
    """
    asked = frozenset(beginnings(question))

    def called(key: str, title: str) -> str:
        return max((file_words(key), title), key=lambda name: len(asked.intersection(beginnings(name)))) or key

    found = {key: _harmless(called(key, title)) for key, title in titles.items()}
    alike = list(found.values())
    return {key: name if alike.count(name) == 1 else _harmless(key) for key, name in found.items()}


def _harmless(name: str) -> str:
    text = " ".join(clean_answer(name, ())[0].translate(_NO_BRACKETS).split())
    return text if len(text) <= _NAME_CHARACTERS else f"{text[: _NAME_CHARACTERS - 1]}…"
