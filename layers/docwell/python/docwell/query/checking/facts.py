"""Read the figures and names of a text, and find them in other texts in any spelling. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from docwell.query.checking.periods import month_of, numeric_dates, whole_year
from docwell.text.lexicon import FUNCTION_WORDS, SPELLED, SPELLED_ABROAD, TEXTS_KEPT, UNSPACED, fold, sentences

# Words that are as often grammar as figures ("one of them", "the two", "a second look").
GRAMMAR = frozenset({"one", "two", "first", "second", "third", "zwei", "deux", "dos"})
# Powers of ten, as filings in English, German, French and Chinese write them.
SCALES = {
    "hundred": 2, "thousand": 3, "k": 3, "million": 6, "mn": 6, "m": 6, "billion": 9, "bn": 9, "b": 9,
    "trillion": 12, "tn": 12, "tausend": 3, "tsd": 3, "millionen": 6, "mio": 6, "milliarden": 9, "milliarde": 9,
    "mrd": 9, "millier": 3, "milliard": 9, "\u5343": 3, "\u4e07": 4, "\u842c": 4, "\u767e\u4e07": 6, "\u4ebf": 8,
    "\u5104": 8,
}  # fmt: skip

# No letter or digit stands before a figure, but in scripts without blanks anything does.
AFTER_NO_WORD = rf"(?<![^\W{UNSPACED.pattern[1:-1]}])(?<![.,])"
# A comma, full stop, apostrophe or blank groups thousands; a comma or full stop precedes decimals.
_FIGURE = re.compile(
    rf"{AFTER_NO_WORD}(?:fy|q)?"
    r"(?P<number>\d{1,3}(?P<gap>[,.'\u2019\u00a0\u202f ])\d{3}(?:(?P=gap)\d{3})*(?!\d)(?:[.,]\d+)?"
    r"|\d+(?:[.,]\d+)*)(?P<part>[\u00bd\u00bc\u00be])?(?P<rest>\s?(?:[a-z]+(?![^\W\d_])|[\u5343\u767e\u4e07\u842c\u4ebf\u5104]+))?",
    re.IGNORECASE,
)
# "28\u4e075,000" is 285,000, and "3\u4ebf5000\u4e07" 350 million.
_COMPOUND = re.compile(
    r"(?<![\d.,])(?=\d+[\u4ebf\u5104]\d|\d+[\u4e07\u842c]\d)(?:(?P<hundred_millions>\d{1,4})[\u4ebf\u5104])?"
    r"(?:(?P<ten_thousands>\d{1,4})[\u4e07\u842c])?(?P<ones>\d,\d{3}|\d{1,4})?(?![\d,.]*\d)(?![\u5343\u767e])"
)
_FRACTIONS = {"\u00bd": ".5", "\u00bc": ".25", "\u00be": ".75"}
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_VALUES = SPELLED | SPELLED_ABROAD
# "five", "twenty-five", "two hundred", "three million"; "drei", but not "vingt-cinq" nor "cinco mil".
_SPELLED_NUMBER = re.compile(
    rf"\b(?:(?P<tens>{_TENS})[\s-](?P<unit>one|two|three|four|five|six|seven|eight|nine)|(?P<word>{'|'.join(SPELLED)}))"
    r"(?:[\s-](?P<scale>hundred|thousand|million|billion)\b)?\b"
    rf"|(?<!-)\b(?P<foreign>{'|'.join(SPELLED_ABROAD)})\b"
    r"(?!-|\s(?:y|et|mil|mille|cents?|tausend|hundert|mill?i\w+|mio|mrd)\b)",
    re.IGNORECASE,
)

_OTHER_DIGIT = re.compile(r"(?![0-9])\d|[\u066b\u066c]")
_SEPARATORS = {"\u066b": ".", "\u066c": ","}
_NAME_WORD = re.compile(r"(?:[A-Z]\.){2,}|[^\W_]+(?:[&.'\u2019][^\W_]+)*")
_POSSESSIVE = re.compile(r"['\u2019]s?$")
# Words of German, where every noun has a capital and so capitals do not mark names.
_GERMAN_WORDS = """
    der die das den dem des und ist sind war wie wer was wann wo welche welcher welches ein eine einen
    von für nicht mit auf im zu
