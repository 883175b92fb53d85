"""Read the language of a question and the kinds of its words, as far as `question_words.json` has them. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files

from docwell.text.lexicon import UNSPACED, fold, fold_each, script

# German writes "Jahresberichte" as one word. Shorter nouns are the ends of other words.
_LEAST_OF_COMPOUND = 5
# A question in another language has at least so many of its words that are none of the first language: names of
# people and works can have one.
_LEAST_FOREIGN = 2
# The router, the list and the refusal read the same question.
_READ_KEPT = 64
# A word in small letters with a letter like ệ or ớ: Vietnamese has many, and names have capitals.
_VIETNAMESE = re.compile(r"(?<!\w)(?=[^\W\d_]*[\u1ea4-\u1ef1])[a-z\u0111\u00e0-\u00fe][^\W\d_]*")
_LEAST_VIETNAMESE = 2
# Searchers write these in capitals.
_OPERATORS = frozenset(["AND", "OR", "NOT"])
_APOSTROPHES = str.maketrans("\u2019", "'")


class Kind(StrEnum):
    """The role of a word in a question for a list; the values are the keys of `question_words.json`.

    `ANY` asks and is asked for, as "anything". `TEXT` shows that texts are asked for: "the word", "anywhere". A
    `HOLD` is a verb that also says other things, as "contains". `RELATIVE` is the subject of its clause. A `PART`
    is also a noun within others: "price list".
    """

    ASK = "ask"
    DOCUMENTS = "documents"
    DOCUMENT = "document"
    ANY = "any"
    PLACE = "place"
    TEXT = "text"
    MENTION = "mention"
    HOLD = "hold"
    ABOUT = "about"
    RELATIVE = "relative"
    PART = "part"
    PLAIN = "plain"


NOUNS = frozenset({Kind.DOCUMENTS, Kind.DOCUMENT, Kind.ANY})
VERBS = frozenset({Kind.MENTION, Kind.HOLD})


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a set phrase of a question, folded, and its place there; one without kinds is not known."""

    start: int
    end: int
    text: str
    kinds: frozenset[Kind]

    def is_of(self, kinds: Iterable[Kind]) -> bool:
        """Return whether it is of one of these kinds."""
        return not self.kinds.isdisjoint(kinds)

    @property
    def is_known(self) -> bool:
        """Whether it is a word of asking, and so not of a subject."""
        return bool(self.kinds)


@dataclass(frozen=True, slots=True)
class Language:
    """The kinds of the words of a language.

    `endings` are those of its nouns, and `verb` that of a verb behind a plural noun, None if unknown. It is empty
    where only the subject is before the verb: "Which papers use BM25?".
    """

    name: str
    verb: str | None
    endings: frozenset[str]
    kinds: Mapping[str, frozenset[Kind]]
    pattern: re.Pattern[str]

    def words(self, folded: str) -> list[Word]:
        """Return the words of a folded question in order; signs of a script without spaces are words each."""
        words = [
            Word(*found.span(), found[0], self._kinds_of(found[0])) for found in self.pattern.finditer(folded)
        ]
        return [self._resolved(words, number) for number in range(len(words))]

    def _kinds_of(self, word: str) -> frozenset[Kind]:
        known = self.kinds.get(word)
        if known is not None:
            return known
        ends = (word[-size:] for size in range(len(word) - 1, _LEAST_OF_COMPOUND - 1, -1))
        return next((kinds for end in ends if (kinds := self.kinds.get(end, frozenset()) & NOUNS)), frozenset())

    def _resolved(self, words: Sequence[Word], number: int) -> Word:
        """Return a word that both asks and mentions, as "name", as the one of them: at the beginning it asks."""
        one = words[number]
        if not (one.is_of({Kind.ASK}) and one.is_of(VERBS)):
            return one
        is_first = all(other.kinds == {Kind.PLAIN} for other in words[:number])
        return Word(one.start, one.end, one.text, one.kinds - (VERBS if is_first else {Kind.ASK}))


def read(question: str) -> tuple[Language, list[Word]]:
    """Return the language that knows most words of a question, and its words."""
    return min(_readings(question), key=lambda one: _unknown(one[1]))


def is_short_form(word: str, question: str) -> bool:
    """Return whether a word in capitals, in a question that has others, is a name: "IT", but no "AND"."""
    is_name = len(word) > 1 and word.isupper() and word not in _OPERATORS
    return is_name and not question.isupper()


def is_in_other_language(question: str, name: str) -> bool:
    """Return whether a question is clearly not in this language, one of `question_words.json` in Latin letters.

    Another script shows it, letters of Vietnamese, or words of another one of these languages.
    """
    if script(question) not in {"", "LATIN"}:
        return True
    if len(_VIETNAMESE.findall(unicodedata.normalize("NFC", question))) >= _LEAST_VIETNAMESE:
        return True
    unknown = {language.name: _unknown(words) for language, words in _readings(question)}
    return unknown[name] >= min(unknown.values()) + _LEAST_FOREIGN


@lru_cache(_READ_KEPT)
def _readings(question: str) -> Sequence[tuple[Language, list[Word]]]:
    folded = fold_each(question.translate(_APOSTROPHES))
    return [(language, language.words(folded)) for language in _languages()]


def _unknown(words: Iterable[Word]) -> int:
    return sum(not word.is_known for word in words)


@cache
def _languages() -> tuple[Language, ...]:
    text = (files("docwell.query") / "question_words.json").read_text(encoding="utf-8")
    return tuple(_language(name, **written) for name, written in json.loads(text).items())


def _language(name: str, /, verb: str | None = None, endings: str = "", **written: str) -> Language:
    kinds: dict[str, set[Kind]] = {}
    for kind, phrases in written.items():
        for phrase in filter(None, phrases.split(", ")):
            kinds.setdefault(fold(phrase), set()).add(Kind(kind))
    longest = sorted(kinds, key=len, reverse=True)
    spaced, unspaced = (
        [re.escape(one) for one in longest if bool(UNSPACED.search(one)) is is_in] for is_in in (False, True)
    )
    patterns = [
        rf"(?<![^\W_])(?<![^\W_]-)(?:{'|'.join(spaced)})(?![^\W_]|-[^\W_])" if spaced else "",
        "|".join(unspaced),
        UNSPACED.pattern,
        rf"(?:(?!{UNSPACED.pattern})[^\W_])+(?:[-'&](?:(?!{UNSPACED.pattern})[^\W_])+)*",
    ]
    return Language(
        name,
        verb,
        frozenset(filter(None, endings.split(", "))),
        {word: frozenset(one) for word, one in kinds.items()},
        re.compile("|".join(filter(None, patterns))),
    )
