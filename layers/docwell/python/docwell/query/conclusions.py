"""Conclude from the rows of a comparison what can be checked without a model: an order of figures or dates. Pure.

Figures are compared if all rows have one of the same unit, and dates if the question asks for a time. In doubt,
nothing is concluded.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise, product
from typing import NamedTuple

from docwell.answers import Sentence
from docwell.query.checking.bounds import bound
from docwell.query.checking.claims import says_less
from docwell.query.checking.currencies import is_currency
from docwell.query.checking.facts import shifted
from docwell.query.checking.labels import labels
from docwell.query.checking.moments import asks_for_time
from docwell.query.checking.periods import named_periods
from docwell.query.checking.sentence_mentions import Mention, stated
from docwell.query.checking.table_mentions import scale_of
from docwell.query.values import DATES, YEARS
from docwell.text.lexicon import MARKER, words

_YEAR_FIRST = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})")
_DAY_FIRST = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})")
_DAY = re.compile(r"(?<!\d)\d{1,2}(?!\d)")
_LETTER = re.compile(r"[^\W\d_]")
_MONTHS = 12
# "\u20ac5\u201310", "5% - 7%".
_TO = r"\s?[^\w\s]?\s?[-\u2010-\u2015]\s?[^\w\s]?"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# A text with one of these writes 1,234 and 1.234 as English does. French, German and Spanish have none of them.
_ENGLISH = frozenset(["the", "of", "and", "is", "are", "were", "have", "it", "its"])
# "-5%", "$(640)".
_NEGATIVE = re.compile(r"(?<![\w)])[-\u2212][^\w\s]?\d|\([^\w\s]?\d[\d.,]*\s?%?\)")


class Row(NamedTuple):
    """A row of a comparison: the name of its document, and its checked sentences, none where it has no answer."""

    name: str
    sentences: Sequence[Sentence]


class _Value(NamedTuple):
    """A figure or date of a row as `written`, the ranges (least, greatest) that it can mean, and its markers."""

    written: str
    ranges: frozenset[tuple[Decimal, Decimal]]
    markers: tuple[int, ...]


class _Unit(NamedTuple):
    """A sign of a currency or "%", the words of the unit, and whether the figure is a rate or a bound."""

    sign: str
    words: frozenset[str]
    rate: str
    bound: str


def conclusion(question: str, rows: Sequence[Row]) -> Sentence | None:
    """Return the order of the rows' figures or dates, with citations; None if it is not certain."""
    if not rows[1:] or not all(row.sentences and all(map(_is_sure, row.sentences)) for row in rows):
        return None
    if told := _told(rows, _figures(question, rows), "Largest first", descending=True):
        return told
    return _told(rows, _dates(rows), "Earliest first", descending=False) if asks_for_time(question) else None


def _is_sure(sentence: Sentence) -> bool:
    return sentence.supported and not sentence.missing


def _told(rows: Sequence[Row], values: Sequence[_Value], how: str, *, descending: bool) -> Sentence | None:
    """Return the rows in the order of their values, None where the order of two is open."""
    pairs = list(zip(rows, values, strict=True)) if values else []
    ordered = sorted(pairs, key=lambda pair: min(pair[1].ranges), reverse=descending)
    if not ordered or not all(_is_certain(one, other) for (_, one), (_, other) in pairwise(ordered)):
        return None
    groups = [
        " = ".join(
            f"{row.name} ({value.written}) {''.join(f'[{marker}]' for marker in value.markers)}"
            for row, value in group
        )
        for _, group in groupby(ordered, key=lambda pair: pair[1].ranges)
    ]
    text = f"{how if groups[1:] else 'Equal'}: {'; '.join(groups)}."
    return Sentence(text, tuple(marker for _, value in ordered for marker in value.markers), 1.0, supported=True)


def _is_certain(one: _Value, other: _Value) -> bool:
    """Return whether two values are equal, or one is greater however both are read."""
    if one.ranges == other.ranges and len(one.ranges) == 1:
        return True
    pairs = [*product(one.ranges, other.ranges)]
    return all(a[0] > b[1] for a, b in pairs) or all(a[1] < b[0] for a, b in pairs)


def _figures(question: str, rows: Sequence[Row]) -> list[_Value]:
    """Return a figure of each row, all of one unit; none where more than one unit may be meant.

    Nor where one is of a loss or a fall: without its sign it has another order.
    """
    texts = [MARKER.sub("", sentence.text) for row in rows for sentence in row.sentences]
    if any(_NEGATIVE.search(text) or says_less(text) for text in texts):
        return []
    asked = frozenset(form for one in stated(question) for form in one.figure.forms)
    found = [_by_unit(row, asked) for row in rows]
    common = set(found[0]).intersection(*found[1:])
    if any(len(units) > 1 for units in found):
        common = {unit for unit in common if not unit.words.isdisjoint(labels(question))}
    if len(common) != 1:
        return []
    (unit,) = common
    values = [one[unit] for one in found]
    return [value for value, *others in values if not others] if all(len(one) == 1 for one in values) else []


