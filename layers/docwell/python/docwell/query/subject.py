"""Read the words of a question: their language and kinds, and the subject of a list. Pure.

The subject of "Which reports mention the Nile?" is "the Nile": the quoted parts, or else the words that are no
question words. `docwell.text.words` lists question words by language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from heapq import nlargest
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from docwell.text.lexicon import UNSPACED, fold, fold_each
from docwell.text.words import by_language

LANGUAGES = ("en", "de", "fr", "es", "zh")
# The shortest noun to find at the end of a compound such as "Jahresberichte", and the languages that have them.
_LEAST_OF_COMPOUND, _COMPOUNDING = 5, ("de",)
# The cache size: routing, listing and refusing read the same question.
_QUESTIONS_KEPT = 64
# Searchers write these operators in capitals; other words in capitals are names, such as "IT" and "US".
_OPERATORS = frozenset(["AND", "OR", "NOT"])
_APOSTROPHES = str.maketrans("\u2019", "'")


# The role of a word in a question for a list, by the name of its list. "any" is asking word and noun: "anything".
# "text" shows that the question is about texts: "the word". A "hold" is a verb with another sense too: "contains".
Kind = Literal["ask", "documents", "document", "any", "place", "text", "mention", "hold", "about", "plain"]
_NOUNS = frozenset[Kind]({"documents", "document", "any"})
_VERBS = frozenset[Kind]({"mention", "hold"})
# A question for a list has a word of these.
_LISTED = _NOUNS | {"text", "place"}
_ASKING = frozenset[Kind]({"ask", "any"})


class Word(NamedTuple):
    """A word or a set phrase of a question, folded, and its place there.

    A question word has kinds, and a word of the subject has none.
    """

    start: int
    end: int
    text: str
    kinds: frozenset[Kind]


class Language(NamedTuple):
    """The kinds of the words of a language, and its words for or, and, but, not."""

    name: str
    joins: Mapping[str, frozenset[str]]
    kinds: Mapping[str, frozenset[Kind]]
    pattern: re.Pattern[str]


@lru_cache(_QUESTIONS_KEPT)
def readings(question: str) -> Sequence[tuple[Language, list[Word]]]:
    """Return the words of a question as each language reads them; in Chinese, each sign is a word.

    The language that has most words of the question comes first.
    """
    folded = fold_each(question.translate(_APOSTROPHES))
    rows = []
    for language in map(_language, LANGUAGES):
        words = list[Word]()
        for match in language.pattern.finditer(folded):
            written = question[slice(*match.span())]
            lengths = range(len(match[0]) - 1, _LEAST_OF_COMPOUND - 1, -1) if language.name in _COMPOUNDING else ()
            nouns = (language.kinds.get(match[0][-size:], frozenset()) & _NOUNS for size in lengths)
            kinds = language.kinds.get(match[0]) or next(filter(None, nouns), frozenset())
            if len(written) > 1 and written.isupper() and written not in _OPERATORS and not question.isupper():
                kinds = frozenset()
            if "ask" in kinds and kinds & _VERBS:  # "name" asks only at the beginning
                kinds -= _VERBS if all(word.kinds == {"plain"} for word in words) else {"ask"}
            words.append(Word(*match.span(), match[0], kinds))
        rows.append((language, words))
    return sorted(rows, key=lambda row: sum(not word.kinds for word in row[1]))


@cache
def _language(name: str) -> Language:
    kinds: dict[str, set[Kind]] = {}
    for kind in get_args(Kind):
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
        {join: frozenset(map(fold, by_language(f"join.{join}")[name])) for join in ("or", "and", "but", "not")},
        {phrase: frozenset(roles) for phrase, roles in kinds.items()},
        re.compile("|".join(filter(None, patterns))),
    )


Span = tuple[int, int]

# Trim blanks in code: a pattern that does it takes cubic time on a question of blanks.
_QUOTED = re.compile('["“”„«「『]([^"“”„«»「」『』]+)["”“»」』]')
_COMMA = re.compile("[,;\u3001\uff0c\uff1b]")
_QUOTED_END = re.compile('\\s*["”“»」』]')
# A word of no kind that replaces a quotation.
_ANYTHING = "X"
_LONGEST_DESCRIPTION = 2

# Forms of a word differ in an ending of these, after a stem of at least four letters: "Brief", "Briefen".
_ENDINGS = ("ing", "ed", "en", "es", "e", "n", "s")
_SHORTEST_STEM = 4
# Words of other alphabets differ in up to this many last letters.
_ENDING = 3
# A word of a subject: letters, digits, or signs of a script without blanks.
_PART = re.compile(rf"(?:{UNSPACED.pattern})+|\d+|(?:(?!{UNSPACED.pattern})[^\W\d_])+")
_HYPHENS = "-\u00ad\u2010\u2011"
_HYPHEN = re.compile(rf"(?<=[^\W\d_])[{_HYPHENS}](?=[^\W\d_])")
_LAST_LATIN = 0x24F
# Hosted Chroma allows 8 predicates in a search, and the filter by documents needs some:
# https://docs.trychroma.com/cloud/quotas-limits
_MOST_PATTERNS = 6


@dataclass(frozen=True, slots=True)
class Term:
    """One subject: its `text`, and its `words` without question words."""

    text: str
    words: tuple[str, ...]

    @property
    def patterns(self) -> list[str]:
        """Regular expressions for the longest words, which each text with the term matches in any case."""
        return list(dict.fromkeys(map(_pattern, nlargest(_MOST_PATTERNS, self.words, key=len))))

    def is_verbatim_in(self, text: str) -> bool:
        """Return whether a text has all words of the term in order, question words included."""
        return re.search(_pattern(self.text), text, re.IGNORECASE) is not None

    def count_in(self, text: str) -> int:
        """Return how many words of the term a text has, in any place."""
        return sum(re.search(_pattern(word), text, re.IGNORECASE) is not None for word in self.words)


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a list: all or `any_term` of the `terms` must be there, and none of `without`.

    With `denied`, the question asks which documents do not have the subject.
    """

    terms: tuple[Term, ...]
    without: tuple[Term, ...] = ()
    any_term: bool = False
    denied: bool = False

    @property
    def patterns(self) -> list[str]:
        """Regular expressions that all match a text with a term, or with an excluded term."""
        terms = (*self.terms, *self.without)
        return terms[0].patterns if len(terms) == 1 else [f"(?:{'|'.join(term.patterns[0] for term in terms)})"]

    def closeness(self, text: str) -> tuple[bool, int]:
        """Return how much of the subject a text has, as a sort key: exact term first, then number of words."""
        return any(term.is_verbatim_in(text) for term in self.terms), sum(t.count_in(text) for t in self.terms)


