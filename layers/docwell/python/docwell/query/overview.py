"""Answer what one document is, from the pieces of it that ingest has marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TypeVar

from docwell.answers import Mode, Sentence
from docwell.errors import BadInput
from docwell.models import Mark, Part, Passage
from docwell.ports import Overviews
from docwell.query.checking.extractive import Candidate, candidates, quoted, repeats
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.checking.suspicion import suspicion
from docwell.query.prompting import Prompt
from docwell.query.routing import Router

_Item = TypeVar("_Item")

# Statements in place of one passage, so that an overview's prompt is about as long as that of other questions: a
# statement has about 48 tokens and a passage 200. The opening has two passages' worth, the headings one.
_PER_PASSAGE = 4
_OTHERS = 3
_HEADINGS = 12
# The passages found by the question, which may ask for one thing: "What did the court decide in the end?".
_FOUND = 2
# The sentences of an overview without a model: title, authors and date, those nearest to the question, the others.
_FIRST, _NEAREST, _SENTENCES = 3, 3, 9

ONE_DOCUMENT = "an overview is of one document, and this question has found several: name one as `document`"


@dataclass(frozen=True, slots=True)
class Overview:
    """The mode `overview`: the documents' marked pieces, the prompt for them, and when to use both."""

    index: Overviews
    router: Router
    prompt: Prompt

    def passages(
        self, mode: Mode, question: str, vector: Sequence[float], found: Sequence[Passage], top_k: int
    ) -> tuple[Passage, ...]:
        """Return the pieces to answer a question from, in the order of their document; none for another mode.

        `found` are the question's passages, and the best are among the pieces. These are of the same generation,
        about as long as `top_k` passages. A document that an earlier release has indexed has none. Raises
        `BadInput` where `mode` asks for an overview of several documents.
        """
        if mode is Mode.PASSAGES or not found:
            return ()
        if len({one.document for one in found}) > 1:
            if mode is Mode.OVERVIEW:
                raise BadInput(ONE_DOCUMENT)
            return ()
        if mode is Mode.AUTO and self.router.choose(question, vector, found) is not Mode.OVERVIEW:
            return ()
        return pieces(self.index.marked(found[0].document, found[0].generation), top_k, found)


def pieces(
    marked: Sequence[tuple[Passage, Sequence[Mark]]], top_k: int, near: Sequence[Passage] = ()
) -> tuple[Passage, ...]:
    """Return the opening, the largest headings and statements from all parts, in the order of the document.

    The passages nearest to the question, best first, take the places of pieces that they hold. A chunk that gives
    orders has no piece: a piece alone may look harmless. Without marks there is none.
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
    best = [one for one in near[:_FOUND] if kept and not suspicion(one.chunk.text)]
    others = [piece for piece in kept if not any(_holds(one, piece) for one in best)]
    return tuple(sorted([*best, *others], key=lambda piece: (piece.chunk.page, piece.chunk.start)))


def digest(question: str, passages: Sequence[Passage]) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return an overview in the document's own words and order, without a model: right by construction.

    Its sentences are the first ones, which have the title, the authors and the date, those nearest to the question,
    and one each of passages from all parts.
    """
    left: list[Candidate] = []
    for candidate in candidates(question, passages):
        if not repeats(candidate, left):
            left.append(candidate)
    first, left = left[:_FIRST], left[_FIRST:]
    nearest = nlargest(_NEAREST, left, key=lambda one: one.merit)
    taken = {one.marker for one in nearest}
    by_passage: dict[int, Candidate] = {}
    for candidate in left:
        if candidate.marker not in taken:
            by_passage.setdefault(candidate.marker, candidate)
    others = spread(list(by_passage.values()), _SENTENCES - len(first) - len(nearest))
    return quoted(sorted([*first, *nearest, *others], key=lambda one: (one.marker, one.start)), passages)


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return up to `most` items at equal distances, the first among them."""
    return [items[number * len(items) // most] for number in range(most)] if len(items) > most else [*items]


def _holds(passage: Passage, piece: Passage) -> bool:
    """Whether a piece is a part of a passage of the same document."""
    one, other = passage.chunk, piece.chunk
    return one.page == other.page and one.start <= other.start and other.end <= one.end


def _piece(passage: Passage, mark: Mark) -> Passage:
    """Return the piece as a passage of its page."""
    chunk = passage.chunk
    text, start = chunk.text[mark.start : mark.end], chunk.start + mark.start
    return replace(passage, chunk=replace(chunk, text=text, start=start, end=start + len(text)))
