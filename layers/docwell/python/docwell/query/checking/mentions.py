"""Find the mentions of figures in a text: each with its label, column, period, unit and scale. Pure."""

from __future__ import annotations

from functools import lru_cache

from docwell.query.checking.sentence_mentions import Mention, in_prose
from docwell.query.checking.table_mentions import Row, in_named_row, in_table, row_of
from docwell.text.lexicon import is_sheet_row

# A line of one cell is a row of a table only beside another row.
_LEAST_OF_TABLE = 2
# More than the passages of one question: the mentions of a table take up to 400 KB.
_TEXTS_KEPT = 64


@lru_cache(_TEXTS_KEPT)
def mentions(text: str) -> tuple[Mention, ...]:
    """Return the mentions of figures in a text: the cells of tables, and the figures of sentences."""
    found: list[Mention] = []
    above, prose = "", ""
    block: list[Row] = []
    lines = text.split("\n")
    rows = [row_of(line) for line in lines]

    def end_block() -> None:
        if block:  # reading what stands above a table takes longer than the table
            found.extend(in_table(above, block))
            block.clear()

    def end_prose() -> None:
        nonlocal prose
        found.extend(in_prose(prose, len(found)))
        prose = ""

    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        beside = [other for other in rows[max(0, number - 1) : number + 2] if other]
        if row and max(len(row.cells), len(beside)) >= _LEAST_OF_TABLE:
            end_prose()
            block.append(row)
            continue
        end_block()
        if is_sheet_row(line):
            end_prose()
            found += in_named_row(above, line, len(found))
        else:
            prose += line + "\n"
            above += line + "\n"
    end_block()
    end_prose()
    return tuple(found)
