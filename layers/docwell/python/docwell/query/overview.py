"""Answer what one document is, from the pieces of it that ingest has marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TypeVar

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.models import Mark, Part, Passage
from docwell.ports import Overviews
from docwell.query.checking.extractive import Candidate, candidates, quoted
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.checking.suspicion import suspicion
from docwell.query.modes import Basis, Searched
from docwell.query.prompting import Prompt

_Item = TypeVar("_Item")

# Statements in place of one passage, so that an overview's prompt is about as long as that of other questions: a
# statement has about 48 tokens and a passage 200. The opening has two passages' worth, the headings one.
_PER_PASSAGE = 4
_OTHERS = 3
_HEADINGS = 12
# The sentences of an overview without a model.
_SENTENCES = 6

ONE_DOCUMENT = "an overview is of one document, and this question has found several: name one as `document`"


@dataclass(frozen=True, slots=True)
class Overview:
    """The mode `overview`: the documents' marked pieces, and the prompt for them."""

    index: Overviews
    prompt: Prompt

    def basis(self, searched: Searched) -> Basis | None:
        """Return the pieces of the document that all passages are of, in its order, as long as `top_k` passages.

        They are of the passages' generation. None without a passage, and for a document that an earlier release
        has indexed. Raises `BadInput` for passages of several documents.
        """
        documents = {(one.document, one.generation) for one in searched.passages}
        if len(documents) > 1:
            raise BadInput(ONE_DOCUMENT)
        found = [piece for one in documents for piece in pieces(self.index.marked(*one), searched.top_k)]
        return Basis(Mode.OVERVIEW, tuple(found), self.prompt) if found else None


def pieces(marked: Sequence[tuple[Passage, Sequence[Mark]]], top_k: int) -> tuple[Passage, ...]:
    """Return the opening, the largest headings and statements from all parts, in the order of the document.

    A chunk that gives orders has no piece: a piece alone may look harmless.
    """
    found: dict[str, tuple[Mark, Passage, str]] = {}
    for passage, marks in sorted(marked, key=lambda one: (one[0].chunk.page, one[0].chunk.start)):
        for mark in sorted(marks, key=lambda one: one.start):
            piece = _piece(passage, mark)
            found.setdefault(piece.chunk.text, (mark, piece, passage.chunk.text))
    by_part = {part: [one for one in found.values() if one[0].part is part] for part in Part}
    chosen = [
        *by_part[Part.OPENING],
        *nlargest(_HEADINGS, by_part[Part.HEADING], key=lambda one: one[0].size),
        *spread(by_part[Part.STATEMENT], _PER_PASSAGE * max(top_k - _OTHERS, 1)),
    ]
    # Last, as a document of 20,000 pages has 10,000 marked chunks.
    kept = [piece for _, piece, whole in chosen if not suspicion(whole)]
    return tuple(sorted(kept, key=lambda piece: (piece.chunk.page, piece.chunk.start)))


def digest(passages: Sequence[Passage]) -> GroundedAnswer:
    """Return the overview as it is, without a model: a sentence each of passages from all parts."""
    firsts: dict[int, Candidate] = {}
    for candidate in candidates("", passages):
        firsts.setdefault(candidate.marker, candidate)
    return quoted(spread(list(firsts.values()), _SENTENCES), passages)


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return up to `most` items at equal distances, the first among them."""
    return [items[number * len(items) // most] for number in range(most)] if len(items) > most else [*items]


def _piece(passage: Passage, mark: Mark) -> Passage:
    """Return the piece as a passage of its page."""
    chunk = passage.chunk
    text, start = chunk.text[mark.start : mark.end], chunk.start + mark.start
    return replace(passage, chunk=replace(chunk, text=text, start=start, end=start + len(text)))
