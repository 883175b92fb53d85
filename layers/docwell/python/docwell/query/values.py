"""Find the dates, amounts and other values in a text, and the kinds of values that a question asks for. Pure.

The rules read signs and figures in any language, and words in English, German, French, Spanish and Chinese. Values
are as written: "1 May 2024" and "2024-05-01" are two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import NamedTuple

from docwell.media_types import MEDIA_TYPES
from docwell.query.checking.dates import MONTHS, doubtful_years, located_periods, numeric_dates
from docwell.query.checking.figures import PERCENT, located
from docwell.query.document_names import written
from docwell.query.subject import quotations, readings
from docwell.text.lexicon import SPELLED, SPELLED_ABROAD, UNSPACED, fold, fold_each, stem
from docwell.text.naming import file_words
from docwell.text.words import pattern, words

# "May 5" is a date, but "may 5" is not.
_VERB = re.compile(r"(?:may|march)\b")
_MONTH_SIGN = "\u6708"
_DAY_SIGN = re.compile(r"\s?\d{1,2}\s?[\u65e5\u53f7]")
# Signs of currencies (Unicode's category Sc), in the notation of a character class.
_SIGNS = (
    "$\u00a2-\u00a5\u058f\u060b\u07fe\u07ff\u09f2\u09f3\u09fb\u0af1\u0bf9\u0e3f\u17db\u20a0-\u20c0\ufdfc\ufe69"
    "\uff04\uffe0\uffe1\uffe5\uffe6"
)
_CODES = "|".join(words("value.code"))
_WORDS = pattern("value.currency")
_CURRENCY_BEFORE = re.compile(rf"(?:(?:US|CA|AU|NZ|HK|[SCAR])?[{_SIGNS}]|\b(?:{_CODES}))\s?\(?$")
# In a table row, the sign after the figure in "2019 $ 512" belongs to the next cell.
_CURRENCY_AFTER = re.compile(
    rf"(?:,[-\u2013]{{1,2}})?\.?\s?(?:[{_SIGNS}](?!\s*[\d(])|(?:{_CODES})\b|(?:de |d['\u2019]|of )?(?i:{_WORDS}))"
)
_LONGEST_CURRENCY = 6
# The first figure of "30 to 60 days", "5-7 %", "between 3 and 5 June"; in "rose in 2019 to 5 euros" it is a year.
_FROM = rf"(?<![\w.,'\u2019-])(?!(?:1[5-9]|20)\d\d\s)(?:\d[\d.,'\u2019]*|{'|'.join([*SPELLED, *SPELLED_ABROAD])})"
_RANGE_BEFORE = re.compile(
    rf"(?:\b(?:between|zwischen|entre)\s{_FROM}\s(?:and|und|et|y)\s"
    rf"|{_FROM}(?:[-\u2010-\u2015~\u301c]|\s(?:to|or|bis|oder|\u00e0|au?|ou|al?|o)\s|\s?[\u81f3\u5230]\s?))$",
    re.IGNORECASE,
)
_LONGEST_RANGE = 40
_DASH = re.compile(r"[-\u2010-\u2015]")
_TIME = pattern("value.time")
# "30 days", "ten (10) business days", "12-month".
_DURATION_AFTER = re.compile(
    rf"(?:\s?\(\d+\))?[\s-]?(?:(?:calendar|business|working|full|consecutive)\s)?(?:{_TIME})", re.IGNORECASE
)
_ORDINAL = re.compile(r"first|second|third|[a-z]+th", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b", re.IGNORECASE)
Spans = Iterator[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ValueKind:
    """A kind of values, by its English plural.

    `pattern` matches every text that can have one, in any case; Rust and Python read it alike. `spans` yields
    (start, end) of each value in a text of one line. A range has a second figure before or after the value.
    """

    plural: str
    pattern: str
    spans: Callable[[str], Spans]
    has_ranges: bool = True

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the values in a text, in order; a range is one: "30 to 60 days"."""
        text, last, values = text.replace("\n", " "), 0, list[tuple[int, int]]()
        for start, end in sorted(self.spans(text)):
            begins = max(last, start - _LONGEST_RANGE)
            before = _RANGE_BEFORE.search(text, begins, start) if self.has_ranges else None
            values.append((before.start() if before else start, end))
            last = end
        return values


def _dates(text: str) -> Spans:
    """Yield days, and months with their year. A year or a quarter alone is no date."""
    numeric = [(date.start, date.end) for date in numeric_dates(text)]
    yield from numeric
    for period in located_periods(text):
        day = _DAY_SIGN.match(text, period.end)
        end, written = day.end() if day else period.end, text[period.start : period.end]
        has_day = day or (_MONTH_SIGN not in written and any(map(str.isdecimal, written)))
        if (
            not _VERB.match(written)
            and any(part.startswith("M") for part in period.parts)
            and (has_day or any(map(str.isdecimal, period.parts)))
            and not any(period.start < stop and start < end for start, stop in numeric)
        ):
            yield period.start, end


def _years(text: str) -> Spans:
    """Yield years and ranges of years, alone and in dates, but no numbers that may be amounts."""
    doubtful = doubtful_years(text)
    for period in located_periods(text):
        years = frozenset(filter(str.isdecimal, period.parts))
        if years == period.parts and years.isdisjoint(doubtful):
            yield period.start, period.end