def find_subject(question: str) -> Subject | None:
    """Return the subject of a question for a list; None if it has only question words or signs."""
    if spans := quotations(question):
        return _subject(question, spans)
    _, words = readings(question)[0]
    spans = []
    for place in _asked_places(words) or [place for place, word in enumerate(words) if not word.kinds]:
        word, before = words[place], words[place - 1] if place else None
        if before and spans and spans[-1][1] == before.end and not _COMMA.search(question, before.end, word.start):
            spans[-1] = (spans[-1][0], word.end)
        else:
            spans.append((word.start, word.end))
    return _subject(question, spans) if spans else None


def asks_for_list(question: str) -> bool:
    """Return whether a question, without its quotations, asks for a list."""
    if quoted := quotations(question):
        question = f"{question[: quoted[0][0]]}{_ANYTHING}{question[quoted[-1][1] :]}"
    _, words = readings(question)[0]
    places = _asked_places(words) if any(word.kinds & _LISTED for word in words) else []
    return any(map(str.isalpha, "".join(words[place].text for place in places)))


def quotations(question: str) -> list[Span]:
    """Return the places of the texts between quotation marks, without the blanks around them."""
    matches = ((match.start(1), match[1]) for match in _QUOTED.finditer(question) if match[1].strip())
    return [(start + len(text) - len(text.lstrip()), start + len(text.rstrip())) for start, text in matches]


def _asked_places(words: Sequence[Word]) -> list[int]:
    """Return the places of the subject's words if a question asks for a list, else none.

    Questions ask for documents that mention the subject ("which reports mention X"), for documents about it
    ("papers on X"), or for the places where it is mentioned ("where does X appear").
    """
    asking, verb = _first(words, _ASKING), _first(words, _VERBS)
    # The noun that the question asks for: after a question word, or the first word of all.
    nouns = (place for place, word in enumerate(words) if word.kinds & _NOUNS)
    begun = len(words) if asking is None else asking
    noun = next((place for place in nouns if place == 0 or place > begun or "any" in words[place].kinds), None)
    places = [place for place, word in enumerate(words) if not word.kinds]
    asks = max((n for n in range(noun + 1) if words[n].kinds & _ASKING), default=0) if noun is not None else 0
    if noun:  # up to two words describe the noun: "which annual reports"
        first = max(asks, noun - _LONGEST_DESCRIPTION - 1)
        places = [place for place in places if not first < place < noun or UNSPACED.match(words[place].text)]
    if noun is not None and verb is not None:
        link: int | None = verb
        after = words[verb + 1 : places[0]] if places else ()
        if any(asks < place < min(noun, verb) for place in places):  # "the steps that the report mentions"
            return []
        if after and (after[0].kinds & {"about"} or (noun == 0 and any("ask" in word.kinds for word in after))):
            return []  # "what does the report mention about X", "reports mention which countries"
        if not places and noun < verb and "mention" in words[verb].kinds:  # "which reports mention contracts"
            places = [place for place in range(verb + 1, len(words)) if words[place].kinds & _NOUNS]
    elif noun is not None:
        link = _first(words, {"about"}, asks + 1)
        if link is None or not places or places[0] < link:
            return []
    elif _first(words, {"text"}) is not None:
        link = verb
    else:  # "where does it occur" may not be about documents
        link = _first(words, {"mention"}) if _first(words, {"place"}) is not None else None
    return places if link is not None and _is_subject(words, places, link) else []


