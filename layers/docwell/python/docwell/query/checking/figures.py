"""Read the figures of a text: of its sentences and of the cells of its tables. Pure.

Each figure has its unit, period and bound, and the words that tell its subject.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from docwell.query.checking.dates import Period, located_periods, numeric_dates, periods
from docwell.text.lexicon import (
    FUNCTION_WORDS,
    FUNCTION_WORDS_OF,
    SPELLED,
    SPELLED_ABROAD,
    TEXTS_KEPT,
    UNSPACED,
    content_words,
    is_sheet_row,
    language_of,
    rarity,
    segments,
    stem,
)
from docwell.text.words import names, pattern, words

# Number words that are often mere grammar: "one of them", "the two", "a second look".
_GRAMMAR = frozenset(words("grammar"))
# Powers of ten, as filings write them.
SCALES = {word: int(power) for power in names("scale") for word in words(f"scale.{power}")}
# No letter or digit may precede a figure, except in scripts without blanks.
_AFTER_NO_WORD = rf"(?<![^\W{UNSPACED.pattern[1:-1]}])(?<![.,])"
# A comma, full stop, apostrophe or blank groups thousands; a comma or full stop precedes decimals.
_FIGURE = re.compile(
    rf"{_AFTER_NO_WORD}(?:fy|q)?"
    r"(?P<number>\d{1,3}(?P<gap>[,.'\u2019\u00a0\u202f ])\d{3}(?:(?P=gap)\d{3})*(?!\d)(?:[.,]\d+)?"
    r"|\d+(?:[.,]\d+)*)(?P<rest>\s?(?:[a-z]+(?![^\W\d_])|[\u5343\u767e\u4e07\u842c\u4ebf\u5104]+))?",
    re.IGNORECASE,
)
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
# The letters of a stem to compare, so that "employs" and "employees" are equal.
_BEGINNING = 6
_SCALE_STEMS = frozenset(map(stem, SCALES)) | {stem(word + "s") for word in SCALES}
_ASKING_SIGNS = re.compile("|".join(sorted(words("asking.sign"), key=len, reverse=True)))
# Shorter words are mostly grammar, in every language.
_LONG_WORD = 6
SHORT_FORM = re.compile(r"\b[A-Z]{2,5}\b")
PERCENT = re.compile(r"\s*(?:[%\uff05]|percent\b|per cent\b|prozent\b|pour cent\b|por ciento\b)", re.IGNORECASE)
# In scripts without blanks, a unit is one sign, two signs as in "个月", or a word in katakana.
_SIGN = UNSPACED.pattern
_NEXT_WORD = re.compile(
    rf"[\s-]?([\u30a1-\u30f4\u30fc]+|[\u4e2a\u500b\u7b87\u304b\u30f5\u30f6\u5c0f\u516c\u5e73\u5de5\u6beb\u5398\u5343\u7acb]{_SIGN}|{_SIGN}"
    rf"|(?:(?!{_SIGN})[^\W\d_])+)"
)
# Search this many characters beside a figure for its sign.
_BESIDE = 100
# A longer sentence is a table without line breaks.
_LONGEST = 1200
# The text between a bound and its figure: "At least EUR 5".
_TO_FIGURE = r"\s*(?:\b(?:the|dem|am|le|el|[A-Z]{3})\s+)?[^\w\s]?$"
_BOUND_BEFORE = re.compile(
    rf"(?<![a-z])(?:(?P<upper>{'|'.join(words('bound.upper'))})|(?P<lower>{'|'.join(words('bound.lower'))})){_TO_FIGURE}",
    re.IGNORECASE,
)
# Orders of equally many figures (F) and periods (P): alternating, or "in 2021 and 2020, 5 and 4".
_PAIRED = re.compile("(?:PF)+|(?:FP)+|P+F+|F+P+")
# The most characters that the words of a bound take.
_BOUND_REACH = 60
_YEAR = re.compile(rf"{_AFTER_NO_WORD}(?:FY)?((?:1[5-9]|20)\d\d)(?![^\W{UNSPACED.pattern[1:-1]}])(?!\s?%|[.,]\d)")
_CELL = re.compile(r"[(\u2212+-]{0,2}(?:\d{1,3}(?:[.,'\u2019]\d{3})+|\d+)(?:[.,]\d+)?\)?%?\)?")
# Text between cells, or in place of an empty cell.
_FILLER = re.compile(r"[%)\u2030]+|[^\w\s(]?[(]?\$?|US\$")
_EMPTY_CELL = re.compile(r"[-\u2013\u2014\u2212]+|n/a", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[(\uff08]([^()\uff08\uff09]{1,80})[)\uff09]")
_THOUSANDS_DIGITS = 3
# A caption in a line without brackets has at most this many words: "In thousands of euros".
_CAPTION_WORDS = 8
# A caption's exceptions, as amounts per share, have no thousands and two decimals.
_EXCEPT = re.compile(rf"(?i:{pattern('caption.except')})")
_EXCEPTED = re.compile(r"\D*\d{1,3}[.,]\d\d\D*")
# The cache size, more than the passages of one question: the mentions of a table take up to 400 KB.
_PASSAGES_KEPT = 64


class Figure(NamedTuple):
    """A figure as written, the plain decimals that it can mean, and its `parts` if blanks divide it.

    A scale word after it adds forms, as 5 and 5000000 for "5 million"; `plain` does not include them.
    """

    written: str
    forms: frozenset[str]
    parts: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mention:
    """A figure at a place of a text, and the words that describe it there.

    `near` has the words of its row, or of its part of the sentence; `here` those of the whole sentence or of row,
    column head and caption. `heads` are those of the columns of a table. `caption` has the words that give the
    `scale` of a table ("in thousands"), a power of ten. `unit` is the word after the figure, and `sign` is a
    currency's or "%". A figure that `is_date` is a part of a period, as both are in "Q3 2019". It can be a `bound`
    ("at least 5").
    """

    figure: Figure
    near: frozenset[str]
    here: frozenset[str]
    periods: frozenset[str] = frozenset()
    heads: tuple[frozenset[str], ...] = ()
    column: int = -1
    scale: int = 0
    caption: str = ""
    sign: str = ""
    unit: str = ""
    is_date: bool = False
    bound: str = ""

    @property
    def in_table(self) -> bool:
        """Whether the figure is a cell."""
        return self.column >= 0

    @property
    def head(self) -> frozenset[str]:
        """The words of its column's head; none outside tables."""
        return self.heads[self.column] if 0 <= self.column < len(self.heads) else frozenset()

    @property
    def is_grammar(self) -> bool:
        """Return whether the figure can be a mere word, as in "one of them"."""
        return self.figure.written.lower() in _GRAMMAR


