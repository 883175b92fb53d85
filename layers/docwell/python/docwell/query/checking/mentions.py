"""Find the mentions of figures in a text: each with its label, column, period, unit and scale. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from docwell.query.checking.asides import asides
from docwell.query.checking.facts import AFTER_NO_WORD, GRAMMAR, SCALES, Figure, located
from docwell.query.checking.labels import labels
from docwell.query.checking.periods import Period, agree, certain, located_periods, periods
from docwell.text.lexicon import UNSPACED, is_sheet_row, segments

_YEAR = re.compile(rf"{AFTER_NO_WORD}(?:FY)?((?:1[5-9]|20)\d\d)(?![^\W{UNSPACED.pattern[1:-1]}])(?!\s?%|[.,]\d)")
_CELL = re.compile(r"[(\u2212+-]{0,2}(?:\d{1,3}(?:[.,'\u2019]\d{3})+|\d+)(?:[.,]\d+)?\)?%?\)?")
# Between cells, and in place of an empty one.
_FILLER = re.compile(r"[%)\u2030]+|[^\w\s(]?[(]?\$?|US\$")
_EMPTY_CELL = re.compile(r"[-\u2013\u2014\u2212]+|n/a", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[(\uff08]([^()\uff08\uff09]{1,80})[)\uff09]")
PERCENT = re.compile(r"\s*(?:%|percent\b|per cent\b|prozent\b|pour cent\b|por ciento\b)", re.IGNORECASE)
# "Q1 2019 Q2 2019" are heads as they are, but not "March 31, 2019".
_QUARTER_HEAD = re.compile(r"[QH][1-4]|[1-4][QH]")
_NEXT_WORD = re.compile(r"[\s-]?([^\W\d_]+)")
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[\s.]{1,2}$")
_MINUS = re.compile(r"(?<![\w)])[-\u2212][^\w\s]?$")
# A line of one cell is a row of a table only beside another row.
_LEAST_OF_TABLE = 2
_THOUSANDS_DIGITS = 3
# A caption in a line without brackets is short: "In thousands of euros".
_CAPTION_WORDS = 8
# "In thousands of euros".
_UNIT_WORDS = 2
# Between the two figures of "340 miles (550 km)".
_IN_TWO_UNITS = re.compile(r"\s?[^\W\d_]+\s[(]\W*")
# More than the passages of one question: the mentions of a table take up to 400 KB.
_TEXTS_KEPT = 64
# Characters beside a figure that can hold its sign, or the word before it.
_BESIDE = 100
# A sentence that the chunk has whole; longer ones are tables without lines.
_LONGEST = 1200


@dataclass(frozen=True, slots=True)
class Mention:
    """A figure where a text has it, and what the text says of it there.

    `near` has the words of its row, or of its part of the sentence; `here` those of the whole sentence or of row,
    column head and caption, and `around` also those of the sentence before. `heads` are those of the columns of a
    table. `caption` has the words that give the `scale` of a table ("in thousands"), a power of ten. `unit` and
    `before` are the words after and before the figure; `sign` is a currency's or "%", and a figure of a sentence
    is `negative` with a minus. A figure that `is_date` is a part of a period, as both are in "Q3 2019".
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

    @property
    def in_table(self) -> bool:
        """Whether the figure is a cell."""
        return self.column >= 0

    @property
    def is_grammar(self) -> bool:
        """Whether the figure can be a mere word, as in "one of them"."""
        return self.figure.written.lower() in GRAMMAR


def has_percent(text: str) -> bool:
    """Return whether a text speaks of percents."""
    return PERCENT.search(text) is not None


def years(text: str) -> list[str]:
    """Return the years of a text, in order."""
    return [found[1] for found in _YEAR.finditer(text)]


@lru_cache(_TEXTS_KEPT)
def mentions(text: str) -> tuple[Mention, ...]:
    """Return the mentions of figures in a text: the cells of tables, and the figures of sentences."""
    found: list[Mention] = []
    above, prose = "", ""
    block: list[_Row] = []
    lines = text.split("\n")
    rows = [_row(line) for line in lines]
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        beside = [other for other in rows[max(0, number - 1) : number + 2] if other]
        if row is None or (len(row.cells) < _LEAST_OF_TABLE and len(beside) < _LEAST_OF_TABLE):
            if block:
                found += _table(above, block)
                block = []
            prose += line + "\n"
            above += line + "\n"
            continue
        if prose:
            found += _sentences(prose, len(found))
            prose = ""
        block.append(row)
    if block:
        found += _table(above, block)
    return (*found, *_sentences(prose, len(found)))


def numbers(figure: Figure) -> frozenset[str]:
    """Return a figure as a label of the row of a sheet."""
    return frozenset(f"={form}" for form in figure.forms)


def stated(sentence: str) -> list[Mention]:
    """Return the mentions of figures in one sentence of an answer."""
    return list(_sentence(sentence, frozenset(), 0))


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    cells: tuple[str, ...]
    line: str


def _row(line: str) -> _Row | None:
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
        elif token.startswith(("%", ")")) and start > 1:
            tokens[start - 2] += token
        start -= 1
    label = " ".join(tokens[:start])
    only_years = all(_YEAR.fullmatch(cell) for cell in cells)
    if not cells or only_years or not any(map(str.isalpha, label)) or label.endswith((",", ";")):
        return None
    return _Row(label, tuple(cells), line)


