"""Read the words of a question: their language and kinds, and the subject of a list. Pure.

The subject of "Which reports mention the Nile?" is "the Nile": a part between quotation marks in any case,
otherwise what is left without the words of asking, which `docwell.text.words` has by language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from heapq import nlargest
from itertools import pairwise

from docwell.text.lexicon import UNSPACED, fold, fold_each, ordered_words, script, stem
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


Span = tuple[int, int]

# Blanks are trimmed by code: a pattern that does takes cubic time on a question of blanks.
_QUOTED = re.compile('["“”„«「『]([^"“”„«»「」『』]+)["”“»」』]')
_QUOTE = re.compile('["“”„«»「」『』]')
_COMMA = re.compile('["”“»」』]?\\s*[,;\u3001\uff0c\uff1b]\\s*')
# A word that stands for a quotation, of no kind.
_ANYTHING = "X"
# Words that show two terms: "both nitrate and lead", and "Marks and Spencer" is one.
_STRESS = frozenset(["both", "sowohl"])
_LONGEST_DESCRIPTION = 2
_ASKING = frozenset({Kind.ASK, Kind.ANY})

# Longer words with this share of equal letters from the first on are the same: "Mitarbeiter", "Mitarbeitern".
_SAME_BEGINNING = 6
_SAME_SHARE = 0.75
# Endings differ: about as many letters of a word are in any form of it.
_ENDING = 3
# From this length on, words have forms with the endings of the question's language: "Brief", "Briefen".
_SHORTEST_INFLECTED = 4
# People type names without accents, and texts have them: "Muller", "M\u00fcller".
_ACCENTED = {
    "a": "\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5", "c": "\u00e7\u0107\u010d", "e": "\u00e8\u00e9\u00ea\u00eb",
    "i": "\u00ec\u00ed\u00ee\u00ef", "n": "\u00f1\u0144", "o": "\u00f2\u00f3\u00f4\u00f5\u00f6\u00f8",
    "u": "\u00f9\u00fa\u00fb\u00fc",
}  # fmt: skip
_SHARP_S = {"\u00df": "(?:ss|\u00df)", "s": "[s\u00df]"}
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010\u2011](?=[^\W\d_])")
_LAST_LATIN = "\u024f"
# Hosted Chroma allows 8 predicates in a search, and the documents need some:
# https://docs.trychroma.com/cloud/quotas-limits
_MOST_PATTERNS = 6
# The checks of one text follow each other, and texts share most of their words.
_TEXTS_KEPT, _WORDS_KEPT = 16, 8192


@dataclass(frozen=True, slots=True)
class Subject:
    """The `text` of a subject, and its phrases: words in order, with nothing between them.

    `endings` are those of nouns in the question's language. A question that is `denied` asks what does not have
    the subject. A subject can have several `terms`, of which all or `any_term` must be there, and others that must
    not be there, `without`. It `may_be_phrase` all the same: "Marks and Spencer".
    """

    text: str
    phrases: tuple[str, ...]
    endings: frozenset[str] = frozenset()
    denied: bool = False
    terms: tuple[Subject, ...] = ()
    without: tuple[Subject, ...] = ()
    any_term: bool = False
    may_be_phrase: bool = False

    @property
    def patterns(self) -> list[str]:
        """Regular expressions that match a text, in any case, if it mentions the subject, and some other texts.

        These are of its longest words, which the fewest texts have.
        """
        words = [word for phrase in self.phrases for word in _HYPHEN.sub("", phrase).split()]
        parts = dict.fromkeys(part for word in words for part in ordered_words(word))
        return list(dict.fromkeys(map(_pattern, nlargest(_MOST_PATTERNS, parts, key=len))))

    @property
    def pattern_of_terms(self) -> str:
        """A regular expression that matches a text if it has one of the terms, or what must not be there."""
        return f"(?:{'|'.join(term.patterns[0] for term in (*self.terms, *self.without))})"

    def is_verbatim_in(self, text: str) -> bool:
        """Return whether a text has all words of the subject in order, those of asking too."""
        return self._has_phrase(text, self.text)

    def is_in(self, text: str) -> bool:
        """Return whether a text has all phrases, or those of one of the terms."""
        if self.terms:
            return any(term.is_in(text) for term in self.terms)
        return all(self._has_phrase(text, phrase) for phrase in self.phrases)

    def is_loosely_in(self, text: str) -> bool:
        """Return whether a text has all words of the phrases, in any place."""
        words = [word for phrase in self.phrases for word in _words(phrase)]
        return bool(words) and self.count_in(text) == len(words)

    def count_in(self, text: str) -> int:
        """Return how many words of the phrases a text has."""
        text_words = [word for reading in _spellings(text) for word in reading]
        return sum(self._has(text_words, [word]) for phrase in self.phrases for word in _words(phrase))

    def _has_phrase(self, text: str, phrase: str) -> bool:
        return any(self._has(words, part) for words in _spellings(text) for part in _spellings(phrase))

    def _has(self, words: Sequence[str], phrase: Sequence[str]) -> bool:
        return bool(phrase) and any(
            all(map(self._is_same, phrase, words[start : start + len(phrase)]))
            for start in range(len(words) - len(phrase) + 1)
            if words[start][0] == phrase[0][0]  # forms of a word begin alike, and this check is quick
        )

    def _is_same(self, word: str, form: str) -> bool:
        """Return whether two words are forms of one word, as far as their letters show."""
        if word == form or stem(word) == stem(form):
            return True
        short, long = sorted((word, form), key=len)
        if len(short) >= _SHORTEST_INFLECTED and long.startswith(short) and long[len(short) :] in self.endings:
            return True
        equal = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
        return equal >= _SAME_BEGINNING and equal >= _SAME_SHARE * len(long)


def find_subject(question: str) -> Subject | None:
    """Return the subject of a question for a list; None where it has only words of asking."""
    spans = _quotations(question)
    if not spans:
        words = read(question)[1]
        spans = _phrases(words, _asked_places(question, words) or _own_places(words))
    return _subject(question, spans) if spans else None


def asks_for_list(question: str) -> bool:
    """Return whether the words of a question ask for a list, whatever it quotes."""
    if quoted := _quotations(question):
        question = f"{question[: quoted[0][0]]}{_ANYTHING}{question[quoted[-1][1] :]}"
    return bool(_asked_places(question, read(question)[1]))


def quotation(question: str) -> Span | None:
    """Return (start, end) of the first text between quotation marks, without the blanks around it."""
    return next(_quoted(question), None)


def _quoted(question: str) -> Iterator[Span]:
    for match in _QUOTED.finditer(question):
        if text := match[1].strip():
            start = question.index(text, match.start(1))
            yield start, start + len(text)


def _quotations(question: str) -> list[Span]:
    """Return the places of the quoted texts that make the subject: the first one, or all that words join."""
    quoted = list(_quoted(question))
    return quoted if quoted and len(_groups(question, quoted)[0]) > 1 else quoted[:1]


def _asked_places(question: str, words: Sequence[Word]) -> list[int]:
    """Return the places of the subject's words if the words of a question ask for a list, else none.

    Questions ask for documents that mention the subject ("which reports mention X"), for documents about it
    ("papers on X"), or for the places where it is mentioned ("where does X appear").
    """
    noun, verb, places = _asked_noun(words), _first(words, VERBS), _own_places(words)
    link: int | None
    asking = 0 if noun is None else max((n for n in range(noun + 1) if words[n].is_of(_ASKING)), default=0)
    if noun:  # up to two words describe the noun: "which annual reports"
        first = max(asking, noun - _LONGEST_DESCRIPTION - 1)
        places = [place for place in places if not first < place < noun or UNSPACED.match(words[place].text)]
    if noun is not None and verb is not None:
        link = verb
        after = words[verb + 1 : places[0]] if places else ()
        is_other = (
            any(asking < place < min(noun, verb) for place in places)  # "the steps that the report mentions"
            or (noun == 0 and any(word.is_of({Kind.ASK}) for word in after))  # "reports mention which countries"
            or (after and after[0].is_of({Kind.ABOUT}))  # "what does the report mention about X"
        )
        if is_other:
            return []
        if not places and noun < verb and words[verb].is_of({Kind.MENTION}):  # "which reports mention contracts"
            places = [place for place in range(verb + 1, len(words)) if words[place].is_of(NOUNS)]
    elif noun is not None:
        link = _first(words, {Kind.ABOUT}, asking + 1)
        if not places or link is None or places[0] < link:
            return []
    else:
        is_of_text = _first(words, {Kind.TEXT}) is not None
        link = (
            verb if is_of_text else _first(words, {Kind.MENTION})
        )  # "where does it occur" can be about the world
        if not (is_of_text or _first(words, {Kind.PLACE}) is not None):
            return []
    return places if link is not None and _is_subject(question, words, places, link) else []


def _is_subject(question: str, words: Sequence[Word], places: Sequence[int], link: int) -> bool:
    """Return whether words can be a subject: on one side of the link, without words that ask or mention."""
    if not places or places[0] < link < places[-1]:
        return False
    inside = words[places[0] : places[-1] + 1]
    if any(word.is_of({Kind.ASK, Kind.MENTION}) and not word.is_of({Kind.PLAIN}) for word in inside):
        return False
    # Only a script without spaces has the subject before the word that asks: others would be of other languages.
    asks = _first(words, _ASKING | {Kind.PLACE})
    if asks is not None and places[0] < asks and not UNSPACED.match(inside[0].text):
        return False
    return any(map(str.isalpha, question[inside[0].start : inside[-1].end]))


def _asked_noun(words: Sequence[Word]) -> int | None:
    """Return the place of the noun for what is asked for: behind a word that asks, or the first word of all."""
    asks = _first(words, _ASKING)
    for place, word in enumerate(words):
        is_asked = place == 0 or word.is_of({Kind.ANY}) or (asks is not None and place > asks)
        if is_asked and word.is_of(NOUNS):
            return place
    return None


def _own_places(words: Sequence[Word]) -> list[int]:
    return [place for place, word in enumerate(words) if not word.asks]


def _first(words: Sequence[Word], kinds: Iterable[Kind], start: int = 0) -> int | None:
    return next((place for place in range(start, len(words)) if words[place].is_of(kinds)), None)


def _phrases(words: Sequence[Word], places: Sequence[int]) -> list[Span]:
    """Return the runs of neighbouring words as phrases: words of asking part them."""
    spans: list[Span] = []
    for number, place in enumerate(places):
        word = words[place]
        if number and place == places[number - 1] + 1:
            spans[-1] = (spans[-1][0], word.end)
        else:
            spans.append((word.start, word.end))
    return spans


def _subject(question: str, spans: Sequence[Span]) -> Subject:
    """Return the subject of the phrases at these places, in terms where words join them."""
    start, end = spans[0][0], spans[-1][1]
    language, words = read(question)
    outside = _texts(word for word in words if word.end <= start or word.start >= end)
    phrases = tuple(question[slice(*span)] for span in spans)
    denied = not outside.isdisjoint(language.joins["not"])
    whole = Subject(_QUOTE.sub("", question[start:end]), phrases, language.endings, denied)
    groups, joins, before_not = _groups(question, spans)
    # Of "and" and "or" it is open which is first.
    if len(joins) > 1 or len(groups) == 1 or not (joins or before_not):
        return whole
    terms, without = (
        tuple(
            term
            for phrase in _parted(part)
            if (term := Subject(" ".join(phrase), phrase, language.endings)).patterns
        )
        for part in (groups[: before_not or None], groups[before_not:] if before_not else [])
    )
    if not terms:
        return whole
    is_apart = _QUOTE.match(question, spans[0][1]) or _STRESS & _texts(word for word in words if word.end <= end)
    return replace(
        whole,
        phrases=tuple(phrase for term in terms for phrase in term.phrases),
        terms=terms,
        without=without,
        any_term="or" in joins,
        may_be_phrase="or" not in joins and not (without or is_apart),
    )


def _groups(question: str, spans: Sequence[Span]) -> tuple[list[list[str]], set[str], int]:
    """Return the phrases by term, "or" and "and" if they join terms, and the number of terms before "but not"."""
    language, words = read(question)
    groups, joins, before_not = [[question[slice(*spans[0])]]], set[str](), 0
    for (_, end), (start, stop) in pairwise(spans):
        between = _texts(word for word in words if end <= word.start and word.end <= start)
        if between & language.joins["not"] and between & language.joins["but"] and not before_not:
            before_not = len(groups)
        elif between & language.joins["or"]:
            joins.add("or")
        elif between & language.joins["and"]:
            joins.add("and")
        elif not _COMMA.match(question, end):
            groups[-1].append(question[start:stop])
            continue
        groups.append([question[start:stop]])
    return groups, joins, before_not


def _texts(words: Iterable[Word]) -> frozenset[str]:
    return frozenset(part for word in words for part in (word.text, *word.text.split("'")))


def _parted(groups: Iterable[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield a term for each part of a list with commas: "nitrate, lead" before "or iron"."""
    for phrases in groups:
        terms: list[tuple[str, ...]] = [()]
        for phrase in phrases:
            first, *later = filter(None, _COMMA.split(phrase))
            terms[-1] += (first,)
            terms += [(part,) for part in later]
        yield from terms


