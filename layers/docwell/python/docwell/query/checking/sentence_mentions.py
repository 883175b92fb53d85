"""Find the mentions of figures in sentences. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from docwell.query.checking.asides import asides
from docwell.query.checking.bounds import bound
from docwell.query.checking.currencies import currency
from docwell.query.checking.facts import GRAMMAR, Figure, located
from docwell.query.checking.labels import labels
from docwell.query.checking.numberings import numberings
from docwell.query.checking.periods import Period, located_periods, periods
from docwell.query.checking.rates import is_of_rate, rate
from docwell.text.lexicon import UNSPACED, segments

PERCENT = re.compile(r"\s*(?:[%\uff05]|percent\b|per cent\b|prozent\b|pour cent\b|por ciento\b)", re.IGNORECASE)
# In a script without blanks, the unit is a sign, two with a prefix as in "\u4e2a\u6708", or a word in katakana.
_SIGN = UNSPACED.pattern
_NEXT_WORD = re.compile(
    rf"[\s-]?([\u30a1-\u30f4\u30fc]+|[\u4e2a\u500b\u7b87\u304b\u30f5\u30f6\u5c0f\u516c\u5e73\u5de5\u6beb\u5398\u5343\u7acb]{_SIGN}|{_SIGN}"
    rf"|(?:(?!{_SIGN})[^\W\d_])+)"
)
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[\s.]{1,2}$")
_MINUS = re.compile(r"(?<![\w)])[-\u2212][^\w\s]?$")
# Between the two figures of "340 miles (550 km)".
_IN_TWO_UNITS = re.compile(r"\s?[^\W\d_]+\s[(]\W*")
# Characters beside a figure that can hold its sign, or the word before it.
_BESIDE = 100
# A sentence that the chunk has whole; longer ones are tables without lines.
_LONGEST = 1200
# The column of a figure in the label of a row: "Copper pipe 15 mm 9.80".
LABEL = 1_000


@dataclass(frozen=True, slots=True)
class Mention:
    """A figure where a text has it, and what the text says of it there.

    `near` has the words of its row, or of its part of the sentence; `here` those of the whole sentence or of row,
    column head and caption, and `around` also those of the sentence before. `heads` are those of the columns of a
    table. `caption` has the words that give the `scale` of a table ("in thousands"), a power of ten. `unit` and
    `before` are the words after and before the figure; `sign` is a currency's or "%", and a figure of a sentence
    is `negative` with a minus. A figure that `is_date` is a part of a period, as both are in "Q3 2019". It can be
    `part_of` a text that counts nothing: a date other than a bare year, a time of day, or the number of a section
    or a phone. It can be a `bound` ("at least 5"), and for a span of time, its `rate` ("5 a month").
    """

    figure: Figure
    near: frozenset[str]
    here: frozenset[str]
    around: frozenset[str]
    text: str
    sentence: int
    periods: frozenset[str] = frozenset()
    heads: tuple[frozenset[str], ...] = ()
    column: int = -1
    scale: int = 0
    caption: str = ""
    sign: str = ""
    unit: str = ""
    before: str = ""
    negative: bool = False
    is_date: bool = False
    part_of: str = ""
    bound: str = ""
    rate: str = ""

    @property
    def in_table(self) -> bool:
        """Whether the figure is a cell."""
        return self.column >= 0

    @property
    def head(self) -> frozenset[str]:
        """The words of its column's head, none outside tables."""
        return self.heads[self.column] if 0 <= self.column < len(self.heads) else frozenset()

    @property
    def is_grammar(self) -> bool:
        """Whether the figure can be a mere word, as in "one of them"."""
        return self.figure.written.lower() in GRAMMAR


def has_percent(text: str) -> bool:
    """Return whether a text speaks of percents."""
    return PERCENT.search(text) is not None


def stated(sentence: str) -> list[Mention]:
    """Return the mentions of figures in one sentence of an answer."""
    return list(in_sentence(sentence))


def in_prose(prose: str, first: int) -> Iterator[Mention]:
    """Yield the mentions of the sentences of a text, which are numbered from `first`."""
    before = frozenset[str]()
    for number, (start, end) in enumerate(segments(prose, _LONGEST)):
        sentence = prose[start:end]
        yield from in_sentence(sentence, before, first + number)
        before = labels(sentence)


def in_sentence(sentence: str, before: frozenset[str] = frozenset(), number: int = 0) -> Iterator[Mention]:
    """Yield the mentions of a sentence, of this `number` in its text, behind one with the words `before`."""
    sentence = sentence.replace("\n", " ")
    spots = located(sentence)
    here = labels(sentence)
    dates = located_periods(sentence)
    numbers = numberings(sentence, dates) if spots else []
    found: list[Mention] = []
    for start, end, figure, scale in spots:
        sign = _sign(sentence, start, end)
        following = _NEXT_WORD.match(sentence, end)
        unit = following[1] if following and not (sign == "%" or is_of_rate(following[1])) else ""
        preceding = _WORD_BEFORE.search(sentence, max(0, start - _BESIDE), start)
        within = next((one for one in dates if one.start <= start < one.end), None)
        found.append(
            Mention(
                figure,
                here,
                here,
                here | before,
                sentence,
                number,
                scale=scale,
                sign=sign,
                unit=unit,
                before=preceding[1] if preceding and preceding.start() else "",
                negative=_MINUS.search(sentence, max(0, start - _BESIDE), start) is not None,
                is_date=within is not None and not sign,
                part_of="" if sign else next((sentence[a:b] for a, b in numbers if a <= start < b), ""),
                bound=bound(sentence, within.start if within else start, end, of_date=within is not None),
                rate="" if within else rate(sentence, start, end),
            )
        )
    plain = [index for index, one in enumerate(found) if not one.is_grammar]
    periods_of = dict(zip(plain, _periods(sentence, [spots[index] for index in plain]), strict=True))
    for date in (True, False):
        same = [index for index in plain if found[index].is_date == date]
        spans = [spots[index][:2] for index in same]
        parts = _parts_of_dates(sentence, spans, dates) if date else _parts(sentence, spans, dates)
        for index, near in zip(same, parts, strict=True):
            period = frozenset[str]() if date else periods_of[index]
            found[index] = replace(found[index], near=near, periods=period)
    yield from found


