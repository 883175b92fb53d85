"""Read the years, quarters and months that a text names, and compare them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from docwell.text.lexicon import TEXTS_KEPT, UNSPACED, fold
from docwell.text.words import numbers, words

# FY70 means 1970, and FY69 means 2069.
_LAST_CENTURY = 70
_MOST_DAYS, _MOST_MONTHS = 31, 12
# Case-sensitive: ignoring case in this class adds 2 ms to the compilation of each pattern.
_LETTER = rf"(?-i:[^\W{UNSPACED.pattern[1:-1]}])"
_YEAR = rf"(?:1[5-9]|20)\d\d(?!{_LETTER})(?!\s?%|[.,]\d)"
_TO = r"\s?(?:[-\u2010-\u2015/]|\b(?:to|through|until|bis|\u00e0|au?|al|hasta)\b|\u5e74?[\u81f3\u5230])\s?"
# "$1577" is an amount.
_NO_CURRENCY = r"(?<![$\u00a2-\u00a5\u20a0-\u20cf])(?<![$\u00a2-\u00a5\u20a0-\u20cf]\s)"
# "2015", "2015-2017", "2015-17", "FY2021/22", "2019-03", "between 2015 and 2017".
_YEARS = re.compile(
    rf"(?<!{_LETTER})(?<![.,]){_NO_CURRENCY}(?P<between>(?:between|zwischen|entre)\s)?(?:FY[\s'\u2019]?)?"
    rf"(?P<first>{_YEAR})"
    rf"(?:(?:{_TO}|(?(between)\s(?:and|und|et|y)\s|(?!)))(?:FY)?(?P<last>{_YEAR})"
    rf"|[-\u2010-\u2015/](?P<short>\d\d)(?!{_LETTER}))?",
    re.IGNORECASE,
)
# "2024-03-31", "31.03.2024", "3/31/2024". A year of two digits needs two-digit parts: 3.1.12 is a section.
_NUMERIC_DATE = re.compile(
    r"(?<![\w./-])(?:(?P<year>(?:1[5-9]|20)\d\d)(?P<dash>[-/.])(?P<month>\d{1,2})(?P=dash)(?P<day>\d{1,2})"
    r"|(?P<left>\d{1,2})(?P<slash>[-/.])(?P<right>\d{1,2})(?P=slash)(?P<last>(?:1[5-9]|20)\d\d)"
    r"|(?P<short_left>\d\d)(?P<dot>[/.])(?P<short_right>\d\d)(?P=dot)(?P<short>\d\d))(?![\w/]|[.,-]\d)"
)
_FISCAL = re.compile(rf"(?<!{_LETTER})FY\s?['\u2019]?(\d\d)(?!{_LETTER})", re.IGNORECASE)
# "Q3", "3Q19", "Q3'19", "H1".
_QUARTER = re.compile(rf"(?<!{_LETTER})(?:([QH])([1-4])|([1-4])([QH]))(?:['\u2019]?(\d\d))?(?!{_LETTER})")
_ORDINAL_QUARTER = re.compile(
    rf"(?<!\w)(\w{{1,12}})[\s.-]{{1,2}}(?:{'|'.join(words('quarter'))})|\u7b2c?([\u4e00\u4e8c\u4e09\u56db1-4])\u5b63\u5ea6",
    re.IGNORECASE,
)
_MONTH_SIGN = re.compile(r"(1[0-2]|0?[1-9])\u6708")
_WORD = re.compile(r"[^\W\d_]{3,}")
_ORDINALS, _PLAIN_MONTHS = numbers("ordinal"), numbers("month")
MONTHS = _PLAIN_MONTHS | numbers("month_in_date")
_DATING = frozenset([*words("before_year"), *MONTHS, *words("quarter")])
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_DAY_BEFORE = re.compile(rf"(?<![\d.,]){_DAY}(?:\.|st|nd|rd|th|er)?\s(?:de\s|of\s)?$")
_DAY_AFTER = re.compile(rf"\.?\s{_DAY}(?:st|nd|rd|th)?(?![\d%]|[.,]\d)")
_YEAR_AFTER = re.compile(r"[.,]?\s(?:de\s|of\s|del\s)?(?:1[5-9]|20)\d\d")
# The text between the parts of "the third quarter of 2019" and "31 March, 2019".
_BETWEEN = re.compile(r"[.,]?\s?(?:of\s|de\s|del\s|des\s|du\s|in\s)?(?:the\s)?|\u5e74\u7b2c?")
_WORD_BEFORE, _WORD_AFTER = re.compile(r"([^\W\d_]+)\s*$"), re.compile(rf"\s{_LETTER}{{2,}}")
# A Chinese sign after a year shows a count, except the signs for "year", "to" and "the nth".
_COUNTED = re.compile(rf"(?![\u5e74\u81f3\u5230\u7b2c]){UNSPACED.pattern}")
# The most characters before a year to read: "después de el ".
_BEFORE = 20


class Period(NamedTuple):
    """A period as a text names it, and its `parts`: years as "2019", others as "Q3", "H1" or "M12"."""

    start: int
    end: int
    parts: frozenset[str]


class NumericDate(NamedTuple):
    """A date in digits. `day` and `month` are 0 where either may come first."""

    start: int
    end: int
    year: str
    month: int
    day: int


def periods(text: str) -> frozenset[str]:
    """Return the parts of all periods that a text names; every year of a range."""
    return frozenset[str]().union(*(period.parts for period in located_periods(text)))


def agree(parts: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether two sets of parts can mean one period: they share a part of each kind that both have."""
    ours, theirs = _by_kind(parts), _by_kind(others)
    return all(not ours[kind].isdisjoint(theirs[kind]) for kind in ours.keys() & theirs.keys())


