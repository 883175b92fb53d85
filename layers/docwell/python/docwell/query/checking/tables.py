"""Find the mentions of figures in a text: the cells of its tables, and the figures of its sentences. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress

from docwell.query.checking.dates import agree, certain, located_periods, periods
from docwell.query.checking.figures import (
    AFTER_NO_WORD,
    SCALES,
    Figure,
    Mention,
    in_prose,
    in_sentence,
    labels,
    located,
)
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

# A line of one cell is a row of a table only beside another row.
_LEAST_OF_TABLE = 2
# More than the passages of one question: the mentions of a table take up to 400 KB.
_PASSAGES_KEPT = 64


def numbers(figure: Figure) -> frozenset[str]:
    """Return a figure as a label of the row of a sheet."""
    return frozenset(f"={form}" for form in figure.forms)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a table: the words before its cells, and the cells."""

    label: str
    cells: tuple[str, ...]
    line: str


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
    return _Row(label, tuple(cells), line)


def is_table_row(line: str) -> bool:
    """Return whether a line is a row of a table by itself: with heads beside its cells, or with two figures."""
    return is_sheet_row(line) or ((row := _row_of(line)) is not None and len(row.cells) > 1)


@lru_cache(_PASSAGES_KEPT)
def mentions(text: str) -> tuple[Mention, ...]:
    """Return the mentions of figures in a text: the cells of tables, and the figures of sentences."""
    mentioned: list[Mention] = []
    above, prose = "", ""
    block: list[_Row] = []
    lines = text.split("\n")
    rows = [_row_of(line) for line in lines]

    def end_block() -> None:
        if block:  # reading what stands above a table takes longer than the table
            mentioned.extend(_in_table(above, block))
            block.clear()

    def end_prose() -> None:
        nonlocal prose
        mentioned.extend(in_prose(prose, len(mentioned)))
        prose = ""

    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        beside = list(filter(None, rows[max(0, number - 1) : number + 2]))
        if row and max(len(row.cells), len(beside)) >= _LEAST_OF_TABLE:
            end_prose()
            block.append(row)
            continue
        end_block()
        if is_sheet_row(line):
            end_prose()
            mentioned += _in_named_row(above, line, len(mentioned))
        else:
            prose += line + "\n"
            above += line + "\n"
    end_block()
    end_prose()
    return tuple(mentioned)


def _in_table(above: str, block: Sequence[_Row]) -> Iterator[Mention]:
    """Yield the mentions of the rows of a table below a text."""
    lines = [line for line in above.split("\n") if line.strip()]
    heads = _heads(lines, max((len(row.cells) for row in block), default=0))
    caption, scale = _caption(above)
    over, head_labels, period = labels(above), tuple(map(labels, heads)), certain(above)
    for number, row in enumerate(block):
        row_caption, row_scale = _caption(row.label)
        label, named = labels(row.label), periods(row.label)
        text = f"{' '.join(above.split())} {row.line.strip()}"
        # A figure in a label, as in "pipe 15 mm", is in no column.
        figures_of_label = (mention for mention in in_sentence(row.label) if not mention.is_date)
        for mention in figures_of_label:
            yield replace(mention, near=label, here=label | over, around=label | over, text=text, sentence=number)
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
                (row_scale or scale) if not unscaled else 0,
                _short(row_caption or caption) if not unscaled else "",
                _sign(row.line, cell),
            )


def _in_named_row(above: str, line: str, number: int) -> Iterator[Mention]:
    """Yield the mentions of a row whose cells have their heads beside them: "batch: C-02 | litres: 318".

    It is the row `number` of its text. The numbers in its cells name it as its words do.
    """
    named = [_named(cell) for cell in line.split(" | ")]
    cells = [in_sentence(text) for _, text in named]
    near = frozenset[str]().union(*(labels(text) for _, text in named))
    near = near.union(*(numbers(mention.figure) for cell in cells for mention in cell))
    # The head of a name is no rival of the head of a figure.
    are_names = [re.match(r"[^\W\d_]*[a-z]", text) is not None for _, text in named]
    all_heads = [labels(head) for head, _ in named]
    heads = tuple(frozenset() if is_name else head for head, is_name in zip(all_heads, are_names, strict=True))
    over, caption = labels(above).union(*compress(all_heads, are_names)), _caption(above)
    period = certain(above)
    text = f"{' '.join(above.split())} {line.strip()}"
    for column, ((head, _), cell) in enumerate(zip(named, cells, strict=True)):
        written, scale = _caption(f"({head})") if scale_of(head) else caption
        here = near | heads[column] | over
        for mention in cell:
            unscaled = mention.sign == "%" or bool(mention.scale)
            yield replace(
                mention,
                near=near,
                here=here,
                around=here,
                text=text,
                sentence=number,
                periods=mention.periods if mention.is_date else periods(head) or mention.periods or period,
                heads=() if are_names[column] else heads,
                column=column,
                scale=mention.scale if unscaled else scale,
                caption="" if unscaled else _short(written),
            )


def _named(cell: str) -> tuple[str, str]:
    """Return the head and the text of a cell of a named row; the head is "" where it has none."""
    head, colon, text = cell.partition(": ")
    return (head, text) if colon else ("", cell)


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
        years = [match[1] for match in _YEAR.finditer(line)]
        named = [line[period.start : period.end] for period in located_periods(line)]
        if len(years) > 1:
            return named if len(named) == len(years) and all(map(_QUARTER_HEAD.match, named)) else years
        tokens = _IN_BRACKETS.sub("", line).split()
        if columns > 1 and len(tokens) in {columns, columns + 1} and not line.rstrip().endswith((".", ":", ",")):
            return tokens[-columns:]
    return []


def _caption(text: str) -> tuple[str, int]:
    """Return the last caption of a text that gives a scale ("in thousands"), and its power of ten."""
    pieces = [
        line.strip(" ):") for line in text.split("\n") if len(line.split()) <= _CAPTION_WORDS and "(" not in line
    ]
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


def _has_exceptions(caption: str) -> bool:
    """Return whether more than a unit follows the scale: "in millions, except per share", not "in Mio. Euro"."""
    tokens = caption.split()
    scaled = next((number for number, token in enumerate(tokens, 1) if scale_of(token)), len(tokens))
    return len(tokens) - scaled > _UNIT_WORDS


def _short(caption: str) -> str:
    """Return a caption without its exceptions (", except per share")."""
    return next((part.strip() for part in re.split(r"[,;\uff0c\uff1b]", caption) if scale_of(part)), "")


def _sign(line: str, cell: str) -> str:
    if "%" in cell:
        return "%"
    before = line[: line.find(cell)].rstrip("( ")
    signs = (sign for sign in (cell[:1], before[-1:]) if sign and unicodedata.category(sign) == "Sc")
    return next(signs, "")