def _by_unit(row: Row, asked: frozenset[str]) -> Mapping[_Unit, list[_Value]]:
    """Return the figures of a row, but dates and those of the question, by unit."""
    found: dict[_Unit, dict[frozenset[tuple[Decimal, Decimal]], _Value]] = {}
    for sentence in row.sentences:
        text = MARKER.sub("", sentence.text)
        for one in stated(text):
            unit = _Unit(one.sign, _words(one), one.rate, one.bound)
            if one.is_date or one.is_grammar or not asked.isdisjoint(one.figure.forms):
                continue
            ranges = _readings(one, text) if unit.sign or unit.words else frozenset[tuple[Decimal, Decimal]]()
            found.setdefault(unit, {}).setdefault(ranges, _Value(_written(one), ranges, sentence.markers))
    return {unit: [*values.values()] for unit, values in found.items() if all(values)}


def _readings(one: Mention, text: str) -> frozenset[tuple[Decimal, Decimal]]:
    """Return the numbers that a figure can mean, none if its scale is open, or if it is an end of a range."""
    written = re.escape(one.figure.written)
    if re.search(rf"{written}{_TO}\d|\d{_TO}{written}", text):
        return frozenset()
    plain = {value for value in one.figure.plain if _NUMBER.fullmatch(value)}
    if not one.scale and scale_of(text):  # the scale of a caption, or of another figure
        return frozenset()
    # An English sentence about a document in another language can have its "1.200 Euro".
    is_copied = "." in one.figure.written and one.sign not in {"", "%"}
    if len(plain) > 1 and not is_copied and not _ENGLISH.isdisjoint(words(text)):
        choose = max if "," in one.figure.written else min
        plain = {choose(plain, key=Decimal)}
    return frozenset((Decimal(value),) * 2 for value in (shifted(form, one.scale) for form in plain))


def _written(one: Mention) -> str:
    if one.sign == "%":
        return f"{one.figure.written}%"
    sign = "" if is_currency(one.unit) else one.sign  # not "€5 euros"
    return " ".join(f"{sign}{one.figure.written} {one.unit}".split())


def _words(one: Mention) -> frozenset[str]:
    """Return the words of a figure's unit; that of a currency is its sign."""
    return frozenset() if one.sign and is_currency(one.unit) else labels(one.unit)


def _dates(rows: Iterable[Row]) -> list[_Value]:
    """Return the only date of each row, or its only year; none where a row has another number of them.

    Nor where only some are bounds: "before 2024" and "in 2023".
    """
    values, bounds = list[_Value](), set[str]()
    for row in rows:
        found: dict[str, _Value] = {}
        for sentence in row.sentences:
            text = MARKER.sub("", sentence.text)
            for start, end in DATES.find(text) or YEARS.find(text):
                bounds.add(bound(text, start, end, of_date=True))
                found.setdefault(
                    text[start:end], _Value(text[start:end], _days(text[start:end]), sentence.markers)
                )
        if len(found) != 1 or not all(one.ranges for one in found.values()):
            return []
        values += found.values()
    return values if len(bounds) == 1 else []


def _days(written: str) -> frozenset[tuple[Decimal, Decimal]]:
    """Return the first and the last day of a date, a month or a year; nothing for 3/4/2024 and "5 May"."""
    year = month = day = None
    if numeric := _YEAR_FIRST.fullmatch(written) or _DAY_FIRST.fullmatch(written):
        year, month, day = (int(numeric[name]) for name in ("year", "month", "day"))
    elif (written.isdecimal() or _LETTER.search(written)) and len(named := named_periods(written)) == 1:
        years = [part for part in named[0].parts if part.isdecimal()]
        months = [part for part in named[0].parts if part.startswith("M")]
        year = int(years[0]) if len(years) == 1 else None
        month = int(months[0][1:]) if months else None
        rest = _DAY.findall(written.replace(str(year), ""))
        day = int(rest[0]) if months and rest else None
    if not year:
        return frozenset()
    with suppress(ValueError):
        first = date(year, month or 1, day or 1)
        last = date(year, month or _MONTHS, day or monthrange(year, month or _MONTHS)[1])
        return frozenset({(Decimal(first.toordinal()), Decimal(last.toordinal()))})
    return frozenset()