def _sign(sentence: str, start: int, end: int) -> str:
    """Return "%" or the sign of the currency beside a figure, or "" if none."""
    if PERCENT.match(sentence, end):
        return "%"
    beside = sentence[max(0, start - _BESIDE) : start].rstrip()[-1:], sentence[end : end + _BESIDE].strip()[:1]
    signs = (one for one in beside if one and unicodedata.category(one) == "Sc")
    return next(signs, "") or currency(sentence, start, end)


def _periods(sentence: str, spots: Sequence[tuple[int, int, Figure, int]]) -> list[frozenset[str]]:
    """Return the period of each figure: the k-th of as many ("5 in 2021 and 4 in 2020"), or a single figure's.

    A period before all figures holds for each. Otherwise it is open which figure a period belongs to.
    """
    named = located_periods(sentence)
    within = [any(one.start <= start < one.end for one in named) for start, *_ in spots]
    others = [index for index, inside in enumerate(within) if not inside]
    found = [frozenset[str]()] * len(spots)
    if len(named) == len(others):
        for index, one in zip(others, named, strict=True):
            found[index] = one.parts
    elif len(others) == 1 or (named and all(one.end <= spots[index][0] for one in named for index in others)):
        return [periods(sentence)] * len(spots)
    return found


def _parts_of_dates(
    sentence: str, spans: Sequence[tuple[int, int]], dates: Sequence[Period]
) -> list[frozenset[str]]:
    """Return the words of each date's part of a sentence: those of ", born in 1950," are of no other date.

    An aside also has the words before it, from the last date on: it tells more of them.
    """
    beside = asides(sentence)
    main = sentence
    for start, end in beside:
        main = f"{main[:start]}{' ' * (end - start)}{main[end:]}"
    around = [next((one for one in beside if one[0] <= start < one[1]), None) for start, _ in spans]
    outside = [span for span, aside in zip(spans, around, strict=True) if aside is None]
    parts = iter(_parts(main, outside, dates))
    own = {(start, end): max((one.end for one in dates if one.end <= start), default=0) for start, end in beside}
    return [labels(sentence[own[aside] : aside[1]]) if aside else next(parts) for aside in around]


def _parts(sentence: str, spans: Sequence[tuple[int, int]], dates: Sequence[Period]) -> list[frozenset[str]]:
    """Return the words of each figure's part of a sentence.

    If nothing follows the last figure, each owns the words before it; if nothing precedes the first, those after
    it; otherwise both, and all own the beginning. Figures without words between them ("7 to 10", "4:51"), and
    those of one date, share their words, and so does one whose own words are none (an ellipsis).
    """
    groups: list[tuple[int, int]] = []
    for start, end in spans:
        between = sentence[groups[-1][1] : start] if groups else ""
        of_one = any(one.start <= groups[-1][0] and end <= one.end for one in dates) if groups else False
        if groups and (of_one or not labels(between) or _IN_TWO_UNITS.fullmatch(between)):
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    if not groups[1:]:
        return [labels(sentence)] * len(spans)
    # What a semicolon parts from the last figure is of another thing.
    sentence = sentence[: groups[-1][1]] + re.split("[;\uff1b]", sentence[groups[-1][1] :])[0]
    ends = [end + (found.end() if (found := _NEXT_WORD.match(sentence[end:])) else 0) for _, end in groups]
    before = [sentence[left:start] for left, (start, _) in zip([0, *ends[:-1]], groups, strict=True)]
    starts = [*(start for start, _ in groups[1:]), len(sentence)]
    after = [sentence[end:stop] for (_, end), stop in zip(groups, starts, strict=True)]
    if not labels(sentence[ends[-1] :]):
        parts = [labels(text) for text in before]
    elif not labels(before[0]):
        parts = [labels(text) for text in after]
    else:
        beginning = labels(before[0])
        parts = [beginning | labels(f"{one} {other}") for one, other in zip(before, after, strict=True)]
    for index in range(1, len(parts)):
        parts[index] = parts[index] or parts[index - 1]
    units = [labels(sentence[end:stop]) for (_, end), stop in zip(groups, ends, strict=True)]
    for index, (stop, (start, _)) in enumerate(zip(ends, groups[1:], strict=False), 1):
        if not labels(sentence[stop:start]):  # "5 crews in 2021 and 4 in 2020"
            units[index] = units[index] or units[index - 1]
    owners = (bisect_right(groups, start, key=lambda group: group[1]) for start, _ in spans)
    return [parts[index] | units[index] for index in owners]