def _is_subject(words: Sequence[Word], places: Sequence[int], link: int) -> bool:
    """Return whether words can be a subject: on one side of the link, no question words, no mention verbs."""
    if not places or places[0] < link < places[-1]:
        return False
    inside = words[places[0] : places[-1] + 1]
    if any(word.kinds & {"ask", "mention"} and "plain" not in word.kinds for word in inside):
        return False
    # Only scripts without spaces put the subject before the question word.
    asks = _first(words, _ASKING | {"place"})
    return asks is None or asks < places[0] or UNSPACED.match(inside[0].text) is not None


def _first(words: Sequence[Word], kinds: Iterable[Kind], start: int = 0) -> int | None:
    return next((place for place in range(start, len(words)) if words[place].kinds & frozenset(kinds)), None)


def _subject(question: str, spans: Sequence[Span]) -> Subject | None:
    """Return the subject made of the words or quotations at these places; joining words separate its terms."""
    language, words = readings(question)[0]
    groups, joins, before_not = [[spans[0]]], set[str](), None
    for (_, end), (start, stop) in pairwise(spans):
        between = _texts(word for word in words if end <= word.start and word.end <= start)
        joining = {join for join, forms in language.joins.items() if between & forms}
        if before_not is None and {"not", "but"} <= joining:
            before_not = len(groups)
        elif (
            not joining & {"or", "and"}
            and not _QUOTED_END.match(question, end)
            and not _COMMA.search(question, end, start)
        ):
            groups[-1].append((start, stop))
            continue
        joins |= joining
        groups.append([(start, stop)])
    if not joins and not _QUOTED_END.match(question, spans[0][1]):  # "Kiel, Germany"
        groups = [[*spans]]
    terms = [
        Term(
            question[group[0][0] : group[-1][1]],
            tuple(word for span in group for word in question[slice(*span)].split() if _PART.search(word)),
        )
        for group in groups
    ]
    outside = _texts(word for word in words if word.end <= spans[0][0] or word.start >= spans[-1][1])
    subject = Subject(
        tuple(term for term in terms[:before_not] if term.patterns),
        tuple(term for term in terms[len(terms) if before_not is None else before_not :] if term.patterns),
        "or" in joins,
        not outside.isdisjoint(language.joins["not"]),
    )
    return subject if subject.terms else None


def _texts(words: Iterable[Word]) -> frozenset[str]:
    return frozenset(part for word in words for part in (word.text, *word.text.split("'")))


@lru_cache(_QUESTIONS_KEPT)
def _pattern(text: str) -> str:
    """Return a pattern for the words of a text in order, in any form, with or without accents and hyphens.

    It has no look-around, which the index does not know.
    """
    parts = _PART.findall(_HYPHEN.sub("", text))
    outside = ["" if UNSPACED.search(part) else r"\D" if part.isdecimal() else r"[\W\d_]" for part in parts]
    forms = r"[\W_]*".join(map(_forms, parts))
    before, after = outside[0] and f"(?:^|{outside[0]})", outside[-1] and f"(?:{outside[-1]}|$)"
    return f"{before}{forms}{after}"


def _forms(word: str) -> str:
    """Return a pattern for the forms of a word."""
    if UNSPACED.search(word) or word.isdecimal():
        return re.escape(word)
    if ord(max(word)) > _LAST_LATIN:
        return rf"{word[: max(_SHORTEST_STEM, len(word) - _ENDING)]}[^\W\d_]{{0,{2 * _ENDING}}}"
    stem = fold(word)
    endings = (ending for ending in _ENDINGS if stem.endswith(ending))
    ending = next((ending for ending in endings if len(stem) - len(ending) >= _SHORTEST_STEM), "")
    # "ss" can be one letter, as in "Stra\u00dfe".
    letters = re.sub("ss+", "s", stem.removesuffix(ending))
    classes = (f"[{letter}{_accented().get(letter, '')}]{'+' if letter == 's' else ''}" for letter in letters)
    return f"{f'[{_HYPHENS}]?'.join(classes)}(?:{'|'.join(_ENDINGS)}){{0,2}}"


@cache
def _accented() -> Mapping[str, str]:
    """Return the Latin letters with accents, by their letter without one."""
    accented: dict[str, str] = {}
    for letter in map(chr, range(0xC0, _LAST_LATIN + 1)):
        accented[fold(letter)[:1]] = accented.get(fold(letter)[:1], "") + letter
    return accented
