"""Answers written by hand over made-up passages, right and wrong, as the files beside this module state them.

A group begins with `== its name`. Then come its passages, each from `[1]` on, and its questions (`?`). Below each
question are right answers (`+ kind | answer`) and wrong ones (`- kind | answer`). Other lines go on with the text
before them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from docwell.models import Chunk, Passage

_BEGINNING = re.compile(
    r"^(?:== (?P<group>.+)|\[\d+\] (?P<passage>.+)|\? (?P<question>.+)"
    r"|(?P<sign>[+-]) (?P<kind>\w+) \| (?P<answer>.+))$"
)
# Wrong passages must not be chosen by their rank, so that all have the same score.
_SCORE = 0.5


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
    return list(_read((files("benchmarks.claims") / f"{name}.txt").read_text(encoding="utf-8")))


def _read(text: str) -> Iterator[Case]:
    group, question, passages = "", "", list[Passage]()
    for block in _blocks(text):
        first, line_end, rest = block.partition("\n")
        found = _BEGINNING.match(first)
        if found is None:
            raise ValueError(f"a file of claims does not begin with a group, but with {first!r}")
        rest = line_end + rest
        if found["group"]:
            group, passages = found["group"], []
        elif found["passage"]:
            passages.append(passage(found["passage"] + rest, len(passages)))
        elif found["question"]:
            question = found["question"]
        else:
            answer = found["answer"] + rest
            yield Case(group, tuple(passages), question, answer, found["kind"], found["sign"] == "+")


def _blocks(text: str) -> list[str]:
    blocks: list[str] = []
    for line in text.splitlines():
        if _BEGINNING.match(line):
            blocks.append(line)
        else:
            blocks[-1] += "\n" + line
    return [block.rstrip() for block in blocks]


def passage(text: str, number: int) -> Passage:
    """Return a made-up passage, alone on its page."""
    chunk = Chunk(text, number + 1, 0, len(text), len(text.split()))
    return Passage(f"{number}", f"made/{number}.pdf", "generation", "version", chunk, _SCORE)