def figures(text: str) -> list[Figure]:
    """Return the figures of a text in order: digits with separators, and number words from three on.

    A figure has both forms if its separator can mean thousands or decimals, or if a scale word follows.
    """
    return [figure for _, _, figure, _ in located(text) if figure.written.lower() not in _GRAMMAR]


def located(text: str) -> list[tuple[int, int, Figure, int]]:
    """Return (start, end, figure, power of ten of its scale word) of the figures of a text, in order."""
    return sorted([*_numbers(text), *map(_spelled, _SPELLED_NUMBER.finditer(text))], key=lambda place: place[0])


@lru_cache(TEXTS_KEPT)
def known_forms(text: str) -> frozenset[str]:
    """Return the forms of all figures of a text, of their parts, and of each run of digits."""
    runs = (_trimmed(digits) for digits in re.findall(r"\d+", _OTHER_DIGIT.sub(_plain_digit, text)))
    return frozenset(runs).union(*(figure.forms.union(figure.parts) for _, _, figure, _ in located(text)))


@lru_cache(TEXTS_KEPT)
def labels(text: str) -> frozenset[str]:
    """Return the words that can name a figure: beginnings of stems, without figures."""
    return frozenset(
        word[:_BEGINNING]
        for word in content_words(text)
        if not (word.isdecimal() or word in _SCALE_STEMS or (UNSPACED.search(word) and re.search(r"\d", word)))
    )


def asked_labels(question: str) -> frozenset[str]:
    """Return the words of a question without its question words, unless it has no others."""
    return labels(_ASKING_SIGNS.sub(" ", question)) or labels(question)


def weights_of(named: Iterable[str], passages: Sequence[str]) -> dict[str, float]:
    """Return the weights of words: by rarity among the passages, and less for short words, but not "PUE"."""
    texts = [labels(passage) for passage in passages]
    short_forms = labels(" ".join(SHORT_FORM.findall(" ".join(passages))))
    return {
        word: rarity(sum(word in text for text in texts), len(texts))
        * (min(len(word), _LONG_WORD) if word.isascii() and word not in short_forms else _LONG_WORD)
        for word in named
    }


