"""Answers that are right or wrong for given passages: the cases that measure the checks of answers.

Two files beside this module state made-up passages. A group begins with `== its name`. Then come its passages,
each from `[1]` on, and its questions (`?`). Below each question are right answers (`+ kind | answer`) and wrong
ones (`- kind | answer`). Other lines go on with the text before them. The other sets are evaluation material.
"""

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from docwell.adapters.documents.parts import Cell, Rows
from docwell.models import Chunk, Passage
from docwell.query.checking.figures import in_sentence, mentions
from docwell.query.checking.grounding import marked
from docwell.text.lexicon import content_words, segments
from infra.report import EVALUATION

# Before a line that begins a group, a passage, a question or an answer.
_BLOCK = re.compile(r"^(?===\s|\[\d+\]\s|\?\s|[+-]\s\w+\s\|\s)", re.MULTILINE)
# All passages have the same score, so that no rule can use their rank.
_SCORE = 0.5
# A question of an article gets this many paragraphs of other articles too.
_OTHER_PARAGRAPHS = 3
_SEED = 7
_COPIED = 200
_FILINGS = "tables_auto_dev.jsonl"
# The head and the rows of a table of a filing: years, and an item with a figure or a dash for each.
_YEARS = re.compile(r"(?:\([^)]*\) )?((?:(?:19|20)\d\d ?){2,})")
_ITEM, _FIGURE = r"(\D{4,60}?)", r"(?:\$ ?)?(\(?\d[\d,.]*\)?|[\u2013\u2014-])"
_FEWEST_ITEMS, _MOST_ITEMS = 3, 5


@dataclass(frozen=True, slots=True)
class Case:
    """An answer that a model could write, and whether it is right."""

    passages: tuple[Passage, ...]
    question: str
    answer: str
    kind: str
    right: bool
    group: str = ""


def made_up(name: str) -> list[Case]:
    """Return the cases of a file of this folder, in its order."""
    return read((files("benchmarks.claims") / f"{name}.txt").read_text(encoding="utf-8"))


def passage(text: str, number: int, document: str = "", page: int = 0, heading: str = "") -> Passage:
    """Return a passage, by default made up and alone on its page."""
    chunk = Chunk(text, page or number + 1, 0, len(text), len(text.split()), heading=heading)
    return Passage(f"{number}", document or f"made/{number}.pdf", "generation", "version", chunk, _SCORE)


