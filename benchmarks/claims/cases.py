"""Answers that are right or wrong for given passages: the cases that measure the checks of answers.

Two files beside this module state made-up passages. A group begins with `== its name`. Then come its passages,
each from `[1]` on, and its questions (`?`). Below each question are right answers (`+ kind | answer`) and wrong
ones (`- kind | answer`). Other lines go on with the text before them. The other sets are evaluation material.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from docwell.models import Chunk, Passage
from docwell.query.checking.figures import in_sentence, mentions
from docwell.text.lexicon import segments
from infra.report import EVALUATION

_BEGINNING = re.compile(
    r"^(?:== (?P<group>.+)|\[\d+\] (?P<passage>.+)|\? (?P<question>.+)"
    r"|(?P<sign>[+-]) (?P<kind>\w+) \| (?P<answer>.+))$"
)
# All passages have the same score, so that no rule can use their rank.
_SCORE = 0.5
# A question of an article gets this many paragraphs of other articles too.
_OTHER_PARAGRAPHS = 3
_SEED = 7
_COPIED = 200


@dataclass(frozen=True, slots=True)
class Case:
    """An answer that a model could write, and whether it is right."""

    group: str
    passages: tuple[Passage, ...]
    question: str
    answer: str
    kind: str
    right: bool


def cases(name: str) -> list[Case]:
    """Return the cases of a file of this folder, in its order."""
    return read((files("benchmarks.claims") / f"{name}.txt").read_text(encoding="utf-8"))


def passage(text: str, number: int, document: str = "", page: int = 0, heading: str = "") -> Passage:
    """Return a passage, by default made up and alone on its page."""
    chunk = Chunk(text, page or number + 1, 0, len(text), len(text.split()), heading=heading)
    return Passage(f"{number}", document or f"made/{number}.pdf", "generation", "version", chunk, _SCORE)


def _numbered(texts: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(passage(text, number) for number, text in enumerate(texts))


def _claims(name: str) -> list[Case]:
    """Return the cases of a file of claims about real documents."""
    lines = (EVALUATION / "claims" / name).read_text(encoding="utf-8").splitlines()
    return [_claim(json.loads(line)) for line in lines]


def _claim(row: Mapping[str, Any]) -> Case:
    places = zip(row["passages"], row["places"], strict=True)
    passages = tuple(
        passage(text, number, document, page or 0, heading or "")
        for number, (text, (document, heading, page)) in enumerate(places)
    )
    return Case(row["group"], passages, row["question"], row["answer"], row["kind"], row["right"])


def _of_careful_reader() -> list[Case]:
    """Return the answers that a careful reader gave to docwell's prompts: all are right."""
    rows = json.loads((EVALUATION / "claims" / "reader_dev.json").read_text(encoding="utf-8"))
    return [
        Case("", _numbered(row["passages"]), row["question"], row["answer"], "reader", right=True)
        for row in rows
        if row["answers"]
    ]


def _figures_of_articles() -> list[Case]:
    """Return each answer of an article that has a figure, and the same with another figure of its paragraph."""
    draw = random.Random(_SEED)
    rows = json.loads((EVALUATION / "xquad" / "questions_en_dev.json").read_text(encoding="utf-8"))
    paragraphs = list(dict.fromkeys(row["context"] for row in rows))
    pairs: list[Case] = []
    for row in rows:
        right, context = row["answer"], row["context"]
        figures = [mention for mention in in_sentence(right) if not mention.is_grammar]
        if not figures:
            continue
        distractors = draw.sample([text for text in paragraphs if text != context], _OTHER_PARAGRAPHS)
        shown = _numbered([context, *distractors])
        pairs.append(Case("articles", shown, row["question"], f"{right} [1].", "figure", right=True))
        forms = {form for mention in figures for form in mention.figure.forms}
        alike = [
            mention.figure.written
            for mention in mentions(context)
            if mention.is_date == figures[0].is_date
            and not mention.is_grammar
            and forms.isdisjoint(mention.figure.forms)
        ]
        if alike:
            wrong = right.replace(figures[0].figure.written, draw.choice(alike), 1)
            pairs.append(Case("articles", shown, row["question"], f"{wrong} [1].", "figure", right=False))
    return pairs


def _copied_from_articles() -> list[Case]:
    """Return, for some questions, the sentence of the paragraph that has the answer: all are right."""
    draw = random.Random(_SEED)
    rows = json.loads((EVALUATION / "xquad" / "questions_en_dev.json").read_text(encoding="utf-8"))
    paragraphs = list(dict.fromkeys(row["context"] for row in rows))
    pairs: list[Case] = []
    for row in draw.sample(rows, _COPIED):
        context = row["context"]
        pieces = [context[start:end] for start, end in segments(context, len(context))]
        distractors = draw.sample([text for text in paragraphs if text != context], _OTHER_PARAGRAPHS)
        for sentence in [piece for piece in pieces if row["answer"] in piece][:1]:
            shown = _numbered([context, *distractors])
            pairs.append(Case("articles", shown, row["question"], f"{sentence} [1]", "copy", right=True))
    return pairs


# The development sets: the rules were chosen by looking at their errors.
DEVELOPMENT: Mapping[str, Callable[[], Sequence[Case]]] = {
    "claims about documents": lambda: _claims("claims_own_dev.jsonl"),
    "answers of a careful reader": _of_careful_reader,
    "made-up claims, first file": lambda: cases("first"),
    "made-up claims, second file": lambda: cases("second"),
}
# The sets that no rule was chosen on.
UNTOUCHED: Mapping[str, Callable[[], Sequence[Case]]] = {
    "cells of tables": lambda: _claims("tables_auto_dev.jsonl"),
    "figures of articles": _figures_of_articles,
    "sentences copied from articles": _copied_from_articles,
}
SETS = {**DEVELOPMENT, **UNTOUCHED}


def read(text: str) -> list[Case]:
    """Return the cases of a text in the format above, in its order."""
    return list(_read(text))


def _read(text: str) -> Iterator[Case]:
    group, question, passages = "", "", list[Passage]()
    for block in _blocks(text):
        first, line_end, tail = block.partition("\n")
        beginning = _BEGINNING.match(first)
        if beginning is None:
            raise ValueError(f"a file of claims does not begin with a group, but with {first!r}")
        tail = line_end + tail
        if beginning["group"]:
            group, passages = beginning["group"], []
        elif beginning["passage"]:
            passages.append(passage(beginning["passage"] + tail, len(passages)))
        elif beginning["question"]:
            question = beginning["question"]
        else:
            right, answer = beginning["sign"] == "+", beginning["answer"] + tail
            yield Case(group, tuple(passages), question, answer, beginning["kind"], right)


def _blocks(text: str) -> list[str]:
    blocks: list[str] = []
    for line in text.splitlines():
        if _BEGINNING.match(line):
            blocks.append(line)
        else:
            blocks[-1] += "\n" + line
    return [block.rstrip() for block in blocks]