def weight_of(weights: dict[str, float], named: frozenset[str]) -> float:
    """Return the share (0 to 1) that some words have of the weights; 1.0 without weights."""
    # Round, so that a share equal to a limit reaches it.
    total = math.fsum(weights.values())
    return round(math.fsum(weights[word] for word in named & weights.keys()) / total, 9) if total else 1.0


def in_sentence(sentence: str, over: frozenset[str] = frozenset()) -> list[Mention]:
    """Return the mentions of a sentence below a heading with the words `over`."""
    sentence = sentence.replace("\n", " ")
    spots = located(sentence)
    if not spots:
        return []
    here = labels(sentence) | over
    dates = located_periods(sentence)
    mentions: list[Mention] = []
    grammar = FUNCTION_WORDS_OF.get(language_of(sentence), frozenset())
    for start, end, figure, scale in spots:
        sign = _sign(sentence, start, end)
        following = _NEXT_WORD.match(sentence, end)
        bound = _BOUND_BEFORE.search(sentence, max(0, start - _BOUND_REACH), start)
        within = next((date for date in dates if date.start <= start < date.end), None)
        mentions.append(
            Mention(
                figure,
                here,
                here,
                scale=scale,
                sign=sign,
                unit=following[1] if following and sign != "%" and following[1] not in grammar else "",
                periods=within.parts if within else frozenset(),
                is_date=within is not None and not sign,
                bound=(bound.lastgroup or "") if bound and not within else "",
            )
        )
    plain = [index for index, mention in enumerate(mentions) if not mention.is_grammar]
    periods_of = dict(zip(plain, _periods(sentence, [spots[index] for index in plain]), strict=True))
    for is_date in (True, False):
        same = [index for index in plain if mentions[index].is_date == is_date]
        parts = _parts(sentence, [spots[index][:2] for index in same], dates)
        for index, near in zip(same, parts, strict=True):
            period = mentions[index].periods if is_date else periods_of[index]
            mentions[index] = replace(mentions[index], near=near | over, periods=period)
    return mentions


def shifted(value: str, places: int) -> str:
    """Return a plain decimal times a power of ten."""
    whole, _, decimals = value.partition(".")
    return _trimmed(f"{whole}{decimals[:places].ljust(places, '0')}.{decimals[places:]}")


def _spelled(match: re.Match[str]) -> tuple[int, int, Figure, int]:
    """Return (start, end, figure, power of ten) of a number in words."""
    parts = ("tens", "unit", "word", "foreign")
    value = str(sum(int(_VALUES[match[part].lower()]) for part in parts if match[part]))
    scale = SCALES[match["scale"].lower()] if match["scale"] else 0
    figure = Figure(match[0], frozenset({value, shifted(value, scale)}), plain=frozenset({value}))
    return *match.span(), figure, scale


def _numbers(text: str) -> Iterator[tuple[int, int, Figure, int]]:
    text = _OTHER_DIGIT.sub(_plain_digit, text)
    dates = [date for date in numeric_dates(text) if date.day]
    for date in dates:
        # Do not include the month: elsewhere it may be a word.
        written, of_date = text[date.start : date.end], (str(date.day), date.year)
        yield date.start, date.end, Figure(written, frozenset({written}), of_date, frozenset(of_date)), 0
    for match in _FIGURE.finditer(text):
        if any(date.start < match.end() and match.start() < date.end for date in dates):
            continue
        rest = (match["rest"] or "").strip().lower()
        number = match["number"]
        values = _values(number, match["gap"])
        scale = SCALES.get(rest) or SCALES.get(rest.removesuffix("s")) or 0
        forms = values | ({shifted(value, scale) for value in values} if scale else set())
        parts = tuple(_trimmed(part) for part in number.split(" ")) if match["gap"] == " " else ()
        end = match.end() if scale else match.end("number")
        written = match.string[match.start() : end]
        yield match.start(), end, Figure(written, frozenset(forms), parts, frozenset(values)), scale