def doubtful_years(text: str) -> frozenset[str]:
    """Return the years that may be amounts: "1500 employees", but also the year of "Acme 2019 sales"."""
    return frozenset(match["first"] for match in _YEARS.finditer(text) if _is_amount(text, match))


@lru_cache(TEXTS_KEPT)
def located_periods(text: str) -> tuple[Period, ...]:
    """Return the periods that a text names, in order. "March 31, 2019" is one, and so is "2015 to 2017"."""
    merged: list[Period] = []
    for period in sorted(_named(text), key=lambda period: (period.start, -period.end)):
        last = merged[-1] if merged else None
        if last and period.start < last.end:
            continue
        if (
            last
            and _by_kind(last.parts).keys().isdisjoint(_by_kind(period.parts))
            and _BETWEEN.fullmatch(text, last.end, period.start)
        ):
            merged[-1] = Period(last.start, period.end, last.parts | period.parts)
        else:
            merged.append(period)
    return tuple(merged)


def numeric_dates(text: str) -> Iterator[NumericDate]:
    """Yield the dates in digits. "31.03.2024" begins with its day; in "3/4/2024" day or month may come first."""
    for match in _NUMERIC_DATE.finditer(text):
        groups = match.group("month", "day", "left", "right", "short_left", "short_right")
        left, right = (int(part) for part in groups if part)
        if not (1 <= min(left, right) <= _MOST_MONTHS and max(left, right) <= _MOST_DAYS):
            continue
        year = match["year"] or match["last"] or whole_year(match["short"])
        if match["year"]:
            month, day = left, right
        elif left > _MOST_MONTHS or ("." in match[0] and right <= _MOST_MONTHS):
            month, day = right, left
        elif right > _MOST_MONTHS:
            month, day = left, right
        else:
            month = day = 0
        yield NumericDate(*match.span(), year, month, day)


def whole_year(digits: str) -> str:
    """Return the year that two digits mean: "2022" for "22"."""
    return f"{'19' if int(digits) >= _LAST_CENTURY else '20'}{digits}"


def _named(text: str) -> Iterator[Period]:
    """Yield the dates, years, quarters and months of a text, one kind after another."""
    for date in numeric_dates(text):
        yield Period(date.start, date.end, frozenset({date.year, *([f"M{date.month}"] if date.month else [])}))
    for match in _YEARS.finditer(text):
        end, parts = _of_years(match)
        yield Period(match.start("first"), end, parts)
    for match in _FISCAL.finditer(text):
        yield Period(*match.span(), frozenset({whole_year(match[1])}))
    for match in _QUARTER.finditer(text):
        quarter = {f"{match[1] or match[4]}{match[2] or match[3]}", *([whole_year(match[5])] if match[5] else [])}
        yield Period(*match.span(), frozenset(quarter))
    for match in _ORDINAL_QUARTER.finditer(text):
        if number := _ORDINALS.get(fold(match[1] or match[2])):
            yield Period(*match.span(), frozenset({f"Q{number}"}))
    for match in _MONTH_SIGN.finditer(text):
        yield Period(*match.span(), frozenset({f"M{int(match[1])}"}))
    for match in _WORD.finditer(text):
        if month := _month(text, match):
            yield month


def _is_amount(text: str, match: re.Match[str]) -> bool:
    """Return whether a single year may be an amount."""
    if match["last"] or match["short"] or match.start() != match.start("first"):
        return False
    if _COUNTED.match(text, match.end()):
        return True
    before = _WORD_BEFORE.search(text, max(0, match.start() - _BEFORE), match.start())
    if before is None or not _WORD_AFTER.match(text, match.end()):
        return False
    return fold(before[1]) not in _DATING


def _of_years(match: re.Match[str]) -> tuple[int, frozenset[str]]:
    """Return the end and the parts of a year or a range of years."""
    first, short = int(match["first"]), int(match["short"] or 0)
    last = int(match["last"] or first - first % 100 + short)
    if last > first:
        return match.end(), frozenset(map(str, range(first, last + 1)))
    if 1 <= short <= _MOST_MONTHS:  # "2019-03"
        return match.end(), frozenset({match["first"], f"M{short}"})
    return match.end("first"), frozenset({match["first"]})


def _month(text: str, match: re.Match[str]) -> Period | None:
    """Return the month that a word names, with its day."""
    word = fold(match[0])
    if word not in MONTHS:
        return None
    before = _DAY_BEFORE.search(text, max(0, match.start() - _BEFORE), match.start())
    after = _DAY_AFTER.match(text, match.end())
    if not (word in _PLAIN_MONTHS or before or after or _YEAR_AFTER.match(text, match.end())):
        return None
    start = before.start() if before else match.start()
    return Period(start, after.end() if after else match.end(), frozenset({f"M{MONTHS[word]}"}))


def _by_kind(parts: Iterable[str]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for part in parts:
        kinds.setdefault("" if part.isdecimal() else part[0], set()).add(part)
    return kinds
