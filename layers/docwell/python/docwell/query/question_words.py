"""Read the language of a question and the kinds of its words, which `docwell.text.words` has. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache

from docwell.text.lexicon import UNSPACED, fold, fold_each, script
from docwell.text.words import by_language

LANGUAGES = ("en", "de", "fr", "es", "zh")
# German writes "Jahresberichte" as one word. Shorter nouns are the ends of other words.
_LEAST_OF_COMPOUND = 5
# A question in another language has at least so many of its words that are none of the first language: names of
# people and works can have one.
_LEAST_FOREIGN = 2
# The router, the list and the refusal read the same question.
_QUESTIONS_KEPT = 64
# A word in small letters with a letter like ệ or ớ: Vietnamese has many, and names have capitals.
_VIETNAMESE = re.compile(r"(?<!\w)(?=[^\W\d_]*[\u1ea4-\u1ef1])[a-z\u0111\u00e0-\u00fe][^\W\d_]*")
_LEAST_VIETNAMESE = 2
# Searchers write these in capitals; another word in capitals is a name, as "IT" and "US".
_OPERATORS = frozenset(["AND", "OR", "NOT"])
_APOSTROPHES = str.maketrans("\u2019", "'")


class Kind(StrEnum):
    """The role of a word in a question for a list; the values are the names of lists of words.

    `ANY` asks and is asked for, as "anything". `TEXT` shows that texts are asked for: "the word", "anywhere". A
    `HOLD` is a verb that also has other meanings, as "contains".
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
    PLAIN = "plain"


NOUNS = frozenset({Kind.DOCUMENTS, Kind.DOCUMENT, Kind.ANY})
VERBS = frozenset({Kind.MENTION, Kind.HOLD})


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a set phrase of a question, folded, and its place there. A word of a subject has no kinds."""

    start: int
    end: int
    text: str
    kinds: frozenset[Kind]

    def is_of(self, kinds: Iterable[Kind]) -> bool:
        """Return whether it is of one of these kinds."""
        return not self.kinds.isdisjoint(kinds)

    @property
    def asks(self) -> bool:
        """Whether it is a word of asking, and so not of a subject."""
        return bool(self.kinds)


@dataclass(frozen=True, slots=True)
class Language:
    """The kinds of the words of a language, and the `endings` of its nouns.

    `joins` has the folded words for "or", "and", "but" and "not".
    """

    name: str
    endings: frozenset[str]
    joins: Mapping[str, frozenset[str]]
    kinds: Mapping[str, frozenset[Kind]]
    pattern: re.Pattern[str]

    def words(self, question: str, folded: str) -> list[Word]:
        """Return the words of a question in order; signs of a script without spaces are words each."""
        words = []
        for match in self.pattern.finditer(folded):
            written = question[slice(*match.span())]
            is_name = (
                len(written) > 1 and written.isupper() and written not in _OPERATORS and not question.isupper()
            )
            words.append(Word(*match.span(), match[0], frozenset() if is_name else self._kinds_of(match[0])))
        return [self._resolved(words, place) for place in range(len(words))]

    def _kinds_of(self, word: str) -> frozenset[Kind]:
        if word in self.kinds:
            return self.kinds[word]
        ends = (word[-size:] for size in range(len(word) - 1, _LEAST_OF_COMPOUND - 1, -1))
        return next((kinds for end in ends if (kinds := self.kinds.get(end, frozenset()) & NOUNS)), frozenset())

    def _resolved(self, words: Sequence[Word], place: int) -> Word:
        """Return a word that both asks and mentions, as "name", with one meaning: at the beginning it asks."""
        word = words[place]
        if not (word.is_of({Kind.ASK}) and word.is_of(VERBS)):
            return word
        is_first = all(before.kinds == {Kind.PLAIN} for before in words[:place])
        return Word(word.start, word.end, word.text, word.kinds - (VERBS if is_first else {Kind.ASK}))


def read(question: str) -> tuple[Language, list[Word]]:
    """Return the language that has the most words of a question, and the question's words."""
    return min(_readings(question), key=lambda reading: _words_of_subject(reading[1]))


def is_in_other_language(question: str, name: str) -> bool:
    """Return whether a question is clearly not in this language, one of `LANGUAGES` in Latin letters.

    Another script shows it, letters of Vietnamese, or words of another one of these languages.
    """
    if script(question) not in {"", "LATIN"}:
        return True
    if len(_VIETNAMESE.findall(unicodedata.normalize("NFC", question))) >= _LEAST_VIETNAMESE:
        return True
    counts = {language.name: _words_of_subject(words) for language, words in _readings(question)}
    return counts[name] >= min(counts.values()) + _LEAST_FOREIGN


@lru_cache(_QUESTIONS_KEPT)
def _readings(question: str) -> Sequence[tuple[Language, list[Word]]]:
    folded = fold_each(question.translate(_APOSTROPHES))
    return [(language, language.words(question, folded)) for language in map(_language, LANGUAGES)]


def _words_of_subject(words: Iterable[Word]) -> int:
    return sum(not word.asks for word in words)


@cache
def _language(name: str) -> Language:
    kinds: dict[str, set[Kind]] = {}
    for kind in Kind:
        for phrase in by_language(f"question.{kind}").get(name, ()):
            kinds.setdefault(fold(phrase), set()).add(kind)
    longest = sorted(kinds, key=len, reverse=True)
    spaced = "|".join(re.escape(phrase) for phrase in longest if not UNSPACED.search(phrase))
    unspaced = "|".join(re.escape(phrase) for phrase in longest if UNSPACED.search(phrase))
    patterns = [
        rf"(?<![^\W_])(?<![^\W_]-)(?:{spaced})(?![^\W_]|-[^\W_])" if spaced else "",
        unspaced,
        UNSPACED.pattern,
        rf"(?:(?!{UNSPACED.pattern})[^\W_])+(?:[-'&](?:(?!{UNSPACED.pattern})[^\W_])+)*",
    ]
    return Language(
        name,
        frozenset(by_language("question.ending").get(name, ())),
        {join: frozenset(map(fold, by_language(f"join.{join}")[name])) for join in ("or", "and", "but", "not")},
        {phrase: frozenset(roles) for phrase, roles in kinds.items()},
        re.compile("|".join(filter(None, patterns))),
    )