def _values(number: str, gap: str | None) -> set[str]:
    """Return the plain decimals that digits with separators can mean."""
    if gap is None:
        if number.count(".") + number.count(",") > 1:  # 2.3.1 is a section, and 1,2,3 a list
            return {number}
        return {_trimmed(number.replace(",", "."))}
    values = {_trimmed(number.replace(gap, "").replace(",", "."))}
    if gap in ",." and number.count(gap) == 1 and number.replace(gap, "").isdecimal() and number[-3:] != "000":
        values.add(_trimmed(number.replace(gap, ".")))
    return values


def _trimmed(value: str) -> str:
    whole, _, decimals = value.partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def _plain_digit(match: re.Match[str]) -> str:
    """Return 0 to 9 for a digit of another script, and "." or "," for a sign between such digits."""
    return _SEPARATORS.get(match[0]) or str(unicodedata.decimal(match[0]))


def _sign(sentence: str, start: int, end: int) -> str:
    """Return "%" or the sign of the currency beside a figure, or "" if none."""
    if PERCENT.match(sentence, end):
        return "%"
    beside = sentence[max(0, start - _BESIDE) : start].rstrip()[-1:], sentence[end : end + _BESIDE].strip()[:1]
    signs = (character for character in beside if character and unicodedata.category(character) == "Sc")
    return next(signs, "")


def _periods(sentence: str, spots: Sequence[tuple[int, int, Figure, int]]) -> list[frozenset[str]]:
    """Return the period of each figure: the k-th of as many ("5 in 2021 and 4 in 2020"), or a single figure's.

    A period before all figures applies to each. Otherwise the period of a figure is unknown.
    """
    named = located_periods(sentence)
    within = [any(period.start <= start < period.end for period in named) for start, *_ in spots]
    amounts = [index for index, inside in enumerate(within) if not inside]
    starts = sorted([*((period.start, "P") for period in named), *((spots[index][0], "F") for index in amounts)])
    order = "".join(kind for _, kind in starts)
    assigned = [frozenset[str]()] * len(spots)
    if _PAIRED.fullmatch(order) and len(named) == len(amounts):
        for index, period in zip(amounts, named, strict=True):
            assigned[index] = period.parts
    elif len(amounts) == 1 or re.fullmatch("P+F+", order):
        return [periods(sentence)] * len(spots)
    return assigned


def _parts(sentence: str, spans: Sequence[tuple[int, int]], dates: Sequence[Period]) -> list[frozenset[str]]:
    """Return the words of each figure's part of a sentence.

    If no words follow the last figure, each figure owns the words before it; if none precede the first, the words
    after it; otherwise both, and all own the beginning. Figures without words between them ("7 to 10", "4:51"),
    figures of one date, and a figure without words (an ellipsis) share words.
    """
    groups: list[tuple[int, int]] = []
    for start, end in spans:
        between = sentence[groups[-1][1] : start] if groups else ""
        same_date = any(date.start <= groups[-1][0] and end <= date.end for date in dates) if groups else False
        if groups and (same_date or not labels(between)):
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    if not groups[1:]:
        return [labels(sentence)] * len(spans)
    # Text after a semicolon is about something else.
    sentence = sentence[: groups[-1][1]] + re.split("[;\uff1b]", sentence[groups[-1][1] :])[0]
    ends = [end + (word.end() if (word := _NEXT_WORD.match(sentence[end:])) else 0) for _, end in groups]
    before = [sentence[left:start] for left, (start, _) in zip([0, *ends[:-1]], groups, strict=True)]
    starts = [*(start for start, _ in groups[1:]), len(sentence)]
    after = [sentence[end:stop] for (_, end), stop in zip(groups, starts, strict=True)]
    if not labels(sentence[ends[-1] :]):
        parts = [labels(text) for text in before]
    elif not labels(before[0]):
        parts = [labels(text) for text in after]
    else:
        beginning = labels(before[0])
        parts = [beginning | labels(f"{left} {right}") for left, right in zip(before, after, strict=True)]
    for index in range(1, len(parts)):
        parts[index] = parts[index] or parts[index - 1]
    units = [labels(sentence[end:stop]) for (_, end), stop in zip(groups, ends, strict=True)]
    for index, (stop, (start, _)) in enumerate(zip(ends, groups[1:], strict=False), 1):
        if not labels(sentence[stop:start]):  # "5 crews in 2021 and 4 in 2020"
            units[index] = units[index] or units[index - 1]
    owners = (bisect_right(groups, start, key=lambda group: group[1]) for start, _ in spans)
    return [parts[index] | units[index] for index in owners]