def _pattern(word: str) -> str:
    """Return a pattern of the beginning of a word, where no other word goes on; of any sign without spaces.

    A hyphen of any kind, or a blank in place of one, can be between any letters.
    """
    if UNSPACED.search(word):
        return re.escape(word)
    beginning = word[: min(_SAME_BEGINNING, max(_ENDING, len(word) - _ENDING))]
    if word.isdecimal():
        return rf"(?:^|\D){beginning}"
    letters = r"\W?".join(map(_letter, beginning.replace("ss", "\u00df")))
    return rf"(?:^|[\W\d_]){letters}"


def _letter(letter: str) -> str:
    base = _fold(letter)
    return f"[{base}{_ACCENTED[base]}]" if base in _ACCENTED else _SHARP_S.get(letter, letter)


@lru_cache(_WORDS_KEPT)
def _fold(word: str) -> str:
    """Return a word in Latin letters without its accents."""
    return fold(word) if max(word) <= _LAST_LATIN else word


def _words(text: str) -> list[str]:
    words = ordered_words(text)
    return words if text.isascii() else list(map(_fold, words))


@lru_cache(_TEXTS_KEPT)
def _spellings(text: str) -> tuple[list[str], ...]:
    """Return the words of a text with hyphens as blanks, and without hyphens: "e-mail" is "e mail" and "email"."""
    joined = _HYPHEN.sub("", text)
    return (_words(text),) if joined == text else (_words(text), _words(joined))