def _numbered(texts: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(passage(text, number) for number, text in enumerate(texts))


def _claims(name: str) -> Iterator[Case]:
    """Yield the cases of a file of claims about real documents."""
    for line in (EVALUATION / "claims" / name).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        places = enumerate(zip(row["passages"], row["places"], strict=True))
        shown = [passage(text, at, name, page or 0, heading or "") for at, (text, (name, heading, page)) in places]
        yield Case(tuple(shown), row["question"], row["answer"], row["kind"], row["right"])


def _of_careful_reader() -> list[Case]:
    """Return the answers that a careful reader gave to docwell's prompts: all are right."""
    rows = json.loads((EVALUATION / "claims" / "reader_dev.json").read_text(encoding="utf-8"))
    return [
        Case(_numbered(row["passages"]), row["question"], row["answer"], "reader", right=True)
        for row in rows
        if row["answers"]
    ]


def _figures_of_articles() -> Iterator[Case]:
    """Yield each answer of an article that has a figure, and the same with another figure of its paragraph."""
    draw = random.Random(_SEED)
    rows = _articles()
    for row in rows:
        right, question = row["answer"], row["question"]
        figures = [mention for mention in in_sentence(right) if not mention.is_grammar]
        if not figures:
            continue
        shown = _beside_others(row, rows, draw)
        yield Case(shown, question, f"{right} [1].", "figure", right=True)
        forms = {form for mention in figures for form in mention.figure.forms}
        alike = [
            mention.figure.written
            for mention in mentions(row["context"])
            if mention.is_date == figures[0].is_date
            and not mention.is_grammar
            and forms.isdisjoint(mention.figure.forms)
        ]
        if alike:
            wrong = right.replace(figures[0].figure.written, draw.choice(alike), 1)
            yield Case(shown, question, f"{wrong} [1].", "figure", right=False)


def _copied_from_articles() -> Iterator[Case]:
    """Yield, for some questions, the sentence of the paragraph that has the answer: all are right."""
    draw = random.Random(_SEED)
    rows = _articles()
    for row in draw.sample(rows, _COPIED):
        context, shown = row["context"], _beside_others(row, rows, draw)
        pieces = (context[start:end] for start, end in segments(context, len(context)))
        for sentence in [piece for piece in pieces if row["answer"] in piece][:1]:
            yield Case(shown, row["question"], f"{sentence} [1]", "copy", right=True)


def _crossed() -> Iterator[Case]:
    """Yield right answers, each with another question that the same passage answers: all are wrong."""
    draw = random.Random(_SEED)
    for name in ("claims about documents", "answers of a careful reader", *UNTOUCHED):
        right = [(_cited(case), content_words(case.answer), case) for case in SETS[name]() if case.right]
        for place, said, case in right:
            # An answer that is a part of the other can answer both questions.
            alike = [row for at, answer, row in right if at == place and not (answer <= said or said <= answer)]
            if questions := [row.question for row in alike if row.question != case.question]:
                yield replace(case, question=draw.choice(questions), kind=name, right=False)


def _cited(case: Case) -> str:
    return case.passages[marked(case.answer, len(case.passages))[0] - 1].chunk.text


def _articles() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((EVALUATION / "xquad" / "questions_en_dev.json").read_text("utf-8"))
    return rows


def _beside_others(row: dict[str, Any], rows: list[dict[str, Any]], draw: random.Random) -> tuple[Passage, ...]:
    """Return the paragraph of a question, and some of other articles."""
    paragraphs = dict.fromkeys(row["context"] for row in rows)
    del paragraphs[row["context"]]
    return _numbered([row["context"], *draw.sample(list(paragraphs), _OTHER_PARAGRAPHS)])


def _rows_of_sheets() -> Iterator[Case]:
    """Yield a right and a wrong figure for each table of a filing, written as docwell writes rows of a sheet.

    Each table has two forms: an item a row and a year a column, or a year a row. The wrong figure is
    of the same item in another year, or of another item in the same year.
    """
    draw = random.Random(_SEED)
    for number, (years, items) in enumerate(_tables()):
        chosen = draw.sample(list(items), min(len(items), _MOST_ITEMS))
        cells = {(item, year): text for item in chosen for year, text in zip(years, items[item], strict=True)}
        plain = {place: text for place, text in cells.items() if text[0].isdecimal()}
        for kind, is_turned in (("row", False), ("column", True)):
            place = draw.choice(list(plain))
            shared = (number + is_turned) % 2  # 0: the item, 1: the year
            rivals = [text for at, text in plain.items() if at[shared] == place[shared] and text != plain[place]]
            text = _sheet(chosen, years, cells, is_turned=is_turned, corner="Name" if number % 2 else "")
            form = draw.choice([f"{place[0]} was {{}} in {place[1]} [1].", "{} [1]."])
            for figure, right in [(plain[place], True), *((rival, False) for rival in rivals[:1])]:
                question = f"What was {place[0]} in {place[1]}?"
                yield Case(_numbered([text]), question, form.format(figure), f"item a {kind}", right)


def _sheet(
    items: Sequence[str],
    years: Sequence[str],
    cells: Mapping[tuple[str, str], str],
    *,
    is_turned: bool,
    corner: str,
) -> str:
    """Return a table as docwell reads it from a sheet; turned, a row is a year. The first head may be empty."""
    rows, (names, heads) = Rows(), (years, items) if is_turned else (items, years)
    lines = [rows.line([Cell(text) for text in (corner, *heads)], heads=True)]
    for name in names:
        texts = [cells[(head, name) if is_turned else (name, head)] for head in heads]
        lines.append(rows.line([Cell(text) for text in (name, *texts)]))
    return "\n".join(lines)


def _tables() -> Iterator[tuple[list[str], dict[str, tuple[str, ...]]]]:
    """Yield the tables of filings: their years, and the cells of each item whose name occurs once."""
    texts = dict.fromkeys(passage.chunk.text for case in _claims(_FILINGS) for passage in case.passages)
    for text in texts:
        years, items = list[str](), dict[str, tuple[str, ...]]()
        for line in map(str.strip, text.split("\n")):
            if heads := _YEARS.fullmatch(line):
                if years:
                    break
                years = heads[1].split()
            elif years and (row := re.fullmatch(_ITEM + f" {_FIGURE}" * len(years), line)):
                name, *cells = row.groups()
                items[name] = () if name in items else tuple(cells)
        items = {name: cells for name, cells in items.items() if cells}
        if len(items) >= _FEWEST_ITEMS:
            yield years, items


# The development sets: the rules were chosen by looking at their errors.
DEVELOPMENT: Mapping[str, Callable[[], Iterable[Case]]] = {
    "claims about documents": lambda: _claims("claims_own_dev.jsonl"),
    "answers of a careful reader": _of_careful_reader,
    "made-up claims, first file": lambda: made_up("first"),
    "made-up claims, second file": lambda: made_up("second"),
}
# The sets that no rule was chosen on.
UNTOUCHED: Mapping[str, Callable[[], Iterable[Case]]] = {
    "cells of tables": lambda: _claims(_FILINGS),
    "rows of sheets": _rows_of_sheets,
    "figures of articles": _figures_of_articles,
    "sentences copied from articles": _copied_from_articles,
}
SETS = {**DEVELOPMENT, **UNTOUCHED, "crossed answers": _crossed}


def read(text: str) -> list[Case]:
    """Return the cases of a text in the format above, in its order."""
    cases, group, question, passages = list[Case](), "", "", list[Passage]()
    for block in _BLOCK.split(text)[1:]:
        lines = block.rstrip()
        head, _, content = lines.partition(" ")
        if head == "==":
            group, passages = content, []
        elif head == "?":
            question = content
        elif head in "+-":
            kind, _, answer = content.partition(" | ")
            cases.append(Case(tuple(passages), question, answer, kind, head == "+", group))
        else:
            passages.append(passage(content, len(passages)))
    return cases