def numbers(figure: Figure) -> frozenset[str]:
    """Return a figure as a label of the row of a sheet."""
    return frozenset(f"={form}" for form in figure.forms)


class _Row(NamedTuple):
    """A line of a table: the words before its cells, and the cells."""

    label: str
    cells: tuple[str, ...]


def _row_of(line: str) -> _Row | None:
    """Return the label and the cells of a line that ends with figures; None for other lines."""
    if is_sheet_row(line):  # its cells have their names beside them
        return None
    tokens = line.split()
    start, cells = len(tokens), list[str]()
    while start:
        token = tokens[start - 1]
        cell = token.lstrip("$\u20ac\u00a3\u00a5")
        if _CELL.fullmatch(cell) or _EMPTY_CELL.fullmatch(token):
            cells.insert(0, token)
        elif not _FILLER.fullmatch(token):
            break
        start -= 1
    label = " ".join(tokens[:start])
    only_years = all(_YEAR.fullmatch(cell) for cell in cells)
    if not cells or only_years or not any(map(str.isalpha, label)):
        return None
    return _Row(label, tuple(cells))


def is_table_row(line: str) -> bool:
    """Return whether a line alone is a row of a table: it has heads beside its cells, or two figures."""
    return is_sheet_row(line) or ((row := _row_of(line)) is not None and len(row.cells) > 1)


@lru_cache(_PASSAGES_KEPT)
def mentions(text: str, part: str = "") -> tuple[Mention, ...]:
    """Return the mentions of figures in a text: the cells of tables, and the figures of sentences.

    A cut table can have its heads in the text of the same `part` of its document.
    """
    mentioned: list[Mention] = []
    above, prose = "", ""
    block: list[_Row] = []
    lines = text.split("\n")
    rows = [_row_of(line) for line in lines]

    def end_block() -> None:
        if block:  # without rows, skip the text above
            mentioned.extend(_in_table(above, block, part))
            block.clear()

    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        beside = list(filter(None, rows[max(0, number - 1) : number + 2]))
        if row and max(len(row.cells), len(beside)) > 1:  # a line of one cell is a row only beside another row
            prose += "\n"  # a blank line ends a sentence
            block.append(row)
            continue
        end_block()
        if is_sheet_row(line):
            prose += "\n"
            mentioned += _in_named_row(above, line)
        else:
            prose += line + "\n"
            above += line + "\n"
    end_block()
    over = frozenset[str]()
    for start, end in segments(prose, _LONGEST):
        if prose[start:end].endswith("?") and prose[end : end + 1] == "\n":  # it is the heading of its answer
            over = labels(prose[start:end])
        mentioned += in_sentence(prose[start:end], over)
    return tuple(mentioned)


def _in_table(above: str, block: Sequence[_Row], part: str) -> Iterator[Mention]:
    """Yield the mentions of the rows of a table below a text."""
    lines = [line for line in above.split("\n") if line.strip()]
    columns = max(len(row.cells) for row in block)
    heads = _heads(lines, columns) or _heads([line for line in part.split("\n") if not _row_of(line)], columns)
    caption, scale = _caption(above)
    over, head_labels = labels(above), tuple(map(labels, heads))
    for row in block:
        row_caption, row_scale = _caption(row.label)
        label, named = labels(row.label), periods(row.label)
        # A figure in a label, as in "pipe 15 mm", is in no column.
        for mention in in_sentence(row.label):
            if not mention.is_date:
                yield replace(mention, near=label, here=label | over)
        for column, cell in enumerate(_cells(row, len(heads))):
            figures = located(cell.strip("$\u20ac\u00a3\u00a5()+-\u2212%"))
            if not figures:
                continue
            head = heads[column] if column < len(heads) else ""
            percent = "%" in cell
            unscaled = percent or (_EXCEPTED.fullmatch(cell) and _EXCEPT.search(caption))
            here = label.union(over, *head_labels[column : column + 1])
            yield Mention(
                figures[0][2],
                label,
                here,
                periods(head) or named,
                head_labels,
                column,
                (row_scale or scale) if not unscaled else 0,
                _short(row_caption or caption) if not unscaled else "",
                "%" if percent else next((sign for sign in cell[:1] if unicodedata.category(sign) == "Sc"), ""),
            )


