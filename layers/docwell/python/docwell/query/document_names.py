"""The documents that a question names, and their names in its answer. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from docwell.query.checking.cleaning import clean_answer
from docwell.query.subject import readings
from docwell.text.lexicon import FUNCTION_WORDS, MARKER, UNSPACED, beginnings, fold, fold_each
from docwell.text.naming import NAMES_KEPT, file_beginnings, file_suffix, file_words
from docwell.text.words import by_language, words

_NAME_CHARACTERS = 80
FUNCTION_BEGINNINGS = frozenset(beginnings(" ".join(FUNCTION_WORDS)))
_TOKEN = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})[^\W_])+")
# A shorter name without its suffix, such as that of 1.pdf, is an ordinary word or number of the question.
_SHORTEST_NAME = 3


def named(question: str, documents: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the documents that the question names, with its words in their file names.

    A document with some of the words does not count if another has the same words and more. Words of all file
    names are ignored, and so are titles, which have too many ordinary words. Figures alone name no document.
    """
    question_words = frozenset(beginnings(question)) - FUNCTION_BEGINNINGS
    shared = {key: question_words & file_beginnings(key) for key in documents}
    in_all = frozenset[str]().union(*shared.values()).intersection(*shared.values())
    names = {key: words - in_all for key, words in shared.items()}
    sets = set(names.values())
    is_named = {
        words for words in sets if any(map(str.isalpha, words)) and not any(words < larger for larger in sets)
    }
    return {key: words for key, words in names.items() if words in is_named}


def side_by_side(question: str, documents: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the documents that the question sets side by side, with its words in their file names.

    Each has other words, or the file names differ in the question's words alone: acme_2022.pdf and bolt_2022.pdf,
    without acme_plan.pdf.
    """
    names = named(question, documents)
    sides = set(names.values())
    in_all = frozenset[str]().union(*sides).intersection(*sides)
    if len(sides) == len(names) and all(any(map(str.isalpha, side - in_all)) for side in sides):
        return names
    rests = Counter(rest for rest, _ in {(file_beginnings(key) - side, side) for key, side in names.items()})
    return {key: side for key, side in names.items() if rests[file_beginnings(key) - side] > 1}


class WrittenName(NamedTuple):
    """The whole file name of a document as a question has it, with or without its suffix."""

    key: str
    start: int
    end: int

    def removed_from(self, question: str) -> str:
        """Return the question without the name."""
        return f"{question[: self.start]}{question[self.end :].lstrip()}"


def written(question: str, documents: Iterable[str]) -> list[WrittenName]:
    """Return the documents whose whole file name the question has: "minutes 2024.docx", or "the Minutes 2024".

    A name within a longer name does not count, nor a name with the suffix of another file.
    """
    tokens = list(_TOKEN.finditer(question))
    folded = tuple(fold(token[0]) for token in tokens)
    names = [
        WrittenName(key, start, end) for key in documents for start, end in _written(key, question, tokens, folded)
    ]
    spans = {name[1:] for name in names}

    def is_within(start: int, end: int) -> bool:
        return any((start, end) != span and span[0] <= start and end <= span[1] for span in spans)

    return [name for name in names if not is_within(*name[1:])]


def _written(
    key: str, question: str, tokens: list[re.Match[str]], folded: tuple[str, ...]
) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of a document's file name in a question of these tokens."""
    name = _folded_name(key)
    is_word = len(name) == 1 and (name[0] in FUNCTION_WORDS or len(name[0]) < _SHORTEST_NAME)
    for first in range(len(folded) - len(name) + 1) if name else ():
        if folded[first : first + len(name)] == name:
            start, end = tokens[first].start(), tokens[first + len(name) - 1].end()
            suffix = file_suffix(question, end)
            if key.lower().endswith(suffix) if suffix else not is_word:
                yield start, end + len(suffix)


@lru_cache(NAMES_KEPT)
def _folded_name(key: str) -> tuple[str, ...]:
    return tuple(fold(word) for word in _TOKEN.findall(file_words(key)))


def compares(question: str, documents: Iterable[str]) -> bool:
    """Return whether the question compares at least two of the documents, each named in its own words.

    Signs are a word of comparing, and "and" before a name. "What is the travel policy for contractors?" has words
    of two file names and compares nothing.
    """
    is_sign = _comparing()[0].search(fold_each(question)) is not None
    names = side_by_side(question, documents).values()
    return len(names) > 1 and (is_sign or _joins(question, names))


@cache
def _comparing() -> tuple[re.Pattern[str], frozenset[str]]:
    """Return the signs of a comparison, and the words that join two names."""
    lists = by_language("compare.beginning")
    entries = [*lists["zh"], *(rf"\b{entry}" for entry in words("compare.beginning"))]
    return re.compile("|".join(entries)), frozenset(words("compare.joining"))


def _joins(question: str, names: Iterable[frozenset[str]]) -> bool:
    """Return whether an "and" joins the names of two documents.

    Question words may stand between them, and words that the question already had: "plant north and plant south".
    """
    before, is_joined, (_, joining) = frozenset[str](), False, _comparing()
    for word in readings(question)[0][1]:
        stems = frozenset(beginnings(question[word.start : word.end]))
        is_second = any(before & earlier and not stems & earlier for earlier in names)
        if is_joined and is_second and any(stems & name for name in names):
            return True
        is_joined = word.text in joining or (is_joined and (bool(word.kinds) or stems <= before))
        before |= stems
    return False


def names_of(keys: Sequence[str]) -> dict[str, str]:
    """Return a harmless and unique name for each document: its file name, or the key if two are equal."""
    names = {key: _short(file_words(key) or key) for key in keys}
    alike = list(names.values())
    return {key: name if alike.count(name) == 1 else _short(key) for key, name in names.items()}


def plain(name: str) -> str:
    """Return a name, a key or words of a question without parts that would read as a link or a citation."""
    return MARKER.sub(r"(\1)", clean_answer(" ".join(name.split()), ())[0])


def _short(name: str) -> str:
    text = plain(name)
    return text if len(text) <= _NAME_CHARACTERS else f"{text[: _NAME_CHARACTERS - 1]}…"
