"""Find what a list is about: "the Nile" in "Which reports mention the Nile?". Pure, but for the embedder.

A part between quotation marks is the subject in any case. Otherwise the words of the question show it
(`docwell.query.asked_lists`), or it is the part without which the question reads most like an example of a list
(`modes.json`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from heapq import nlargest
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from docwell.answers import Mode
from docwell.ports import Embedder
from docwell.query.asked_lists import asked_list
from docwell.query.examples import ANYTHING, Examples, Vectors, examples
from docwell.query.question_words import is_short_form, read
from docwell.query.terms import Join, denies, terms
from docwell.text.lexicon import FUNCTION_WORDS, UNSPACED, fold, ordered_words, stem

# Blanks are trimmed by code: a pattern that does takes cubic time on a question of blanks.
_QUOTED = re.compile('["“”„«「『]([^"“”„«»「」『』]+)["”“»」』]')
_QUOTE = re.compile('["“”„«»「」『』]')
_WORDS = re.compile(rf"{UNSPACED.pattern}|[^\W_]+(?:[-'&\u2019][^\W_]+)*")
# The most words of a subject, and the most parts of a question that are tried, at about 3 ms.
_LONGEST = 6
_MOST_TRIED = 40
# The most runs of words, the last ones. Questions for lists have 4 at most (of 130), and a long question has 300.
_MOST_RUNS = 8
# Of two parts that are about as likely, the shorter one: without "reports mention the Nile", too, a list is left.
_WORD_COST = 0.03
# Longer words with this share of equal letters from the first on are the same: "Mitarbeiter", "Mitarbeitern".
_SAME_BEGINNING = 6
_SAME_SHARE = 0.75
# Endings differ: the letters of a word that any form of it has, about.
_ENDING = 3
# Shorter words have forms with the endings of the question's language, from this length on: "Brief", "Briefen".
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
_FOUND_KEPT = 64
# Hosted Chroma allows 8 predicates in a search, and the documents need some:
# https://docs.trychroma.com/cloud/quotas-limits
_MOST_PATTERNS = 6
# The checks of one text follow each other, and texts share most of their words.
_READ_KEPT, _WORDS_KEPT = 16, 8192
_NEAR_QUANTILE = 0.25


class Typical(NamedTuple):
    """The lower quartile of `near` and the median `margin` of the examples of lists, each beside the others.

    Real questions are in other words, and so are further from the examples than these are from each other.
    """

    near: float
    margin: float


class _Word(NamedTuple):
    start: int
    end: int
    known: bool  # a word of asking


@dataclass(frozen=True, slots=True)
class Subject:
    """The `text` of a subject, and its phrases: words in order, with nothing between them.

    The question without it has this cosine, `near`, to an example of a list, and `margin` more than to all others.
    `shorter` is the likeliest part of it, of two words or more: "Ada Holt" of "Ada Holt quoted". `endings` are
    those of nouns in the question's language. A question that is `denied` asks what does not have the subject.

    A subject can have several `terms`, of which `join` says whether one is enough, and others that must not be
    there, `without`. It `may_be_one` phrase all the same: "Marks and Spencer".
    """

    text: str
    phrases: tuple[str, ...]
    near: float = -1.0
    margin: float = -1.0
    shorter: Subject | None = None
    endings: frozenset[str] = frozenset()
    denied: bool = False
    terms: tuple[Subject, ...] = ()
    without: tuple[Subject, ...] = ()
    join: Join = Join.ALL
    may_be_one: bool = False

    @property
    def is_of_list(self) -> bool:
        """Whether anything but the subject is left of the question; keywords alone ask for no list."""
        return self.near > -1.0

    @property
    def patterns(self) -> list[str]:
        """Regular expressions that match a text, in any case, if it mentions the subject, and some other texts.

        These are of its longest words, which the fewest texts have.
        """
        words = [word for phrase in self.phrases for word in _unhyphenated(phrase).split()]
        parts = dict.fromkeys(part for word in words for part in ordered_words(word))
        return list(dict.fromkeys(map(_pattern, nlargest(_MOST_PATTERNS, parts, key=len))))

    @property
    def pattern_of_terms(self) -> str:
        """A regular expression that matches a text if it has one of the terms, or what must not be there."""
        return f"(?:{'|'.join(one.patterns[0] for one in (*self.terms, *self.without))})"

    def is_verbatim_in(self, text: str) -> bool:
        """Return whether a text has all words of the subject in order, those of asking too."""
        return self._has_one(_readings(text), self.text)

    def is_in(self, text: str) -> bool:
        """Return whether a text has all phrases, or those of one of the terms."""
        if self.terms:
            return any(one.is_in(text) for one in self.terms)
        return all(self._has_one(_readings(text), phrase) for phrase in self.phrases)

    def is_loosely_in(self, text: str) -> bool:
        """Return whether a text has all words of the phrases, wherever they are."""
        said = [word for one in _readings(text) for word in one]
        words = [word for phrase in self.phrases for word in _words(phrase)]
        return bool(words) and all(self._has(said, [word]) for word in words)

    def count_in(self, text: str) -> int:
        """Return how many of the words a text has."""
        said = _words(text)
        return sum(self._has(said, [word]) for phrase in self.phrases for word in _words(phrase))

    def _has_one(self, readings: Sequence[Sequence[str]], phrase: str) -> bool:
        return any(self._has(said, words) for said in readings for words in _readings(phrase))

    def _has(self, said: Sequence[str], phrase: Sequence[str]) -> bool:
        return bool(phrase) and any(
            all(map(self._same, phrase, said[start : start + len(phrase)]))
            for start in range(len(said) - len(phrase) + 1)
            if said[start][0] == phrase[0][0]  # forms of a word begin alike, and this check is quick
        )

    def _same(self, one: str, other: str) -> bool:
        """Return whether two words are forms of one word, as far as their letters show."""
        if one == other or stem(one) == stem(other):
            return True
        short, long = sorted((one, other), key=len)
        if len(short) >= _SHORTEST_INFLECTED and long.startswith(short) and long[len(short) :] in self.endings:
            return True
        equal = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
        return equal >= _SAME_BEGINNING and equal >= _SAME_SHARE * len(long)


class Subjects:
    """Finds the subjects of questions: by their words, else by the vectors of the examples, `known`."""

    def __init__(self, embedder: Embedder, known: Examples | None = None) -> None:
        self._embedder = embedder
        self._known = known or Examples(embedder.embed_queries)
        # The router asks first, then the mode.
        self._found = lru_cache(_FOUND_KEPT)(self._find)
        self._margin = lru_cache(_FOUND_KEPT)(self._margin_of_runs)

    def find(self, question: str) -> Subject | None:
        """Return the subject of a question for a list; None where all its words are words of asking."""
        return self._found(question)

    def is_of_certain_list(self, question: str) -> bool:
        """Return whether the words of a question ask for a list. No other question is embedded for it."""
        return _asked(question) is not None and self.find(question) is not None

    def _find(self, question: str) -> Subject | None:
        quoted, asked = _quotations(question), _asked(question)
        if asked and not quoted:
            return _subject(question, asked)
        return self._likeliest(question, quoted)

    def has_margin(self, question: str, least: float) -> bool:
        """Return whether the question without one of its runs of words has so much of `Subject.margin`.

        `find` tries ten times as many parts. Of 65 questions that it takes for lists, 2 have less.
        """
        return self._margin(question) >= least

    def _margin_of_runs(self, question: str) -> float:
        """Return the highest margin of a run; one without end where `find` tries quotations alone."""
        if _quotations(question):
            return math.inf
        runs = [[*run] for is_known, run in groupby(self._words(question), lambda one: one.known) if not is_known]
        return float(np.max(self._compared(question, runs[-_MOST_RUNS:])[1])) if runs else -math.inf

    def _likeliest(self, question: str, quoted: Sequence[tuple[int, int]]) -> Subject | None:
        """Return the part without which an example of a list is left."""
        words = self._words(question)
        parts = _parts(question, words)[:_MOST_TRIED]
        if quoted:
            parts = [[_Word(*one, known=False) for one in quoted]]
        if not parts:
            return None
        near, margins = self._compared(question, parts)
        likely = np.argsort(-(near - _WORD_COST * np.array([len(part) for part in parts]))).tolist()
        number, best = likely[0], parts[likely[0]]
        within = (
            part
            for part in (parts[other] for other in likely[1:])
            if 1 < len(part) < len(best) and best[0].start <= part[0].start and part[-1].end <= best[-1].end
        )
        if not any(word.known for word in words if word not in best):  # keywords alone ask for no list
            return _subject_of(question, best)
        return replace(
            _subject_of(question, best),
            near=float(near[number]),
            margin=float(margins[number]),
            shorter=next((_subject_of(question, part) for part in within), None),
        )

    def _compared(self, question: str, parts: Sequence[Sequence[_Word]]) -> tuple[Vectors, Vectors]:
        """Return `near` and `margin` of the question without each of the parts, (n,) each."""
        texts = [f"{question[: part[0].start]}{ANYTHING}{question[part[-1].end :]}" for part in parts]
        vectors = self._embedder.embed_queries(texts)
        near = np.max(vectors @ self._lists.T, axis=1)
        return near, near - np.max(vectors @ self._others.T, axis=1)

    def _words(self, question: str) -> list[_Word]:
        return [
            _Word(*one.span(), known=fold(one[0]) in self._asking and not is_short_form(one[0], question))
            for one in _WORDS.finditer(question)
        ]

    @cached_property
    def typical(self) -> Typical:
        """The least `near` and `margin` of a question for a list."""
        near = self._lists @ self._lists.T
        np.fill_diagonal(near, -1.0)
        nearest = np.max(near, axis=1)
        margins = nearest - np.max(self._lists @ self._others.T, axis=1)
        return Typical(float(np.quantile(nearest, _NEAR_QUANTILE)), float(np.median(margins)))

    @cached_property
    def _lists(self) -> Vectors:
        return self._known.bare[Mode.LIST]

    @cached_property
    def _others(self) -> Vectors:
        return np.concatenate([rows for mode, rows in self._known.bare.items() if mode is not Mode.LIST])

    @cached_property
    def _asking(self) -> frozenset[str]:
        """The words of the examples without their subjects, and English function words."""
        return FUNCTION_WORDS | {fold(word) for text in examples(" ")[Mode.LIST] for word in _WORDS.findall(text)}


def quotation(question: str) -> tuple[int, int] | None:
    """Return (start, end) of the first text between quotation marks, without the blanks around it."""
    return next(_quoted(question), None)


def _quoted(question: str) -> Iterator[tuple[int, int]]:
    for found in _QUOTED.finditer(question):
        if text := found[1].strip():
            start = question.index(text, found.start(1))
            yield start, start + len(text)


def _quotations(question: str) -> list[tuple[int, int]]:
    """Return the places of the quoted texts that make the subject: the first one, or all that words join."""
    found = list(_quoted(question))
    return found if found and terms(question, found) else found[:1]


def _asked(question: str) -> tuple[tuple[int, int], ...] | None:
    """Return what `asked_list` returns for a question, whatever it quotes."""
    quoted = _quotations(question)
    if not quoted:
        return asked_list(question)
    return asked_list(f"{question[: quoted[0][0]]}{ANYTHING}{question[quoted[-1][1] :]}")


def _subject_of(question: str, part: Sequence[_Word]) -> Subject:
    """Return the part as a subject: words of asking part its phrases."""
    runs = [list(group) for known, group in groupby(part, lambda word: word.known) if not known]
    return _subject(question, [span for run in runs for span in _spans(question, run)])


def _spans(question: str, run: Sequence[_Word]) -> list[tuple[int, int]]:
    """Return the place of a run of words, or of each of several quotations."""
    if any(_QUOTE.search(question, one.end, other.start) for one, other in pairwise(run)):
        return [(one.start, one.end) for one in run]
    return [(run[0].start, run[-1].end)]


def _subject(question: str, spans: Sequence[tuple[int, int]]) -> Subject:
    """Return the subject of the phrases at these places."""
    start, end = spans[0][0], spans[-1][1]
    phrases, endings = tuple(question[slice(*span)] for span in spans), read(question)[0].endings
    whole = Subject(
        _QUOTE.sub("", question[start:end]), phrases, endings=endings, denied=denies(question, start, end)
    )
    parted = terms(question, spans)
    if parted is None:
        return whole
    wanted, without = (
        tuple(one for one in (Subject(" ".join(each), each, endings=endings) for each in some) if one.patterns)
        for some in (parted.wanted, parted.without)
    )
    if not wanted:
        return whole
    return replace(
        whole,
        phrases=tuple(phrase for one in wanted for phrase in one.phrases),
        terms=wanted,
        without=without,
        join=parted.join,
        may_be_one=parted.may_be_one,
    )


def _parts(question: str, words: Sequence[_Word]) -> list[Sequence[_Word]]:
    """Return the parts of a question that begin and end with words that are not of asking, the last ones first.

    Signs of a script without spaces stay together: some of the signs of a word are those of another.
    """
    found: list[Sequence[_Word]] = []
    for last in reversed(range(len(words))):
        for first in range(last, max(last - _LONGEST, -1), -1):
            part = words[first : last + 1]
            if part[0].known or part[-1].known:
                continue
            if not (_is_cut(question, words, first) or _is_cut(question, words, last + 1)):
                found.append(part)
    return found


def _is_cut(question: str, words: Sequence[_Word], at: int) -> bool:
    """Return whether two signs of one word, in a script without spaces, are before and after this place."""
    if not 0 < at < len(words) or words[at - 1].known or words[at].known:
        return False
    before, after = words[at - 1], words[at]
    both = question[before.start : after.end]
    return before.end == after.start and all(map(UNSPACED.match, both))


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


@lru_cache(_READ_KEPT)
def _readings(text: str) -> tuple[list[str], ...]:
    """Return the words of a text with hyphens as blanks, and without hyphens: "e-mail" is "e mail" and "email"."""
    joined = _unhyphenated(text)
    return (_words(text),) if joined == text else (_words(text), _words(joined))


def _unhyphenated(text: str) -> str:
    return _HYPHEN.sub("", text)
