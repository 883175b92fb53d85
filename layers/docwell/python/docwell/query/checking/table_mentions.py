"""Find the mentions of figures in tables: cells under their heads, or with their heads beside them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress

from docwell.query.checking.facts import AFTER_NO_WORD, SCALES, Figure, located
from docwell.query.checking.labels import labels
from docwell.query.checking.numberings import is_numbering
from docwell.query.checking.periods import agree, certain, located_periods, periods
from docwell.query.checking.rates import rate
from docwell.query.checking.sentence_mentions import LABEL, Mention, in_sentence
from docwell.text.lexicon import UNSPACED, is_sheet_row

_YEAR = re.compile(rf"{AFTER_NO_WORD}(?:FY)?((?:1[5-9]|20)\d\d)(?![^\W{UNSPACED.pattern[1:-1]}])(?!\s?%|[.,]\d)")
_CELL = re.compile(r"[(\u2212+-]{0,2}(?:\d{1,3}(?:[.,'\u2019]\d{3})+|\d+)(?:[.,]\d+)?\)?%?\)?")
# Between cells, and in place of an empty one.
_FILLER = re.compile(r"[%)\u2030]+|[^\w\s(]?[(]?\$?|US\$")
_EMPTY_CELL = re.compile(r"[-\u2013\u2014\u2212]+|n/a", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[(\uff08]([^()\uff08\uff09]{1,80})[)\uff09]")
# "Q1 2019 Q2 2019" are heads as they are, but not "March 31, 2019".
_QUARTER_HEAD = re.compile(r"[QH][1-4]|[1-4][QH]")
_THOUSANDS_DIGITS = 3
# A caption in a line without brackets is short: "In thousands of euros".
_CAPTION_WORDS = 8
# "In thousands of euros".
_UNIT_WORDS = 2
_PERIOD_HEADS = labels(
    "year month quarter period date Jahr Monat Quartal Zeitraum Datum ann\u00e9e mois trimestre p\u00e9riode"
    " a\u00f1o mes periodo fecha \u5e74 \u5e74\u5ea6 \u6708\u4efd \u5b63\u5ea6 \u65e5\u671f"
)


def years(text: str) -> list[str]:
    """Return the years of a text, in order."""
    return [found[1] for found in _YEAR.finditer(text)]


def numbers(figure: Figure) -> frozenset[str]:
    """Return a figure as a label of the row of a sheet."""
    return frozenset(f"={form}" for form in figure.forms)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: the words before its cells, and the cells."""

    label: str
    cells: tuple[str, ...]
    line: str


def row_of(line: str) -> Row | None:
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
    return Row(label, tuple(cells), line)


def is_table_row(line: str) -> bool:
    """Return whether a line is a row of a table by itself: with heads beside its cells, or with two figures."""
    return is_sheet_row(line) or ((row := row_of(line)) is not None and len(row.cells) > 1)


def in_table(above: str, block: Sequence[Row]) -> Iterator[Mention]:
    """Yield the mentions of the rows of a table below a text."""
    lines = [line for line in above.split("\n") if line.strip()]
    heads = _heads(lines, max((len(row.cells) for row in block), default=0))
    caption, scale = _caption(above)
    over, head_labels, period = labels(above), tuple(map(labels, heads)), certain(above)
    for number, row in enumerate(block):
        own, own_scale = _caption(row.label)
        label, named = labels(row.label), periods(row.label)
        text = f"{' '.join(above.split())} {row.line.strip()}"
        for one in in_sentence(row.label):
            if not one.is_date:
                here = label | over
                yield replace(
                    one, near=label, here=here, around=here, text=text, sentence=number, column=LABEL, heads=()
                )
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
                part_of=row.line if is_numbering(row.line) else "",
            )


def in_named_row(above: str, line: str, number: int) -> Iterator[Mention]:
    """Yield the mentions of a row whose cells have their heads beside them: "batch: C-02 | litres: 318".

    It is the row `number` of its text. The numbers in its cells name it as its words do.
    """
    named = [_named(cell) for cell in line.split(" | ")]
    cells = [list(in_sentence(text)) for _, text in named]
    own = frozenset[str]().union(*(labels(text) for _, text in named))
    own = own.union(*(numbers(one.figure) for cell in cells for one in cell))
    # The head of a name is no rival of the head of a figure.
    are_names = [all(one.is_grammar for one in cell) for cell in cells]
    every = [labels(head) for head, _ in named]
    heads = tuple(frozenset() if is_name else head for head, is_name in zip(every, are_names, strict=True))
    over, caption = labels(above).union(*compress(every, are_names)), _caption(above)
    period = frozenset[str]().union(*(periods(text) for head, text in named if _tells_period(head, text)))
    period = period or certain(above)
    text = f"{' '.join(above.split())} {line.strip()}"
    for column, ((head, _), cell) in enumerate(zip(named, cells, strict=True)):
        written, scale = _caption(f"({head})") if scale_of(head) else caption
        here = own | heads[column] | over
        for one in cell:
            unscaled = one.sign == "%" or bool(one.scale)
            yield replace(
                one,
                near=own,
                here=here,
                around=here,
                text=text,
                sentence=number,
                periods=one.periods if one.is_date else periods(head) or one.periods or period,
                heads=heads,
                column=column,
                scale=one.scale if unscaled else scale,
                caption="" if unscaled else _short(written),
                rate=one.rate or rate(f" {head}", 0, 0),
            )


def _named(cell: str) -> tuple[str, str]:
    """Return the head and the text of a cell of a named row; the head is "" where it has none."""
    head, colon, text = cell.partition(": ")
    return (head, text) if colon else ("", cell)


def _tells_period(head: str, text: str) -> bool:
    """Return whether a cell says when its row was: "Year: 2024"."""
    return bool(periods(text)) and not _PERIOD_HEADS.isdisjoint(labels(head))


def _of_cell(head: frozenset[str], row: frozenset[str], caption: frozenset[str]) -> frozenset[str]:
    """Return the period of a cell: that of its column's head, and what its row and, without that, its caption add.

    A row adds a quarter, a half or a month; the year in its label is often a name ("2016 stock plan").
    """
    parts = head.union(part for part in row if not part.isdecimal() and agree(head, {part}))
    return parts if head else parts.union(part for part in caption if agree(parts, {part}))


def _cells(row: Row, columns: int) -> tuple[str, ...]:
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