"""
_GERMAN = frozenset(_GERMAN_WORDS.split())
# Words that are often capitalised and name nothing.
_OFTEN_CAPITALISED = "fy q q1 q2 q3 q4 mr mrs ms dr usd eur euro gbp"
_NO_NAMES = FUNCTION_WORDS | frozenset(_OFTEN_CAPITALISED.split())

# 1990s, 12th, FY2022 and FY2023Q1 are figures, despite their letters.
_FIGURE_WORD = re.compile(r"(?:FY|Q)?\d+(?:s|st|nd|rd|th|Q\d)?", re.IGNORECASE)

_SHORT = 4
# The difflib ratio of a misspelling; two swapped letters in a word of six give 0.83.
_CLOSE = 0.82
# Shorter words stand in other words by chance.
_SHORTEST_JOINED = 6


class Figure(NamedTuple):
    """A figure as written, the plain decimals that it can mean, and its `parts` if blanks divide it.

    A scale word after it gives further forms, as 5 and 5000000 for "5 million"; `plain` lacks these.
    """

    written: str
    forms: frozenset[str]
    parts: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()


class Name(NamedTuple):
    """One word of a name, with the initials of the whole name ("us" for each word of United States)."""

    written: str
    initials: str = ""


def figures(text: str) -> list[Figure]:
    """Return the figures of a text in order: digits with separators, and number words from three on.

    A figure has both forms if its separator can mean thousands or decimals, or if a scale word follows.
    """
    return [figure for _, _, figure, _ in located(text) if figure.written.lower() not in GRAMMAR]


def located(text: str) -> list[tuple[int, int, Figure, int]]:
    """Return (start, end, figure, power of ten of its scale word) of the figures of a text, in order."""
    return sorted([*_numbers(text), *map(_spelled, _SPELLED_NUMBER.finditer(text))], key=lambda found: found[0])


def names(text: str) -> list[Name]:
    """Return the words of names in a text, each once.

    A capitalised word inside a sentence belongs to a name. So does one at its start that is capitalised elsewhere,
    and any word with two capitals, or with letters and digits. Capitals say nothing in titles and in German.
    """
    if text.isupper():
        return []
    runs = [run for sentence in sentences(text) for run in _runs(sentence)]
    inside = {fold(word) for run in runs for position, word in run if position and _capitalised(word)}
    plain = _capitals_mean_nothing(text)
    found: dict[str, Name] = {}
    for run in runs:
        kept = [
            word
            for position, word in run
            if _coded(word) or (not plain and _capitalised(word) and (position or fold(word) in inside))
        ]
        initials = "".join(word[0] for word in kept).casefold() if len(kept) > 1 else ""
        for word in kept:
            found.setdefault(fold(word), Name(_POSSESSIVE.sub("", word), initials))
    return list(found.values())


class Known(NamedTuple):
    """The figures and names that some texts state. In doubt, a text states them.

    `joined` has no blanks, so that "Superbowl" is in "Super Bowl". `months` are those of dates in digits.
    """

    figures: frozenset[str]
    words: frozenset[str]
    joined: str
    initials: str
    capitals: str
    months: frozenset[int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Known:
        """Return what any of the texts states."""
        stated = [_stated(text) for text in texts]
        return cls(
            figures=frozenset[str]().union(*(one.figures for one in stated)),
            words=frozenset[str]().union(*(one.words for one in stated)),
            joined=" ".join(one.joined for one in stated),
            initials=" ".join(one.initials for one in stated),
            capitals=" ".join(one.capitals for one in stated),
            months=frozenset[int]().union(*(one.months for one in stated)),
        )

    def has_figure(self, figure: Figure) -> bool:
        """Return whether the texts state a figure in one of its forms."""
        whole = not self.figures.isdisjoint(figure.forms)
        return whole or (bool(figure.parts) and self.figures.issuperset(figure.parts))

    def has_name(self, name: Name) -> bool:
        """Return whether the texts state a name's word in another form, misspelt by a letter, or as initials.

        Initials match both ways: EPS for earnings per share, and United States for U.S.
        """
        word = fold(name.written)
        candidates = {word, word.replace(".", ""), word.removesuffix("s"), word + "s"}
        if candidates & self.words or name.initials in self.words or self._has_initials(name.written):
            return True
        if month_of(word) in self.months:
            return True
        if all(fold(piece) in self.words for piece in _pieces(name.written)):
            return True
        if len(word) < _SHORT or word.isdecimal():
            return False
        if len(word) >= _SHORTEST_JOINED and word in self.joined:
            return True
        alike = [other for other in self.words if other[0] == word[0]]
        return any(_derived(word, other) for other in alike) or bool(get_close_matches(word, alike, 1, _CLOSE))

    def _has_initials(self, written: str) -> bool:
        capitals = fold("".join(character for character in written if character.isupper()))
        if len(capitals) < len("EU") or not _coded(written):
            return False
        # Any text has two initials side by side by chance, so they must be capitals.
        return capitals in self.capitals or (len(capitals) > len("EU") and capitals in self.initials)


@lru_cache(TEXTS_KEPT)
def _stated(text: str) -> Known:
    found = {form for _, _, figure, _ in _numbers(text) for form in (*figure.forms, *figure.parts)}
    found |= {_trimmed(digits) for digits in re.findall(r"\d+", _plain_digits(text))}
    found |= {form for match in _SPELLED_NUMBER.finditer(text) for form in _spelled(match)[2].forms}
    tokens = [
        token if token.isalnum() else _POSSESSIVE.sub("", token)
        for token in _NAME_WORD.findall(text.replace("_", " "))
    ]
    folded = [fold(token) for token in tokens]
    pieces = [fold(piece) for token in tokens for piece in _pieces(token)]
    return Known(
        figures=frozenset(found),
        words=frozenset({*folded, *pieces, *(fold(token.replace(".", "")) for token in tokens if "." in token)}),
        joined="".join(folded),
        initials="".join(piece[:1] for piece in pieces),
        capitals="".join(
            word[:1] if token[:1].isupper() else " "
            for token, word in zip(tokens, folded, strict=True)
            if word not in FUNCTION_WORDS
        ),
        months=frozenset(date.month for date in numeric_dates(text) if date.month),
    )


def _spelled(match: re.Match[str]) -> tuple[int, int, Figure, int]:
    """Return (start, end, figure, power of ten) of a number in words."""
    parts = ("tens", "unit", "word", "foreign")
    value = str(sum(int(_VALUES[match[part].lower()]) for part in parts if match[part]))
    scale = SCALES[match["scale"].lower()] if match["scale"] else 0
    forms = frozenset({value, shifted(value, scale)})
    return *match.span(), Figure(match[0], forms, plain=frozenset({value})), scale


def _numbers(text: str) -> Iterator[tuple[int, int, Figure, int]]:
    text = _plain_digits(text)
    dates = [date for date in numeric_dates(text) if date.day]
    for date in dates:
        # The month may stand in letters elsewhere.
        written, of_date = text[date.start : date.end], (str(date.day), date.year)
        yield date.start, date.end, Figure(written, frozenset({written}), of_date, frozenset(of_date)), 0
    compounds = list(_compounds(text))
    yield from compounds
    taken = [*((date.start, date.end) for date in dates), *((start, end) for start, end, *_ in compounds)]
    for match in _FIGURE.finditer(text):
        if any(start < match.end() and match.start() < end for start, end in taken):
            continue
        rest = (match["rest"] or "").strip().lower()
        number = match["number"]
        # 777X and 3G are names; 1990s, 12th and 5km are figures.
        if rest and match["rest"][0].isalpha() and len(rest) == 1 and rest not in {"s", "x", *SCALES}:
            continue
        values = _values(number, match["gap"])
        if len(number) == len("22") and match[0].lower().startswith("fy"):
            values.add(whole_year(number))
        if match["part"]:
            values = {value + _FRACTIONS[match["part"]] for value in values}
        scale = SCALES.get(rest) or SCALES.get(rest.removesuffix("s")) or 0
        forms = values | ({shifted(value, scale) for value in values} if scale else set())
        parts = tuple(_trimmed(part) for part in number.split(" ")) if match["gap"] == " " else ()
        end = match.end() if scale else match.end("part" if match["part"] else "number")
        written = match.string[match.start() : end]
        yield match.start(), end, Figure(written, frozenset(forms), parts, frozenset(values)), scale


def _compounds(text: str) -> Iterator[tuple[int, int, Figure, int]]:
    """Yield the figures that Chinese and Japanese write in groups of four digits with signs between them."""
    for match in _COMPOUND.finditer(text):
        groups = {"hundred_millions": 8, "ten_thousands": 4, "ones": 0}
        value = sum(int((match[name] or "0").replace(",", "")) * 10**power for name, power in groups.items())
        yield *match.span(), Figure(match[0], forms := frozenset({str(value)}), plain=forms), 0


def _values(number: str, gap: str | None) -> set[str]:
    """Return the plain decimals that digits with separators can mean."""
    if gap is None:
        if number.count(".") + number.count(",") > 1:  # 2.3.1 is a section, and 1,2,3 a list
            return {number}
        return {_trimmed(number.replace(",", "."))}
    values = {_trimmed(number.replace(gap, "").replace(",", "."))}
    if gap in ",." and number.count(gap) == 1 and number.replace(gap, "").isdecimal():  # 1.234 can be 1,234
        values.add(_trimmed(number.replace(gap, ".")))
    return values


def _trimmed(value: str) -> str:
    whole, _, decimals = value.partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def shifted(value: str, places: int) -> str:
    """Return a plain decimal times a power of ten."""
    whole, _, decimals = value.partition(".")
    return _trimmed(f"{whole}{decimals[:places].ljust(places, '0')}.{decimals[places:]}")


def _plain_digits(text: str) -> str:
    """Return the text, of the same length, with 0 to 9 for other scripts' digits, and "." or "," between them."""
    return _OTHER_DIGIT.sub(lambda found: _SEPARATORS.get(found[0]) or str(unicodedata.decimal(found[0])), text)