def _in_named_row(above: str, line: str) -> Iterator[Mention]:
    """Yield the mentions of a row whose cells have their heads beside them: "batch: C-02 | litres: 318".

    The numbers in its cells name it as its words do.
    """
    # A cell without a head has no colon.
    named = [(head, text) for head, _, text in (cell.rpartition(": ") for cell in line.split(" | "))]
    cells = [in_sentence(text) for _, text in named]
    near = frozenset[str]().union(*(labels(text) for _, text in named))
    near = near.union(*(numbers(mention.figure) for cell in cells for mention in cell))
    # The head of a name is no rival of the head of a figure.
    are_names = [re.match(r"[^\W\d_]*[a-z]", text) is not None for _, text in named]
    all_heads = [labels(head) for head, _ in named]
    heads = tuple(frozenset() if is_name else head for head, is_name in zip(all_heads, are_names, strict=True))
    are_dates = [bool(cell) and all(mention.is_date for mention in cell) for cell in cells]
    over, caption = labels(above).union(*compress(all_heads, are_names)), _caption(above)
    for column, ((head, _), cell) in enumerate(zip(named, cells, strict=True)):
        written, scale = _caption(f"({head})") if scale_of(head) else caption
        here = near | heads[column] | over
        # The head of a date is no rival of the head of an amount: "ordered: 2026-01-19 | quantity: 22".
        alike = [dated == are_dates[column] for dated in are_dates]
        rivals = [head if same else frozenset() for head, same in zip(heads, alike, strict=True)]
        for mention in cell:
            unscaled = mention.sign == "%" or bool(mention.scale)
            yield replace(
                mention,
                near=near,
                here=here,
                periods=mention.periods if mention.is_date else periods(head) or mention.periods,
                heads=() if are_names[column] else tuple(rivals),
                column=column,
                scale=mention.scale if unscaled else scale,
                caption="" if unscaled else _short(written),
            )


def _cells(row: _Row, columns: int) -> tuple[str, ...]:
    """Return the cells of a row; where blanks group thousands, choose the reading that fits the columns."""
    cells = row.cells
    if columns and len(cells) == 2 * columns and all(len(cell) == _THOUSANDS_DIGITS for cell in cells[1::2]):
        return tuple(map(" ".join, zip(cells[::2], cells[1::2], strict=True)))
    return cells


def _heads(lines: Sequence[str], columns: int) -> list[str]:
    """Return the heads of a table's columns from the nearest line that has them: years, or a word for each."""
    for line in reversed(lines):
        years = [match[1] for match in _YEAR.finditer(line)]
        named = [line[period.start : period.end] for period in located_periods(line)]
        if len(years) > 1:
            return named if len(named) == len(years) else years
        tokens = _IN_BRACKETS.sub("", line).split()
        if (
            columns > 1
            and len(tokens) in {columns, columns + 1}
            and FUNCTION_WORDS.isdisjoint(tokens)
            and not line.rstrip().endswith((".", ":", ","))
        ):
            return tokens[-columns:]
    return []


def _caption(text: str) -> tuple[str, int]:
    """Return the last caption of a text that gives a scale ("in thousands"), and its power of ten."""
    lines = (line for line in text.split("\n") if len(line.split()) <= _CAPTION_WORDS and "(" not in line)
    pieces = [line.strip(" ):") for line in lines]
    pieces += [" ".join(match[1].split()) for match in _IN_BRACKETS.finditer(text)]
    for piece in reversed(pieces):
        if not re.search(r"\d", piece) and (scale := scale_of(piece)):
            return piece, scale
    return "", 0


def scale_of(text: str) -> int:
    """Return the power of ten of the first scale word of a text, 0 without one."""
    for written in re.findall(r"[^\W\d_]+", text):
        word = written.casefold()
        if UNSPACED.match(word):
            signs = [sign for sign in SCALES if UNSPACED.match(sign) and sign in word]
            if signs:
                return SCALES[max(signs, key=len)]
        elif (
            len(word) > 1
            and written not in {"MN", "BN", "TN"}
            and (scale := SCALES.get(word) or SCALES.get(word.removesuffix("s")))
        ):
            return scale
    return 0


def _short(caption: str) -> str:
    """Return a caption without its exceptions (", except per share")."""
    parts = re.split(rf"[,;\uff0c\uff1b]|{_EXCEPT.pattern}", caption)
    return next((part.strip() for part in parts if scale_of(part)), "")