def _amounts(text: str) -> Spans:
    """Yield figures with a currency beside them, but not those whose currency is only in a table's caption."""
    spots = {start: end for start, end, _, _ in located(text)}
    for start, end in spots.items():
        before = _CURRENCY_BEFORE.search(text, max(0, start - _LONGEST_CURRENCY), start)
        after = None if before else _CURRENCY_AFTER.match(text, end)
        if before:  # "$ (640)" is negative
            is_negative = before[0].endswith("(") and text.startswith(")", end)
            is_range = _DASH.match(text, end) is not None  # "$5-7 million"
            yield before.start(), end + 1 if is_negative else spots.get(end + 1, end) if is_range else end
        elif after:
            yield start, after.end()


def _percentages(text: str) -> Spans:
    for start, end, _, _ in located(text):
        if percent := PERCENT.match(text, end):
            yield start, percent.end()


def _durations(text: str) -> Spans:
    """Yield figures and number words before a unit of time; "the third year" is none."""
    years = doubtful_years(text) | {part for period in located_periods(text) for part in period.parts}
    for start, end, figure, _ in located(text):
        unit = _DURATION_AFTER.match(text, end)
        if unit and not _ORDINAL.fullmatch(figure.written) and figure.written not in years:
            yield start, unit.end()


# By the names of their lists of words.
KINDS = {
    "dates": ValueKind("dates", r"\d", _dates),
    "years": ValueKind("years", r"\d\d", _years, has_ranges=False),
    "deadlines": ValueKind(
        "dates and durations", rf"\d|{_TIME}", lambda line: chain(_dates(line), _durations(line))
    ),
    "amounts": ValueKind("amounts of money", rf"[{_SIGNS}]|\b(?:{_CODES})\b|{_WORDS}", _amounts),
    "percentages": ValueKind("percentages", PERCENT.pattern, _percentages),
    "emails": ValueKind("e-mail addresses", "@", lambda text: (at.span() for at in _EMAIL.finditer(text))),
}

_TOKENS = re.compile(rf"{UNSPACED.pattern}|[^\W\d_]+|\d+")
_SAME_LETTERS = 6


class WantedValues(NamedTuple):
    """The kinds of values that a question asks for.

    `limits` are words that may restrict the list, such as "incidents" in "the dates of all incidents".
    """

    kinds: tuple[ValueKind, ...]
    limits: tuple[str, ...]

    def unmet(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the `limits` that are in none of these document names and are no file suffix."""
        forms = {_form(word) for name in (*names, *MEDIA_TYPES) for word in _TOKENS.findall(name)}
        return tuple(word for word in self.limits if _form(word) not in forms)


def wanted_values(question: str, documents: Iterable[str] | None = None) -> WantedValues | None:
    """Return the kinds of values that a question asks to list; None if it asks for none, or has a quotation.

    A kind with a word before it, as in "all delivery dates", is another subject. With `documents`, also return
    None for a question that asks for more than the values of all documents, or of those that it names.
    """
    beginning, nouns_of = _value_patterns()
    match = None if quotations(question) else beginning.search(fold_each(question))
    if match is None:
        return None
    kinds = [KINDS[noun] for noun in dict.fromkeys(kind.lastgroup for kind in nouns_of.finditer(match[0])) if noun]
    if {KINDS["deadlines"], KINDS["dates"]} <= set(kinds):
        kinds.remove(KINDS["dates"])  # deadlines include dates
    asking = (word for word in readings(question)[0][1] if word.kinds)
    plain = [
        match.span(),
        *(
            (word.start, word.end)
            for word in asking
            if not (word.text in MONTHS and question[word.start].isupper())
        ),
    ]
    limits = dict.fromkeys(
        token[0]
        for token in _TOKENS.finditer(question)
        if not any(start <= token.start() < stop for start, stop in plain)
    )
    values = WantedValues(tuple(kinds), tuple(limits))
    names = None if documents is None else [file_words(name.key) for name in written(question, documents)]
    return None if names is not None and values.unmet(names) else values


def _form(word: str) -> str:
    return stem(fold(word))[:_SAME_LETTERS]


@cache
def _value_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns for "list all the dates and amounts", "every date", and one kind in such a list."""
    whole, counted, between, each, conjunction = (
        pattern(*(f"value.{name}" for name in names))
        for names in (("all", "counted"), ("counted",), ("between",), ("each",), ("and",))
    )
    plural = pattern(*(f"value.plural.{kind}" for kind in KINDS))
    single = pattern(*(f"value.single.{kind}" for kind in KINDS))
    # A counted number of years is a duration.
    beginning = (
        rf"(?!(?:{counted})\s(?:{pattern('value.plural.years')}))"
        rf"(?:(?:{whole})\s?(?:(?:{between})\s?){{0,3}}(?:{plural})|(?:{each})\s(?:{single}))"
        rf"(?:\s?(?:,|{conjunction})\s?(?:(?:{whole}|{between}|{each})\s?){{0,3}}(?:{plural}|{single}))*"
    )
    nouns = {kind: pattern(f"value.plural.{kind}", f"value.single.{kind}") for kind in KINDS}
    return re.compile(beginning), re.compile("|".join(f"(?P<{kind}>{noun})" for kind, noun in nouns.items()))