def _runs(sentence: str) -> Iterator[list[tuple[int, str]]]:
    """Yield the runs of capitalised words, as (position in the sentence, word)."""
    run: list[tuple[int, str]] = []
    before = 0
    for position, match in enumerate(_NAME_WORD.finditer(sentence)):
        word = match[0]
        plain = fold(_POSSESSIVE.sub("", word)) in _NO_NAMES or _FIGURE_WORD.fullmatch(word)
        named = not plain and (_capitalised(word) or _coded(word))
        if run and (not named or sentence[before : match.start()].strip()):
            yield run
            run = []
        if named:
            run.append((position, word))
        before = match.end()
    if run:
        yield run


def _capitalised(word: str) -> bool:
    return word[0].isupper() and len(word) > 1


def _coded(word: str) -> bool:
    """Return whether a word has two capitals, or letters and digits together."""
    capitals = sum(character.isupper() for character in word)
    letters = any(character.isalpha() for character in word)
    return (
        capitals >= len("EU")
        or (capitals == 1 and not word[0].isupper())
        or (letters and bool(capitals) and any(character.isdecimal() for character in word))
    )


def _capitals_mean_nothing(text: str) -> bool:
    tokens = [token for sentence in sentences(text) for token in _NAME_WORD.findall(sentence)[1:]]
    titled = sum(token.casefold() in FUNCTION_WORDS and token[0].isupper() and len(token) > 1 for token in tokens)
    # One can be part of a name ("The The").
    return titled > 1 or sum(token in _GERMAN for token in tokens) > 1


def _pieces(word: str) -> list[str]:
    if word.isalnum():
        return [word]
    return [piece for piece in re.split(r"[&.'\u2019-]", word) if piece]


def _derived(word: str, other: str) -> bool:
    """Return whether one word begins with the other and is little longer, as America and Americans."""
    short, long = sorted((word, other), key=len)
    return len(short) >= _SHORT and long.startswith(short) and len(long) - len(short) <= len("ans")