def _table(above: str, block: Sequence[_Row]) -> Iterator[Mention]:
    lines = [line for line in above.split("\n") if line.strip()]
    heads = _heads(lines, max(len(row.cells) for row in block))
    caption, scale = _caption(above)
    over, head_labels, period = labels(above), tuple(map(labels, heads)), certain(above)
    for number, row in enumerate(block):
        own, own_scale = _caption(row.label)
        label, named = labels(row.label), periods(row.label)
        text = f"{' '.join(above.split())} {row.line.strip()}"
        for column, cell in enumerate(_cells(row, len(heads))):
            figures = located(cell.strip("$\u20ac\u00a3\u00a5()+-\u2212%"))
            if not figures:
                continue
            head = heads[column] if column < len(heads) else ""
            percent = "%" in cell
            unscaled = percent or (_has_exceptions(caption) and re.search(r"\d\.\d", cell))
            here = label.union(over, *head_labels[column : column + 1])
            yield Mention(
                figures[0][2],
                label,
                here,
                here,
                text,
                number,
                _of_cell(periods(head), named, period),
                head_labels,
                column,
                (own_scale or scale) if not unscaled else 0,
                _short(own or caption) if not unscaled else "",
                _sign(row.line, cell),
            )


def _of_cell(head: frozenset[str], row: frozenset[str], caption: frozenset[str]) -> frozenset[str]:
    """Return the period of a cell: that of its column's head, and what its row and, without that, its caption add.

    A row adds a quarter, a half or a month; the year in its label is often a name ("2016 stock plan").
    """
    parts = head.union(part for part in row if not part.isdecimal() and agree(head, {part}))
    return parts if head else parts.union(part for part in caption if agree(parts, {part}))


def _cells(row: _Row, columns: int) -> tuple[str, ...]:
    """Return the cells of a row; where blanks group thousands, the reading that fits the columns."""
    cells = row.cells
    if columns and len(cells) == 2 * columns and all(len(cell) == _THOUSANDS_DIGITS for cell in cells[1::2]):
        return tuple(map(" ".join, zip(cells[::2], cells[1::2], strict=True)))
    return cells


def _heads(lines: Sequence[str], columns: int) -> list[str]:
    """Return the heads of a table's columns from the nearest line that has them: years, or a word for each."""
    for line in reversed(lines):
        found = years(line)
        named = [line[one.start : one.end] for one in located_periods(line)]
        if len(found) > 1:
            return named if len(named) == len(found) and all(map(_QUARTER_HEAD.match, named)) else found
        tokens = _IN_BRACKETS.sub("", line).split()
        if columns > 1 and len(tokens) in {columns, columns + 1} and not line.rstrip().endswith((".", ":", ",")):
            return tokens[-columns:]
    return []


def _caption(text: str) -> tuple[str, int]:
    """Return the last caption of a text that gives a scale ("in thousands"), and its power of ten."""
    pieces = [
        line.strip(" ):") for line in text.split("\n") if len(line.split()) <= _CAPTION_WORDS and "(" not in line
    ]
    pieces += [" ".join(found[1].split()) for found in _IN_BRACKETS.finditer(text)]
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


def _has_exceptions(caption: str) -> bool:
    """Return whether more than a unit follows the scale: "in millions, except per share", not "in Mio. Euro"."""
    words = caption.split()
    scaled = next((number for number, word in enumerate(words, 1) if scale_of(word)), len(words))
    return len(words) - scaled > _UNIT_WORDS


def _short(caption: str) -> str:
    """Return a caption without its exceptions (", except per share")."""
    return next((part.strip() for part in re.split(r"[,;\uff0c\uff1b]", caption) if scale_of(part)), "")


def _sign(line: str, cell: str) -> str:
    if "%" in cell:
        return "%"
    before = line[: line.find(cell)].rstrip("( ")
    return next((one for one in (cell[:1], before[-1:]) if one and unicodedata.category(one) == "Sc"), "")


def _sentences(prose: str, first: int) -> Iterator[Mention]:
    before = frozenset[str]()
    for number, (start, end) in enumerate(segments(prose, _LONGEST)):
        sentence = prose[start:end]
        yield from _sentence(sentence, before, first + number)
        before = labels(sentence)


def _sentence(sentence: str, before: frozenset[str], number: int) -> Iterator[Mention]:
    sentence = sentence.replace("\n", " ")
    spots = located(sentence)
    here = labels(sentence)
    if is_sheet_row(sentence):  # the number in "C-02" tells rows apart
        here |= {number for _, _, figure, _ in spots for number in numbers(figure)}
    dates = located_periods(sentence)
    found: list[Mention] = []
    for start, end, figure, scale in spots:
        percent = PERCENT.match(sentence, end)
        sign = "%" if percent else ""
        for one in (
            sentence[max(0, start - _BESIDE) : start].rstrip()[-1:],
            sentence[end : end + _BESIDE].strip()[:1],
        ):
            if one and unicodedata.category(one) == "Sc":
                sign = sign or one
        following = _NEXT_WORD.match(sentence, end)
        preceding = _WORD_BEFORE.search(sentence, max(0, start - _BESIDE), start)
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
                unit=following[1] if following and not percent else "",
                before=preceding[1] if preceding and preceding.start() else "",
                negative=_MINUS.search(sentence, max(0, start - _BESIDE), start) is not None,
                is_date=any(one.start <= start < one.end for one in dates) and not sign,
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
